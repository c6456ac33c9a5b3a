"""Image quality: PSNR and SSIM of clips."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import tensorflow as tf


def psnr(reference: Any, result: Any, max_value: float = 1.0) -> float:
    """Peak signal-to-noise ratio in dB, of the mean squared error over the whole clip.

    Args:
        reference: array of any shape and numeric dtype.
        result: same shape.
        max_value: the largest possible value.

    Returns:
        PSNR in dB; infinity where the two are equal.

    Raises:
        ValueError: if the shapes differ.

    Example:
        >>> import numpy as np, keras_temporal_reg as ktr
        >>> round(ktr.metrics.psnr(np.zeros((2, 8, 8, 3)), np.full((2, 8, 8, 3), 0.1)), 3)
        20.0
    """
    reference, result = (np.asarray(a, np.float64) for a in (reference, result))
    _check_same_shape(reference, result)
    return decibels(float(np.mean((reference - result) ** 2)), max_value)


def ssim(reference: Any, result: Any, max_value: float = 1.0) -> float:
    """Structural similarity (Wang et al. 2004), mean over the frames of a clip; 1 is perfect.

    Args:
        reference: ``(frames, height, width, channels)``, at least 11 x 11 pixels.
        result: same shape.
        max_value: the largest possible value.

    Raises:
        ValueError: if the shapes differ.

    Example:
        >>> import numpy as np, keras_temporal_reg as ktr
        >>> clip = np.random.default_rng(0).uniform(size=(2, 16, 16, 3))
        >>> round(ktr.metrics.ssim(clip, clip), 3)
        1.0
    """
    reference, result = (np.asarray(a, np.float32) for a in (reference, result))
    _check_same_shape(reference, result)
    index = [_ssim(v[np.newaxis], p[np.newaxis], max_value) for v, p in zip(reference, result)]
    return float(tf.reduce_mean(index))


def decibels(mean_squared_error: float, max_value: float = 1.0) -> float:
    """PSNR in dB of a mean squared error; infinity for 0."""
    if mean_squared_error == 0:
        return math.inf
    return 10.0 * math.log10(max_value**2 / mean_squared_error)


_ssim = tf.function(tf.image.ssim, reduce_retracing=True, autograph=False)


def _check_same_shape(reference: np.ndarray, result: np.ndarray) -> None:
    if reference.shape != result.shape:
        raise ValueError(
            "reference and result must have one shape. "
            f"Received: {reference.shape} and {result.shape}"
        )
