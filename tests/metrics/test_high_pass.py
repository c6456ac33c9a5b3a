"""The temporal high-pass filter, against SciPy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from keras_temporal_reg import metrics
from keras_temporal_reg.metrics._high_pass import HighPass


@given(
    frames=st.integers(1, 60),
    sigma=st.floats(0.3, 6.0),
    width=st.sampled_from([1, 3, 511, 512, 513, 1500]),
    seed=st.integers(0, 2**31),
)
def test_frame_by_frame_equals_scipy(frames, sigma, width, seed):
    clip = np.random.default_rng(seed).random((frames, 1, width, 1))
    expected = clip - ndimage.gaussian_filter1d(clip, sigma, axis=0)
    filtered, found = HighPass(sigma), []
    for frame in clip:
        if ready := filtered.push(frame):
            found += [*filtered.results(filtered.weights(ready), slice(None))]
            filtered.forget(ready)
    found += [*filtered.results(filtered.weights(filtered.missing), slice(None))]
    np.testing.assert_allclose(np.reshape(found, clip.shape), expected, atol=1e-12)
    np.testing.assert_allclose(metrics.high_pass(clip, sigma), expected, atol=1e-12)


@pytest.mark.parametrize("numbers", [slice(0, 700), slice(700, 2000), slice(None)])
def test_columns_of_the_window_are_filtered_like_the_whole(numbers):
    clip = np.random.default_rng(0).random((9, 10, 150, 1), np.float32)
    filtered = HighPass(2.0)
    for frame in clip:
        assert not filtered.push(frame)
    weights = filtered.weights(filtered.missing)
    np.testing.assert_allclose(
        filtered.results(weights, numbers), (weights @ filtered.window)[:, numbers], atol=1e-6
    )


@pytest.mark.parametrize("sigma", [0, -1.0, np.nan])
def test_sigma_that_is_no_positive_number_is_rejected(sigma):
    with pytest.raises(ValueError, match="sigma must be"):
        HighPass(sigma)
