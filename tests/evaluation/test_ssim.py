"""SSIM by OpenCV, against TensorFlow's and scikit-image's."""

import numpy as np
import pytest
from scipy import ndimage
from skimage.metrics import structural_similarity

from keras_temporal_reg import metrics
from keras_temporal_reg.evaluation.ssim import ssim_of_frame


@pytest.mark.parametrize("channels", [1, 3])
def test_it_equals_those_of_tensorflow_and_scikit_image(channels):
    rng = np.random.default_rng(0)
    reference = ndimage.gaussian_filter(rng.uniform(size=(40, 50, channels)), (2, 2, 0))
    result = np.clip(reference + 0.1 * rng.normal(size=reference.shape), 0, 1)
    reference, result = reference.astype(np.float32), result.astype(np.float32)
    found = ssim_of_frame(reference, result)
    assert found == pytest.approx(metrics.ssim(reference[np.newaxis], result[np.newaxis]), abs=1e-4)
    # Scikit-image too leaves out the margin where the window reaches over the edge.
    assert found == pytest.approx(
        structural_similarity(
            reference,
            result,
            channel_axis=-1,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            data_range=1.0,
        ),
        abs=1e-4,
    )


def test_frames_below_the_window_have_none():
    assert np.isnan(
        ssim_of_frame(np.zeros((8, 20, 3), np.float32), np.ones((8, 20, 3), np.float32))
    )
    assert ssim_of_frame(*np.full((2, 11, 11, 3), 0.5, np.float32)) == pytest.approx(1.0)
