"""PSNR and SSIM, against scikit-image."""

import numpy as np
import pytest
from helpers.clips import noisy_pair as clips
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from keras_temporal_reg import metrics


def test_psnr_equals_scikit_image():
    reference, result = clips(4)
    assert metrics.psnr(reference, result) == pytest.approx(
        peak_signal_noise_ratio(reference, result, data_range=1.0)
    )
    assert metrics.psnr(255 * reference, 255 * result, max_value=255.0) == pytest.approx(
        peak_signal_noise_ratio(255 * reference, 255 * result, data_range=255.0)
    )


def test_psnr_of_bytes_does_not_wrap_around():
    a, b = np.full((2, 4, 4, 1), 10, np.uint8), np.full((2, 4, 4, 1), 250, np.uint8)
    assert metrics.psnr(a, b, 255) == pytest.approx(20 * np.log10(255 / 240))


def test_ssim_equals_scikit_image():
    reference, result = clips(3, 24, 31)
    index = [
        structural_similarity(
            v,
            p,
            channel_axis=-1,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            data_range=1.0,
        )
        for v, p in zip(reference, result)
    ]
    assert metrics.ssim(reference, result) == pytest.approx(np.mean(index), abs=1e-4)
    assert metrics.ssim(reference, reference) == pytest.approx(1.0, abs=1e-6)


def test_ssim_scales_with_max_value():
    reference, result = clips(2, 16, 16)
    assert metrics.ssim(255 * reference, 255 * result, max_value=255.0) == pytest.approx(
        metrics.ssim(reference, result), abs=1e-4
    )


@pytest.mark.parametrize("function", [metrics.psnr, metrics.ssim])
def test_clips_of_two_shapes_are_rejected(function):
    with pytest.raises(ValueError, match="reference and result must have one shape"):
        function(np.zeros((2, 12, 12, 3)), np.zeros((2, 12, 12, 1)))
