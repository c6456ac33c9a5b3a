"""Artificial scenes: the same for a seed, bright enough, and moved exactly as they say."""

import numpy as np
import pytest
import tensorflow as tf

from keras_temporal_reg import metrics
from keras_temporal_reg.experiments import scenes

STILL = np.array([1, 0, 0, 0, 1, 0, 0, 0], np.float32)


def test_a_seed_gives_one_scene():
    first = scenes.scene(3, 48, 64)
    assert first.shape == (48, 64, 3) and first.dtype == np.float32
    np.testing.assert_array_equal(first, scenes.scene(3, 48, 64))
    assert np.any(first != scenes.scene(4, 48, 64))


def test_a_seed_gives_one_clip():
    first, again = (scenes.clip(5, 3, 32, 48) for _ in range(2))
    np.testing.assert_array_equal(first.frames, again.frames)
    np.testing.assert_array_equal(first.motion, again.motion)


@pytest.mark.parametrize("seed", range(8))
def test_some_of_a_scene_clips_and_lights_are_far_above_white(seed):
    light = scenes.scene(seed, 128, 160)
    assert np.isfinite(light).all() and light.min() > 0
    assert 0.05 <= (light.max(axis=-1) > 1.0).mean() <= 0.15
    assert light.max() > 5.0 * np.median(light.max(axis=-1))
    assert light.max() > 4.0


@pytest.mark.parametrize("seed", range(1, 5))
def test_motion_of_a_clip_is_exact(seed):
    filmed = scenes.clip(seed, 8, 128, 160)
    assert filmed.frames.shape == (8, 128, 160, 3) and filmed.motion.shape == (7, 8)
    assert 0.05 <= (filmed.frames.max(axis=-1) > 1.0).mean() <= 0.15
    still = np.tile(STILL, (7, 1))
    explained = metrics.warping_error(filmed.frames, filmed.motion)
    assert explained < 0.02 * metrics.warping_error(filmed.frames, still)


def test_film_cuts_to_a_size_and_refuses_what_does_not_fit():
    picture = scenes.scene(0, 50, 60)
    assert scenes.film(picture, 2, 0, (24, 32)).frames.shape == (2, 24, 32, 3)
    with pytest.raises(ValueError, match=r"size must be at most 40 x 48.*Received: 41 x 32"):
        scenes.film(picture, 2, 0, (41, 32))


@pytest.mark.parametrize(
    ("arguments", "name"), [((-1, 32, 32), "seed"), ((0, 8, 32), "height"), ((0, 32, 8), "width")]
)
def test_wrong_sizes_are_refused(arguments, name):
    with pytest.raises(ValueError, match=f"{name} must be a whole number of at least"):
        scenes.scene(*arguments)


def test_a_clip_of_one_frame_is_refused():
    with pytest.raises(ValueError, match="frames must be a whole number of at least 2"):
        scenes.clip(0, 1, 32, 32)


def test_the_log_of_light_has_an_offset():
    light = np.array([0.0, 1.0, 100.0])
    np.testing.assert_allclose(scenes.to_log(light), np.log(light + 1 / 255), atol=1e-6)


def test_saturation_begins_at_095_and_is_full_at_white():
    light = np.array([0.5, 0.95, 0.975, 1.0, 40.0])
    y = np.zeros((1, 1, 5, 3)) + scenes.to_log(0.1 * np.ones(1))
    y[..., 1] = scenes.to_log(light)  # the brightest channel says
    weight = scenes.saturation(tf.constant(y, tf.float32)).numpy()
    np.testing.assert_allclose(weight[0, 0], [0, 0, 0.5, 1, 1], atol=1e-4)


def test_a_capture_clips_and_keeps_the_order_of_light():
    ramp = np.linspace(0.0, 2.0, 64, dtype=np.float32)
    y = np.tile(scenes.to_log(ramp)[np.newaxis, np.newaxis, :, np.newaxis], (6, 64, 1, 3))
    x = scenes.capture(tf.constant(y)).numpy()
    assert x.shape == y.shape and x.min() >= 0.0 and x.max() <= 1.0
    mean = x.mean(axis=(1, 3))
    assert (mean[:, 36:] > 0.95).all() and (mean[:, 0] < 0.1).all()
    assert (np.diff(mean[:, 2:30], axis=1) > -0.03).all()
    # Each picture has a curve of its own.
    assert np.ptp(mean[:, 16]) > 0.01


def test_what_is_not_saturated_can_be_taken_back():
    y = scenes.to_log(scenes.scene(0, 48, 48))[np.newaxis]
    taken_back = scenes.linearized(scenes.capture_clip(y))
    dim = (y < scenes.to_log(np.float32(0.9))).all(axis=-1)
    assert np.abs(taken_back - y)[dim].mean() < 0.15
    np.testing.assert_allclose(scenes.linearized(np.array([0.0, 1.0])), scenes.to_log([0.0, 1.0]))


def test_captures_follow_tensorflows_seed():
    y = tf.constant(scenes.to_log(scenes.scene(0, 32, 32))[np.newaxis])
    drawn = []
    for seed in (1, 1, 2):
        tf.random.set_seed(seed)
        drawn.append(scenes.capture(y).numpy())
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert np.any(drawn[0] != drawn[2])


def test_a_captured_clip_has_one_curve_and_other_noise_in_each_frame():
    y = np.tile(scenes.to_log(scenes.scene(0, 48, 48))[np.newaxis], (3, 1, 1, 1))
    x = scenes.capture_clip(y, seed=4)
    np.testing.assert_array_equal(x, scenes.capture_clip(y, seed=4))
    difference = x[1:] - x[:1]
    assert 0.001 < difference.std() < 0.05
    assert abs(difference.mean()) < 0.001
