"""What a batch is: ``(x, y)`` or ``(x, y, sample_weight)``, and which of its tensors are images."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

ImageFunction = Callable[..., tf.Tensor]


def check_batches(dataset: Any) -> None:
    """Refuse what is not a data set of such batches."""
    if not isinstance(dataset, tf.data.Dataset):
        raise TypeError(f"dataset must be a tf.data.Dataset. Received: {type(dataset).__name__}")
    spec = dataset.element_spec
    if not isinstance(spec, tuple) or len(spec) not in (2, 3):
        raise ValueError(
            f"dataset must have elements (x, y) or (x, y, sample_weight). Received: {spec}"
        )
    y = spec[1]
    if isinstance(y, tf.TensorSpec) and y.shape.rank == 3:
        raise ValueError(
            f"dataset must be batched: call .batch(...) on it first. Received: y of shape {y.shape}"
        )


def is_image(tensor: tf.Tensor) -> bool:
    """Whether a tensor of x is a batch of images."""
    return tensor.shape.rank == 4


def is_weight_per_pixel(sample_weight: tf.Tensor) -> bool:
    """Whether there is one weight per pixel, not one per sample."""
    return sample_weight.shape.rank in (3, 4) and sample_weight.shape[1:3] != [1, 1]
