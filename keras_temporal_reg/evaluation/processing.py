"""Run a network over a clip and write what it makes of it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from keras_temporal_reg.core import validation
from keras_temporal_reg.evaluation import inference
from keras_temporal_reg.io import progress, video
from keras_temporal_reg.saved_models import model_files
from keras_temporal_reg.tasks import _task as tasks


@dataclasses.dataclass(frozen=True)
class Processed:
    """What `process` wrote.

    Attributes:
        output: the new clip.
        frames: how many.
        size: height and width, in pixels.
        rate: frames a second.
        is_complete: False where the clip broke off; what came before was written.
        notes: what a user should know, in sentences.
    """

    output: Path
    frames: int
    size: tuple[int, int]
    rate: float
    is_complete: bool
    notes: tuple[str, ...]


def process(
    model: Any,
    clip: Any,
    output: Any,
    *,
    task: str | tasks.Task = "restoration",
    values: tuple[float, float] = (0.0, 1.0),
    memory: float | None = None,
    rate: float | None = None,
    allow_code: bool = False,
    show_progress: bool = True,
) -> Processed:
    """Write the clip that a network makes of a clip: same frame count, times and sound.

    Args:
        model: file of a saved Keras model, or a Keras model.
        clip: a file, or a folder with one picture a frame.
        output: a file whose suffix, one of `video.CODECS`, says the format; without a suffix a
            folder of PNG pictures. It appears when it is complete.
        task: a task of `tasks`, its name, or the dotted path of one of your own.
        values: what the model takes and returns for black and white.
        memory: megabytes for the network's layers; larger frames are cut into tiles.
        rate: frames a second, for folders.
        allow_code: load a model that carries code of its own (Lambda layers).
        show_progress: show a progress bar.

    Raises:
        ValueError: for an argument, a model or a clip that cannot be used.
        OSError: if `output` cannot be written.
        ImportError: if a package of the extra ``video`` is missing.

    Example:
        >>> import keras_temporal_reg as ktr
        >>> ktr.process("after.keras", "clip.mp4", "steady.mp4")  # doctest: +SKIP
    """
    clip, output = Path(clip), Path(output)
    task = tasks.find(task) if isinstance(task, str) else task
    if output.resolve() == clip.resolve():
        raise ValueError(f"output must be another file than the clip. Received: {output}")
    if output.suffix:
        validation.one_of("the suffix of output", output.suffix.lower(), tuple(video.CODECS))
    about = video.info(clip, rate)
    network = model_files.load(model, allow_code=allow_code).model if _is_path(model) else model
    output.parent.mkdir(parents=True, exist_ok=True)
    notes = list(about.notes)
    count, size, run = 0, (0, 0), None
    broken: video.BrokenClip | None = None
    frames = video.prefetch(video.chunks(video.frames(clip), about.height * about.width))
    with (
        progress.bars(show_progress) as bar,
        video.writer(output, about.rate, clip if about.has_audio else None) as add,
    ):
        advance = bar(clip.name, about.frames)
        try:
            for chunk in frames:
                x = np.stack([task.input(video.to_float32(frame.pixels)) for frame in chunk])
                if run is None:
                    run = inference.runner(network, *x.shape[1:], memory=memory, value_range=values)
                for frame, picture in zip(chunk, task.decode(x, run(x))):
                    add(picture, frame.time)
                    count += 1
                    size = picture.shape[:2]
                advance(len(chunk))
        except video.BrokenClip as error:
            if not count:
                raise
            broken = error
    if broken is not None:
        notes.append(f"{broken}; {output} holds what came before.")
    return Processed(output, count, size, float(about.rate), broken is None, tuple(notes))


def show(result: Processed) -> None:
    """Print what was written, and all notes."""
    height, width = result.size
    print(f"{result.output}: {result.frames} frames of {width} x {height}.")
    for note in result.notes:
        print(note)


def _is_path(model: Any) -> bool:
    return isinstance(model, (str, Path))
