"""`Task`, what every image-to-image task consists of."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from keras_temporal_reg.core import deprecation, seeding, validation

Pair = tuple[np.ndarray, np.ndarray]


@deprecation.renamed_fields(
    sample="encode",
    picture="decode",
    trivial="baseline",
    trivial_name="baseline_name",
    frame="encode_input",
)
@dataclasses.dataclass(frozen=True)
class Task:
    """An image-to-image task.

    The functions take one image, ``(height, width, channels)``, or more with leading axes, such
    as the frames of a clip.

    Attributes:
        name: name of the task in messages and on the command line.
        encode: RGB in [0, 1] to ``(x, y)``, float32: input and target of the network.
        decode: ``(x, prediction)`` to RGB in [0, 1], float32, for display.
        baseline: x to the baseline prediction, with the shape and range of y.
        baseline_name: name of the baseline in messages, such as "grey".
        encode_input: a frame of a clip without a target, RGB in [0, 1], to x. None: the x of
            `encode`.
        make_input: a batch of y to a batch of x, in TensorFlow ops, for tasks whose input is made
            from the target: T is then applied before the degradation. None: T is applied to x.
            A function that draws random numbers takes ``(y, seed=None)`` and passes `seed`, two
            integers, to stateless random ops, so that a resumed run draws the same numbers.
        scale: height of y over height of x; the same for the width.
        has_contrast: whether the spread of the values of a result is its contrast, as of images
            and depth. If not, as of the logits of classes, the verdict sets no limit to it.

    Example:
        >>> import numpy as np, keras_temporal_reg as ktr
        >>> def encode(rgb):
        ...     return rgb.astype("float32"), (1.0 - rgb).astype("float32")
        >>> task = ktr.tasks.Task(
        ...     "negatives", encode, decode=lambda x, prediction: prediction,
        ...     baseline=lambda x: x, baseline_name="the input itself",
        ... )
        >>> float(task.target(np.zeros((2, 2, 3))).max())
        1.0
    """

    name: str
    encode: Callable[[np.ndarray], Pair]
    decode: Callable[[np.ndarray, np.ndarray], np.ndarray]
    baseline: Callable[[np.ndarray], np.ndarray]
    baseline_name: str
    encode_input: Callable[[np.ndarray], np.ndarray] | None = None
    make_input: Callable[..., tf.Tensor] | None = None
    scale: int = 1
    has_contrast: bool = True

    def input(self, frames: np.ndarray) -> np.ndarray:
        """Return x of frames in [0, 1] that have no target."""
        return self.encode(frames)[0] if self.encode_input is None else self.encode_input(frames)

    def target(self, frames: np.ndarray) -> np.ndarray:
        """Return y of target frames in [0, 1]."""
        return self.encode(frames)[1]


def with_value_range(
    task: Task,
    low: float,
    high: float,
    output_low: float | None = None,
    output_high: float | None = None,
) -> Task:
    """Return `task` for a network whose values span another range than [0, 1].

    Args:
        task: a task.
        low: value of inputs, and of outputs, that stands for 0.
        high: value that stands for 1, above `low`.
        output_low: value of outputs that stands for 0, where it is not that of inputs.
        output_high: value of outputs that stands for 1, likewise.

    Raises:
        ValueError: if they are not finite, or not in that order.

    Example:
        >>> import numpy as np, keras_temporal_reg as ktr
        >>> task = ktr.tasks.with_value_range(ktr.tasks.restoration, 0.0, 255.0)
        >>> float(task.input(np.ones((2, 2, 3))).max())
        255.0
    """
    outputs = (
        low if output_low is None else output_low,
        high if output_high is None else output_high,
    )
    low, high, out_low, out_high = validation.value_range("low, high", (low, high, *outputs))
    if (low, high, out_low, out_high) == (0.0, 1.0, 0.0, 1.0):
        return task

    def to_input(unit: Any) -> Any:
        return unit * (high - low) + low

    def to_output(unit: np.ndarray) -> np.ndarray:
        return (unit * (out_high - out_low) + out_low).astype(np.float32)

    def unit_input(x: Any) -> Any:
        return (x - low) / (high - low)

    def unit_output(y: Any) -> Any:
        return (y - out_low) / (out_high - out_low)

    def encode(rgb: np.ndarray) -> Pair:
        x, y = task.encode(rgb)
        return to_input(x).astype(np.float32), to_output(y)

    def make_input(y: tf.Tensor, seed: Any = None) -> tf.Tensor:
        assert task.make_input is not None
        return to_input(seeding.call_in_training(task.make_input, unit_output(y), seed))

    return dataclasses.replace(
        task,
        encode=encode,
        decode=lambda x, prediction: task.decode(unit_input(x), unit_output(prediction)),
        baseline=lambda x: to_output(task.baseline(unit_input(x))),
        encode_input=lambda rgb: to_input(task.input(rgb)).astype(np.float32),
        make_input=make_input if task.make_input else None,
    )
