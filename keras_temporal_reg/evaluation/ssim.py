"""Structural similarity by OpenCV, several times as fast as `metrics.ssim` on a CPU."""

from __future__ import annotations

import math

import numpy as np

from keras_temporal_reg.evaluation.optical_flow import import_cv2

_WINDOW, _SIGMA = 11, 1.5  # pixels (Wang et al. 2004)
_MARGIN = _WINDOW // 2
_ROWS = 64  # measured at once
_C1, _C2 = 0.01**2, 0.03**2


def ssim_of_frame(reference: np.ndarray, result: np.ndarray) -> float:
    """Structural similarity of one frame, as `metrics.ssim` has it.

    Args:
        reference: ``(height, width, channels)`` float32 in [0, 1].
        result: same shape.

    Returns:
        The mean over pixels and channels; NaN below 11 x 11 pixels.
    """
    if min(reference.shape[:2]) < _WINDOW:
        return math.nan
    rows, inner = len(reference) - 2 * _MARGIN, reference[_MARGIN:-_MARGIN, _MARGIN:-_MARGIN]
    total = 0.0
    for start in range(0, rows, _ROWS):  # so few at once that all stays in the cache
        band = slice(start, start + _ROWS + 2 * _MARGIN)
        total += _sum_of_band(reference[band], result[band])
    return total / inner.size


def _sum_of_band(reference: np.ndarray, result: np.ndarray) -> float:
    """The sum over pixels and channels, where the window lies inside of the band."""
    cv2 = import_cv2()

    def blur(image: np.ndarray) -> np.ndarray:
        blurred = cv2.GaussianBlur(image, (_WINDOW, _WINDOW), _SIGMA).reshape(reference.shape)
        return blurred[_MARGIN:-_MARGIN, _MARGIN:-_MARGIN]

    # With s = v + p and d = v - p, two products are blurred, where v^2, p^2 and v p would be three.
    total, difference = reference + result, reference - result
    mean_total, mean_difference = blur(total) ** 2, blur(difference) ** 2
    variance_total = blur(total * total) - mean_total
    variance_difference = blur(difference * difference) - mean_difference
    luminance = (mean_total - mean_difference + 2 * _C1) / (mean_total + mean_difference + 2 * _C1)
    contrast = (variance_total - variance_difference + 2 * _C2) / (
        variance_total + variance_difference + 2 * _C2
    )
    return float(np.sum(luminance * contrast, dtype=np.float64))
