"""Targets without ground truth: what a frozen network makes of the same input."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
from tensorflow import keras


def with_teacher(dataset: tf.data.Dataset, teacher: Any) -> tf.data.Dataset:
    """Give each batch of inputs the outputs of a frozen network as targets.

    Self-distillation: with a trained network as teacher of a copy of itself, the losses of this
    package steady the copy without ground truth. The teacher sees exactly what the student sees.
    Call it before `pair_with_transformed`::

        dataset = ktr.data.with_teacher(inputs, teacher)
        model.fit(ktr.data.pair_with_transformed(dataset, ktr.RandomAffine()))

    Args:
        dataset: batches of x, an image tensor or any nest of tensors that the teacher takes; or
            of ``(x,)``.
        teacher: a Keras model, or a function from x to images. It runs in inference mode, and no
            gradient reaches it.

    Returns:
        Batches ``(x, y)``; y is float32, ``(batch, height, width, channels)``.

    Raises:
        TypeError: if `dataset` is not a `tf.data.Dataset`, or the teacher cannot be called.
        ValueError: if the batches hold targets, or the teacher returns anything but one batch of
            images.

    Example:
        >>> import tensorflow as tf, keras_temporal_reg as ktr
        >>> inputs = tf.data.Dataset.from_tensors(tf.zeros((2, 16, 16, 3)))
        >>> x, y = next(iter(ktr.data.with_teacher(inputs, lambda x: 1.0 - x)))
        >>> float(y[0, 0, 0, 0])
        1.0
    """
    if not isinstance(dataset, tf.data.Dataset):
        raise TypeError(f"dataset must be a tf.data.Dataset. Received: {type(dataset).__name__}")
    check_teacher(teacher)
    spec = dataset.element_spec
    if isinstance(spec, tuple) and len(spec) != 1:
        raise ValueError(
            "dataset must have batches of x alone, since the teacher makes the targets; a tuple is "
            "read as (x, y), so give several inputs as a list or a dict. To leave targets out: "
            f"dataset.map(lambda x, y: x). Received: {len(spec)} parts"
        )

    def teach(x: Any) -> tuple[Any, tf.Tensor]:
        return x, targets_of(teacher, x)

    return dataset.map(teach, num_parallel_calls=tf.data.AUTOTUNE)


def targets_of(teacher: Any, x: Any, several: bool = False) -> Any:
    """What the teacher makes of a batch, without a gradient.

    Args:
        teacher: a Keras model, or a function of x.
        x: a batch of inputs.
        several: whether it may return several outputs, which are then returned as they are.

    Returns:
        The images, float32, or several outputs in their structure.

    Raises:
        ValueError: if that is not one batch of images, where it must be.
    """
    y = teacher(x, training=False) if isinstance(teacher, keras.layers.Layer) else teacher(x)
    tensors = tf.nest.flatten(y)
    if several and len(tensors) > 1:
        return tf.nest.map_structure(tf.stop_gradient, y)
    if len(tensors) != 1 or tensors[0].shape.rank != 4:
        raise ValueError(
            "teacher must return one batch of images (batch, height, width, channels). Received: "
            f"{', '.join(str(getattr(t, 'shape', type(t).__name__)) for t in tensors)}"
        )
    return tf.stop_gradient(tf.cast(tensors[0], tf.float32))


def check_teacher(teacher: Any, student: Any = None) -> None:
    """Check that a network can be the teacher of a student.

    Raises:
        TypeError: if it cannot be called.
        ValueError: if it shares weights with the student, or has another input or output shape.
    """
    if not callable(teacher):
        raise TypeError(f"teacher must be a Keras model or a function of x. Received: {teacher!r}")
    if student is None:
        return
    own = {id(variable) for variable in getattr(teacher, "variables", ())}
    if teacher is student or any(id(variable) in own for variable in student.trainable_variables):
        raise ValueError(
            "teacher must not share weights with the model that is trained, or its targets move "
            "with the training. Load the model twice, or clone it with its weights. Received: "
            f"the same {'model' if teacher is student else 'weights'} as teacher and as base_model"
        )
    for side in ("inputs", "outputs"):
        shapes = [
            [t.shape for t in tf.nest.flatten(getattr(m, side, None) or [])]
            for m in (teacher, student)
        ]
        if not all(shapes):
            continue
        fits = len(shapes[0]) == len(shapes[1]) and all(
            tf.TensorShape(a).is_compatible_with(b) for a, b in zip(*shapes)
        )
        if not fits:
            raise ValueError(
                f"teacher must have the {side} of the model that is trained, "
                f"{', '.join(str(tuple(s)) for s in shapes[1])}. Received: "
                f"{', '.join(str(tuple(s)) for s in shapes[0])}"
            )
