"""Checks of arguments: each names the argument, what was received and what is accepted.

The module imports no TensorFlow, so that the command line can check its options without it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import tensorflow as tf


def one_of(name: str, value: Any, accepted: Sequence[str]) -> None:
    if value not in accepted:
        raise ValueError(f"{name} must be one of {', '.join(accepted)}. Received: {value!r}")


def fraction(name: str, value: Any, low: str, high: str) -> float:
    """A number between 0 and 1; `low` is "[" or "(", `high` is "]" or ")", as in an interval."""
    fits = (
        isinstance(value, (int, float))
        and not isinstance(value, bool)
        and (value > 0 or (low == "[" and value == 0))
        and (value < 1 or (high == "]" and value == 1))
    )
    if not fits:
        raise ValueError(f"{name} must be a number in {low}0, 1{high}. Received: {value!r}")
    return float(value)


def not_negative(name: str, value: Any) -> float:
    """A finite number of at least 0."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not 0 <= value < math.inf:
        raise ValueError(f"{name} must be a number of at least 0. Received: {value!r}")
    return float(value)


def positive(name: str, value: Any) -> float:
    """A finite number above 0."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not 0 < value < math.inf:
        raise ValueError(f"{name} must be a number above 0. Received: {value!r}")
    return float(value)


def value_range(name: str, value: Any) -> tuple[float, float, float, float]:
    """The values of a network that stand for 0 and 1.

    Returns:
        Low and high of its inputs, then of its outputs; of two numbers, both have the same.
    """
    numbers = tuple(float(number) for number in value)
    pairs = [numbers[i : i + 2] for i in range(0, len(numbers), 2)]
    if len(numbers) not in (2, 4) or not all(-math.inf < a < b < math.inf for a, b in pairs):
        raise ValueError(
            f"{name} must be two finite numbers, the lower one first, or four: those of the inputs "
            f"and those of the outputs. Received: {', '.join(f'{number:g}' for number in numbers)}"
        )
    return (*pairs[0], *pairs[-1])  # type: ignore[return-value]


def whole_number(name: str, value: Any, least: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ValueError(f"{name} must be a whole number of at least {least}. Received: {value!r}")
    return value


def image_batch(name: str, value: tf.Tensor) -> None:
    if value.shape.rank != 4:
        raise ValueError(
            f"{name} must be a batch of images of rank 4 (batch, height, width, channels). "
            f"Received: shape {value.shape}"
        )


def motion(value: Any, clip_shape: Sequence[int], name: str = "motion") -> np.ndarray:
    """The motion of a clip, float32: transforms or flow; None is the identity."""
    import numpy as np

    pairs = clip_shape[0] - 1
    flow_shape = (pairs, *clip_shape[1:3], 2)
    if value is None:
        value = np.tile(np.array([1, 0, 0, 0, 1, 0, 0, 0], np.float32), (pairs, 1))
    value = np.asarray(value, np.float32)
    if value.shape not in ((pairs, 8), flow_shape):
        raise ValueError(
            f"{name} must have shape {(pairs, 8)} or {flow_shape}. Received: {value.shape}"
        )
    return value


def same_aspect(
    input_name: str, input_size: Sequence[Any], output_name: str, output_size: Sequence[Any]
) -> None:
    """Heights and widths must be in one proportion, give or take the rounding of a pixel."""
    sizes = (*input_size, *output_size)
    if not all(isinstance(size, int) for size in sizes):
        return  # a size is unknown until the graph runs
    height, width, out_height, out_width = sizes
    if abs(out_height * width - out_width * height) > max(height, width):
        raise ValueError(
            f"{output_name} must have the aspect of {input_name}, whose height x width is "
            f"{height} x {width}, so that one motion fits both. "
            f"Received: {out_height} x {out_width}"
        )
