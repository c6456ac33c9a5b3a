"""What images a model takes and returns, read from its layers or found by running it."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import tensorflow as tf

from keras_temporal_reg.saved_models._errors import ModelError, cause_of
from keras_temporal_reg.tasks import Task

MULTIPLES = (1, 2, 4, 8, 16, 32, 64, 128)


@dataclasses.dataclass(frozen=True)
class ImageSizes:
    """The heights and widths that a model takes and returns.

    Attributes:
        fixed: the only height and width that it takes; None where it takes others.
        multiple: heights and widths must be multiples of this.
        scale: height of the output over height of the input; the same for the width.
    """

    fixed: tuple[int, int] | None
    multiple: int
    scale: int


def image_sizes(model: Any, height: int, width: int, channels: int) -> ImageSizes:
    """Find the image sizes of a model by running it on small images of zeros.

    Args:
        model: a Keras model, or a callable of an image batch.
        height: of the images that it is meant for, in pixels; any number.
        width: likewise.
        channels: likewise.

    Raises:
        ModelError: if the model does not take and return one batch of images, takes another
            number of channels, or no size near this one.
    """
    shape = static_shape(model, "input")
    if shape is not None and shape[3] not in (None, channels):
        raise ModelError(
            f"the model must take images of {channels} channels, as the task makes them. "
            f"Received: a model for {shape[3]}"
        )
    fixed = fixed_size(model)
    if fixed[0] is not None and fixed[1] is not None:
        scale = _scale(_output_shape(model, *fixed, channels), fixed)
        if scale is None:
            raise ModelError("the model must return images of 1, 2, 3, ... times its input's size")
        return ImageSizes((fixed[0], fixed[1]), 1, scale)
    multiple, scale = _multiple_and_scale(model, height, width, channels)
    return ImageSizes(None, multiple, scale)


def fixed_size(model: Any) -> tuple[int | None, int | None]:
    """Height and width of the images that a model takes; None where it takes any."""
    shape = static_shape(model, "input")
    return (None, None) if shape is None else (shape[1], shape[2])


def check_any_batch_size(model: Any) -> None:
    """Check that a model takes batches of any size.

    Raises:
        ModelError: if it takes one only.
    """
    shape = static_shape(model, "input")
    if shape is not None and shape[0] is not None:
        raise ModelError(
            "the model must take batches of any size, since training pairs them. "
            f"Received: input shape {shape}"
        )


def check_fits(model: Any, task: Task, size: tuple[int, int], has_teacher: bool = False) -> int:
    """Check that a model takes and returns what a task defines, by running it once.

    Args:
        model: a Keras model.
        task: the task.
        size: height and width of x, in pixels.
        has_teacher: whether a teacher makes the targets, and not the task.

    Returns:
        Height of the model's output over height of its input.

    Raises:
        ModelError: if the model has several inputs or outputs, other channels than the task, an
            output that is no image or has a different aspect, or cannot take images of that size.
    """
    # Random, since a task may sort or scale by the values.
    probe = np.random.default_rng(0).random((64, 64, 3)).astype(np.float32)
    x, y = task.encode(probe)
    inputs, outputs = static_shape(model, "input"), static_shape(model, "output")
    _check_channels(inputs, x.shape[-1], "takes", f"inputs of the task {task.name} have")
    channels = None if has_teacher else y.shape[-1]
    _check_channels(outputs, channels, "returns", f"targets of the task {task.name} have")
    height, width = size
    try:
        shape = _output_shape(model, height, width, x.shape[-1])
    except ModelError:
        raise
    except Exception as error:
        raise ModelError(
            f"the model cannot take images of {height} x {width} pixels ({cause_of(error)})"
        ) from error
    _check_channels(shape, channels, "returns", f"targets of the task {task.name} have")
    scale = _scale(shape, size)
    if scale is None:
        raise ModelError(
            "the model must return images of 1, 2, 3, ... times its input's size. "
            f"Received: {shape[1]} x {shape[2]} for {height} x {width}"
        )
    return scale


def static_shape(model: Any, side: str) -> tuple[int | None, ...] | None:
    """Shape of the only ``"input"`` or ``"output"``; None where the model does not say.

    Raises:
        ModelError: if there are several, or it is no batch of images.
    """
    tensors = tf.nest.flatten(getattr(model, f"{side}s", None) or [])
    if not tensors:
        return None
    if len(tensors) > 1:
        raise ModelError(f"the model must have one {side}. Received: {len(tensors)} {side}s")
    shape = tuple(tensors[0].shape)
    if len(shape) != 4:
        raise ModelError(
            f"the model must have one batch of images (batch, height, width, channels) as {side}. "
            f"Received: {side} shape {shape}"
        )
    return shape


def _output_shape(model: Any, height: Any, width: Any, channels: int) -> tuple[int, ...]:
    images = first_output(model(tf.zeros((1, height, width, channels)), training=False))
    return tuple(images.shape)


def first_output(output: Any) -> tf.Tensor:
    """The image batch that a model returned.

    Raises:
        ModelError: if it returned anything else.
    """
    tensors = tf.nest.flatten(output)
    if len(tensors) != 1 or tensors[0].shape.rank != 4:
        raise ModelError(
            "the model must return one batch of images (batch, height, width, channels). "
            f"Received: {', '.join(str(t.shape) for t in tensors)}"
        )
    return tensors[0]


def _multiple_and_scale(model: Any, height: int, width: int, channels: int) -> tuple[int, int]:
    reason = ""
    for multiple in MULTIPLES:
        # Small images with the remainders of the large ones find the same, and faster.
        rows, columns = (
            round_up(n % MULTIPLES[-1] + MULTIPLES[-1], multiple) for n in (height, width)
        )
        try:
            shape = _output_shape(model, rows, columns, channels)
        except ModelError:
            raise
        except (ValueError, TypeError, tf.errors.OpError) as error:
            reason = f" ({cause_of(error)})"
            continue
        scale = _scale(shape, (rows, columns))
        if scale is not None:
            return multiple, scale
    raise ModelError(
        f"the model must take images whose sides are multiples of {MULTIPLES[-1]} at most, and "
        f"return images of 1, 2, 3, ... times their size; it does not{reason}"
    )


def _scale(output: Any, size: Any) -> int | None:
    scale = output[1] // size[0]
    same = scale > 0 and tuple(output[1:3]) == (scale * size[0], scale * size[1])
    return int(scale) if same else None


def round_up(n: int, multiple: int) -> int:
    """The smallest multiple of at least `n`."""
    return math.ceil(n / multiple) * multiple


def _check_channels(shape: Any, expected: int | None, verb: str, of_task: str) -> None:
    if shape is not None and expected is not None and shape[3] not in (None, expected):
        plural = "s" * (shape[3] != 1)
        raise ModelError(f"the model {verb} {shape[3]} channel{plural}, {of_task} {expected}")
