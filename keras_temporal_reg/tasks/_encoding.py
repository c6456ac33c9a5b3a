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
    # Comparisons are False for NaN.
    shown = np.minimum(np.where(prediction > 0.0, prediction, 0.0), 1.0).astype(np.float32)
    return np.repeat(shown, 3, axis=-1) if shown.shape[-1] == 1 else shown[..., :3]


def from_target(make_input: Callable[..., tf.Tensor], target: np.ndarray) -> Pair:
    """Return ``(x, y)`` of a target image or of a batch of them."""
    y = as_float32(target)
    if y.ndim == 4:
        return make_input(tf.constant(y)).numpy(), y
    return make_input(tf.constant(y[np.newaxis])).numpy()[0], y
