"""Tests of distances: SSIM against scikit-image, and the kinds that are accepted."""

import numpy as np
import pytest
import skimage.metrics
import tensorflow as tf
from tensorflow import keras

from keras_temporal_reg.losses import _distances as distances


def random_images(seed):
    return np.random.default_rng(seed).uniform(size=(3, 6, 7, 2)).astype(np.float32)


def smooth_pair(size):
    y, x = np.mgrid[: size[0], : size[1]].astype(np.float32)
    a = 0.5 + 0.4 * np.sin(x / 3 + y / 5)
    b = 0.5 + 0.3 * np.sin(x / 3.1 + y / 4.5 + 0.3)
    return a[np.newaxis, ..., np.newaxis], b[np.newaxis, ..., np.newaxis]


def test_ssim_agrees_with_scikit_image():
    a, b = smooth_pair((24, 26))
    got = distances.ssim_distance(a, b)
    _, index = skimage.metrics.structural_similarity(
        a[0, ..., 0],
        b[0, ..., 0],
        data_range=1.0,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        full=True,
    )
    assert got.shape == (1, 24, 26)
    np.testing.assert_allclose(got[0, 5:-5, 5:-5], 1.0 - index[5:-5, 5:-5], atol=1e-4)


@pytest.mark.parametrize("size", [(4, 30), (8, 9), (11, 12)])
def test_ssim_takes_images_smaller_than_its_window(size):
    a, b = smooth_pair(size)
    got = distances.ssim_distance(a, b)
    assert got.shape == (1, *size)
    assert np.all((got.numpy() >= 0) & (got.numpy() <= 2))
    same = distances.ssim_distance(a, a)
    np.testing.assert_allclose(same, 0.0, atol=1e-5)


def mean_square(a, b):
    return np.mean((a - b) ** 2, axis=-1)


KINDS = {
    "name": "mse",
    "Keras loss": keras.losses.MeanSquaredError(),
    "value per channel": lambda t, p: (t - p) ** 2,
    "value per pixel": lambda t, p: tf.reduce_mean((t - p) ** 2, axis=-1),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_becomes_a_map(kind):
    a, b = random_images(1), random_images(2)
    got = distances.as_map("distance", KINDS[kind])(tf.constant(a), tf.constant(b))
    np.testing.assert_allclose(got, mean_square(a, b), rtol=1e-5)


def test_a_value_per_sample_is_repeated_for_its_pixels():
    a, b = random_images(1), random_images(2)
    of_sample = distances.as_map("distance", lambda t, p: tf.reduce_max(t - p, axis=(1, 2, 3)))
    got = of_sample(tf.constant(a), tf.constant(b))
    expected = np.max(a - b, axis=(1, 2, 3))[:, None, None]
    np.testing.assert_array_equal(got, np.broadcast_to(expected, (3, 6, 7)))


def test_a_distance_of_the_wrong_shape_is_named():
    distance = distances.as_map("distance", lambda t, p: (t - p)[..., 0, 0])
    with pytest.raises(ValueError, match="distance must return one value per pixel or per sample"):
        distance(tf.zeros((2, 6, 7, 1)), tf.zeros((2, 6, 7, 1)))


@pytest.mark.parametrize("value", ["lpips", 3, None])
def test_what_is_no_distance_is_named(value):
    with pytest.raises(ValueError, match=f"distance must be the name of a Keras loss.*{value!r}"):
        distances.as_map("distance", value)


def test_only_kerass_own_distances_other_than_ssim_gain_from_xla():
    assert distances.gains_from_xla("mse")
    assert distances.gains_from_xla(keras.losses.Huber())
    assert not distances.gains_from_xla("ssim")
    assert not distances.gains_from_xla(lambda t, p: t - p)


@pytest.mark.parametrize("distance", ["mae", "ssim", keras.losses.LogCosh()])
def test_serialized_distances_come_back(distance):
    again = distances.deserialize(distances.serialize(distance))
    assert type(again) is type(distance)
    assert again == distance or again.get_config() == distance.get_config()


def test_contrast_error_is_that_of_the_means_over_the_batch():
    y, output = random_images(1), 0.5 * random_images(2)
    contrast = [np.std(images, axis=(1, 2)).mean(axis=0) for images in (y, output)]
    expected = np.mean((contrast[0] - contrast[1]) ** 2)
    np.testing.assert_allclose(distances.contrast_error(y, output), expected, rtol=1e-4)
