"""Evaluation clips, read frame by frame."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np

from keras_temporal_reg.evaluation import camera
from keras_temporal_reg.io import image_files, video
from keras_temporal_reg.tasks import Task

STILL_FRAMES = 60
_SIDE = 32  # pixels of the thumbnails by which a turned reference is found
_FLAT = 0.02  # standard deviation of a thumbnail that shows too little
_ALIKE, _LIKER = 0.8, 0.3  # correlation of two that are alike, and by how much more than unturned
# Transposed or not, then steps along rows and columns.
_TURNS = {
    "": (False, 1, 1),
    "mirrored left to right": (False, 1, -1),
    "mirrored top to bottom": (False, -1, 1),
    "turned by 180 degrees": (False, -1, -1),
    "turned by 90 degrees clockwise": (True, 1, -1),
    "turned by 90 degrees counter-clockwise": (True, -1, 1),
    "transposed": (True, 1, 1),
    "transposed and turned by 180 degrees": (True, -1, -1),
}
NO_REFERENCE = "the input itself, since no reference was given"

FramePair = tuple[np.ndarray, "np.ndarray | None"]  # x, and y where there is a reference
Note = Callable[[str], None]  # takes a sentence for the user


def _ignore(sentence: str) -> None:
    pass


@dataclasses.dataclass(frozen=True)
class EvaluationClip:
    """A clip to run networks on, with its reference.

    Attributes:
        name: for tables.
        size: height and width of x, in pixels.
        rate: frames per second.
        count: number of frames; None if unknown.
        read: ``read(note)`` yields the frames x and y; it calls ``note`` with what only reading
            shows.
        reference: what y is, as a phrase; `NO_REFERENCE` where y is None.
        motion: ``(frames - 1, 8)`` transforms, the motion of y from frame to frame; None if
            unknown.
        notes: sentences for the user.
    """

    name: str
    size: tuple[int, int]
    rate: Fraction
    count: int | None
    read: Callable[[Note], Iterator[FramePair]]
    reference: str
    motion: np.ndarray | None = None
    notes: tuple[str, ...] = ()

    @property
    def has_reference(self) -> bool:
        """Whether y is known."""
        return self.reference != NO_REFERENCE

    def frames(self, note: Note = _ignore) -> Iterator[FramePair]:
        """Yield the frames x and y."""
        return self.read(note)


def of_clip(
    clip: Path, reference: Path | None, task: Task, rate: float | None = None
) -> EvaluationClip:
    """Make an evaluation clip of a file or folder.

    Args:
        clip: what the networks are given: a file, or a folder with one image per frame.
        reference: likewise, `task.scale` times as large: what they should return. None: the clip
            itself, where the task makes its input from the target; else there is no reference.
        task: makes x and y of their frames.
        rate: frames per second, for folders.

    Raises:
        ValueError: if the clip cannot be read, or the two do not fit each other.
    """
    info = video.info(clip, rate)
    notes = list(info.notes)
    if info.is_linear and task.name != "hdr":
        notes.append("It holds linear light, which was given to the network as it is.")
    read = _read_clip(clip, task)
    phrase = "the clip itself, of which the input was made"
    if reference is not None:
        _check_reference_size(reference, info, task.scale, rate)
        read = _read_clip_and_reference(clip, reference, task)
        phrase = f"the clip {reference.name}"
    elif not _makes_input(task):
        phrase = NO_REFERENCE
    return EvaluationClip(
        name=clip.stem or clip.name,
        size=(info.height, info.width),
        rate=info.rate,
        count=info.frames,
        read=read,
        reference=phrase,
        notes=tuple(notes),
    )


def of_still(still: Path, task: Task) -> EvaluationClip:
    """Make a clip of `STILL_FRAMES` frames that a virtual camera takes of an image.

    Args:
        still: an image file.
        task: makes x and y of each frame.

    Raises:
        ValueError: if the image cannot be read.
    """
    image = image_files.read(still)
    path = camera.path(STILL_FRAMES, *image.shape[:2])
    height, width = camera.frame_size(*image.shape[:2])
    known = "the image itself, of which the input was made"
    return EvaluationClip(
        name=still.stem,
        size=(height // task.scale, width // task.scale),
        rate=video.FOLDER_RATE,
        count=STILL_FRAMES,
        read=lambda note: (task.encode(frame) for frame in camera.film(image, path)),
        reference=NO_REFERENCE if task.name == "restoration" else known,
        motion=camera.motion(path),
        notes=("A virtual camera moves over a still image; its motion is known exactly.",),
    )


def of_frames(name: str, frames: np.ndarray, rate: Fraction, task: Task) -> EvaluationClip:
    """Make an evaluation clip of frames in memory.

    Args:
        name: for tables.
        frames: ``(frames, height, width, 3)`` RGB in [0, 1].
        rate: frames per second.
        task: makes x and y of each frame.
    """
    height, width = frames.shape[1:3]
    return EvaluationClip(
        name=name,
        size=(height // task.scale, width // task.scale),
        rate=rate,
        count=len(frames),
        read=lambda note: (task.encode(frame) for frame in frames),
        reference="the frames themselves, of which the input was made",
    )


def _makes_input(task: Task) -> bool:
    """Whether frames of a clip are targets, of which the task makes its input."""
    return task.encode_input is None and task.name != "restoration"


def find_turn(image: np.ndarray, reference: np.ndarray) -> tuple[bool, str | None]:
    """Find whether an image shows its reference turned or mirrored.

    Args:
        image: ``(height, width, 3)`` RGB, uint8 or float.
        reference: likewise, of the same shape but for its scale.

    Returns:
        Whether there was enough to see to tell, and how the reference is turned against the image;
        None if it is not.
    """
    one, other = (_thumbnail(each) for each in (image, reference))
    if min(one.std(), other.std()) < _FLAT:
        return False, None
    turns = dict(_TURNS)
    if image.shape[0] != image.shape[1]:  # then a quarter turn would have another size
        turns = {name: turn for name, turn in turns.items() if not turn[0]}
    likeness = {name: _correlation(_turned(one, *turn), other) for name, turn in turns.items()}
    best = max(likeness, key=likeness.__getitem__)
    is_turned = likeness[best] > _ALIKE and likeness[best] - likeness[""] > _LIKER
    return True, best if is_turned else None


def _thumbnail(image: np.ndarray) -> np.ndarray:
    grey = np.clip(video.to_float32(image), 0.0, 1.0).mean(axis=-1)
    return video.resize(grey, _SIDE, _SIDE)


def _turned(image: np.ndarray, is_transposed: bool, rows: int, columns: int) -> np.ndarray:
    return (image.T if is_transposed else image)[::rows, ::columns]


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])


def _check_reference_size(
    reference: Path, clip: video.ClipInfo, scale: int, rate: float | None
) -> None:
    info = video.info(reference, rate)
    expected = (clip.height * scale, clip.width * scale)
    if (info.height, info.width) != expected:
        is_turned = (info.width, info.height) == expected
        raise ValueError(
            f"reference {reference} must have frames of {expected[1]} x {expected[0]}, to fit "
            f"clip {clip.path}. Received: {info.width} x {info.height}"
            f"{', so that one of them is turned by a quarter' if is_turned else ''}"
        )


def _read_clip(clip: Path, task: Task) -> Callable[[Note], Iterator[FramePair]]:
    def read(note: Note) -> Iterator[FramePair]:
        for frame in video.frames(clip):
            rgb = video.to_float32(frame.pixels)
            yield task.encode(rgb) if _makes_input(task) else (task.input(rgb), None)

    return read


def _read_clip_and_reference(
    clip: Path, reference: Path, task: Task
) -> Callable[[Note], Iterator[FramePair]]:
    def read(note: Note) -> Iterator[FramePair]:
        is_compared = False
        for frame, target in itertools.zip_longest(video.frames(clip), video.frames(reference)):
            if frame is None or target is None:
                note("Clip and reference have different lengths; the shorter one counts.")
                return
            if not is_compared:
                is_compared, turn = find_turn(frame.pixels, target.pixels)
                if turn is not None:
                    note(
                        f"The reference {reference.name} looks like the clip {turn}: the measures "
                        "mean nothing unless one of them is turned or mirrored back."
                    )
            x = task.input(video.to_float32(frame.pixels))
            yield x, task.target(video.to_float32(target.pixels))

    return read
