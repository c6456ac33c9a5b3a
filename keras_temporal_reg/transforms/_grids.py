"""The identity, and the same motion on another pixel grid."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0)


def identity(batch_size: Any) -> tf.Tensor:
    """``(batch_size, 8)`` float32 transforms that change nothing."""
    return tf.tile(tf.constant([IDENTITY], tf.float32), (batch_size, 1))


def rescale_transforms(transforms: Any, from_size: Sequence[Any], to_size: Sequence[Any]) -> Any:
    """The same motion on another pixel grid of the same image.

    Pixel ``i`` of ``n`` covers ``[i, i + 1] / n`` of the image, so its centre is at
    ``(i + 1/2) / n`` on every grid.

    Args:
        transforms: ``(batch, 8)`` for images of `from_size`; float32 tensor, NumPy array, or
            nested list, which becomes a tensor.
        from_size: ``(height, width)`` in pixels; numbers or scalar tensors. Only the ratio to
            `to_size` counts.
        to_size: ``(height, width)`` in pixels; likewise.

    Returns:
        ``(batch, 8)`` for images of `to_size`; tensor or array, and dtype, of `transforms`.

    Example:
        >>> import tensorflow as tf, keras_temporal_reg as ktr
        >>> shift = tf.constant([[1.0, 0, 3, 0, 1, 0, 0, 0]])  # three pixels in x
        >>> finer = ktr.transforms.rescale_transforms(shift, (8, 8), (16, 16))
        >>> finer[0, 2].numpy().item()  # six pixels there
        6.0
    """
    if not tf.is_tensor(transforms) and not isinstance(transforms, np.ndarray):
        transforms = tf.convert_to_tensor(transforms, tf.float32)
    sizes = (*from_size, *to_size)
    if not any(tf.is_tensor(size) for size in sizes):
        if sizes[:2] == sizes[2:]:
            return transforms
        scale_y, scale_x = (to / start for start, to in zip(from_size, to_size))
    else:
        scale_y, scale_x = (
            tf.cast(to, tf.float32) / tf.cast(start, tf.float32)
            for start, to in zip(from_size, to_size)
        )
    # A point p of the one grid is scale * p + offset on the other.
    offset_x, offset_y = (scale_x - 1.0) / 2.0, (scale_y - 1.0) / 2.0

    def of_output_points(p0: Any, p1: Any, p2: Any) -> tuple[Any, Any, Any]:
        """``p0 x + p1 y + p2`` as a function of points of the other grid."""
        q0, q1 = p0 / scale_x, p1 / scale_y
        return q0, q1, p2 - q0 * offset_x - q1 * offset_y

    a0, a1, a2, b0, b1, b2, c0, c1 = (transforms[:, i] for i in range(8))
    depth = of_output_points(c0, c1, 1.0)
    x, y = of_output_points(a0, a1, a2), of_output_points(b0, b1, b2)
    new = [scale_x * p + offset_x * d for p, d in zip(x, depth)]
    new += [scale_y * p + offset_y * d for p, d in zip(y, depth)]
    stack = np.stack if isinstance(transforms, np.ndarray) else tf.stack
    return stack([p / depth[2] for p in (*new, *depth[:2])], axis=1)
