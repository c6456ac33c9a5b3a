"""The temporal high-pass filter, of a whole clip and of frames that come one by one."""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_temporal_reg.core import validation

_CHUNK_NUMBERS = 2**25  # numbers filtered at once, beside the frames that the filter spans
_CHUNK_FRAMES = 16
_PRODUCT_NUMBERS = 512


def high_pass(clip: Any, sigma: float = 2.0) -> np.ndarray:
    """``clip - G clip``: what changes within a few frames, at each pixel.

    Args:
        clip: ``(frames, height, width, channels)``.
        sigma: of the temporal Gaussian G, in frames.

    Returns:
        float64, the shape of `clip`.

    Raises:
        ValueError: if sigma is not positive.
    """
    filtered, pieces = HighPass(sigma), []
    clip = np.asarray(clip, np.float64)
    for frame in clip:
        if ready := filtered.push(frame):
            pieces.append(filtered.results(filtered.weights(ready)))
            filtered.forget(ready)
    pieces.append(filtered.results(filtered.weights(filtered.missing)))
    return np.concatenate(pieces).reshape(clip.shape)


class HighPass:
    """``u - G u`` of frames that come one by one; results lag by the radius of the filter.

    The window holds the frames that results to come still need: frame t in row t modulo the
    number of rows. The first frame is subtracted from each, so that pixels that do not change
    give an exact zero.
    """

    def __init__(self, sigma: float) -> None:
        validation.positive("sigma", sigma)
        self.radius = max(int(4.0 * sigma + 0.5), 1)
        offsets = np.arange(-self.radius, self.radius + 1)
        kernel = np.exp(-0.5 * (offsets / sigma) ** 2)
        self.kernel = kernel / kernel.sum()
        self.received = 0  # frames
        self.returned = 0  # results

    def push(self, frame: np.ndarray) -> int:
        """Take a frame; return how many results are to be taken before the next."""
        if self.received == 0:
            self._allocate(frame)
        row = self.window[self.received % len(self.window)]
        np.subtract(frame.ravel(), self.first, out=row)
        self.received += 1
        return 0 if self.received < self.returned + self.radius + self.chunk else self.chunk

    @property
    def missing(self) -> int:
        """Results that are missing if the clip ends here."""
        return self.received - self.returned

    def forget(self, count: int) -> None:
        """Make room: the next results were taken."""
        self.returned += count

    def _allocate(self, frame: np.ndarray) -> None:
        self.first = frame.ravel().copy()
        # Several results at once are one product of matrices.
        self.chunk = max(1, min(_CHUNK_FRAMES, _CHUNK_NUMBERS // max(frame.size, 1)))
        self.window = np.zeros((2 * self.radius + self.chunk, frame.size), frame.dtype)

    def results(self, weights: np.ndarray, numbers: slice = slice(None)) -> np.ndarray:
        """The product of weights and some columns of the window, ``(count, numbers)``.

        As many small products: of a large one, the threads of BLAS that had a share in it go on
        waiting for more at full load, and slow the threads beside this one.
        """
        window = self.window[:, numbers]
        found = np.empty((len(weights), window.shape[1]), window.dtype)
        even = window.shape[1] - window.shape[1] % _PRODUCT_NUMBERS
        split, out = (
            each[:, :even].reshape(len(each), -1, _PRODUCT_NUMBERS).transpose(1, 0, 2)
            for each in (window, found)
        )
        np.matmul(weights, split, out=out)
        np.matmul(weights, window[:, even:], out=found[:, even:])
        return found

    def weights(self, count: int) -> np.ndarray:
        """Of the rows of the window in the next results, ``(count, rows)``."""
        weights = np.zeros((count, len(self.window)), self.window.dtype)
        for row in range(count):
            t = self.returned + row
            for weight, s in zip(self.kernel, range(t - self.radius, t + self.radius + 1)):
                s %= 2 * self.received  # mirrored: d c b a | a b c d | d c b a
                s = s if s < self.received else 2 * self.received - 1 - s
                weights[row, s % len(self.window)] -= weight
            weights[row, t % len(self.window)] += 1.0
        return weights
