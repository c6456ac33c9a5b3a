"""Folders of images as data sets; against Pillow and NumPy."""

import numpy as np
import pytest
import tensorflow as tf
from helpers.transforms import shift_right
from PIL import Image
from tensorflow import keras

import keras_temporal_reg as ktr
from keras_temporal_reg.data import _directory
from keras_temporal_reg.data import _paired_target as paired_target
from keras_temporal_reg.io import image_files


def folder_of(path, sizes, suffix=".png"):
    """Write images whose red is their number; return them as uint8."""
    rng = np.random.default_rng(0)
    path.mkdir()
    written = []
    for number, (height, width) in enumerate(sizes):
        image = rng.integers(0, 256, (height, width, 3), np.uint8)
        image[..., 0] = number
        Image.fromarray(image).save(path / f"p{number}{suffix}")
        written.append(image)
    return written


def numbers_in(dataset, part=0):
    """The numbers of the images in their order, from their first channel."""
    return np.concatenate([element[part][:, 0, 0, 0] for element in dataset])


def test_images_come_whole_and_in_order_where_nothing_is_drawn(tmp_path):
    written = folder_of(tmp_path / "x", [(16, 24)] * 5)
    dataset = ktr.data.from_directory(tmp_path / "x", crop=None, batch_size=2, shuffle=False)
    assert int(dataset.cardinality()) == 3
    x, y = (np.concatenate(part) for part in zip(*dataset))
    assert x.dtype == y.dtype == np.float32
    np.testing.assert_allclose(x, np.stack(written) / 255.0, atol=1e-7)
    np.testing.assert_array_equal(x, y)


def test_an_epoch_has_each_image_once_in_another_order(tmp_path):
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
    for number, image in enumerate(low):
        high = np.repeat(np.repeat(image, scale, 0), scale, 1)
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


def test_without_shuffling_the_center_is_cropped(tmp_path):
    (written,) = folder_of(tmp_path / "x", [(20, 30)])
    ((x, _),) = ktr.data.from_directory(tmp_path / "x", crop=8, shuffle=False)
    np.testing.assert_allclose(x[0], written[6:14, 11:19] / 255.0, atol=1e-7)


def test_a_task_makes_x_and_y(tmp_path):
    folder_of(tmp_path / "x", [(16, 16)] * 3)
    x, y = next(iter(ktr.data.from_directory(tmp_path / "x", task="colorization", crop=8)))
    assert x.shape == (3, 8, 8, 1) and y.shape == (3, 8, 8, 2)


@pytest.mark.slow
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
    rows = paired_target.decode(y)
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


@pytest.mark.slow
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


def test_images_are_decoded_when_they_are_needed(tmp_path, monkeypatch):
    folder_of(tmp_path / "x", [(16, 16)] * 9)
    read, whole = [], image_files.read
    monkeypatch.setattr(image_files, "read", lambda path: read.append(path.name) or whole(path))
    dataset = ktr.data.from_directory(tmp_path / "x", crop=8, shuffle=False)
    assert read == ["p0.png"]
    for _ in range(2):
        assert len([*dataset]) == 2
    assert sorted(read) == [f"p{number}.png" for number in range(9)]  # and then kept


@pytest.mark.parametrize("targets", [False, True])
def test_images_smaller_than_the_crop_are_named(tmp_path, targets):
    sizes = [(32, 32), (32, 20), (12, 40)]
    folder_of(tmp_path / "x", sizes)
    folder_of(tmp_path / "y", sizes)
    message = r"no smaller than the crop, 24 x 24.*p1\.png of 32 x 20.*p2\.png of 12 x 40"
    with pytest.raises(ValueError, match=message):
        ktr.data.from_directory(tmp_path / "x", tmp_path / "y" if targets else None, crop=24)


def test_a_first_image_smaller_than_the_crop_is_named(tmp_path):
    folder_of(tmp_path / "x", [(12, 40), (32, 32)])
    with pytest.raises(ValueError, match=r"no smaller than the crop.*p0\.png of 12 x 40$"):
        ktr.data.from_directory(tmp_path / "x", crop=24)


def test_whole_images_of_mixed_sizes_are_named(tmp_path):
    folder_of(tmp_path / "x", [(16, 24), (16, 24), (24, 16)])
    message = r"one size where there is no crop, 16 x 24 as .*p0\.png has.*: .*p2\.png of 24 x 16$"
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


def test_many_wrong_images_are_counted(tmp_path):
    folder_of(tmp_path / "x", [(8, 8)] * 9)
    with pytest.raises(ValueError, match=r"p4\.png of 8 x 8; and 4 more$"):
        ktr.data.from_directory(tmp_path / "x", crop=16)


def test_folders_that_are_missing_empty_or_lack_counterparts_are_named(tmp_path):
    folder_of(tmp_path / "x", [(16, 16)] * 2)
    folder_of(tmp_path / "y", [(16, 16)])
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="nowhere does not exist"):
        ktr.data.from_directory(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"inputs must hold images.*Received: .*empty"):
        ktr.data.from_directory(tmp_path / "empty")
    with pytest.raises(ValueError, match=r"y lacks 1: p1"):
        ktr.data.from_directory(tmp_path / "x", tmp_path / "y", crop=8)


def test_a_image_broken_at_its_head_is_named_at_once_and_in_its_middle_when_read(tmp_path):
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
        ({"pair_fraction": 0.5}, ValueError, "pair_fraction must be 1 without a transform"),
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


def test_images_that_do_not_fit_into_the_cache_are_read_again(tmp_path, monkeypatch):
    folder_of(tmp_path / "x", [(10, 10)] * 3)
    read, whole = [], image_files.read
    monkeypatch.setattr(image_files, "read", lambda path: read.append(path.name) or whole(path))
    pairs = _directory.pairs_in(tmp_path / "x", None)
    size = 10 * 10 * 3  # bytes of x and y, which are the same image, of 8 bits
    load = _directory.loader(ktr.tasks.restoration, cache_bytes=2 * size)
    for _ in range(2):
        for pair in pairs:
            load(pair)
    assert read == ["p0.png", "p1.png", "p2.png", "p2.png"]


def test_pictures_that_are_not_read_are_counted(tmp_path):
    folder_of(tmp_path / "x", [(16, 16)] * 2)
    (tmp_path / "x" / "a.heic").write_bytes(b"")
    with pytest.warns(UserWarning, match=r"1 file is skipped: \.heic \(1\)"):
        ktr.data.from_directory(tmp_path / "x", crop=8)
    (tmp_path / "y").mkdir()
    (tmp_path / "y" / "a.gif").write_bytes(b"")
    with pytest.raises(ValueError, match=r"inputs must hold images .*1 file is skipped: \.gif"):
        ktr.data.from_directory(tmp_path / "y", crop=8)
