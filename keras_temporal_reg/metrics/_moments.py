"""Sums over the pixels of one frame: of squares about the mean, of differences of neighbours.

Frames are read in bands of rows that stay in the cache, in less than half of the time.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from keras_temporal_reg.core import bands


class PairMoments(NamedTuple):
    """Sums over the pixels of a frame v and its result p.

    Attributes:
        centred: of v v, p p and v p about the mean of each channel, ``(3, channels)``.
        gradients: of grad p grad v and of grad v grad v, over pixels and channels, ``(2,)``.
        squared_error: of ``(p - v)^2``, over pixels and channels.
    """

    centred: np.ndarray
    gradients: np.ndarray
    squared_error: float


def of_pair(v: np.ndarray, p: np.ndarray) -> PairMoments:
    """Moments of two frames ``(height, width, channels)`` of one float dtype."""
    centred, gradients, squared_error = _Centred(2, v.shape[-1]), np.zeros(2), 0.0
    for band in bands.of(v):
        error = (p[band] - v[band]).ravel()
        squared_error += float(np.dot(error, error))
        across = [_difference(u[band, :-1], u[band, 1:]) for u in (v, p)]
        # With the first row of the next band.
        rows = slice(band.start, band.stop + 1)
        down = [_difference(u[rows][:-1], u[rows][1:]) for u in (v, p)]
        for of_v, of_p in (across, down):
            gradients += [np.dot(of_p, of_v), np.dot(of_v, of_v)]
        centred.add([v[band], p[band]])
    (vv, vp), (_, pp) = centred.products
    return PairMoments(np.stack([vv, pp, vp]), gradients, squared_error)


def variance(frame: np.ndarray) -> float:
    """Spatial variance of a frame ``(height, width, channels)``, summed over channels."""
    centred = _Centred(1, frame.shape[-1])
    for band in bands.of(frame):
        centred.add([frame[band]])
    return float(centred.products.sum()) / centred.count


class _Centred:
    """Sums of products of images about their means, over parts of the images (Chan et al. 1979).

    Attributes:
        count: pixels so far.
        products: ``(images, images, channels)`` float64.
    """

    def __init__(self, images: int, channels: int) -> None:
        self.count = 0
        self.products = np.zeros((images, images, channels))
        self._means = np.zeros((images, channels))

    def add(self, parts: list[np.ndarray]) -> None:
        """Take the next part of each image, ``(height, width, channels)``."""
        planes, means = zip(*map(_about_mean, parts))
        count = planes[0].shape[1]
        share = count / (self.count + count)
        moved = np.stack(means) - self._means
        for i, a in enumerate(planes):
            for j, b in enumerate(planes[: i + 1]):
                products = [np.dot(x, y) for x, y in zip(a, b)]
                products += self.count * share * moved[i] * moved[j]
                self.products[j, i] += products
        self._means += share * moved
        self.count += count


def _about_mean(part: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``(channels, pixels)``, each channel about its mean, and the means, float64."""
    planes = np.ascontiguousarray(part.reshape(-1, part.shape[-1]).T)
    # First about one pixel, so that a flat frame gives an exact zero.
    first = planes[:, :1].astype(np.float64)
    planes = planes - planes[:, :1]
    means = planes.mean(axis=1, keepdims=True)
    planes -= means
    return planes, (first + means)[:, 0]


def _difference(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    return np.subtract(after, before).ravel()
