"""What networks are measured on: clips with what should come out, and filmed stills."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np

from keras_temporal_reg.evaluation import camera
from keras_temporal_reg.io import image_files, video
from keras_temporal_reg.tasks import _task as tasks

STILL_FRAMES = 60
NO_REFERENCE = "the input itself, since no reference was given"


@dataclasses.dataclass
class Material:
    """A clip to be measured on: ``(input picture or x, target picture or None)`` frames."""

    name: str
    size: tuple[int, int]  # of x
    rate: Fraction
    count: int | None
    frames: Callable[[], Iterator[tuple[np.ndarray, np.ndarray | None]]]  # x and y
    has_reference: bool
    reference: str
    motion: np.ndarray | None = None  # of y from frame to frame, where it is known exactly
    notes: list[str] = dataclasses.field(default_factory=list)


def of_clip(clip: Path, reference: Path | None, task: tasks.Task, rate: float | None) -> Material:
    """A clip that networks are given, and one of what should come out if there is any.

    Args:
        clip: a file or a folder.
        reference: likewise, `task.scale` times as large; or None.
        task: makes x of the one and y of the other.
        rate: frames a second, of folders.

    Raises:
        ValueError: if the two do not fit each other.
    """
    about = video.info(clip, rate)
    notes = list(about.notes)
    if about.is_linear and task.name != "hdr":
        notes.append("It holds linear light, which was given to the network as it is.")
    if reference is not None:
        other = video.info(reference, rate)
        expected = (about.height * task.scale, about.width * task.scale)
        if (other.height, other.width) != expected:
            raise ValueError(
                f"reference {reference} must have frames of {expected[1]} x {expected[0]}, to fit "
                f"clip {clip}. Received: {other.width} x {other.height}"
            )

    def both() -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        inputs = (video.to_float32(frame.pixels) for frame in video.frames(clip))
        if reference is None:
            # Where x is made of the frames, the frames are the target.
            own = task.encode_input is None
            for frame in inputs:
                yield task.input(frame), task.target(frame) if own else None
            return
        given = (video.to_float32(frame.pixels) for frame in video.frames(reference))
        for frame, truth in itertools.zip_longest(inputs, given):
            if frame is None or truth is None:
                notes.append("Clip and reference have different lengths; the shorter one counts.")
                return
            yield task.input(frame), task.target(truth)

    serves = reference is None and (task.encode_input is not None or task.name == "restoration")
    return Material(
        clip.stem or clip.name,
        (about.height, about.width),
        about.rate,
        about.frames,
        both,
        not serves,
        NO_REFERENCE
        if serves
        else f"the clip {reference.name}"
        if reference is not None
        else "the clip itself, of which the input was made",
        notes=notes,
    )


def of_still(still: Path, task: tasks.Task) -> Material:
    """A clip of `STILL_FRAMES` frames by a virtual camera over a picture, of which x is made."""
    picture = image_files.read(still)
    path = camera.path(STILL_FRAMES, *picture.shape[:2])
    height, width = camera.frame_size(*picture.shape[:2])
    if task.name == "restoration":
        reference, known = NO_REFERENCE, False
    else:
        reference, known = "the picture itself, of which the input was made", True

    def both() -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        return (task.encode(frame) for frame in camera.film(picture, path))

    return Material(
        still.stem,
        (height // task.scale, width // task.scale),
        video.FOLDER_RATE,
        STILL_FRAMES,
        both,
        known,
        reference,
        motion=camera.motion(path),
        notes=["A virtual camera moves over a still picture; its motion is known exactly."],
    )


def of_frames(name: str, frames: np.ndarray, rate: Fraction, task: tasks.Task) -> Material:
    """Frames in memory, ``(frames, height, width, 3)`` RGB in [0, 1], of which x and y are made."""

    def both() -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        return (task.encode(frame) for frame in frames)

    height, width = frames.shape[1:3]
    size = (height // task.scale, width // task.scale)
    reference = "the frames themselves, of which the input was made"
    return Material(name, size, rate, len(frames), both, True, reference)
