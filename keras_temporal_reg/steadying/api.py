"""Steady a trained network on the clip that flickers: no ground truth, no other frames.

Single frames of the clip are trained on, with what the network itself made of them as targets and
a temporal regularizer on top; the strength is chosen by blending with the original. After
Eilertsen, Mantiuk and Unger, "Single-frame Regularization for Temporally Stable CNNs", CVPR 2019.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from keras_temporal_reg import saved_models
from keras_temporal_reg.evaluation import api as evaluation
from keras_temporal_reg.evaluation import clips as evaluation_clips
from keras_temporal_reg.evaluation import processing
from keras_temporal_reg.evaluation.api import Evaluation
from keras_temporal_reg.evaluation.config import EvaluationConfig
from keras_temporal_reg.finetuning import (
    blending,
    members,
    preflight,
    strength_search,
)
from keras_temporal_reg.finetuning.checkpoints import Checkpoint, RunFolder
from keras_temporal_reg.finetuning.choice import Choice
from keras_temporal_reg.finetuning.options import takes_options
from keras_temporal_reg.finetuning.strength_search import ORIGINAL
from keras_temporal_reg.io import atomic, progress, video
from keras_temporal_reg.steadying import adaptation, pace
from keras_temporal_reg.steadying.config import SteadyConfig, check_paths
from keras_temporal_reg.steadying.job import Job, prepare

# What measuring and showing a frame of the clip takes, in units of the optical flow of a pair.
_FLOWS_PER_FRAME = 12
STEADIED = "steadied"


@dataclasses.dataclass(frozen=True)
class Steadied:
    """What `steady` did.

    Attributes:
        output: the model that was written.
        video: the steadied clip; None where none was asked for.
        report: the page that compares before and after.
        plot: of the blends that were evaluated.
        choice: which blend was chosen, and why.
        evaluation: of the original and the steadied network on the clips.
        others: the same on the clips that were not trained on; None without any. Its report is in
            the folder ``STEM.others``.
        network: a sentence on what the network takes and returns.
        frames: a sentence on the frames that were used.
        window: a sentence on what was trained on: crops or whole frames.
        steps: of all trainings.
        seconds: of the whole run, in this process.
        notes: sentences for the user.
        versions: of the software.
    """

    output: Path
    video: Path | None
    report: Path
    plot: Path
    choice: Choice
    evaluation: Evaluation
    others: Evaluation | None
    network: str
    frames: str
    window: str
    steps: int
    seconds: float
    notes: tuple[str, ...]
    versions: Mapping[str, str]


@saved_models.takes_custom_objects
@takes_options(SteadyConfig)
def steady(
    model: str | Path,
    clip: str | Path | Sequence[str | Path],
    output: str | Path,
    video: str | Path | None = None,
    *,
    others: Sequence[str | Path] = (),
    command: str | None = None,
    **options: Any,
) -> Steadied:
    """Steady a saved model on a clip, without ground truth; the original is not changed.

    The network is fine-tuned on single frames of the clip. Its own results on the same input are
    the targets (self-distillation), and a temporal regularizer makes it steadier. Blends of the
    result with the original are then judged on neighbouring frames by
    `metrics.verdict_without_reference`, and the steadiest one that stays true to the original is
    saved. It belongs to this footage: on other footage it can be worse than the original.

    The same call continues an interrupted run.

    Args:
        model: file or folder of the model: ``.keras``, H5 or a SavedModel.
        clip: a file, a folder with one image per frame, or several of them: what the network is
            given.
        output: where the steadied model goes. The suffix says the format: ``.keras``, ``.h5`` or
            none for a SavedModel. The report goes to the folder ``STEM.report`` beside it.
        video: where the steadied clip goes, with its sound; None: it is not written.
        others: clips that are not trained on; a report of their own says how the result does on
            them.
        command: how this was called, for the report.
        **options: the fields of `SteadyConfig`, as keyword arguments.

    Returns:
        What was done.

    Raises:
        TypeError: for a keyword that is not an option.
        ValueError: for an argument, a model or a clip that cannot be used, a clip without flicker,
            settings that are not those of the interrupted run, a NaN or infinite loss, or, with
            strength ``"auto"``, if no blend is steadier and true to the original.
        OSError: if `output` cannot be written, or another run is writing it.
        ImportError: if a package of the extra ``video`` is missing.

    Example:
        >>> import keras_temporal_reg as ktr
        >>> result = ktr.steady("model.keras", "clip.mp4", "steady.keras",
        ...                     video="steady.mp4", minutes=3)  # doctest: +SKIP
        >>> print(result.evaluation.verdict)  # doctest: +SKIP
    """
    started = time.monotonic()
    config = SteadyConfig.from_options(options)
    given = (clip,) if isinstance(clip, (str, Path)) else tuple(clip)
    clips = tuple(Path(each) for each in given)
    if not clips:
        raise ValueError("clip must hold at least one clip. Received: none")
    model, output = Path(model), Path(output)
    plot = _beside(output, "strength.png")
    video = None if video is None else Path(video)
    check_paths(output, video, clips)
    saved_models.format_of(model)  # refuses what is no model
    format = saved_models.format_for(output)
    preflight.check_output(model, output, format)
    with atomic.locked(output):
        job = prepare(model, clips, output, format, config)
        judged = adaptation.judged(job)
        steps = _choose_steps(job, _rest_seconds(job, judged, others), started)
        choice, trained = adaptation.adapt(job, judged, steps)
        choice.plot(plot)
        _check_choice(choice, config.strength, plot)
        notes = _write_results(job, choice, output, format, video)
        evaluated = _evaluate(job, job.footage.clips, _beside(output, "report"), command)
        on_others = None
        if others:
            on_others = _evaluate(job, others, _beside(output, "others"), command)
        job.run.delete()
    return Steadied(
        output=output,
        video=video,
        report=evaluated.report,  # type: ignore[arg-type]
        plot=plot,
        choice=choice,
        evaluation=evaluated,
        others=on_others,
        network=job.inferred.description,
        frames=job.footage.describe(),
        window=job.window.reason,
        steps=trained,
        seconds=round(time.monotonic() - started, 1),
        notes=notes,
        versions=saved_models.versions(),
    )


def show(result: Steadied) -> None:
    """Print what was done."""
    print(f"Blend of {len(result.choice.trials)}: {result.choice.reason}")
    evaluation.show(result.evaluation)
    if result.others is not None:
        print("On the clips that it was not steadied on:")
        evaluation.show(result.others)
    for note in result.notes:
        print(note)
    written = [result.output, *([result.video] if result.video else []), result.plot]
    print(f"Written in {result.seconds:.0f} s: {', '.join(map(str, written))}")


def _beside(output: Path, suffix: str) -> Path:
    return output.with_name(f"{output.stem}.{suffix}")


def _rest_seconds(job: Job, on: adaptation.Judged, others: Sequence[str | Path]) -> float:
    """What all but the trainings take."""
    blends = strength_search.evaluations(job.config.methods, job.config.strength)
    shown = job.footage.frames + sum(video.info(Path(clip)).frames or 0 for clip in others)
    showing = 3 * on.per_frame + _FLOWS_PER_FRAME * on.per_pair
    return blends * on.per_frame * len(on.clip.x) + shown * showing


def _choose_steps(job: Job, rest: float, started: float) -> int:
    """The steps of each training: those of the interrupted run, those asked for, or what fits."""
    saved = RunFolder(job.run.path / "pace", job.run.settings)
    earlier = saved.read()
    if earlier is not None:
        return int(earlier.history["steps"])
    config, methods = job.config, job.config.methods
    if config.steps is not None:
        saved.write(Checkpoint({"steps": config.steps}, [], []))
        return config.steps
    values = members.values_of(job.model)
    network = job.network(methods[0], 100)
    first_step, step = pace.measure(network, iter(job.batches(0, pace.STEPS)))
    blending.assign(job.model, {ORIGINAL: values}, {ORIGINAL: 1.0})
    left = 60.0 * config.minutes - (time.monotonic() - started) - rest
    steps = pace.steps_within(left, first_step, step, len(methods))
    found = pace.Pace(first_step, step, rest, len(methods), steps)
    progress.say(config.show_progress, found.describe())
    saved.write(Checkpoint({"steps": steps}, [], []))
    return steps


def _check_choice(choice: Choice, strength: float | str, plot: Path) -> None:
    if not choice.weights:
        raise ValueError(
            f"strength {strength!r} found no blend, so no model was written. "
            f"{choice.reason} The blends are drawn in {plot}. What was trained is kept: the "
            "same call with a strength in [0, 1] takes that blend all the same"
        )


def _write_results(
    job: Job, choice: Choice, output: Path, format: str, video_path: Path | None
) -> tuple[str, ...]:
    """Write the model and the clip; returns notes."""
    saved_models.save(job.model, output, format)
    saved_models.write_record(output, job.footage.clips, {"weights": choice.weights})
    if video_path is None:
        return ()
    return processing.process(
        job.model,
        job.footage.clips[0],
        video_path,
        task=job.inferred.task,
        value_range=job.inferred.value_range,
        memory=job.config.memory,
        rate=job.config.rate,
        show_progress=job.config.show_progress,
    ).notes


def _evaluate(
    job: Job, clips: Sequence[str | Path], folder: Path, command: str | None
) -> Evaluation:
    """Compare the result with the original on clips, and write a report."""
    config, inferred = job.config, job.inferred
    return evaluation.evaluate_clips(
        [evaluation_clips.of_clip(Path(clip), None, inferred.task, config.rate) for clip in clips],
        {ORIGINAL: job.teacher, STEADIED: job.model},
        folder,
        EvaluationConfig(inferred.task, inferred.value_range, memory=config.memory),
        show_progress=config.show_progress,
        command=command,
        settings={"steadied_on": [str(clip) for clip in job.footage.clips]},
    )
