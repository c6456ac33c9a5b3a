"""Image-to-image tasks: from a picture to a sample (x, y), and from a prediction to a picture.

A task of your own is one `Task` with your functions. All of them take NumPy arrays whose last
three axes are height, width and channels, so that one picture or a clip goes through alike.
"""

from __future__ import annotations

import dataclasses
from typing import Callable

import numpy as np

# BT.601 luma, full range.
_LUMA = np.array([0.299, 0.587, 0.114])


@dataclasses.dataclass(frozen=True)
class Task:
    """What a network is to do.

    Attributes:
        name: as a person would call it.
        sample: an RGB picture in [0, 1] to ``(x, y)``, float32.
        picture: ``(x, prediction)`` to an RGB picture in [0, 1], float32.
        trivial: x to what one would predict knowing nothing, shape and range of y.
        trivial_name: what to call that.
    """

    name: str
    sample: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
    picture: Callable[[np.ndarray, np.ndarray], np.ndarray]
    trivial: Callable[[np.ndarray], np.ndarray]
    trivial_name: str


def _to_y_cbcr(rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    y = rgb @ _LUMA
    cb = (rgb[..., 2] - y) / (2.0 * (1.0 - _LUMA[2]))
    cr = (rgb[..., 0] - y) / (2.0 * (1.0 - _LUMA[0]))
    return y[..., np.newaxis].astype(np.float32), np.stack([cb, cr], -1).astype(np.float32)


def _to_rgb(y: np.ndarray, cbcr: np.ndarray) -> np.ndarray:
    y, cb, cr = y[..., 0], cbcr[..., 0], cbcr[..., 1]
    red = y + 2.0 * (1.0 - _LUMA[0]) * cr
    blue = y + 2.0 * (1.0 - _LUMA[2]) * cb
    green = (y - _LUMA[0] * red - _LUMA[2] * blue) / _LUMA[1]
    return np.clip(np.stack([red, green, blue], -1), 0.0, 1.0).astype(np.float32)


def _grey(y: np.ndarray) -> np.ndarray:
    return np.zeros((*y.shape[:-1], 2), np.float32)


colorization = Task("colorization", _to_y_cbcr, _to_rgb, _grey, "grey")
"""Y in [0, 1] to Cb and Cr in [-0.5, 0.5] (BT.601, full range)."""
