"""Wait for what TensorFlow computes, on the CPU and beside it."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

HAS_GPU = bool(tf.config.list_physical_devices("GPU"))


def finish(results: Any) -> list[Any]:
    """The tensors among some results, once they are there; none is copied from a GPU."""
    tensors = [each for each in tf.nest.flatten(results) if tf.is_tensor(each)]
    if not HAS_GPU:
        return [each.numpy() for each in tensors]  # on a CPU this copies nothing
    tf.test.experimental.sync_devices()
    return tensors
