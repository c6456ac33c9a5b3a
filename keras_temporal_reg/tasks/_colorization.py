"""Colorization: luma to chroma, BT.601 in full range."""

from __future__ import annotations

import numpy as np

from keras_temporal_reg.tasks._task import Pair, Task

_LUMA = np.array([0.299, 0.587, 0.114])


def _encode(rgb: np.ndarray) -> Pair:
    y = rgb @ _LUMA
    cb = (rgb[..., 2] - y) / (2.0 * (1.0 - _LUMA[2]))
    cr = (rgb[..., 0] - y) / (2.0 * (1.0 - _LUMA[0]))
    return y[..., np.newaxis].astype(np.float32), np.stack([cb, cr], -1).astype(np.float32)


def _decode(luma: np.ndarray, chroma: np.ndarray) -> np.ndarray:
    y, cb, cr = luma[..., 0], chroma[..., 0], chroma[..., 1]
    red = y + 2.0 * (1.0 - _LUMA[0]) * cr
    blue = y + 2.0 * (1.0 - _LUMA[2]) * cb
    green = (y - _LUMA[0] * red - _LUMA[2] * blue) / _LUMA[1]
    return np.clip(np.stack([red, green, blue], -1), 0.0, 1.0).astype(np.float32)


def _grey(luma: np.ndarray) -> np.ndarray:
    return np.zeros((*luma.shape[:-1], 2), np.float32)


colorization = Task("colorization", _encode, _decode, baseline=_grey, baseline_name="grey")
"""Y in [0, 1] to Cb and Cr in [-0.5, 0.5] (BT.601, full range)."""
