"""The frames of clips that a network is steadied on: some to train on, runs of others to judge."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from keras_temporal_reg.io import image_files, video

TRAINING_FRAMES = 96  # of all clips
RUNS = 6  # of neighbouring frames that blends are judged on
RUN_FRAMES = 8
_RUN_PIXELS = 2**25  # of all of them, which are kept in memory as float32, with their results
LEAST_FRAMES = 4  # of a clip
_APART = 4  # a clip of so many times the frames of all runs does not train on those


@dataclasses.dataclass(frozen=True)
class Shot:
    """Frames of one clip without a cut between them.

    Attributes:
        clip: number of the clip.
        start: first frame.
        stop: the frame after the last one.
    """

    clip: int
    start: int
    stop: int

    @property
    def frames(self) -> int:
        """Their number."""
        return self.stop - self.start


@dataclasses.dataclass(frozen=True)
class Footage:
    """What is read of the clips.

    Attributes:
        clips: files or folders.
        shots: of all clips.
        training: frames to train on, ``(height, width, 3)`` uint8 each.
        runs: neighbouring frames to judge on, ``(frames, height, width, 3)`` uint8 each.
        is_apart: whether the runs are not among the frames that are trained on.
    """

    clips: tuple[Path, ...]
    shots: tuple[Shot, ...]
    training: list[np.ndarray]
    runs: list[np.ndarray]
    is_apart: bool

    @property
    def frames(self) -> int:
        """The number of frames of all clips."""
        return sum(shot.frames for shot in self.shots)

    def describe(self) -> str:
        """A sentence on what was read."""
        shots = "1 shot" if len(self.shots) == 1 else f"{len(self.shots)} shots"
        apart = "other frames" if self.is_apart else "frames of the same, since it is short"
        return (
            f"{self.frames} frames in {shots}: {len(self.training)} of them are trained on, and "
            f"the strength is chosen on {sum(map(len, self.runs))} {apart}."
        )


def read(clips: Sequence[Path]) -> Footage:
    """Read the frames of clips, in two passes, of which the first finds cuts.

    Raises:
        ValueError: if a clip cannot be read, has fewer than `LEAST_FRAMES` frames, or nothing but
            cuts, or if the clips have different sizes.
    """
    infos = [video.info(clip) for clip in clips]
    sizes = {(info.height, info.width) for info in infos}
    if len(sizes) > 1:
        given = ", ".join(f"{i.path.name} {i.width} x {i.height}" for i in infos)
        raise ValueError(f"clips must have frames of one size. Received: {given}")
    shots = [shot for number, clip in enumerate(clips) for shot in _shots(number, clip)]
    pixels = RUN_FRAMES * infos[0].height * infos[0].width
    runs = _choose_runs(shots, min(RUNS, max(2, _RUN_PIXELS // pixels)))
    in_runs = {(run.clip, n) for run in runs for n in range(run.start, run.stop)}
    every = [(shot.clip, n) for shot in shots for n in range(shot.start, shot.stop)]
    is_apart = len(every) >= _APART * len(in_runs)
    usable = [place for place in every if not (is_apart and place in in_runs)]
    chosen = {usable[n] for n in evenly(len(usable), TRAINING_FRAMES)}
    kept = _frames_at(clips, chosen | in_runs)
    return Footage(
        clips=tuple(clips),
        shots=tuple(shots),
        training=[kept[place] for place in sorted(chosen)],
        runs=[np.stack([kept[run.clip, n] for n in range(run.start, run.stop)]) for run in runs],
        is_apart=is_apart,
    )


def _shots(number: int, clip: Path) -> list[Shot]:
    finder = video.CutFinder()
    count, starts = 0, [0]
    with contextlib.suppress(video.BrokenClip):  # the frames before the damage are used
        for frame in video.frames(clip):
            if finder.is_cut(frame.pixels):
                starts.append(count)
            count += 1
    if count < LEAST_FRAMES:
        raise video.ClipError(
            f"clip {clip} must have at least {LEAST_FRAMES} frames. Received: {count}"
        )
    shots = [Shot(number, a, b) for a, b in zip(starts, [*starts[1:], count])]
    if all(shot.frames < 2 for shot in shots):
        raise video.ClipError(
            f"clip {clip} must have neighbouring frames of one shot. Received: a cut at each of "
            f"its {count} frames"
        )
    return shots


def _choose_runs(shots: Sequence[Shot], count: int) -> list[Shot]:
    """Up to `count` runs of neighbours, spread evenly over the shots that have any."""
    pieces = [
        Shot(shot.clip, start, min(start + RUN_FRAMES, shot.stop))
        for shot in shots
        for start in range(shot.start, shot.stop, RUN_FRAMES)
    ]
    longest = max(piece.frames for piece in pieces)
    usable = [piece for piece in pieces if piece.frames == longest]
    return [usable[n] for n in evenly(len(usable), count)]


def evenly(count: int, wanted: int) -> list[int]:
    """Up to `wanted` of the numbers below `count`, evenly spaced."""
    if count <= wanted:
        return [*range(count)]
    return np.linspace(0, count - 1, wanted).round().astype(int).tolist()


def _frames_at(
    clips: Sequence[Path], places: Iterable[tuple[int, int]]
) -> dict[tuple[int, int], np.ndarray]:
    kept = {}
    wanted = {*places}
    for number, clip in enumerate(clips):
        last = max((n for c, n in wanted if c == number), default=-1)
        # No further: what comes next may be damaged.
        for n, frame in enumerate(itertools.islice(video.frames(clip), last + 1)):
            if (number, n) in wanted:
                kept[number, n] = image_files.to_uint8(video.to_float32(frame.pixels))
    return kept
