"""The crop pipeline: x and y from one place, each sample once per turn, a function of the step."""

import numpy as np
import pytest
import tensorflow as tf

from keras_temporal_reg.data import _crops as crops

CROP = crops.CropShape(8, 8)


def coordinates(scale=1):
    """x whose pixels hold their row and column; y holds those of the pixel of x."""
    rows, columns = np.mgrid[:20, :30].astype(np.float32)
    x = np.stack([rows, columns], -1)
    return x, np.repeat(np.repeat(x, scale, 0), scale, 1)


def numbered(count, side=8):
    """Samples without x, whose y holds their number."""
    return [(None, np.full((side, side, 1), n, np.float32)) for n in range(count)]


def same(y):
    return y


def by_step(samples, batch_size, seed, start, stop, **options):
    indices = crops.by_step(samples.count, batch_size, seed, start, stop)
    return crops.batches(samples, indices, **options)


def test_crops_of_x_and_y_are_of_one_place():
    samples = crops.from_arrays([coordinates(2)] * 3, crops.CropShape(8, 8, 2))
    seen = set()
    for a, b in by_step(samples, 4, 0, 0, 20, flips=True):
        np.testing.assert_array_equal(np.repeat(np.repeat(a, 2, 1), 2, 2), b)
        seen |= {(float(c[0, 0, 0]), float(c[0, :, 1].numpy().min())) for c in a}
        flips = {float(c[0, 1, 1] - c[0, 0, 1]) for c in a}
        assert flips <= {-1.0, 1.0}
    assert len(seen) > 40  # of 13 x 23 places in 80 draws


def test_the_center_of_each_sample_is_cropped_on_request():
    x, y = coordinates()
    samples = crops.from_arrays([(x, y)], CROP)
    ((a, b),) = by_step(samples, 1, 0, 0, 1, center=True)
    np.testing.assert_array_equal(a[0], x[6:14, 11:19])
    np.testing.assert_array_equal(b[0], y[6:14, 11:19])


def test_the_center_is_of_one_place_and_no_more_than_there_is():
    y = np.arange(40 * 60, dtype=np.float32).reshape(40, 60, 1)
    x = y[::2, ::2]
    a, b = crops.center_crop((x, y), crops.CropShape(8, 100, 2))
    np.testing.assert_array_equal(a, x[6:14])
    np.testing.assert_array_equal(b, y[12:28])
    assert not np.shares_memory(b, y)
    (alone,) = crops.center_crop((None, y), crops.CropShape(100, 10, 2))
    np.testing.assert_array_equal(alone, y[:, 20:40])


def test_each_sample_comes_once_before_any_comes_again():
    samples = crops.from_arrays(numbered(5), CROP)
    for _, y in by_step(samples, 5, 3, 0, 4, make_input=same):
        assert sorted(y[:, 0, 0, 0].numpy()) == [0, 1, 2, 3, 4]


def test_the_indices_of_a_step_are_those_of_its_batch():
    samples = crops.from_arrays(numbered(5), CROP)
    for step, (_, y) in enumerate(by_step(samples, 3, 1, 0, 6, make_input=same)):
        assert y[:, 0, 0, 0].numpy().tolist() == crops.indices_of_step(5, 3, 1, step)


def test_batches_depend_on_the_step_alone():
    rng = np.random.default_rng(0)
    samples = crops.from_arrays([(None, rng.random((12, 12, 1))) for _ in range(3)], CROP)

    def noisy(y, seed):
        return y + tf.random.stateless_normal(tf.shape(y), seed)

    def steps(start, stop):
        return [*by_step(samples, 2, 0, start, stop, flips=True, make_input=noisy)]

    whole = steps(0, 6)
    for (x, y), (other_x, other_y) in zip(whole[3:], steps(3, 6)):
        np.testing.assert_array_equal(x, other_x)
        np.testing.assert_array_equal(y, other_y)
    assert np.abs(whole[0][0] - whole[3][0]).max() > 0.1


def test_an_epoch_has_each_sample_once_in_a_new_order():
    indices = crops.by_epoch(7, 3, seed=0)
    epochs = [np.concatenate([i for i, _ in indices]) for _ in range(3)]
    assert all(sorted(epoch) == [*range(7)] for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3
    dropped = crops.by_epoch(7, 3, seed=0, shuffle=False, drop_remainder=True)
    assert [i.numpy().tolist() for i, _ in dropped] == [[0, 1, 2], [3, 4, 5]]


def test_augmentation_comes_before_make_input_and_weights_see_the_result():
    samples = crops.from_arrays(numbered(4), CROP)
    dataset = by_step(
        samples,
        4,
        0,
        0,
        1,
        augmentation=lambda images: images + 10.0,
        make_input=lambda y: 2.0 * y,
        sample_weight=lambda y: y[..., 0] + 1.0,
    )
    ((x, y, weight),) = dataset
    assert sorted(y[:, 0, 0, 0].numpy()) == [10, 11, 12, 13]
    np.testing.assert_array_equal(x, 2 * y)
    np.testing.assert_array_equal(weight, y[..., 0] + 1)


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        ((np.full((8, 8, 1), np.nan), np.zeros((8, 8, 1))), r"^x of all .* NaN .* sample 1$"),
        ((None, np.full((8, 8, 1), np.inf)), r"^y of all .* infinity in sample 1$"),
        ((None, np.zeros((7, 8, 1))), r"size of the crop, 8 x 8 .* \(7, 8, 1\) in sample 1$"),
    ],
)
def test_arrays_that_cannot_be_cropped_are_named(sample, message):
    good = (np.zeros((8, 8, 1)), np.zeros((8, 8, 1)))
    with pytest.raises(ValueError, match=message):
        crops.from_arrays([good, sample], CROP)
