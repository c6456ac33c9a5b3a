"""What a network takes and returns, found from its layers and by running it on frames."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from keras_temporal_reg import tasks
from keras_temporal_reg.evaluation import inference, value_ranges
from keras_temporal_reg.saved_models import ModelError, introspection


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
    found = value_ranges.find(model, task, task.input(rgb)[0], given=value_range)
    values = found.values
    taken = "RGB" if channels == 3 else f"{channels} channel{'s' * (channels > 1)}"
    what = f"task {task.name}" if given else f"{taken} to {task.name}"
    size = "" if sizes.scale == 1 else f" of {sizes.scale} times the size"
    outputs = f", and outputs from {values[2]:g} to {values[3]:g}" if len(values) == 4 else ""
    description = (
        f"The network was taken as {what}{size}, with values from {values[0]:g} to {values[1]:g}"
        f"{outputs} ({found.reason})."
    )
    if found.warning is not None:
        description = f"{description} {found.warning}"
    return Inferred(task, values, sizes.scale, description)


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
