"""Tests of the tasks of photographs and video: what degrades the input."""

import numpy as np
import pytest
import scipy.ndimage
import tensorflow as tf

from keras_temporal_reg import tasks
from keras_temporal_reg.tasks import _enhancement as enhancement

SEED = (1, 2)


def flat(value, count=4):
    return tf.fill((count, 64, 64, 3), np.float32(value))


@pytest.mark.parametrize("value", [0.1, 0.5, 0.9])
def test_sensor_noise_has_the_variance_of_shot_and_read_noise(value):
    noisy = tasks.sensor_denoising.make_input(flat(value), SEED).numpy()
    expected = np.sqrt(enhancement.SHOT**2 * value + enhancement.READ**2)
    assert noisy.std() == pytest.approx(expected, rel=0.03)
    assert noisy.mean() == pytest.approx(value, abs=0.003)


def test_low_light_is_dimmed_and_its_baseline_brightens_it():
    for value in (0.3, 0.8):
        dark = tasks.low_light.make_input(flat(value), SEED).numpy()
        assert dark.mean() == pytest.approx(enhancement.DIMMED * value**enhancement.CURVE, abs=0.01)
        assert dark.min() >= 0.0
        bright = tasks.low_light.baseline(np.full((1, 4, 4, 3), dark.mean()))
        np.testing.assert_allclose(bright, value, atol=0.02)


def test_blurring_is_a_gaussian_with_little_noise():
    y = np.random.default_rng(0).uniform(size=(2, 40, 44, 3)).astype(np.float32)
    x = tasks.deblurring.make_input(tf.constant(y), SEED).numpy()
    sigma = (0, enhancement.BLUR, enhancement.BLUR, 0)
    expected = scipy.ndimage.gaussian_filter(y, sigma, mode="nearest")
    assert (x - expected).std() == pytest.approx(enhancement.BLUR_NOISE, rel=0.05)


def test_frames_of_a_clip_are_not_degraded():
    rgb = np.random.default_rng(0).uniform(size=(4, 6, 3)).astype(np.float32)
    for task in (tasks.deblurring, tasks.low_light, tasks.sensor_denoising):
        np.testing.assert_array_equal(task.input(rgb), rgb)
        assert tasks.find(task.name) is task
