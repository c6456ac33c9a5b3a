"""Warping error: how much neighbouring frames differ beyond their motion."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import tensorflow as tf

from keras_temporal_reg import image
from keras_temporal_reg.core import validation, xla

_COMPILED_PIXELS = 128 * 128  # per frame, below which compiling takes longer than it saves
_BATCH_PIXELS = 2**19  # of the frames that are warped at once


def warping_error(
    frames: Any, transforms_or_flow: Any, mask: Any = None, cuts: Iterable[int] = ()
) -> float:
    """Difference of neighbouring frames that their motion does not explain (Lai et al. 2018).

    ``sum over pixels and channels of mask (warp(o[t+1]) - o[t])^2 / sum of mask``, mean over the
    pairs of neighbours, of images in [0, 1]; no square root.

    Args:
        frames: o, ``(frames, height, width, channels)``, at least 2.
        transforms_or_flow: the motion: ``(frames - 1, 8)`` transforms in the convention of
            `image.transform`, from points of ``o[t]`` to points of ``o[t + 1]``, or flow
            ``(frames - 1, height, width, 2)``, ``(dx, dy)`` in pixels from t to t + 1. None: the
            identity, for a static camera and scene.
        mask: ``(frames - 1, height, width)``, 1 where the motion can be trusted. Pixels whose
            motion leads out of the frame are always left out. None: 1 everywhere.
        cuts: indices of the frames that start a new shot, which are not compared with the frame
            before.

    Returns:
        The error; NaN without a trusted pixel.

    Raises:
        ValueError: if the shapes do not fit each other.

    Example:
        >>> import numpy as np, keras_temporal_reg as ktr
        >>> still = np.repeat(np.random.default_rng(0).uniform(size=(1, 8, 8, 3)), 3, axis=0)
        >>> ktr.metrics.warping_error(still, None)
        0.0
    """
    return error_of_clip(frames, transforms_or_flow, mask, cuts, "transforms_or_flow")


class WarpingError:
    """`warping_error` of a clip, frame by frame.

    Example:
        >>> import numpy as np, keras_temporal_reg as ktr
        >>> still = np.random.default_rng(0).uniform(size=(8, 8, 3))
        >>> error = ktr.metrics.WarpingError()
        >>> error.update_state(still)
        >>> error.update_state(still, motion=np.zeros((8, 8, 2)))
        >>> error.result()
        0.0
    """

    def __init__(self) -> None:
        self.reset_state()

    def reset_state(self) -> None:
        """Forget all frames."""
        self.errors: list[float] = []  # of each pair of neighbours; NaN without a trusted pixel
        self._previous: tf.Tensor | None = None  # a batch of one
        self._pixels: Any = 0.0  # sums over the pairs of error and mask, (2, height, width)

    def update_state(self, frame: Any, motion: Any = None, mask: Any = None) -> None:
        """Take the next frame.

        Args:
            frame: ``(height, width, channels)``.
            motion: ``(8,)`` or ``(height, width, 2)``, from the previous frame to this one. None
                for the first frame, and where the two must not be compared, as at a cut.
            mask: ``(height, width)``, 1 where the motion can be trusted. None: 1 everywhere.
        """
        # A tensor, since each conversion copies it.
        frames = tf.cast(frame, tf.float32)[tf.newaxis]
        if motion is not None and self._previous is not None:
            motions, masks = (
                None if each is None else tf.cast(each, tf.float32)[tf.newaxis]
                for each in (motion, mask)
            )
            self.update_pairs(self._previous, frames, motions, masks)
        self._previous = frames

    def update_pairs(self, frames: Any, following: Any, motion: Any, mask: Any = None) -> None:
        """Take pairs of neighbours, several at once.

        Args:
            frames: the first of each pair, ``(pairs, height, width, channels)``.
            following: the second of each, likewise.
            motion: ``(pairs, 8)`` or ``(pairs, height, width, 2)``, from the first to the second.
            mask: ``(pairs, height, width)``, 1 where the motion can be trusted. None: 1 everywhere.
        """
        mask = tf.ones(frames.shape[:3]) if mask is None else mask
        is_large = frames.shape[1] * frames.shape[2] >= _COMPILED_PIXELS
        unexplained = _compiled_unexplained if is_large else _unexplained
        count = max(1, _BATCH_PIXELS // (frames.shape[1] * frames.shape[2]))
        for start in range(0, len(frames), count):
            parts = (a[start : start + count] for a in (frames, following, motion, mask))
            pixels = unexplained(*(tf.cast(part, tf.float32) for part in parts)).numpy()
            for total, weight in pixels.sum(axis=(2, 3), dtype=np.float64).T:
                self.errors.append(float(total / weight) if weight > 0 else math.nan)
            self._pixels = self._pixels + pixels.sum(axis=1)

    def result(self) -> float:
        """Mean over the pairs so far; NaN without any."""
        found = [error for error in self.errors if not math.isnan(error)]
        return float(np.mean(found)) if found else math.nan

    def pixel_errors(self) -> np.ndarray:
        """Mean over the pairs so far at each pixel, ``(height, width)``; NaN where no motion could
        be trusted.

        Raises:
            ValueError: without a pair of neighbours.
        """
        if not self.errors:
            raise ValueError("pixel_errors needs a pair of neighbours. Received: none")
        total, weight = self._pixels
        return np.divide(total, weight, out=np.full(total.shape, math.nan), where=weight > 0)


def error_of_clip(
    frames: Any, motion: Any, mask: Any, cuts: Iterable[int], name: str = "motion"
) -> float:
    """`warping_error` of a whole clip; `name` is that of the argument `motion`, for errors.

    Raises:
        ValueError: if the shapes do not fit each other.
    """
    frames = np.asarray(frames, np.float32)
    if frames.ndim != 4 or len(frames) < 2:
        raise ValueError(
            "frames must have shape (frames, height, width, channels) with at least 2 frames. "
            f"Received: {frames.shape}"
        )
    motion = validation.motion(motion, frames.shape, name)
    masks = (len(frames) - 1, *frames.shape[1:3])
    if mask is not None and np.shape(mask) != masks:
        raise ValueError(f"mask must have shape {masks}. Received: {np.shape(mask)}")
    within = ~np.isin(np.arange(1, len(frames)), [*cuts])  # pairs that no cut parts
    trusted = None if mask is None else np.asarray(mask, np.float32)[within]
    error = WarpingError()
    error.update_pairs(frames[:-1][within], frames[1:][within], motion[within], trusted)
    return error.result()


def _unexplained(
    frames: tf.Tensor, following: tf.Tensor, motion: tf.Tensor, mask: tf.Tensor
) -> tf.Tensor:
    """Masked square of ``warp(following) - frames``, summed over channels, and the mask.

    Returns:
        ``(2, pairs, height, width)``.
    """
    warped = image.warp_by_motion(following, motion)
    mask *= image.valid_mask(motion, *frames.shape[1:3])
    return tf.stack([mask * tf.reduce_sum(tf.square(warped - frames), axis=-1), mask])


_compiled_unexplained = xla.compiled_by_shape(_unexplained)
