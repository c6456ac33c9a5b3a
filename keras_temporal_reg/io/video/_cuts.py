"""Where a clip cuts from one shot to the next."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from keras_temporal_reg.io.video._color import to_float32

# Of 16 x 16 thumbnails, in which motion by a twentieth of the picture changes little: within the
# shots of the demo's clips at most 0.07 and at least 0.58, at their cuts 0.16 and 0.27.
LEAST_CHANGE = 0.05  # mean absolute difference, of values in [0, 1]
MOST_CORRELATION = 0.5  # about the mean of each channel, so that a flash is no cut
_SIDE = 16  # pixels of a thumbnail


class CutFinder:
    """Finds cuts in a clip, frame by frame.

    Example:
        >>> import numpy as np
        >>> finder = CutFinder()
        >>> black, white = np.zeros((32, 32, 3), np.uint8), np.full((32, 32, 3), 255, np.uint8)
        >>> [finder.is_cut(frame) for frame in (black, black, white)]
        [False, False, True]
    """

    def __init__(self) -> None:
        self._previous: np.ndarray | None = None

    def is_cut(self, frame: np.ndarray) -> bool:
        """Take the next frame, and tell whether a new shot begins with it.

        Args:
            frame: ``(height, width, 3)`` RGB, uint8 or float in [0, 1].
        """
        previous, self._previous = self._previous, _thumbnail(frame)
        if previous is None or np.abs(self._previous - previous).mean() <= LEAST_CHANGE:
            return False
        a, b = (each - each.mean(axis=(0, 1)) for each in (previous, self._previous))
        scale = np.sqrt((a * a).sum() * (b * b).sum())
        return bool((a * b).sum() <= MOST_CORRELATION * scale)


def find_cuts(frames: Iterable[np.ndarray]) -> list[int]:
    """Find the frames that start a new shot.

    Args:
        frames: each ``(height, width, 3)`` RGB, uint8 or float in [0, 1].

    Returns:
        Their indices, without the first frame.
    """
    finder = CutFinder()
    return [index for index, frame in enumerate(frames) if finder.is_cut(frame)]


def _thumbnail(frame: np.ndarray) -> np.ndarray:
    import cv2

    return cv2.resize(to_float32(frame), (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
