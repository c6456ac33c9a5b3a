"""Clips to choose a strength on: given ones, or images under a virtual camera."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from keras_temporal_reg import metrics, transforms
from keras_temporal_reg.core import seeding, validation
from keras_temporal_reg.data import _crops
from keras_temporal_reg.evaluation import camera, inference, optical_flow
from keras_temporal_reg.evaluation import clips as evaluation_clips
from keras_temporal_reg.finetuning.data import ImageData
from keras_temporal_reg.io import image_files, video
from keras_temporal_reg.tasks import Task

# Small, so that measuring costs little beside training, and memory is bounded.
STILLS = 12
STILL_FRAMES = 8
CLIP_FRAMES = 50
SIDE = 160  # pixels of y

# An image x and y, (height, width, channels); x is None where it is made from y.
Still = tuple[Any, np.ndarray]


class ClipArrays(NamedTuple):
    """A clip in memory.

    Attributes:
        x: inputs, ``(frames, height, width, channels)``.
        y: targets.
        motion: of y from frame to frame, as in `metrics.flicker`.
        mask: where it can be trusted; None: everywhere, since it is exact.
        cuts: indices of the frames that start a new shot.
    """

    x: np.ndarray
    y: np.ndarray
    motion: np.ndarray
    mask: np.ndarray | None = None
    cuts: tuple[int, ...] = ()

    def measures(self, result: np.ndarray, value_range: float = 1.0) -> dict[str, float]:
        """As from `metrics.stability`, with flicker.

        Args:
            result: of a network for x.
            value_range: difference between the highest and the lowest value of y, for PSNR.
        """
        y, p = self.y / np.float32(value_range), result / np.float32(value_range)
        return metrics.stability(y, p, motion=self.motion, mask=self.mask, cuts=self.cuts)

    @property
    def floor(self) -> float:
        """Flicker of the targets."""
        return metrics.flicker(self.y, self.motion, self.mask, self.cuts)


def gather(
    clip: Any, reference: Any, stills: Sequence[Still], make_input: Any, seed: int
) -> list[ClipArrays]:
    """The clips of `choose_strength`'s arguments.

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
        x, y = np.asarray(clip, np.float32), np.asarray(reference, np.float32)
        _check_frames(x, y)
        found.append(with_flow(x, y, _visible(x, y)))
    filmed = [film(x, np.asarray(y), make_input, n, seed) for n, (x, y) in enumerate(stills)]
    return found + joined(filmed)


def film(x: Any, y: np.ndarray, make_input: Any, number: int, seed: int) -> ClipArrays:
    """Frames of a still under a virtual camera, whose path depends on `number`."""
    if make_input is not None:
        if y.ndim != 3:
            raise ValueError(f"y of stills must be (height, width, channels). Received: {y.shape}")
        path = camera.path(STILL_FRAMES, *y.shape[:2], seed=number)
        frames = np.stack([*camera.film(y, path)])
        made = seeding.call_in_training(make_input, tf.constant(frames), (seed, number))
        inputs = np.asarray(made, np.float32)
        # Without the rows and columns that are too few for another pixel of x.
        scale = max(frames.shape[1] // inputs.shape[1], 1)
        targets = frames[:, : scale * inputs.shape[1], : scale * inputs.shape[2]]
        return ClipArrays(inputs, targets, camera.motion(path))
    x = np.asarray(x)
    scale = max(y.shape[0] // x.shape[0], 1) if x.ndim == y.ndim == 3 else 0
    if not scale or y.shape[:2] != (scale * x.shape[0], scale * x.shape[1]):
        raise ValueError(
            "stills must be pairs x, y of (height, width, channels), y a whole number of times as "
            f"large as x unless make_input is given. Received: {x.shape} and {y.shape}"
        )
    path = camera.path(STILL_FRAMES, *x.shape[:2], seed=number)
    return ClipArrays(
        np.stack([*camera.film(x, path)]),
        np.stack([*camera.film(y, path, scale)]),
        camera.motion(path, scale),
    )


def joined(clips: Sequence[ClipArrays]) -> list[ClipArrays]:
    """Clips of exact motion, those of one size one after the other as shots of one clip.

    Measures of a single still can be far off: the structure of one without contrast is noise.
    """
    groups: dict[Any, list[ClipArrays]] = {}
    for clip in clips:
        groups.setdefault((clip.x.shape[1:], clip.y.shape[1:]), []).append(clip)
    joined = []
    for group in groups.values():
        # The pair that a cut parts is not compared, so its motion does not matter.
        motion = [np.concatenate([clip.motion, clip.motion[-1:]]) for clip in group]
        cuts = np.cumsum([len(clip.y) for clip in group[:-1]])
        joined.append(
            ClipArrays(
                np.concatenate([clip.x for clip in group]),
                np.concatenate([clip.y for clip in group]),
                np.concatenate(motion)[:-1],
                cuts=tuple(cuts.tolist()),
            )
        )
    return joined


def with_flow(x: np.ndarray, y: np.ndarray, pictures: np.ndarray) -> ClipArrays:
    """A clip whose motion is estimated, and whose cuts are found, on pictures of its targets.

    Args:
        x: inputs.
        y: targets.
        pictures: ``(frames, height, width, 3)`` uint8, of the size of y.

    Raises:
        ValueError: if every frame starts a new shot.
    """
    cuts = tuple(video.find_cuts(pictures))
    if len(cuts) == len(pictures) - 1:
        raise ValueError(
            "clip must have neighbouring frames of one shot. Received: a cut at each of its "
            f"{len(pictures)} frames"
        )
    return ClipArrays(x, y, *optical_flow.of_clip(pictures), cuts)


def with_results_of(teacher: Any, clip: ClipArrays) -> ClipArrays:
    """The clip, whose targets are x itself, with the results of a network as targets."""
    y = inference.runner(teacher, *clip.x.shape[1:])(clip.x)
    motion = transforms.rescale_transforms(clip.motion, clip.x.shape[1:3], y.shape[1:3])
    return clip._replace(y=y, motion=motion)


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
                f"{pair.x.name}: not used to choose the strength, since a camera over {height} x "
                f"{width} pixels has frames of {frame[0]} x {frame[1]}, smaller than the crop of "
                f"{shape.height} x {shape.width}"
            )
        else:
            stills.append((None, center[0]) if len(center) == 1 else (center[0], center[1]))
    if not stills:
        raise ValueError(
            "strength 'auto' needs larger images to validate on, a smaller crop, or a clip. "
            f"Received: {'; '.join(too_small) or 'no image to validate on'}"
        )
    return stills, too_small


def read(
    clip: Path,
    reference: Path | None,
    task: Task,
    shape: _crops.CropShape,
    value_range: tuple[float, ...],
) -> ClipArrays:
    """The centers of the first frames of a clip.

    Args:
        clip: a file or a folder of frames.
        reference: likewise, the targets; None: the task makes x and y from the clip.
        task: for values in [0, 1].
        shape: of the crops that the network is trained on.
        value_range: of the network.

    Raises:
        ValueError: if the clip cannot be read, has too few frames or only cuts, or needs a
            reference.
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
    if len(centers) < 2:
        raise ValueError(f"clip {clip} must have at least 2 frames. Received: {len(centers)}")
    x, y = (np.stack(part) for part in zip(*centers))
    pictures = image_files.to_uint8(task.decode(x, y))
    low, high, out_low, out_high = validation.value_range("value_range", value_range)
    x = x * np.float32(high - low) + np.float32(low)
    y = y * np.float32(out_high - out_low) + np.float32(out_low)
    return with_flow(x, y, pictures)


def check_results(model: Any, clips: Sequence[ClipArrays]) -> None:
    """Check that a model gives results of the size of the targets, before it is trained.

    Raises:
        ValueError: if not.
    """
    for clip in clips:
        results = inference.runner(model, *clip.x.shape[1:])(clip.x[:1])
        if results.shape[1:] != clip.y.shape[1:]:
            raise ValueError(
                "validation clips must have targets, (height, width, channels), like the results "
                f"of the model, {results.shape[1:]}. Received: {clip.y.shape[1:]}"
            )


def _window(shape: _crops.CropShape) -> _crops.CropShape:
    """How much of an image or a frame is used, for crops of this shape."""
    least = SIDE // shape.scale
    # A camera's frames are smaller than the image, and must not be smaller than the crops.
    height, width = (max(least, 3 * side // 2) for side in (shape.height, shape.width))
    return _crops.CropShape(height, width, shape.scale)


def _check_frames(x: np.ndarray, y: np.ndarray) -> None:
    if x.ndim != 4 or y.ndim != 4 or len(x) != len(y) or len(x) < 2:
        raise ValueError(
            "clip and reference must be (frames, height, width, channels) with the same number "
            f"of frames, at least 2. Received: {x.shape} and {y.shape}"
        )
    scale = y.shape[1] // x.shape[1]
    if not scale or y.shape[1:3] != (scale * x.shape[1], scale * x.shape[2]):
        raise ValueError(
            "reference must have frames a whole number of times as large as those of clip. "
            f"Received: {y.shape[1:3]} and {x.shape[1:3]}"
        )


def _visible(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """What can be seen of a clip, ``(frames, height, width, 3)`` uint8, of the size of y."""
    shown = y if y.shape[-1] in (1, 3) else x
    if shown.shape[-1] not in (1, 3):
        shown = shown[..., :1]
    scale = y.shape[1] // shown.shape[1]
    shown = shown.repeat(scale, axis=1).repeat(scale, axis=2)
    low, high = float(shown.min()), float(shown.max())
    shown = (shown - low) / np.float32(max(high - low, 1e-12))
    return image_files.to_uint8(np.broadcast_to(shown, (*shown.shape[:3], 3)))


Baseline = Callable[[np.ndarray], np.ndarray]


def baseline_psnr(
    clips: Sequence[ClipArrays], baseline: Baseline | None, value_range: float = 1.0
) -> float:
    """PSNR of the baseline prediction, mean over clips.

    Args:
        clips: the clips.
        baseline: from x to the baseline prediction. None: x itself, its pixels repeated where y is
            larger, if it has the channels of y; else the mean of y.
        value_range: as in `ClipArrays.measures`.
    """
    found = []
    for clip in clips:
        if baseline is not None:
            prediction = np.asarray(baseline(clip.x), np.float32)
        else:
            scale = clip.y.shape[1] // clip.x.shape[1]
            prediction = clip.x.repeat(scale, axis=1).repeat(scale, axis=2)
            if prediction.shape != clip.y.shape:
                prediction = np.broadcast_to(clip.y.mean(axis=(0, 1, 2)), clip.y.shape)
        found.append(metrics.psnr(clip.y, prediction, value_range))
    return float(np.mean(found))
