"""Optical flow between neighbouring frames, and the measure tOF.

Flow is ``(height, width, 2)`` float32, ``(dx, dy)`` in pixels from one frame to the next. Needs the
extra ``video`` (OpenCV).
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import tensorflow as tf

from keras_temporal_reg import image
from keras_temporal_reg.core import xla
from keras_temporal_reg.io import image_files

_DIS_MIN_SIDE = 16  # pixels that OpenCV's image pyramid needs
_MOST_ROWS = 540  # at which flow is estimated: larger frames take longer than the networks do


def estimate(frame: np.ndarray, following: np.ndarray, method: str = "dis") -> np.ndarray:
    """Estimate optical flow.

    Args:
        frame: ``(height, width)`` uint8, as from `to_luma`.
        following: the next frame, likewise.
        method: ``"dis"`` (Kroeger et al. 2016, OpenCV's medium preset) or ``"farneback"``
            (Farneback 2003), which also serves frames too small for DIS.

    Returns:
        Flow from `frame` to `following`. That of frames of more than 540 rows is estimated on
        smaller ones.
    """
    height, width = frame.shape
    if height > _MOST_ROWS:
        factor = math.ceil(height / _MOST_ROWS)
        small = [_resized(each, width // factor, height // factor) for each in (frame, following)]
        flow = _resized(estimate(small[0], small[1], method), width, height)
        return flow * np.divide((width, height), small[0].shape[::-1], dtype=np.float32)
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


def _resized(pixels: np.ndarray, width: int, height: int) -> np.ndarray:
    cv2 = import_cv2()
    smaller = height < len(pixels)
    method = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    return cv2.resize(pixels, (width, height), interpolation=method)


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
    return _trusted(forward[np.newaxis], backward[np.newaxis])[0].numpy()


@xla.compiled_by_shape
def _trusted(forward: tf.Tensor, backward: tf.Tensor) -> tf.Tensor:
    warped = image.warp_by_flow(backward, forward)
    length, warped_length = _energy(forward), _energy(warped)
    occluded = _energy(forward + warped) > 0.01 * (length + warped_length) + 0.5
    across = tf.transpose(_energy(_gradient(tf.transpose(forward, (0, 2, 1, 3)))), (0, 2, 1))
    slope = _energy(_gradient(forward)) + across
    return tf.cast(~(occluded | (slope > 0.01 * length + 0.002)), tf.float32)


def _energy(vectors: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(tf.square(vectors), axis=-1)


def _gradient(values: tf.Tensor) -> tf.Tensor:
    """As `numpy.gradient` along rows: central differences, and one-sided ones at the edges."""
    steps = values[:, 1:] - values[:, :-1]
    inner = (steps[:, 1:] + steps[:, :-1]) / 2.0
    return tf.concat([steps[:, :1], inner, steps[:, -1:]], axis=1)


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
        difference = np.ascontiguousarray(reference_flow - flow, np.float32)
        # As complex numbers, whose absolute value is one pass over them.
        self._total += float(np.abs(difference.view(np.complex64)).mean(dtype=np.float64))
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
