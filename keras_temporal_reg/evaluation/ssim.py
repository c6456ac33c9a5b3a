"""Structural similarity by OpenCV, several times as fast as `metrics.ssim` on a CPU."""

from __future__ import annotations

import math

import numpy as np

from keras_temporal_reg.evaluation.optical_flow import import_cv2

_WINDOW, _SIGMA = 11, 1.5  # pixels (Wang et al. 2004)
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
    cv2, margin = import_cv2(), _WINDOW // 2

    def blur(image: np.ndarray) -> np.ndarray:
        blurred = cv2.GaussianBlur(image, (_WINDOW, _WINDOW), _SIGMA).reshape(reference.shape)
        # Only where the window lies inside of the frame.
        return blurred[margin:-margin, margin:-margin]

    # With s = v + p and d = v - p, two products are blurred, where v^2, p^2 and v p would be three.
    total, difference = reference + result, reference - result
    mean_total, mean_difference = blur(total) ** 2, blur(difference) ** 2
    variance_total = blur(total * total) - mean_total
    variance_difference = blur(difference * difference) - mean_difference
    luminance = (mean_total - mean_difference + 2 * _C1) / (mean_total + mean_difference + 2 * _C1)
    contrast = (variance_total - variance_difference + 2 * _C2) / (
        variance_total + variance_difference + 2 * _C2
    )
    return float(np.mean(luminance * contrast))
