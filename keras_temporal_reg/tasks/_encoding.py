"""Encodings that several tasks share."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from keras_temporal_reg.tasks._task import Pair


def as_float32(rgb: np.ndarray) -> np.ndarray:
    """Return the image as it is, float32."""
    return np.asarray(rgb, np.float32)


def to_display(x: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """Return the prediction as RGB in [0, 1]: clipped, NaN as black, one channel repeated."""
    # Not copied if that changes nothing; comparisons are False for NaN, and fmax takes 0 for it.
    if not (prediction.min() >= 0.0 and prediction.max() <= 1.0):
        prediction = np.minimum(np.fmax(prediction, 0.0), 1.0)
    shown = prediction.astype(np.float32, copy=False)
    channels = shown.shape[-1]
    if channels == 3:
        return shown
    return np.repeat(shown, 3, axis=-1) if channels == 1 else shown[..., :3]


def from_target(make_input: Callable[..., tf.Tensor], target: np.ndarray) -> Pair:
    """Return ``(x, y)`` of a target image or of a batch of them."""
    y = as_float32(target)
    if y.ndim == 4:
        return make_input(tf.constant(y)).numpy(), y
    return make_input(tf.constant(y[np.newaxis])).numpy()[0], y
