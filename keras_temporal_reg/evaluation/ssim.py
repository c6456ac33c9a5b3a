"""Structural similarity by OpenCV, several times as fast as `metrics.ssim` on a CPU."""

from __future__ import annotations

import itertools
import math

import numpy as np

from keras_temporal_reg.evaluation.optical_flow import import_cv2

_WINDOW, _SIGMA = 11, 1.5  # pixels (Wang et al. 2004)
_MARGIN = _WINDOW // 2
_ROWS, _COLUMNS = 64, 341  # measured at once, so few that all stays in the cache
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
    height, width = (side - 2 * _MARGIN for side in reference.shape[:2])
    total = 0.0
    for top, left in itertools.product(range(0, height, _ROWS), range(0, width, _COLUMNS)):
        tile = np.s_[top : top + _ROWS + 2 * _MARGIN, left : left + _COLUMNS + 2 * _MARGIN]
        total += _sum_of_tile(reference[tile], result[tile])
    return total / (height * width * reference.shape[2])


def _sum_of_tile(reference: np.ndarray, result: np.ndarray) -> float:
    """The sum over pixels and channels, where the window lies inside of the tile."""
    cv2 = import_cv2()

    def blur(image: np.ndarray) -> np.ndarray:
        blurred = cv2.GaussianBlur(image, (_WINDOW, _WINDOW), _SIGMA).reshape(reference.shape)
        return blurred[_MARGIN:-_MARGIN, _MARGIN:-_MARGIN]

    # With s = v + p and d = v - p, two products are blurred, where v^2, p^2 and v p would be three.
    total, difference = reference + result, reference - result
    mean_total, mean_difference = blur(total), blur(difference)
    for values in (total, difference):
        np.square(values, out=values)
    square_total, square_difference = blur(total), blur(difference)
    mean_total, mean_difference = mean_total**2, mean_difference**2
    luminance, means = mean_total - mean_difference, mean_total + mean_difference
    contrast, squares = square_total - square_difference, square_total + square_difference
    contrast -= luminance
    squares -= means
    for values, constant in ((luminance, _C1), (means, _C1), (contrast, _C2), (squares, _C2)):
        values += 2 * constant
    contrast *= luminance
    squares *= means
    contrast /= squares
    return float(contrast.sum(dtype=np.float64))
