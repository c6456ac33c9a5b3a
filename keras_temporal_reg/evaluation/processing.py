"""`ktr.process`: run a network over a clip and write the result. Needs the extra ``video``."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np

from keras_temporal_reg import saved_models, tasks
from keras_temporal_reg.core import deprecation, validation
from keras_temporal_reg.evaluation import inference, value_ranges
from keras_temporal_reg.io import progress, video


@dataclasses.dataclass(frozen=True)
class Processed:
    """The result of `process`.

    Attributes:
        output: the new clip.
        frames: their number.
        size: height and width, in pixels.
        rate: frames per second.
        is_complete: False where the input clip is damaged or ends too early; the frames that can
            be read were written.
        notes: sentences for the user.
    """

    output: Path
    frames: int
    size: tuple[int, int]
    rate: float
    is_complete: bool
    notes: tuple[str, ...]


@deprecation.renamed_arguments(values="value_range")
@saved_models.takes_custom_objects
def process(
    model: Any,
    clip: Any,
    output: Any,
    *,
    task: str | tasks.Task = "restoration",
    value_range: tuple[float, ...] | None = None,
    memory: float | None = None,
    rate: float | None = None,
    allow_code: bool = False,
    custom_objects: Any = None,
    show_progress: bool = True,
) -> Processed:
    """Write what a network makes of a clip: same frames, times, colours, pixel aspect and sound.

    What the format of `output` cannot hold of these is in the notes.

    Args:
        model: file of a saved Keras model, or a Keras model.
        clip: a file, or a folder with one image per frame.
        output: a file whose suffix, one of `video.CODECS`, selects the format; without a suffix a
            folder of PNG images. It appears when it is complete.
        task: a task of `tasks`, its name, or the dotted path of a task of your own.
        value_range: the values of the model that stand for black and white; of inputs and then of
            outputs where these differ. None: they are found out, see `value_ranges.find`.
        memory: megabytes for the network's layers; larger frames are cut into tiles. None: half
            of what is free.
        rate: frames per second, for folders.
        allow_code: load a model that contains code of its own (Lambda layers).
        custom_objects: layers and functions of your own that a model holds: a Python file that
            defines them, or a mapping from their names. Only with `allow_code`.
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
    task = tasks.find(task)
    if value_range is not None:
        validation.value_range("value_range", value_range)
    if output.resolve() == clip.resolve():
        raise ValueError(f"output must be another file than the clip. Received: {output}")
    if output.suffix:
        validation.one_of("the suffix of output", output.suffix.lower(), tuple(video.CODECS))
    info = video.info(clip, rate)
    other = saved_models.other_footage(model, clip)
    if isinstance(model, (str, Path)):
        model = saved_models.load(model, allow_code=allow_code).model
    output.parent.mkdir(parents=True, exist_ok=True)
    lost = video.not_carried(output, info.appearance, info.rate)
    notes = [*info.notes, *lost, *([other] if other else [])]
    # Only .avi needs to know it, and finding it reads the whole file.
    has_constant_rate = output.suffix.lower() != ".avi" or video.has_constant_rate(clip)
    count, size, is_complete = 0, (0, 0), True
    results = _results(model, info, task, memory, value_range, notes)
    with (
        progress.bars(show_progress) as start,
        video.writer(
            output,
            info.rate,
            clip if info.has_audio else None,
            appearance=info.appearance,
            has_constant_rate=has_constant_rate,
        ) as add,
        contextlib.closing(results),
    ):
        advance = start(clip.name, info.frames)
        try:
            for image, *shown in results:
                add(image, *shown)
                advance()
                count, size = count + 1, image.shape[:2]
        except video.BrokenClip as error:
            if not count:
                raise
            is_complete = False
            notes.append(f"{error}; {output} holds the frames that can be read.")
    return Processed(output, count, size, float(info.rate), is_complete, tuple(notes))


def _results(
    model: Any,
    clip: video.ClipInfo,
    task: tasks.Task,
    memory: float | None,
    value_range: tuple[float, ...] | None,
    notes: list[str],
) -> Generator[tuple[np.ndarray, Any, Any], None, None]:
    """Yield what the model makes of each frame, as RGB in [0, 1], its time and duration.

    Adds to `notes` what the values of the model were taken as, and whether frames were cut.
    """
    run = None
    chunks = video.prefetch(video.chunks(video.frames(clip.path), clip.height * clip.width))
    with contextlib.closing(chunks):
        for chunk in chunks:
            x = np.stack([task.input(video.to_float32(frame.pixels)) for frame in chunk])
            if run is None:
                found = value_ranges.find(model, task, x[0], given=value_range)
                notes += found.notes
                height, width, channels = x.shape[1:]
                run = inference.runner(model, height, width, channels, memory, found.values)
                notes += [f"The network {run.note}."] if run.note else []
            for image, frame in zip(task.decode(x, run(x)), chunk):
                yield image, frame.time, frame.duration


def show(result: Processed) -> None:
    """Print what was written, and all notes."""
    height, width = result.size
    print(f"{result.output}: {result.frames} frames of {width} x {height}.")
    for note in result.notes:
        print(note)
