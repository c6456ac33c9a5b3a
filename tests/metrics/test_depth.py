"""Tests of the scale-invariant error of depth."""

import numpy as np
import pytest

from keras_temporal_reg import metrics


def depth(seed=0):
    return np.random.default_rng(seed).uniform(1, 9, (3, 6, 7, 1))


def test_it_is_the_published_formula():
    reference, result = depth(), depth(1)
    d = np.log(result) - np.log(reference)
    per_frame = [np.sqrt(np.mean(f**2) - np.mean(f) ** 2) for f in d]
    assert metrics.scale_invariant_error(reference, result) == pytest.approx(np.mean(per_frame))


def test_a_factor_per_frame_makes_no_difference():
    reference, result = depth(), depth(1)
    scaled = result * np.array([2.0, 0.5, 7.0])[:, None, None, None]
    expected = metrics.scale_invariant_error(reference, result)
    assert metrics.scale_invariant_error(reference, scaled) == pytest.approx(expected)


def test_unknown_depth_is_left_out():
    reference, result = depth(), depth(1)
    expected = metrics.scale_invariant_error(reference[:, :-1], result[:, :-1])
    for unknown in (0.0, np.nan, np.inf, -1.0):
        reference[:, -1] = unknown
        result[:, -1] = -5.0  # not looked at
        assert metrics.scale_invariant_error(reference, result) == pytest.approx(expected)


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="one shape"):
        metrics.scale_invariant_error(depth(), depth()[:2])
    with pytest.raises(ValueError, match="no known depth in frame 0"):
        metrics.scale_invariant_error(np.zeros((2, 4, 4)), np.ones((2, 4, 4)))
    with pytest.raises(ValueError, match="a depth of 0 in frame 1"):
        result = np.ones((2, 4, 4))
        result[1, 0, 0] = 0.0
        metrics.scale_invariant_error(np.ones((2, 4, 4)), result)
