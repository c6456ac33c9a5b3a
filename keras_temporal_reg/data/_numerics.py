"""Stop at NaN and infinity in a data set."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from keras_temporal_reg.data import _batches


def check_numerics(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Raise an error at the first batch that holds NaN or infinity, and say where.

    Without it, Keras trains on such a batch, and all weights become NaN. The check costs little
    beside a training step. Use it before pairing; `callbacks.CheckNumerics` watches the outputs::

        dataset = ktr.data.check_numerics(dataset)
        model.fit(ktr.data.pair_with_transformed(dataset, ktr.RandomAffine()))

    Args:
        dataset: batches ``(x, y)`` or ``(x, y, sample_weight)``, as for `pair_with_transformed`.

    Returns:
        A data set of the same elements, which raises `tf.errors.InvalidArgumentError` in place of
        such a batch. The error names the part (x, y or sample_weight), the batch and its rows, both
        counted from 0.

    Raises:
        TypeError: if `dataset` is not a `tf.data.Dataset`.
        ValueError: if its elements are not such batches.

    Example:
        >>> import numpy as np, tensorflow as tf, keras_temporal_reg as ktr
        >>> y = np.zeros((4, 16, 16, 1), "float32")
        >>> y[3, 0, 0, 0] = np.nan
        >>> dataset = tf.data.Dataset.from_tensor_slices((y, y)).batch(2)
        >>> len(list(ktr.data.check_numerics(dataset).take(1)))
        1
        >>> list(ktr.data.check_numerics(dataset))
        Traceback (most recent call last):
        ...
        tensorflow.python.framework.errors_impl.InvalidArgumentError: ...
    """
    _batches.check_batches(dataset)

    def checked(number: tf.Tensor, element: tuple[Any, ...]) -> Any:
        checks = [
            _check_finite(name, tensor, number)
            for name, part in zip(("x", "y", "sample_weight"), element)
            for tensor in tf.nest.flatten(part)
            if tensor.dtype.is_floating
        ]
        with tf.control_dependencies(checks):
            return tf.nest.map_structure(tf.identity, element)

    return dataset.enumerate().map(checked)


def _check_finite(name: str, tensor: tf.Tensor, number: tf.Tensor) -> tf.Operation:
    bad = tf.reduce_any(~tf.math.is_finite(tensor), axis=list(range(1, tensor.shape.rank)))
    message = f"{name} must be finite. Received: NaN or infinity in this batch and these rows"
    return tf.debugging.Assert(~tf.reduce_any(bad), [message, number, tf.where(bad)[:, 0]], 100)
