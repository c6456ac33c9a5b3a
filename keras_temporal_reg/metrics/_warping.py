"""Warping error: how much neighbouring frames differ beyond their motion."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from keras_temporal_reg import image
from keras_temporal_reg.core import validation, xla

_COMPILED_PIXELS = 128 * 128  # per frame, below which compiling takes longer than it saves
_BATCH_PIXELS = 2**19  # of the frames that are warped at once
_CHUNK_FRAMES = 16  # of a whole clip, that are taken at once


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
        # Sums over the pairs of error and mask, (2, height, width) float64.
        self._pixels: np.ndarray | None = None

    def update_state(self, frame: Any, motion: Any = None, mask: Any = None) -> None:
        """Take the next frame.

        Args:
            frame: ``(height, width, channels)``.
            motion: ``(8,)`` or ``(height, width, 2)``, from the previous frame to this one. None
                for the first frame, and where the two must not be compared, as at a cut.
            mask: ``(height, width)``, 1 where the motion can be trusted. None: 1 everywhere.
        """
        frames = np.asarray(frame, np.float32)[np.newaxis]
        ends = [] if motion is None else [0]
        pair = (None if each is None else tf.expand_dims(each, 0) for each in (motion, mask))
        update_together([self], [frames], ends, *pair)

    def _pairs(self, frames: tf.Tensor, ends: Sequence[int]) -> list[tf.Tensor]:
        """The frames before some frames, and these: ``(pairs, height, width, channels)`` each."""
        before = frames[:1] if self._previous is None else self._previous
        if len(ends) == len(frames):
            return [tf.concat([before, frames[:-1]], axis=0), frames]
        index = np.array(ends, np.int32)
        return [tf.gather(tf.concat([before, frames], axis=0), index), tf.gather(frames, index)]

    def _update_errors(self, rows: np.ndarray, pixels: np.ndarray) -> None:
        """Take masked squares of the next pairs, and their masks.

        Args:
            rows: sums over the columns, ``(2, pairs, height)``.
            pixels: sums over the pairs, ``(2, height, width)``.
        """
        for total, weight in rows.sum(axis=2, dtype=np.float64).T:
            self.errors.append(float(total / weight) if weight > 0 else math.nan)
        if self._pixels is None:
            self._pixels = np.zeros(pixels.shape)
        self._pixels += pixels

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
        if self._pixels is None:
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
    compared = ~np.isin(np.arange(len(frames)), [0, *cuts])  # with the frame before
    mask = None if mask is None else np.asarray(mask)
    error = WarpingError()
    for start in range(0, len(frames), _CHUNK_FRAMES):
        chunk = slice(start, start + _CHUNK_FRAMES)
        (ends,) = np.nonzero(compared[chunk])
        pairs = start + ends - 1
        trusted = None if mask is None else mask[pairs]
        update_together([error], [frames[chunk]], ends.tolist(), motion[pairs], trusted)
    return error.result()


def update_together(
    errors: Sequence[WarpingError],
    clips: Sequence[Any],
    ends: Sequence[int] = (),
    motion: Any = None,
    mask: Any = None,
) -> None:
    """Let the errors of clips that share one motion take the next frames, all in one pass.

    Args:
        errors: one for each clip.
        clips: of each, its next frames ``(frames, height, width, channels)``.
        ends: indices of the frames that are compared with the frame before.
        motion: to each of these, ``(pairs, 8)`` or ``(pairs, height, width, 2)``.
        mask: ``(pairs, height, width)``, 1 where the motion can be trusted. None: 1
            everywhere.
    """
    if errors[0]._previous is None and 0 in ends:  # the first frame of all has none before it
        ends, motion, mask = ends[1:], motion[1:], None if mask is None else mask[1:]
    # A result that is shown as it is has one clip, not two: it is compared once.
    distinct: dict[Any, tuple[Any, list[WarpingError]]] = {}
    for error, clip in zip(errors, clips):
        distinct.setdefault((id(clip), id(error._previous)), (clip, []))[1].append(error)
    pairs = []
    for clip, group in distinct.values():
        frames = tf.convert_to_tensor(clip, tf.float32)
        pairs.append(group[0]._pairs(frames, ends))
        last = frames[-1:]
        for error in group:
            error._previous = last
    height, width = frames.shape[1:3]
    is_large = height * width >= _COMPILED_PIXELS
    unexplained = _compiled_unexplained if is_large else _unexplained
    count = max(1, _BATCH_PIXELS // (height * width))
    for start in range(0, len(ends), count):
        part = slice(start, start + count)
        taken = len(ends[part])
        # Each number of pairs is compiled: few of them, and what is added has no weight.
        most = 2 ** math.ceil(math.log2(taken)) if is_large else taken
        weights = np.ones((taken, height, width), np.float32) if mask is None else mask[part]
        rows, pixels = unexplained(
            *(_padded(tf.cast(each, tf.float32), most) for each in (motion[part], weights)),
            *(_padded(each[part], most) for pair in pairs for each in pair),
        )
        rows, pixels = rows.numpy()[:, :taken], pixels.numpy()
        for number, (_, group) in enumerate(distinct.values()):
            for error in group:
                error._update_errors(rows[[number, -1]], pixels[[number, -1]])


def _padded(values: Any, count: int) -> Any:
    missing = count - len(values)
    return (
        tf.pad(values, [[0, missing], *[[0, 0]] * (len(values.shape) - 1)]) if missing else values
    )


def _unexplained(
    motion: tf.Tensor, mask: tf.Tensor, *pairs: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Of each clip, ``warp(following) - frames`` squared, summed over channels and masked; last the
    mask.

    Args:
        motion: from the first frame of each pair to the second.
        mask: ``(pairs, height, width)``, 1 where the motion can be trusted.
        *pairs: of each clip, the first frames and the second ones,
            ``(pairs, height, width, channels)`` each.

    Returns:
        Sums over the columns, ``(clips + 1, pairs, height)``, and over the pairs,
        ``(clips + 1, height, width)``.
    """
    mask *= image.valid_mask(motion, *mask.shape[1:])
    found = []
    for frames, following in zip(pairs[::2], pairs[1::2]):
        difference = image.warp_by_motion(following, motion) - frames
        found.append(mask * tf.reduce_sum(tf.square(difference), axis=-1))
    found.append(mask)
    return (
        tf.stack([tf.reduce_sum(each, axis=2) for each in found]),
        tf.stack([tf.reduce_sum(each, axis=0) for each in found]),
    )


_compiled_unexplained = xla.compiled_by_shape(_unexplained)
