"""What a batch is: ``(x, y)`` or ``(x, y, sample_weight)``, and which of its tensors are images."""

from __future__ import annotations

import warnings
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


def as_tensor(value: Any) -> tf.Tensor:
    """A tensor, of what TensorFlow converts to one.

    Raises:
        ValueError: for a ragged or sparse tensor.
    """
    if isinstance(value, (tf.RaggedTensor, tf.SparseTensor)):
        raise ValueError(
            "x and y must be dense tensors: call to_tensor() on a ragged tensor, tf.sparse.to_dense"
            f" on a sparse one. Received: a {type(value).__name__}"
        )
    return tf.convert_to_tensor(value)


def warn_of_channels_first(**images: tf.Tensor) -> None:
    """Warn of shapes that are rather (batch, channels, height, width) than channels last."""
    for name, tensor in images.items():
        channels, *size = tensor.shape[1:]
        if channels in (1, 3, 4) and all(n is None or n > 4 * channels for n in size):
            warnings.warn(
                f"{name} must be in channels-last order (batch, height, width, channels): T moves "
                f"pixels along axes 1 and 2. Received: {name} of shape {tensor.shape}, which looks "
                "like channels first",
                stacklevel=3,
            )
