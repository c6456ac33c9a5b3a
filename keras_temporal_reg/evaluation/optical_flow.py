"""Optical flow between neighbouring frames, and the measure tOF.

Flow is ``(height, width, 2)`` float32, ``(dx, dy)`` in pixels from one frame to the next. Needs the
extra ``video`` (OpenCV).
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np

from keras_temporal_reg import image
from keras_temporal_reg.core import xla
from keras_temporal_reg.io import image_files

_DIS_MIN_SIDE = 16  # pixels that OpenCV's image pyramid needs

_warp_compiled = xla.compiled_by_shape(image.warp_by_flow)


def estimate(frame: np.ndarray, following: np.ndarray, method: str = "dis") -> np.ndarray:
    """Estimate optical flow.

    Args:
        frame: ``(height, width)`` uint8, as from `to_luma`.
        following: the next frame, likewise.
        method: ``"dis"`` (Kroeger et al. 2016, OpenCV's medium preset) or ``"farneback"``
            (Farneback 2003), which also serves frames too small for DIS.

    Returns:
        Flow from `frame` to `following`.
    """
    if method == "dis" and min(frame.shape) >= _DIS_MIN_SIDE:
        cv2 = import_cv2()
        # A new one each time: its buffers would let flow depend on the frames that it saw before.
        dis = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        return dis.calc(frame, following, None)
    return import_cv2().calcOpticalFlowFarneback(
        frame,
        following,
        None,
        pyr_scale=0.5,
        levels=3,
        winsize=15,
        iterations=3,
        poly_n=5,
        poly_sigma=1.2,
        flags=0,
    )


def to_luma(frame: np.ndarray) -> np.ndarray:
    """Luma, ``(height, width)`` uint8, of an RGB frame ``(height, width, 3)`` uint8."""
    cv2 = import_cv2()
    return cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)


def trust_mask(forward: np.ndarray, backward: np.ndarray) -> np.ndarray:
    """Where flow can be trusted (Ruder et al. 2016).

    Not where forward and backward flow disagree, ``|w + w'|^2 > 0.01 (|w|^2 + |w'|^2) + 0.5``,
    which means occlusion; nor at motion boundaries,
    ``|grad u|^2 + |grad v|^2 > 0.01 |w|^2 + 0.002``.

    Args:
        forward: flow w from a frame to the next.
        backward: flow from the next frame back.

    Returns:
        ``(height, width)`` float32, 0 or 1.
    """
    warped = _warp_compiled(backward[np.newaxis], forward[np.newaxis])[0].numpy()
    length, warped_length = (np.sum(w**2, axis=-1) for w in (forward, warped))
    occluded = np.sum((forward + warped) ** 2, axis=-1) > 0.01 * (length + warped_length) + 0.5
    slope = sum(np.square(g) for part in (0, 1) for g in np.gradient(forward[..., part]))
    boundary = slope > 0.01 * length + 0.002
    return (~(occluded | boundary)).astype(np.float32)


def of_clip(frames: Any, method: str = "dis") -> tuple[np.ndarray, np.ndarray]:
    """The motion of a whole clip, as `metrics.flicker` and `metrics.stability` take it.

    Args:
        frames: ``(frames, height, width, 3)`` RGB, uint8 or float in [0, 1], at least 2 frames.
        method: as in `estimate`.

    Returns:
        Flow from each frame to the next, ``(frames - 1, height, width, 2)``, and the mask of where
        it can be trusted, ``(frames - 1, height, width)``.

    Raises:
        ValueError: for fewer than 2 frames or another shape.
        ImportError: if OpenCV is missing.

    Example:
        >>> import numpy as np
        >>> from keras_temporal_reg.evaluation import optical_flow
        >>> flow, mask = optical_flow.of_clip(np.zeros((3, 32, 32, 3), np.uint8))
        >>> flow.shape, mask.shape
        ((2, 32, 32, 2), (2, 32, 32))
    """
    frames = np.asarray(frames)
    if frames.ndim != 4 or frames.shape[-1] != 3 or len(frames) < 2:
        raise ValueError(
            "frames must have shape (frames, height, width, 3) with at least 2 frames. Received: "
            f"{frames.shape}"
        )
    if frames.dtype != np.uint8:
        frames = image_files.to_uint8(frames)
    luma = [to_luma(frame) for frame in frames]
    forward = [estimate(a, b, method) for a, b in itertools.pairwise(luma)]
    backward = [estimate(b, a, method) for a, b in itertools.pairwise(luma)]
    return np.stack(forward), np.stack(list(map(trust_mask, forward, backward)))


class FlowDifference:
    """tOF of a clip, pair by pair (Chu et al. 2020).

    The mean length, in pixels, of the difference between the optical flow of the reference and
    that of the result.
    """

    def __init__(self) -> None:
        self._total = 0.0
        self._pairs = 0

    def update_state(self, reference_flow: np.ndarray, flow: np.ndarray) -> None:
        """Take the flows of the next pair of neighbours."""
        self._total += float(np.mean(np.sqrt(np.sum((reference_flow - flow) ** 2, axis=-1))))
        self._pairs += 1

    def result(self) -> float:
        """Mean over the pairs so far; NaN without any."""
        return self._total / self._pairs if self._pairs else math.nan


def import_cv2() -> Any:
    """Import OpenCV, or say how to install it."""
    try:
        import cv2
    except ImportError as error:
        raise ImportError("optical flow needs pip install keras-temporal-reg[video]") from error
    return cv2
