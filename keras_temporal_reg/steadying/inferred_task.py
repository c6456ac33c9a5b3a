"""What a network takes and returns, found from its layers and by running it on frames."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from keras_temporal_reg import tasks
from keras_temporal_reg.evaluation import inference
from keras_temporal_reg.saved_models import ModelError, introspection

UNIT = (0.0, 1.0)
SIGNED = (-1.0, 1.0)
BYTE = (0.0, 255.0)
# Mean absolute differences between result and input, of values in [0, 1]: above the first, a
# network does not work in a range; below the second, it does.
_FAR = 0.25
_NEAR = 0.1
# Results above it are of 0 to 255; light and depth without an upper bound are not.
_MOST_OF_UNIT = 16.0
_SIDE = 128  # pixels of the part of a frame that ranges are tried on


@dataclasses.dataclass(frozen=True)
class Inferred:
    """What a network takes and returns.

    Attributes:
        task: makes x of frames, and pictures of results; it makes no target.
        value_range: the values of the network that stand for 0 and 1; of inputs and then of outputs
            where these differ.
        scale: height of the output over height of the input.
        description: a sentence for the user.
    """

    task: tasks.Task
    value_range: tuple[float, ...]
    scale: int
    description: str

    def inputs(self, frames: np.ndarray) -> np.ndarray:
        """x of frames, ``(frames, height, width, 3)`` uint8, in the values of the network."""
        low, high = self.value_range[:2]
        x = self.task.input(frames / np.float32(255.0))
        return (x * np.float32(high - low) + np.float32(low)).astype(np.float32)


def infer(
    model: Any,
    frame: np.ndarray,
    task: tasks.Task | None = None,
    value_range: tuple[float, ...] | None = None,
) -> Inferred:
    """Find what a network takes and returns.

    Args:
        model: a Keras model.
        frame: of the clip, ``(height, width, 3)`` uint8.
        task: what the network does, if it is known.
        value_range: the values of the network that stand for 0 and 1, if they are known.

    Raises:
        ModelError: if the network does not take RGB or luma, or its output is no image.
    """
    given = task is not None
    if task is None:
        task = _task_of(model, frame)
    else:
        # The frames are inputs: of a task that makes its input from the target, the target is
        # not known here.
        task = dataclasses.replace(task, encode_input=task.input)
    rgb = frame[np.newaxis] / np.float32(255.0)
    channels = task.input(rgb).shape[-1]
    sizes = introspection.image_sizes(model, frame.shape[0], frame.shape[1], channels)
    task = dataclasses.replace(task, scale=sizes.scale)
    if not given:
        task = dataclasses.replace(task, baseline=_scaled(task.baseline, sizes.scale))
    found, reason = (value_range, "as given") if value_range else _value_range(model, task, frame)
    taken = "RGB" if channels == 3 else f"{channels} channel{'s' * (channels > 1)}"
    what = f"task {task.name}" if given else f"{taken} to {task.name}"
    size = "" if sizes.scale == 1 else f" of {sizes.scale} times the size"
    outputs = f", and outputs from {found[2]:g} to {found[3]:g}" if len(found) == 4 else ""
    description = (
        f"The network was taken as {what}{size}, with values from {found[0]:g} to {found[1]:g}"
        f"{outputs} ({reason})."
    )
    return Inferred(task, found, sizes.scale, description)


def _task_of(model: Any, frame: np.ndarray) -> tasks.Task:
    """A task for the channels that a network takes and returns."""
    takes = _static_channels(model, "input")
    if takes not in (None, 1, 3):
        raise ModelError(
            "the model must take RGB or luma, images of 3 channels or 1, unless --task (task) says "
            f"how its input is made from a frame. Received: a model for {takes} channels"
        )
    takes = takes or 3
    returns = _static_channels(model, "output")
    if returns is None:
        run = inference.runner(model, frame.shape[0], frame.shape[1], takes)
        returns = run(np.zeros((1, *frame.shape[:2], takes), np.float32)).shape[-1]
    if (takes, returns) == (1, 2):
        return dataclasses.replace(
            tasks.colorization, name="chroma", encode_input=tasks.colorization.input
        )
    luma = tasks.colorization.input
    to_input = luma if takes == 1 else tasks.restoration.input
    name, decode = {
        3: ("RGB", tasks.restoration.decode),
        1: ("one channel", tasks.restoration.decode),
    }.get(returns, (f"{returns} channels", _first_three))
    return tasks.Task(
        name,
        encode=lambda rgb: (to_input(rgb), to_input(rgb)),
        decode=decode,
        baseline=_baseline(returns),
        baseline_name="the input itself" if takes == returns else "zero",
        encode_input=to_input,
        has_contrast=returns in (1, 3),
    )


def _baseline(channels: int) -> Any:
    def baseline(x: np.ndarray) -> np.ndarray:
        if x.shape[-1] == channels:
            return x
        return np.zeros((*x.shape[:-1], channels), np.float32)

    return baseline


def _scaled(baseline: Any, scale: int) -> Any:
    """A baseline prediction for results of `scale` times the size, with repeated pixels."""
    return lambda x: baseline(x).repeat(scale, axis=-3).repeat(scale, axis=-2)


def _first_three(x: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """The first three channels as RGB, each through the logistic function."""
    shown = prediction[..., :3]
    if shown.shape[-1] < 3:
        shown = np.repeat(shown[..., :1], 3, axis=-1)
    return tasks.restoration.decode(x, 1.0 / (1.0 + np.exp(-shown)))


def _static_channels(model: Any, side: str) -> int | None:
    shape = introspection.static_shape(model, side)
    return None if shape is None else shape[3]


def _value_range(model: Any, task: tasks.Task, frame: np.ndarray) -> tuple[tuple[float, ...], str]:
    """The values that stand for 0 and 1, of inputs and outputs, and what they were found from."""
    layers = [*_image_layers(model)]
    ends_with_tanh = bool(layers) and _activation_of(layers[-1]) == "tanh"
    inputs, reason = _told_by_layers(model, layers)
    if inputs is None and ends_with_tanh:
        return SIGNED, "it ends with tanh"
    possible = (UNIT, BYTE) if inputs is None else (inputs,)
    tried = {each: _tried(model, task, frame, each) for each in possible}
    if inputs is None:
        inputs, reason = UNIT, "the default"
        if tried[UNIT].distance > _FAR and tried[BYTE].distance < _NEAR:
            inputs = BYTE
            reason = "with these its results are near its input, and with 0 to 1 far from it"
    outputs = SIGNED if ends_with_tanh else tried[inputs].outputs
    if outputs == inputs:
        return inputs, reason
    return (*inputs, *outputs), f"{reason}; outputs by its results"


def _told_by_layers(model: Any, layers: Sequence[Any]) -> tuple[tuple[float, float] | None, str]:
    """The values of inputs that stand for 0 and 1, if the first layers tell them."""
    inputs = tf.nest.flatten(getattr(model, "inputs", None) or [])
    if inputs and tf.as_dtype(inputs[0].dtype).is_integer:
        return BYTE, "its input is of an integer type"
    if layers and type(layers[0]).__name__ == "Rescaling" and _is_of_255(layers[0]):
        return BYTE, "it begins with a Rescaling layer"
    return None, ""


def _activation_of(layer: Any) -> str | None:
    return getattr(getattr(layer, "activation", None), "__name__", None)


def _is_of_255(layer: Any) -> bool:
    scale = np.asarray(layer.scale, np.float64)
    return bool(np.all((scale > 1 / 300) & (scale < 1 / 100)))


def _image_layers(model: Any) -> Iterator[Any]:
    """Layers in order, without inputs; nested models are entered."""
    for layer in getattr(model, "layers", []):
        if type(layer).__name__ == "InputLayer":
            continue
        if getattr(layer, "layers", None):
            yield from _image_layers(layer)
        else:
            yield layer


class _Trial(NamedTuple):
    """What a network makes of a frame, with inputs of some range.

    Attributes:
        distance: mean absolute difference between result and input, both from 0 to 1; NaN where
            their channels differ.
        outputs: the range of its results.
    """

    distance: float
    outputs: tuple[float, float]


def _tried(model: Any, task: tasks.Task, frame: np.ndarray, inputs: tuple[float, float]) -> _Trial:
    x = task.input(frame[np.newaxis, :_SIDE, :_SIDE] / np.float32(255.0))
    run = inference.runner(model, *x.shape[1:], value_range=(*inputs, *UNIT))
    result = run(x)
    is_picture = result.shape[-1] in (1, 3)
    is_large = float(np.quantile(np.abs(result), 0.99)) > _MOST_OF_UNIT
    outputs = BYTE if is_picture and is_large else UNIT
    expected = x.repeat(run.scale, axis=1).repeat(run.scale, axis=2)
    if result.shape != expected.shape:
        return _Trial(math.nan, outputs)
    difference = float(np.abs(result / np.float32(outputs[1]) - expected).mean())
    return _Trial(difference if np.isfinite(difference) else math.inf, outputs)
