"""Clips that alpha is chosen on: given ones, or images under a virtual camera."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from keras_temporal_reg.core import seeding
from keras_temporal_reg.data import _crops
from keras_temporal_reg.evaluation import camera
from keras_temporal_reg.evaluation import clips as evaluation_clips
from keras_temporal_reg.finetuning.data import ImageData
from keras_temporal_reg.tasks import Task

# Small, so that measuring costs little beside training, and memory is bounded.
STILLS = 4
STILL_FRAMES = 24
CLIP_FRAMES = 50
SIDE = 256  # pixels of y

# Frames x and y, (frames, height, width, channels).
Clip = tuple[np.ndarray, np.ndarray]
# An image x and y, (height, width, channels); x is None where it is made from y.
Still = tuple[Any, np.ndarray]


def gather(
    clip: Any, reference: Any, stills: Sequence[Still], make_input: Any, seed: int
) -> list[Clip]:
    """The clips of `choose_alpha`'s arguments.

    Raises:
        ValueError: if they do not fit each other.
    """
    if (clip is None) != (reference is None):
        missing = "clip" if clip is None else "reference"
        raise ValueError(
            f"clip and reference must both be given, or neither. Received: no {missing}"
        )
    if clip is None and not len(stills):
        raise ValueError("clip and reference, or stills, must be given. Received: neither")
    found = []
    if clip is not None:
        found.append((np.asarray(clip, np.float32), np.asarray(reference, np.float32)))
    for number, (x, y) in enumerate(stills):
        found.append(film(x, np.asarray(y), make_input, number, seed))
    for x, y in found:
        if x.ndim != 4 or y.ndim != 4 or len(x) != len(y) or len(x) < 2:
            raise ValueError(
                "clip and reference must be (frames, height, width, channels) with the same number "
                f"of frames, at least 2. Received: {x.shape} and {y.shape}"
            )
    return found


def film(x: Any, y: np.ndarray, make_input: Any, number: int, seed: int) -> Clip:
    """Frames of a still under a virtual camera, whose path depends on `number`."""
    if make_input is not None:
        if y.ndim != 3:
            raise ValueError(f"y of stills must be (height, width, channels). Received: {y.shape}")
        frames = np.stack([*camera.film(y, camera.path(STILL_FRAMES, *y.shape[:2], seed=number))])
        made = seeding.call_in_training(make_input, tf.constant(frames), (seed, number))
        inputs = np.asarray(made, np.float32)
        # Without the rows and columns that are too few for another pixel of x.
        scale = max(frames.shape[1] // inputs.shape[1], 1)
        return inputs, frames[:, : scale * inputs.shape[1], : scale * inputs.shape[2]]
    x = np.asarray(x)
    scale = max(y.shape[0] // x.shape[0], 1) if x.ndim == y.ndim == 3 else 0
    if not scale or y.shape[:2] != (scale * x.shape[0], scale * x.shape[1]):
        raise ValueError(
            "stills must be pairs x, y of (height, width, channels), y a whole number of times as "
            f"large as x unless make_input is given. Received: {x.shape} and {y.shape}"
        )
    path = camera.path(STILL_FRAMES, *x.shape[:2], seed=number)
    return np.stack([*camera.film(x, path)]), np.stack([*camera.film(y, path, scale)])


def stills_of(data: ImageData) -> tuple[list[Still], list[str]]:
    """The centers of some held-out images, and ``name: reason`` of images that are too small.

    Raises:
        ValueError: if all are too small.
    """
    shape, window = data.shape, _window(data.shape)
    stills: list[Still] = []
    too_small = []
    for pair in data.held_out:
        if len(stills) == STILLS:
            break
        center = _crops.center_crop(data.load(pair), window)
        height, width = (side // shape.scale for side in center[-1].shape[:2])
        frame = camera.frame_size(height, width)
        if frame[0] < shape.height or frame[1] < shape.width:
            too_small.append(
                f"{pair.x.name}: not used to choose alpha, since a camera over {height} x {width} "
                f"pixels has frames of {frame[0]} x {frame[1]}, smaller than the crop of "
                f"{shape.height} x {shape.width}"
            )
        else:
            stills.append((None, center[0]) if len(center) == 1 else (center[0], center[1]))
    if not stills:
        raise ValueError(
            "alpha 'auto' needs larger images to validate on, a smaller crop, or a clip. "
            f"Received: {'; '.join(too_small)}"
        )
    return stills, too_small


def read(
    clip: Path,
    reference: Path | None,
    task: Task,
    shape: _crops.CropShape,
    value_range: tuple[float, float],
) -> Clip:
    """The centers of the first frames of a clip, x and y.

    Args:
        clip: a file or a folder of frames.
        reference: likewise, the targets; None: the task makes x and y from the clip.
        task: for values in [0, 1].
        shape: of the crops that the network is trained on.
        value_range: of the network.

    Raises:
        ValueError: if the clip cannot be read, or needs a reference.
    """
    frames = evaluation_clips.of_clip(clip, reference, dataclasses.replace(task, scale=shape.scale))
    if not frames.has_reference:
        raise ValueError(
            f"clip {clip} needs a clip of its targets, since task {task.name} does not make its "
            "input from it: --reference CLIP (reference). Received: none"
        )
    first = itertools.islice(frames.frames(), CLIP_FRAMES)
    window = _window(shape)
    centers = [_crops.center_crop((x, y), window) for x, y in first if y is not None]
    low, high = value_range
    x, y = (np.stack(part) * np.float32(high - low) + np.float32(low) for part in zip(*centers))
    return x, y


def _window(shape: _crops.CropShape) -> _crops.CropShape:
    """How much of an image or a frame is used, for crops of this shape."""
    least = SIDE // shape.scale
    # A camera's frames are smaller than the image, and must not be smaller than the crops.
    height, width = (max(least, 3 * side // 2) for side in (shape.height, shape.width))
    return _crops.CropShape(height, width, shape.scale)
