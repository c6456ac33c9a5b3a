"""Tests of the encodings that several tasks share."""

import numpy as np
import pytest

from keras_temporal_reg.tasks import _encoding


def test_to_display_clips_shows_nan_as_black_and_repeats_one_channel():
    prediction = np.array([[[-1.0], [0.25], [2.0], [np.nan], [np.inf], [-np.inf]]], np.float64)
    shown = _encoding.to_display(prediction, prediction)
    expected = np.array([[[0.0], [0.25], [1.0], [0.0], [1.0], [0.0]]])
    np.testing.assert_array_equal(shown, expected.repeat(3, axis=-1))
    assert shown.dtype == np.float32


@pytest.mark.parametrize("value, same", [(0.5, True), (1.5, False), (np.nan, False)])
def test_to_display_copies_only_what_it_changes(value, same):
    prediction = np.full((2, 3, 4, 3), 0.25, np.float32)
    prediction[0, 0, 0, 0] = value
    before = prediction.copy()
    shown = _encoding.to_display(prediction, prediction)
    assert (shown is prediction) == same
    np.testing.assert_array_equal(prediction, before)


def test_to_display_drops_alpha():
    rgba = np.random.default_rng(0).uniform(size=(4, 5, 4)).astype(np.float32)
    np.testing.assert_array_equal(_encoding.to_display(rgba, rgba), rgba[..., :3])


def test_from_target_gives_an_image_and_a_batch_the_same_input():
    images = np.random.default_rng(0).uniform(size=(2, 4, 6, 3))
    x, y = _encoding.from_target(lambda y: 2.0 * y, images)
    np.testing.assert_array_equal(x, 2.0 * images.astype(np.float32))
    one_x, one_y = _encoding.from_target(lambda y: 2.0 * y, images[0])
    np.testing.assert_array_equal(one_x, x[0])
    np.testing.assert_array_equal(one_y, y[0])
