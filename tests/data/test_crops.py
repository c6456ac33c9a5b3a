"""Crops: of one place in x and y, each picture in its turn, a function of the step alone."""

import numpy as np

from keras_temporal_reg.data import _crops as crops


def test_crops_of_x_and_y_are_of_one_place(tmp_path):
    # Each pixel of x tells its row and column, each 2 x 2 of y those of its pixel of x.
    rows, columns = np.mgrid[:20, :30].astype(np.float32)
    x = np.stack([rows, columns], -1)
    y = np.repeat(np.repeat(x, 2, 0), 2, 1)
    pairs = [crops.Pair(tmp_path / str(n), None) for n in range(3)]
    batches = crops.random_crops(pairs, lambda pair: (x, y), crops.Shape(8, 8, 2), None, 4, 0)
    seen = set()
    for a, b in batches(0, 20):
        np.testing.assert_array_equal(np.repeat(np.repeat(a, 2, 1), 2, 2), b)
        seen |= {(float(c[0, 0, 0]), float(c[0, :, 1].numpy().min())) for c in a}
        flips = {float(c[0, 1, 1] - c[0, 0, 1]) for c in a}
        assert flips <= {-1.0, 1.0}
    assert len(seen) > 40  # of 13 x 23 places in 80 draws


def test_the_centre_is_of_one_place_and_no_more_than_there_is():
    y = np.arange(40 * 60, dtype=np.float32).reshape(40, 60, 1)
    x = y[::2, ::2]
    a, b = crops.centre((x, y), crops.Shape(8, 100, 2))
    np.testing.assert_array_equal(a, x[6:14])
    np.testing.assert_array_equal(b, y[12:28])
    assert not np.shares_memory(b, y)
    (alone,) = crops.centre((None, y), crops.Shape(100, 10, 2))
    np.testing.assert_array_equal(alone, y[:, 20:40])


def test_each_picture_is_drawn_before_any_is_drawn_again(tmp_path):
    pairs = [crops.Pair(tmp_path / str(n), None) for n in range(5)]

    def read(pair):
        return None, np.full((8, 8, 1), int(pair.x.name), np.float32)

    batches = crops.random_crops(pairs, read, crops.Shape(8, 8, 1), None, 5, 3)
    for (y,) in batches(0, 4):
        assert sorted(y[:, 0, 0, 0].numpy()) == [0, 1, 2, 3, 4]


def test_batches_depend_on_the_step_alone(tmp_path):
    rng = np.random.default_rng(0)
    images = {str(n): rng.random((12, 12, 1)).astype(np.float32) for n in range(3)}
    pairs = [crops.Pair(tmp_path / name, None) for name in images]
    batches = crops.random_crops(
        pairs, lambda p: (None, images[p.x.name]), crops.Shape(8, 8, 1), None, 2, 0
    )
    whole = [y.numpy() for (y,) in batches(0, 6)]
    for a, (b,) in zip(whole[3:], batches(3, 6)):
        np.testing.assert_array_equal(a, b)


def test_what_does_not_fit_into_memory_is_read_again():
    reads = []

    def read(pair):
        reads.append(pair)
        return None, np.zeros((10, 10, 1), np.float32)

    read_once = crops.cached(read, budget=1000)  # bytes: two of 400
    for _ in range(2):
        for pair in "abc":
            read_once(pair)
    assert reads == ["a", "b", "c", "c"]
