"""Motion between neighbouring frames by optical flow, and what is measured with it.

Flow is ``(height, width, 2)`` float32, ``(dx, dy)`` in pixels from one frame to the next. Needs the
extra ``video`` (OpenCV).
"""

from __future__ import annotations

import math
import threading
from typing import Any

import numpy as np

from keras_temporal_reg import image
from keras_temporal_reg.core import xla

METHODS = ("dis", "farneback")


def estimate(grey: np.ndarray, after: np.ndarray, method: str = "dis") -> np.ndarray:
    """Optical flow from one frame to the next.

    Args:
        grey: ``(height, width)`` uint8, as from `as_grey`.
        after: the next frame, likewise.
        method: ``"dis"`` (Kroeger et al. 2016, OpenCV's medium preset) or ``"farneback"``
            (Farneback 2003).
    """
    cv2 = _import_cv2()
    if method == "dis":
        if min(grey.shape) < 16:  # OpenCV's pyramid needs that much
            return estimate(grey, after, "farneback")
        return _dis().calc(grey, after, None)
    return cv2.calcOpticalFlowFarneback(grey, after, None, 0.5, 3, 15, 3, 5, 1.2, 0)


def as_grey(frame: np.ndarray) -> np.ndarray:
    """``(height, width)`` uint8 luma of an RGB frame, uint8."""
    cv2 = _import_cv2()
    return cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)


def trusted(forward: np.ndarray, backward: np.ndarray) -> np.ndarray:
    """Where the flow is to be believed (Ruder et al. 2016): ``(height, width)`` float32, 0 or 1.

    Not where forward and backward flow disagree, ``|w + w'|^2 > 0.01 (|w|^2 + |w'|^2) + 0.5``,
    which is where something is covered or uncovered; nor at edges of motion,
    ``|grad u|^2 + |grad v|^2 > 0.01 |w|^2 + 0.002``.

    Args:
        forward: w, from a frame to the next.
        backward: from the next frame back.
    """
    back = _displaced(backward[np.newaxis], forward[np.newaxis])[0].numpy()
    length, back_length = (np.sum(w**2, axis=-1) for w in (forward, back))
    covered = np.sum((forward + back) ** 2, axis=-1) > 0.01 * (length + back_length) + 0.5
    slope = sum(np.square(g) for part in (0, 1) for g in np.gradient(forward[..., part]))
    edge = slope > 0.01 * length + 0.002
    return (~(covered | edge)).astype(np.float32)


class FlowDifference:
    """tOF: mean length of the difference between the flow of the reference and of the result.

    In pixels; flow by Farneback's method (Chu et al. 2020 compare videos so).
    """

    def __init__(self) -> None:
        self._total = 0.0
        self._pairs = 0

    def update_state(self, reference_flow: np.ndarray, flow: np.ndarray) -> None:
        self._total += float(np.mean(np.sqrt(np.sum((reference_flow - flow) ** 2, axis=-1))))
        self._pairs += 1

    def result(self) -> float:
        return self._total / self._pairs if self._pairs else math.nan


_displaced = xla.compiled(image.displace)


def ssim(reference: np.ndarray, result: np.ndarray) -> float:
    """`metrics.ssim` of one frame in [0, 1], several times as fast; NaN below 11 x 11 pixels."""
    cv2 = _import_cv2()
    if min(reference.shape[:2]) < 11:
        return math.nan

    def blurred(image: np.ndarray) -> np.ndarray:
        # As large as the window's place inside of the frame.
        return cv2.GaussianBlur(image, (11, 11), 1.5).reshape(reference.shape)[5:-5, 5:-5]

    # Of sums and differences, which take two products where v^2, p^2 and v p take three.
    total, difference = reference + result, reference - result
    mean_total, mean_difference = blurred(total) ** 2, blurred(difference) ** 2
    variance_total = blurred(total * total) - mean_total
    variance_difference = blurred(difference * difference) - mean_difference
    c1, c2 = 2 * 0.01**2, 2 * 0.03**2
    luminance = (mean_total - mean_difference + c1) / (mean_total + mean_difference + c1)
    contrast = variance_total - variance_difference + c2
    contrast /= variance_total + variance_difference + c2
    return float(np.mean(luminance * contrast))


_of_thread = threading.local()  # OpenCV's object keeps its buffers


def _dis() -> Any:
    if not hasattr(_of_thread, "dis"):
        cv2 = _import_cv2()
        _of_thread.dis = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    return _of_thread.dis


def _import_cv2() -> Any:
    try:
        import cv2
    except ImportError as error:
        raise ImportError("optical flow needs pip install keras-temporal-reg[video]") from error
    return cv2
