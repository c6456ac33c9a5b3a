"""Sources: folders of pictures and HDF5 files as data sets; against Pillow, h5py and NumPy."""

import threading
import types

import h5py
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tensorflow import keras

import keras_temporal_reg as ktr
from keras_temporal_reg.data import _pairing as pairing
from keras_temporal_reg.io import image_files


def folder_of(path, sizes, suffix=".png"):
    """Pictures whose red tells their number; bytes, as they were written."""
    rng = np.random.default_rng(0)
    path.mkdir()
    written = []
    for number, (height, width) in enumerate(sizes):
        picture = rng.integers(0, 256, (height, width, 3), np.uint8)
        picture[..., 0] = number
        Image.fromarray(picture).save(path / f"p{number}{suffix}")
        written.append(picture)
    return written


def file_of(path, **arrays):
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file[name] = array
    return path


def grid(count=6, height=20, width=30, scale=1):
    """Images that tell the number, row and column of each pixel of x."""
    number, row, column = np.mgrid[:count, :height, :width].astype(np.float32)
    images = np.stack([number, row, column], -1)
    return np.repeat(np.repeat(images, scale, 1), scale, 2)


def numbers_in(dataset, part=0):
    """Which pictures come in which order, where their first channel tells."""
    return np.concatenate([element[part][:, 0, 0, 0] for element in dataset])


def shift_right():
    """A transform without a seed: every picture one pixel to the right."""

    def sample(batch_size, height, width, seed=None):
        return tf.tile(tf.constant([[1.0, 0, -1, 0, 1, 0, 0, 0]]), (batch_size, 1))

    def apply(images, transforms):
        return ktr.image.transform(images, transforms, "bilinear", "nearest")

    return types.SimpleNamespace(sample=sample, apply=apply)


# Folders


def test_pictures_come_whole_and_in_order_where_nothing_is_drawn(tmp_path):
    written = folder_of(tmp_path / "x", [(16, 24)] * 5)
    dataset = ktr.data.from_directory(tmp_path / "x", crop=None, batch_size=2, shuffle=False)
    assert int(dataset.cardinality()) == 3
    x, y = (np.concatenate(part) for part in zip(*dataset))
    assert x.dtype == y.dtype == np.float32
    np.testing.assert_allclose(x, np.stack(written) / 255.0, atol=1e-7)
    np.testing.assert_array_equal(x, y)


def test_an_epoch_has_each_picture_once_in_another_order(tmp_path):
    folder_of(tmp_path / "x", [(16, 16)] * 16)
    dataset = ktr.data.from_directory(tmp_path / "x", crop=8, batch_size=5)
    epochs = [np.round(255 * numbers_in(dataset)) for _ in range(3)]
    for epoch in epochs:
        assert sorted(epoch) == [*range(16)]
    assert (epochs[0] != epochs[1]).any() and (epochs[1] != epochs[2]).any()
    assert (epochs[0] != np.arange(16)).any()


def test_a_last_batch_that_is_smaller_can_be_dropped(tmp_path):
    folder_of(tmp_path / "x", [(16, 16)] * 5)
    kept = ktr.data.from_directory(tmp_path / "x", crop=8, batch_size=2)
    assert [len(x) for x, _ in kept] == [2, 2, 1]
    dropped = ktr.data.from_directory(tmp_path / "x", crop=8, batch_size=2, drop_remainder=True)
    assert int(dropped.cardinality()) == 2
    assert dropped.element_spec[0].shape.as_list() == [2, 8, 8, 3]
    assert [len(x) for x, _ in dropped] == [2, 2]


@pytest.mark.parametrize("scale", [1, 3])
def test_crops_of_inputs_and_targets_are_of_one_place(tmp_path, scale):
    sizes = [(20, 30), (17, 12), (40, 16)]  # of any sizes, where there is a crop
    low = folder_of(tmp_path / "x", sizes)
    (tmp_path / "y").mkdir()
    for number, picture in enumerate(low):
        high = np.repeat(np.repeat(picture, scale, 0), scale, 1)
        Image.fromarray(255 - high).save(tmp_path / "y" / f"p{number}.bmp")
    dataset = ktr.data.from_directory(tmp_path / "x", tmp_path / "y", crop=8, batch_size=2, seed=1)
    assert dataset.element_spec[1].shape.as_list() == [None, 8 * scale, 8 * scale, 3]
    places = set()
    for _ in range(4):
        for x, y in dataset:
            high = np.repeat(np.repeat(x, scale, 1), scale, 2)
            np.testing.assert_allclose(1.0 - high, y, atol=1e-6)
            for crop in np.round(255 * x.numpy()).astype(np.uint8):
                whole = low[crop[0, 0, 0]]
                windows = np.lib.stride_tricks.sliding_window_view(whole, (8, 8, 3))[:, :, 0]
                (place,) = np.argwhere((windows == crop).all(axis=(2, 3, 4)))
                places.add((int(crop[0, 0, 0]), *place))
    assert len(places) > 8  # of 12 draws


def test_without_shuffling_the_centre_is_cropped(tmp_path):
    (written,) = folder_of(tmp_path / "x", [(20, 30)])
    ((x, _),) = ktr.data.from_directory(tmp_path / "x", crop=8, shuffle=False)
    np.testing.assert_allclose(x[0], written[6:14, 11:19] / 255.0, atol=1e-7)


def test_a_task_makes_x_and_y(tmp_path):
    folder_of(tmp_path / "x", [(16, 16)] * 3)
    x, y = next(iter(ktr.data.from_directory(tmp_path / "x", task="colorization", crop=8)))
    assert x.shape == (3, 8, 8, 1) and y.shape == (3, 8, 8, 2)


def test_x_is_made_from_the_augmented_target_and_again_from_the_moved_one(tmp_path):
    folder_of(tmp_path / "x", [(32, 48)] * 4)
    dataset = ktr.data.from_directory(
        tmp_path / "x",
        task="super-resolution",
        crop=8,
        batch_size=4,
        augmentation=keras.layers.RandomFlip(),
        transform=ktr.RandomAffine(),
    )
    for x, y in dataset:
        assert x.shape == (8, 8, 8, 3) and y.shape == (8, 16, 16, 4)
        mean = y.numpy()[..., :3].reshape(8, 8, 2, 8, 2, 3).mean(axis=(2, 4))
        np.testing.assert_allclose(x, mean, atol=1e-6)


def test_pairs_are_those_of_the_tf_data_route(tmp_path):
    folder_of(tmp_path / "x", [(16, 16)] * 4)
    paired = ktr.data.from_directory(
        tmp_path / "x", crop=8, batch_size=4, transform=shift_right(), pair_fraction=0.5
    )
    ((x, y),) = paired
    rows = pairing.unpack(y)
    np.testing.assert_array_equal(rows.is_counterpart, [0, 1, 0, 1, 0, 0])
    np.testing.assert_allclose(x[1, :, 1:], x[0, :, :-1], atol=1e-6)
    np.testing.assert_allclose(rows.y, x, atol=1e-6)


def test_a_perturbation_alone_pairs_too(tmp_path):
    folder_of(tmp_path / "x", [(16, 16)] * 4)
    dataset = ktr.data.from_directory(
        tmp_path / "x", crop=8, perturbation=lambda images: 1.0 - images
    )
    ((x, y),) = dataset
    np.testing.assert_allclose(x[1::2], 1.0 - x[::2], atol=1e-6)
    assert y.shape == (8, 8, 8, 4)


def test_augmentation_changes_x_and_y_alike(tmp_path):
    written = folder_of(tmp_path / "x", [(8, 8)] * 16)
    dataset = ktr.data.from_directory(
        tmp_path / "x",
        crop=8,
        batch_size=16,
        shuffle=False,
        augmentation=keras.layers.RandomFlip("horizontal", seed=1),
    )
    ((x, y),) = dataset
    np.testing.assert_array_equal(x, y)
    plain = np.stack(written) / np.float32(255)
    flipped = np.isclose(x, plain[:, :, ::-1]).all(axis=(1, 2, 3))
    assert 2 < flipped.sum() < 14
    np.testing.assert_allclose(x[~flipped], plain[~flipped], atol=1e-7)


def test_a_seed_repeats_order_crops_and_motion(tmp_path):
    folder_of(tmp_path / "x", [(16, 24)] * 6)

    def epochs(seed):
        dataset = ktr.data.from_directory(
            tmp_path / "x", crop=8, batch_size=4, transform=ktr.RandomAffine(), seed=seed
        )
        return [np.concatenate([y for _, y in dataset]) for _ in range(2)]

    first, again, other = epochs(3), epochs(3), epochs(4)
    np.testing.assert_array_equal(first, again)
    assert np.abs(first[0] - first[1]).max() > 0.01
    assert np.abs(first[0] - other[0]).max() > 0.01


def test_a_plain_model_and_a_regularized_one_train_on_it(tmp_path):
    folder_of(tmp_path / "x", [(16, 16)] * 6)

    def network():
        return keras.Sequential(
            [keras.Input((None, None, 1)), keras.layers.Conv2D(2, 3, padding="same")]
        )

    loss = ktr.losses.SparseJacobianLoss(alpha=0.5)
    options = {"task": "colorization", "crop": 8, "batch_size": 4}
    plain = network()
    plain.compile("sgd", loss, jit_compile=False)
    paired = ktr.data.from_directory(tmp_path / "x", transform=ktr.RandomAffine(), **options)
    tested = ktr.data.from_directory(tmp_path / "x", shuffle=False, **options)
    history = plain.fit(paired, validation_data=tested, epochs=2, verbose=0).history
    assert np.isfinite([*history["loss"], *history["val_loss"]]).all()
    model = ktr.RegularizedModel(network())
    model.compile("sgd", loss, jit_compile=False)
    history = model.fit(ktr.data.from_directory(tmp_path / "x", **options), verbose=0).history
    assert np.isfinite(history["loss"]).all()


def test_pictures_are_decoded_when_they_are_needed(tmp_path, monkeypatch):
    folder_of(tmp_path / "x", [(16, 16)] * 9)
    read, whole = [], image_files.read
    monkeypatch.setattr(image_files, "read", lambda path: read.append(path.name) or whole(path))
    dataset = ktr.data.from_directory(tmp_path / "x", crop=8, shuffle=False)
    assert read == ["p0.png"]
    for _ in range(2):
        assert len([*dataset]) == 2
    assert sorted(read) == [f"p{number}.png" for number in range(9)]  # and then kept


@pytest.mark.parametrize("targets", [False, True])
def test_pictures_smaller_than_the_crop_are_named(tmp_path, targets):
    sizes = [(32, 32), (32, 20), (12, 40)]
    folder_of(tmp_path / "x", sizes)
    folder_of(tmp_path / "y", sizes)
    message = r"no smaller than the crop, 24 x 24.*p1\.png of 32 x 20.*p2\.png of 12 x 40"
    with pytest.raises(ValueError, match=message):
        ktr.data.from_directory(tmp_path / "x", tmp_path / "y" if targets else None, crop=24)


def test_a_first_picture_smaller_than_the_crop_is_named(tmp_path):
    folder_of(tmp_path / "x", [(12, 40), (32, 32)])
    with pytest.raises(ValueError, match=r"no smaller than the crop.*p0\.png of 12 x 40$"):
        ktr.data.from_directory(tmp_path / "x", crop=24)


def test_whole_pictures_of_mixed_sizes_are_named(tmp_path):
    folder_of(tmp_path / "x", [(16, 24), (16, 24), (24, 16)])
    message = r"one size where there is no crop, 16 x 24 as .*p0\.png is.*: .*p2\.png of 24 x 16$"
    with pytest.raises(ValueError, match=message):
        ktr.data.from_directory(tmp_path / "x", crop=None)


@pytest.mark.parametrize("wrong", [0, 2])
def test_targets_of_another_size_than_their_inputs_are_named(tmp_path, wrong):
    sizes = [(16, 24)] * 3
    folder_of(tmp_path / "x", sizes)
    sizes[wrong] = (24, 24)
    folder_of(tmp_path / "y", sizes)
    message = rf"x/p{wrong}\.png of 16 x 24 and .*y/p{wrong}\.png of 24 x 24"
    with pytest.raises(ValueError, match=message):
        ktr.data.from_directory(tmp_path / "x", tmp_path / "y", crop=8)


def test_many_wrong_pictures_are_counted(tmp_path):
    folder_of(tmp_path / "x", [(8, 8)] * 9)
    with pytest.raises(ValueError, match=r"p4\.png of 8 x 8; and 4 more$"):
        ktr.data.from_directory(tmp_path / "x", crop=16)


def test_folders_that_are_missing_empty_or_lack_counterparts_are_named(tmp_path):
    folder_of(tmp_path / "x", [(16, 16)] * 2)
    folder_of(tmp_path / "y", [(16, 16)])
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="nowhere does not exist"):
        ktr.data.from_directory(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"inputs must hold pictures.*Received: .*empty"):
        ktr.data.from_directory(tmp_path / "empty")
    with pytest.raises(ValueError, match=r"y lacks 1: p1"):
        ktr.data.from_directory(tmp_path / "x", tmp_path / "y", crop=8)


def test_a_picture_broken_at_its_head_is_named_at_once_and_in_its_middle_when_read(tmp_path):
    folder_of(tmp_path / "x", [(32, 32)] * 2, suffix=".jpg")
    whole = (tmp_path / "x" / "p1.jpg").read_bytes()
    (tmp_path / "x" / "p1.jpg").write_bytes(whole[:-200])
    dataset = ktr.data.from_directory(tmp_path / "x", crop=8)
    with pytest.raises(tf.errors.OpError, match=r"p1\.jpg cannot be read"):
        list(dataset)
    (tmp_path / "x" / "p1.jpg").write_bytes(b"Dear reader")
    with pytest.raises(ValueError, match=r"p1\.jpg cannot be read"):
        ktr.data.from_directory(tmp_path / "x", crop=8)


def test_what_a_task_makes_too_small_is_named_when_it_is_read(tmp_path):
    folder_of(tmp_path / "x", [(16, 16)] * 2)

    def sample(rgb):
        kept = rgb[:4] if rgb[0, 0, 0] > 0 else rgb
        return kept.astype(np.float32), kept.astype(np.float32)

    task = ktr.tasks.Task("odd", sample, lambda x, p: p, lambda x: x, "the input itself")
    dataset = ktr.data.from_directory(tmp_path / "x", task=task, crop=8)
    with pytest.raises(tf.errors.OpError, match=r"samples must have .* 4 x 16.*p1\.png"):
        list(dataset)


@pytest.mark.parametrize(
    "option, error, message",
    [
        ({"crop": 4}, ValueError, "crop must be a whole number of at least 8"),
        ({"crop": (8, 8)}, ValueError, "crop must be a whole number"),
        ({"batch_size": 0}, ValueError, "batch_size must be a whole number of at least 1"),
        ({"batch_size": 3, "drop_remainder": True}, ValueError, "at most the number of samples, 2"),
        ({"seed": -1}, ValueError, "seed must be a whole number of at least 0"),
        ({"pair_fraction": 0.5}, ValueError, "pair_fraction must be 1 where there is no transform"),
        ({"pair_fraction": 2.0}, ValueError, r"pair_fraction must be a number in \(0, 1\]"),
        ({"augmentation": "flip"}, TypeError, "augmentation must be a preprocessing layer"),
        (
            {"augmentation": keras.layers.Resizing(4, 4)},
            ValueError,
            r"(?s)must keep the size.*resizing.*4, 4, 6.*8, 8, 6",
        ),
        ({"task": "painting"}, ValueError, "task must be one of colorization"),
        ({"task": 3}, TypeError, "task must be a name or"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_options_that_do_not_fit_are_refused(tmp_path, option, error, message):
    folder_of(tmp_path / "x", [(16, 16)] * 2)
    with pytest.raises(error, match=message):
        ktr.data.from_directory(tmp_path / "x", **{"crop": 8, **option})


# HDF5 files


@pytest.mark.parametrize("dtype", ["uint8", "float16", "float64", "int32"])
def test_images_are_the_slices_of_the_file(tmp_path, dtype):
    rng = np.random.default_rng(0)
    x = rng.uniform(0, 200, (5, 10, 12, 3)).astype(dtype)
    y = rng.uniform(0, 200, (5, 20, 24, 1)).astype(dtype)
    path = file_of(tmp_path / "a.h5", x=x, y=y)
    dataset = ktr.data.from_hdf5(path, batch_size=2, shuffle=False)
    assert int(dataset.cardinality()) == 3
    for number, (a, b) in enumerate(dataset):
        with h5py.File(path) as file:
            np.testing.assert_array_equal(a, file["x"][2 * number :][:2].astype(np.float32))
            np.testing.assert_array_equal(b, file["y"][2 * number :][:2].astype(np.float32))
        assert a.dtype == b.dtype == tf.float32


@pytest.mark.parametrize("scale", [1, 2])
@pytest.mark.parametrize("rank", [3, 4])
def test_crops_of_images_targets_and_weights_are_of_one_place(tmp_path, scale, rank):
    x, y = grid(), grid(scale=scale)
    weight = y[..., 1] if rank == 3 else y[..., 1:2]
    path = file_of(tmp_path / "a.h5", **{"low/x": x, "high": y, "weights": weight})
    dataset = ktr.data.from_hdf5(path, "low/x", "high", "weights", crop=8, batch_size=4)
    seen = set()
    for _ in range(8):
        for a, b, w in dataset:
            np.testing.assert_array_equal(np.repeat(np.repeat(a, scale, 1), scale, 2), b)
            np.testing.assert_array_equal(b[..., 1], w if rank == 3 else w[..., 0])
            assert a.shape[1:] == (8, 8, 3)
            # Rows and columns of the crop go on by one from its corner.
            from_corner = a.numpy() - a.numpy()[:, :1, :1]
            np.testing.assert_array_equal(from_corner, np.repeat(grid(1, 8, 8), len(a), axis=0))
            seen |= {tuple(crop[0, 0]) for crop in a.numpy()}
    assert len(seen) > 40  # of 48 draws of 13 x 23 places
    assert {corner[1] for corner in seen} <= {*range(13)}


def test_weights_of_samples_stay_with_them(tmp_path):
    path = file_of(tmp_path / "a.h5", x=grid(), y=grid(), w=np.arange(6))
    for x, _, weight in ktr.data.from_hdf5(path, sample_weight="w", crop=8, batch_size=4):
        np.testing.assert_array_equal(x[:, 0, 0, 0], weight)


def test_weights_are_paired_and_augmented(tmp_path):
    path = file_of(tmp_path / "a.h5", x=grid(), y=grid(), w=grid()[..., 2])
    dataset = ktr.data.from_hdf5(
        path,
        sample_weight="w",
        crop=8,
        augmentation=keras.layers.RandomFlip(),
        transform=shift_right(),
    )
    ((x, y, weight),) = dataset
    np.testing.assert_allclose(x[..., 2], weight, atol=1e-5)
    np.testing.assert_allclose(y[..., :3], x, atol=1e-5)
    assert x.shape == (12, 8, 8, 3)


def test_x_can_be_made_from_the_target(tmp_path):
    path = file_of(tmp_path / "a.h5", y=grid(), w=np.arange(6.0))
    dataset = ktr.data.from_hdf5(
        path, x=None, sample_weight="w", crop=8, make_input=lambda y: 2 * y, transform=shift_right()
    )
    ((x, y, weight),) = dataset
    np.testing.assert_allclose(x, 2 * y[..., :3], atol=1e-5)
    np.testing.assert_array_equal(x[::2, 0, 0, 0], 2 * weight[::2])


def test_one_data_set_can_be_both(tmp_path):
    path = file_of(tmp_path / "a.h5", images=grid())
    for x, y in ktr.data.from_hdf5(path, "images", "images", crop=8):
        np.testing.assert_array_equal(x, y)


def test_a_seed_repeats_epochs_of_a_file(tmp_path):
    path = file_of(tmp_path / "a.h5", x=grid(16), y=grid(16))
    runs = []
    for seed in (1, 1, 2):
        dataset = ktr.data.from_hdf5(path, crop=8, seed=seed, transform=ktr.RandomAffine())
        runs.append([np.concatenate([y for _, y in dataset]) for _ in range(2)])
    np.testing.assert_array_equal(runs[0], runs[1])
    assert np.abs(runs[0][0] - runs[0][1]).max() > 0.1
    assert np.abs(runs[0][0] - runs[2][0]).max() > 0.1


def test_a_file_far_larger_than_the_memory_is_read_where_it_is_needed(tmp_path):
    path = tmp_path / "large.h5"
    with h5py.File(path, "w") as file:
        for name in ("x", "y"):
            images = file.create_dataset(
                name, (10**6, 4096, 4096, 3), "uint8", chunks=(1, 64, 64, 3), fillvalue=7
            )
            images[123, :64, :64] = 9
    assert 10**6 * 4096**2 * 3 > 2**45 > path.stat().st_size
    dataset = ktr.data.from_hdf5(path, crop=32, batch_size=2, seed=0)
    assert int(dataset.cardinality()) == 500_000
    for x, y in dataset.take(3):
        assert (x.numpy() == 7).all() and (y.numpy() == 7).all()


def test_only_the_crop_is_read(tmp_path, monkeypatch):
    path = file_of(tmp_path / "a.h5", x=grid(), y=grid())
    read, whole = [], h5py.Dataset.__getitem__

    def counted(self, *args, **kwargs):
        found = whole(self, *args, **kwargs)
        read.append(found.size)
        return found

    monkeypatch.setattr(h5py.Dataset, "__getitem__", counted)
    dataset = ktr.data.from_hdf5(path, crop=8, batch_size=3)
    assert read == []
    assert len([*dataset]) == 2
    assert read == [8 * 8 * 3] * 12


def test_several_readers_in_threads_see_the_same_images(tmp_path):
    x = np.random.default_rng(0).random((64, 16, 16, 3)).astype(np.float32)
    path = file_of(tmp_path / "a.h5", x=x, y=2 * x)
    # One data set for all, and one each.
    shared = ktr.data.from_hdf5(path, batch_size=4)
    found, errors = [], []

    def reader(dataset):
        try:
            for _ in range(3):
                parts = [np.concatenate(part) for part in zip(*dataset)]
                np.testing.assert_array_equal(2 * parts[0], parts[1])
                found.append(np.sort(parts[0].ravel()))
        except Exception as error:
            errors.append(error)

    datasets = [shared, shared, *(ktr.data.from_hdf5(path, batch_size=4) for _ in range(2))]
    threads = [threading.Thread(target=reader, args=(dataset,)) for dataset in datasets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not errors and len(found) == 12
    for values in found:
        np.testing.assert_array_equal(values, np.sort(x.ravel()))


def test_iterations_that_stop_early_leave_no_file_open(tmp_path):
    path = file_of(tmp_path / "a.h5", x=grid(), y=grid())
    dataset = ktr.data.from_hdf5(path, batch_size=1)
    for _ in range(3):
        iterator = iter(dataset)
        next(iterator)
    del iterator
    with h5py.File(path, "r+") as file:  # refused where a reader has it open
        file["x"][...] = 5.0
    assert all((x.numpy() == 5.0).all() for x, _ in dataset)


@pytest.mark.parametrize(
    "arrays, options, message",
    [
        ({"x": grid(3)}, {}, r"hold the HDF5 data sets x, y\. Received: without y, with x$"),
        ({}, {}, r"without x, y, with none"),
        ({"x/deep": grid(3), "y": grid(3)}, {}, r"without x, with x/deep, y"),
        ({"x": grid(3), "y": grid(4)}, {}, r"one length\. Received: 3 in x, 4 in y"),
        ({"x": grid(3)[..., 0], "y": grid(3)}, {}, r"x in .* must hold images.*\(3, 20, 30\)"),
        ({"x": grid(3), "y": np.zeros(3)}, {}, r"y in .* must hold images.*\(3,\)"),
        ({"x": np.zeros((0, 8, 8, 3)), "y": grid(3)}, {}, r"x in .* must hold images.*\(0, 8"),
        ({"x": h5py.Empty("f"), "y": grid(3)}, {}, r"x in .* must hold images.*\(\)"),
        ({"x": np.full((2, 8, 8, 1), b"red"), "y": grid(2)}, {}, r"x in .* must hold numbers.*S3"),
        ({"x": grid(3), "y": grid(3)}, {"crop": 24}, r"at most the size.*of x.*20 x 30.*: 24"),
        (
            {"x": grid(3), "y": grid(3, height=30)},
            {"crop": 8},
            r"y in .* of x, 20 x 30, or a whole multiple.*: 30 x 30",
        ),
        ({"x": grid(3), "y": grid(3, height=30)}, {}, r"y must have the aspect of x in"),
        ({"x": grid(3), "y": grid(3)}, {"sample_weight": "w"}, r"without w, with x, y"),
        (
            {"x": grid(3), "y": grid(3), "w": np.zeros((3, 5, 5))},
            {"sample_weight": "w"},
            r"w in .* a pixel of y, 20 x 30.*\(3, 5, 5\)",
        ),
        (
            {"x": grid(3), "y": grid(3), "w": np.zeros(2)},
            {"sample_weight": "w"},
            r"Received: 3 in x, 3 in y, 2 in w",
        ),
        ({"y": grid(3)}, {"x": None}, r"x must be the name .* no make_input"),
        (
            {"x": grid(3), "y": grid(3, scale=2)},
            {"augmentation": keras.layers.RandomFlip()},
            r"(?s)one height and width.*20, 30, 3.*40, 60, 3",
        ),
        (
            {"x": grid(3), "y": grid(3)},
            {"augmentation": keras.layers.RandomCrop(8, 8)},
            r"(?s)must keep the size.*random_crop.*8, 8, 6.*20, 30, 6",
        ),
    ],
)
def test_files_that_do_not_fit_are_refused_with_what_is_wrong(tmp_path, arrays, options, message):
    path = file_of(tmp_path / "a.h5", **arrays)
    with pytest.raises(ValueError, match=message):
        ktr.data.from_hdf5(path, **options)


def test_a_file_that_is_none_is_named(tmp_path):
    (tmp_path / "letter.h5").write_text("Dear reader")
    for name in ("letter.h5", "nowhere.h5"):
        words = rf"path must be a whole HDF5 file\. Received: .*{name}"
        with pytest.raises(ValueError, match=words):
            ktr.data.from_hdf5(tmp_path / name)
