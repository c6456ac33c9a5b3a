"""Motion-compensated flicker, per contrast of the clip."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from keras_temporal_reg.metrics._moments import variance
from keras_temporal_reg.metrics._warping import WarpingError, error_of_clip

FLOOR_MARGIN = 1.05  # flicker over that of the reference, below which there is no excess to remove


def flicker(result: Any, motion: Any, mask: Any = None, cuts: Iterable[int] = ()) -> float:
    """Change between neighbouring frames that their motion does not explain, in % of contrast.

    ``100 sqrt(E) / sigma``: E is the warping error of the clip, in the values of the clip, and
    sigma^2 the mean over frames of the spatial variance, summed over channels. Fading a clip
    lowers both alike, and so does not change its flicker. Measured with one motion, that of the
    reference, a result and its reference can be compared: the flicker of the reference is what
    motion does not explain in the real scene.

    Args:
        result: ``(frames, height, width, channels)``, at least 2 frames.
        motion: of the reference, or of the input where there is none: ``(frames - 1, 8)``
            transforms in the convention of `image.transform`, from points of a frame to points of
            the next, or flow ``(frames - 1, height, width, 2)``, ``(dx, dy)`` in pixels. None: the
            identity, for a static camera and scene.
        mask: ``(frames - 1, height, width)``, 1 where the motion can be trusted. Pixels whose
            motion leads out of the frame are always left out. None: 1 everywhere.
        cuts: indices of the frames that start a new shot, which are not compared with the frame
            before.

    Returns:
        At least 0; NaN without a trusted pixel and for a clip without contrast.

    Raises:
        ValueError: if the shapes do not fit each other.

    Example:
        >>> import numpy as np, keras_temporal_reg as ktr
        >>> frame = np.random.default_rng(0).uniform(size=(8, 8, 3))
        >>> clip = np.stack([frame, frame + 0.1, frame])
        >>> round(ktr.metrics.flicker(clip, motion=None)), round(
        ...     ktr.metrics.flicker(0.5 * clip, motion=None))
        (34, 34)
    """
    frames = np.asarray(result, np.float32)
    error = error_of_clip(frames, motion, mask, cuts)
    return float(_per_contrast(error, sum(map(variance, frames)) / len(frames)))


def excess_removed(
    before: Sequence[float], after: Sequence[float], reference: Sequence[float]
) -> float:
    """The share of the flicker that the reference does not have which is gone, mean over clips.

    ``(before - after) / (before - reference)``, at most 1, of the clips whose flicker before
    exceeds that of the reference by at least 5 %: elsewhere there is none to remove.

    Args:
        before: flicker of each clip before.
        after: flicker of each clip after.
        reference: flicker of each reference.

    Returns:
        NaN without such a clip.

    Example:
        >>> import keras_temporal_reg as ktr
        >>> ktr.metrics.excess_removed([12.0, 5.0], [9.0, 4.0], [6.0, 5.0])
        0.5
    """
    removed = [
        min((b - a) / (b - floor), 1.0)
        for b, a, floor in zip(before, after, reference, strict=True)
        if b > FLOOR_MARGIN * floor and not math.isnan(a)
    ]
    return float(np.mean(removed)) if removed else math.nan


class Flicker:
    """`flicker` of a clip, frame by frame.

    Example:
        >>> import numpy as np, keras_temporal_reg as ktr
        >>> frame = np.random.default_rng(0).uniform(size=(8, 8, 3))
        >>> flicker = ktr.metrics.Flicker()
        >>> flicker.update_state(frame)
        >>> flicker.update_state(frame + 0.1, motion=np.zeros((8, 8, 2)))
        >>> round(flicker.result())
        34
    """

    def __init__(self) -> None:
        self.reset_state()

    def reset_state(self) -> None:
        """Forget all frames."""
        self.error = WarpingError()  # in the values of the clip
        self._variance = 0.0  # sum over frames
        self._frames = 0

    def update_state(self, frame: Any, motion: Any = None, mask: Any = None) -> None:
        """Take the next frame.

        Args:
            frame: ``(height, width, channels)``.
            motion: ``(8,)`` or ``(height, width, 2)``, from the previous frame to this one. None
                for the first frame, and where the two must not be compared, as at a cut.
            mask: ``(height, width)``, 1 where the motion can be trusted. None: 1 everywhere.
        """
        frame = np.asarray(frame, np.float32)
        self.error.update_state(frame, motion, mask)
        self.update_contrast(frame[np.newaxis])

    def update_contrast(self, frames: np.ndarray) -> None:
        """Take the contrast of frames, ``(frames, height, width, channels)`` float32, whose
        `error` was taken elsewhere.
        """
        self._variance += sum(map(variance, frames))
        self._frames += len(frames)

    def result(self) -> float:
        """Flicker of the frames so far; NaN without a pair of neighbours or without contrast."""
        return float(self._per_contrast(self.error.result()))

    def pairs(self) -> np.ndarray:
        """Flicker of each pair of neighbours so far, per contrast of all frames so far."""
        return self._per_contrast(np.array(self.error.errors, np.float64))

    def pixels(self) -> np.ndarray:
        """Flicker at each pixel, ``(height, width)``; NaN where no motion could be trusted.

        Raises:
            ValueError: without a pair of neighbours.
        """
        return self._per_contrast(self.error.pixel_errors())

    def _per_contrast(self, error: Any) -> Any:
        return _per_contrast(error, self._variance / max(self._frames, 1))


def _per_contrast(error: Any, variance: float) -> Any:
    if not variance > 0.0:
        return np.full(np.shape(error), math.nan)
    return 100.0 * np.sqrt(error / variance)
