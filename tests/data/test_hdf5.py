"""HDF5 files as data sets; against h5py and NumPy."""

import threading

import h5py
import numpy as np
import pytest
import tensorflow as tf
from helpers.transforms import shift_right
from tensorflow import keras

import keras_temporal_reg as ktr


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
            r"w in .* per pixel of y, 20 x 30.*\(3, 5, 5\)",
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
