"""Problems: the task of the demo or of an experiment, what it is trained and what it is tested on.

Each test set is made of clips that were not trained on: of real ones, whose motion is optical flow,
or of pictures under a virtual camera, whose motion is known exactly.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow import keras

from keras_temporal_reg.core import seeding
from keras_temporal_reg.data import _crops as crops
from keras_temporal_reg.evaluation import camera, optical_flow
from keras_temporal_reg.experiments import media, networks, scenes
from keras_temporal_reg.experiments.configs import ExperimentConfig
from keras_temporal_reg.experiments.media import SIZE_MULTIPLE, TEST_FRAMES, SplitClip
from keras_temporal_reg.experiments.statistics import VALIDATION
from keras_temporal_reg.finetuning import validation_clips
from keras_temporal_reg.finetuning.validation_clips import STILL_FRAMES, ClipArrays
from keras_temporal_reg.tasks import Task, colorization, denoising, hdr, super_resolution

CLIPS, SCENES, STILLS, PHOTOGRAPHS = ("clips", "scenes", "stills", "photographs")
HELD_OUT = 4  # stills of each clip to validate on, at most
FILMED_FRAMES = 8  # of each still and photograph that is tested on
WIDEST = 320  # pixels of a picture under the camera, so that measuring stays cheap
SCENE_COUNT = 3  # generated ones, to validate on, and as many to test on
FIRST_SCENE = 1000  # seed of those, far from the seeds of the scenes to train on

Clips = dict[str, ClipArrays]


@dataclasses.dataclass(frozen=True)
class Problem:
    """A task with its data.

    Attributes:
        task: the task.
        network: makes a network of so many channels.
        pictures: ``(x, y)`` to train on, for a data size; x is None where `make_input` makes it.
        sets: of each set of clips that there is, to choose on (`VALIDATION`) and to test on, the
            clips by their names. Without the first, each clip is tested with what others favour.
        make_input: from y to x, where x is made from y.
        weight: from y to its `sample_weight`, or None. All measures but SSIM and the warping
            error, which are of the whole picture, are taken where it is above 0.
    """

    task: Task
    network: Callable[[int], keras.Model]
    pictures: Callable[[int], list[crops.Sample]]
    sets: Mapping[str, Mapping[str, ClipArrays]]
    make_input: Callable[..., tf.Tensor] | None = None
    weight: Callable[[tf.Tensor], tf.Tensor] | None = None


def problem(experiment: str, config: ExperimentConfig, folder: Path | None) -> Problem:
    """The task and the data of an experiment.

    Args:
        experiment: its name.
        config: how large it is.
        folder: of the user's own clips and pictures; None: what ships with packages, and
            generated scenes.

    Raises:
        ValueError: if the folder lacks what the experiment needs.
        ImportError: if a package that ships clips or photographs is missing.
    """
    if experiment == "hdr":
        return _hdr(config, folder)
    is_small = experiment == "small-data"  # a number of stills per clip, and nothing else
    found = media.shipped() if folder is None else media.of_folder(folder, is_small)
    task, network = _task_and_network(experiment)
    splits = found.splits
    sets = {
        VALIDATION: _validation(task, found),
        CLIPS: _real_clips(task, splits, config.frames),
        STILLS: _joined_stills(task, {s.name: s.test_stills for s in splits}, FILMED_FRAMES),
        PHOTOGRAPHS: _filmed(task, found.test, FILMED_FRAMES),
    }
    if not sets[VALIDATION] and len(splits) < 2:
        raise ValueError(
            "data must hold several clips, or one with at least 8 frames between two cuts, of "
            f"which some are held out to validate on. Received: a shorter one in {folder}"
        )
    sets = {name: clips for name, clips in sets.items() if clips}
    photographs = [] if is_small else found.training.values()
    return _trained_on(task, network, splits, photographs, sets)


def _validation(task: Task, found: media.Media) -> Clips:
    """What strengths are chosen on. Of several clips, each is tested with what the others favour:
    their stills that are held out are too near to those that are trained on, where a network that
    fits these closely loses to nothing.
    """
    if len(found.splits) > 1:
        return {}
    held_out = {split.name: split.held_out(HELD_OUT) for split in found.splits}
    return {
        **_joined_stills(task, held_out, STILL_FRAMES),
        **_filmed(task, found.validation, STILL_FRAMES),
    }


def of_clips(
    task: Task,
    network: Callable[[int], keras.Model],
    splits: Sequence[SplitClip],
    photographs: Iterable[np.ndarray],
    frames: int = TEST_FRAMES,
) -> Problem:
    """Train on stills of the first halves and on photographs; test on later frames.

    Args:
        task: makes x and y.
        network: makes a network of so many channels.
        splits: the clips, of different names.
        photographs: ``(height, width, 3)`` uint8 RGB each.
        frames: to test on, of each shot at most.

    Returns:
        The problem, of which `CLIPS` is the only set.

    Raises:
        ValueError: if two clips have the same name.
    """
    names = [split.name for split in splits]
    if len({*names}) < len(names):
        raise ValueError(f"clips must have different names. Received: {', '.join(names)}")
    sets = {CLIPS: _real_clips(task, splits, frames)}
    return _trained_on(task, network, splits, photographs, sets)


def task_of(experiment: str) -> Task:
    """The task of an experiment."""
    return hdr if experiment == "hdr" else _task_and_network(experiment)[0]


def _task_and_network(experiment: str) -> tuple[Task, Callable[[int], keras.Model]]:
    if experiment == "super-resolution":
        scale = super_resolution.scale
        return super_resolution, functools.partial(networks.super_resolution_net, scale)
    if experiment == "denoising":
        return denoising, networks.denoising_net
    return colorization, networks.colorization_unet


def _trained_on(
    task: Task,
    network: Callable[[int], keras.Model],
    splits: Sequence[SplitClip],
    photographs: Iterable[np.ndarray],
    sets: Mapping[str, Clips],
) -> Problem:
    photographs = [*photographs]

    def pictures(count: int) -> list[crops.Sample]:
        chosen = [*photographs, *(still for split in splits for still in split.stills(count))]
        samples = [task.encode(_unit(picture)) for picture in chosen]
        # Where x is made of crops of y, motion comes before degradation.
        return [(None if task.make_input else x, y) for x, y in samples]

    return Problem(task, network, pictures, sets, task.make_input)


def _real_clips(task: Task, splits: Sequence[SplitClip], frames: int) -> Clips:
    clips = {}
    for number, split in enumerate(splits):
        split = split.limited_to(frames)
        x, y = _encode(task, _unit(split.test), number)
        clips[split.name] = ClipArrays(x, y, *optical_flow.of_clip(split.test), split.cuts)
    return clips


def _joined_stills(task: Task, stills: Mapping[str, np.ndarray], frames: int) -> Clips:
    """Of the stills of each name one clip, each still a shot of it under a virtual camera."""
    numbers = itertools.count()
    found = {}
    for name, several in stills.items():
        if len(several):  # of one size, so they make one clip
            filmed = [_film(task, still, frames, next(numbers)) for still in several]
            (found[name],) = validation_clips.joined(filmed)
    return found


def _filmed(task: Task, pictures: media.Pictures, frames: int) -> Clips:
    """Of each picture one clip under a virtual camera."""
    return {
        name: _film(task, picture, frames, number)
        for number, (name, picture) in enumerate(pictures.items())
    }


def _film(task: Task, picture: np.ndarray, frames: int, seed: int) -> ClipArrays:
    filmed = _under_camera(_unit(picture), frames, seed)
    return ClipArrays(*_encode(task, filmed.frames, seed), filmed.motion)


def _under_camera(picture: np.ndarray, frames: int, seed: int) -> scenes.SceneClip:
    (middle,) = crops.center_crop((None, picture), crops.CropShape(picture.shape[0], WIDEST))
    size = camera.frame_size(*middle.shape[:2], multiple=SIZE_MULTIPLE)
    return scenes.film(middle, frames, seed, size)


def _encode(task: Task, frames: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """x and y of frames in [0, 1]; what x has that is random, such as noise, is of the seed."""
    x, y = task.encode(frames)
    if task.make_input is not None:
        x = seeding.call_in_training(task.make_input, tf.constant(y), (seed, 0)).numpy()
    return x, y


def _unit(pictures: np.ndarray) -> np.ndarray:
    return pictures / np.float32(255.0)


def _hdr(config: ExperimentConfig, folder: Path | None) -> Problem:
    """Generated scenes, or pictures of real ones, under a moving camera."""
    if folder is None:
        test, validation = (
            {
                f"scene {n}": scenes.clip(FIRST_SCENE + n, config.frames, 128, 160)
                for n in range(first, first + SCENE_COUNT)
            }
            for first in (0, SCENE_COUNT)
        )

        def lights(count: int) -> list[np.ndarray]:
            return [scenes.scene(n, 160, 208) for n in range(count)]
    else:
        found = media.hdr_of_folder(folder)
        test, validation = (
            {
                name: _under_camera(light, config.frames, n)
                for n, (name, light) in enumerate(part.items())
            }
            for part in (found.test, found.validation)
        )

        def lights(count: int) -> list[np.ndarray]:
            return [*found.training.values()][:count]

    return Problem(
        dataclasses.replace(hdr, baseline=scenes.linearized),
        networks.hdr_unet,
        # x is made of crops of y, so that motion comes before clipping, noise and JPEG.
        lambda count: [(None, scenes.to_log(light)) for light in lights(count)],
        {VALIDATION: _captured(validation), SCENES: _captured(test)},
        make_input=scenes.capture,
        weight=scenes.saturation,
    )


def _captured(filmed: Mapping[str, scenes.SceneClip]) -> Clips:
    clips = {}
    for seed, (name, (frames, motion)) in enumerate(filmed.items()):
        y = scenes.to_log(frames)
        clips[name] = ClipArrays(scenes.capture_clip(y, seed), y, motion)
    return clips
