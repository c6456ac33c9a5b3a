"""Steady a trained network on the clip that flickers: no ground truth, no other frames.

Single frames of the clip are trained on, with what the network itself made of them as targets and
a temporal regularizer on top; the strength is chosen by blending with the original. After
Eilertsen, Mantiuk and Unger, "Single-frame Regularization for Temporally Stable CNNs", CVPR 2019.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tensorflow import keras

from keras_temporal_reg import metrics, saved_models
from keras_temporal_reg.evaluation import api as evaluation
from keras_temporal_reg.evaluation import clips as evaluation_clips
from keras_temporal_reg.evaluation import inference, optical_flow, processing
from keras_temporal_reg.evaluation.api import Evaluation
from keras_temporal_reg.evaluation.config import EvaluationConfig
from keras_temporal_reg.finetuning import (
    blending,
    members,
    numerics,
    preflight,
    strength_search,
    training,
)
from keras_temporal_reg.finetuning.checkpoints import Checkpoint, RunFolder
from keras_temporal_reg.finetuning.choice import Choice
from keras_temporal_reg.finetuning.options import takes_options
from keras_temporal_reg.finetuning.strength_search import ORIGINAL
from keras_temporal_reg.finetuning.validation_clips import ClipArrays
from keras_temporal_reg.io import atomic, progress, video
from keras_temporal_reg.steadying import pace
from keras_temporal_reg.steadying.config import ALPHAS, SteadyConfig, check_paths
from keras_temporal_reg.steadying.job import Job, prepare

PARTS = 5  # of a training; after each the run is saved
# What measuring and showing a frame of the clip takes, in units of the optical flow of a pair.
_FLOWS_PER_FRAME = 12
_LEAST_FLICKER = 0.1  # in % of contrast; a flicker below cannot be seen
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
    video = None if video is None else Path(video)
    check_paths(output, video, clips)
    saved_models.format_of(model)  # refuses what is no model
    format = saved_models.format_for(output)
    preflight.check_output(model, output, format)
    with atomic.locked(output):
        job = prepare(model, clips, output, format, config)
        judged, floor, rest = _judged_clips(job, others)
        steps = _choose_steps(job, rest, started)
        choice, trained = _train_and_choose(job, judged, floor, steps, output)
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
        plot=_beside(output, "strength.png"),
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


def _judged_clips(job: Job, others: Sequence[str | Path]) -> tuple[list[ClipArrays], float, float]:
    """The runs of neighbouring frames as clips whose targets are the original's results.

    Returns:
        The clips, the flicker of the input, and how many seconds all but the trainings take.

    Raises:
        ValueError: if the original's results do not flicker, or are no use to compare with.
    """
    runs = job.footage.runs
    cuts = np.cumsum([len(run) for run in runs])[:-1]
    frames = np.concatenate(runs)
    x = job.inferred.inputs(frames)
    run = inference.runner(job.teacher, *x.shape[1:], memory=job.config.memory)
    y = run(x)
    started = time.monotonic()
    run(x)
    per_frame = (time.monotonic() - started) / len(x)
    if not np.isfinite(y).all():
        raise ValueError("the model must return finite numbers. Received: NaN or infinity")
    height, width = y.shape[1:3]
    pictures = np.stack([video.resize(frame, width, height) for frame in frames])
    started = time.monotonic()
    clip = ClipArrays(x, y, *optical_flow.of_clip(pictures), tuple(cuts.tolist()))
    per_pair = (time.monotonic() - started) / len(x)
    flicker = metrics.flicker(y, clip.motion, clip.mask, clip.cuts)
    floor = metrics.flicker(pictures / np.float32(255.0), clip.motion, clip.mask, clip.cuts)
    if not flicker >= _LEAST_FLICKER:
        found = "no contrast" if math.isnan(flicker) else f"flicker of {flicker:.2f} % of contrast"
        raise ValueError(
            "there is nothing to steady in clip "
            f"{', '.join(str(c) for c in job.footage.clips)}, and nothing was written: the results "
            f"of the model must flicker by at least {_LEAST_FLICKER:g} % of contrast. "
            f"Received: {found}"
        )
    blends = strength_search.evaluations(job.config.methods, job.config.strength)
    rest = blends * per_frame * len(x)
    shown = job.footage.frames + sum(video.info(Path(clip)).frames or 0 for clip in others)
    rest += shown * (3 * per_frame + _FLOWS_PER_FRAME * per_pair)
    return [clip], floor, rest


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


def _train_and_choose(
    job: Job, clips: Sequence[ClipArrays], floor: float, steps: int, output: Path
) -> tuple[Choice, int]:
    """Train by each method, and give the model the best blend.

    Returns:
        The choice, and the number of steps of all trainings.
    """
    config = job.config
    values: dict[str, strength_search.Values] = {ORIGINAL: members.values_of(job.model)}
    trained = 0
    with progress.bars(config.show_progress) as start:
        for method in config.methods:
            blending.assign(job.model, values, {ORIGINAL: 1.0})
            keras.utils.set_random_seed(config.seed)
            try:
                history = training.train(
                    job.network(method, steps),
                    job.batches,
                    steps,
                    parts=PARTS,
                    run=RunFolder(job.run.path / method, {**job.run.settings, "steps": steps}),
                    advance=start(f"training, {method}", steps),
                    callbacks=[numerics.StopAtNonFiniteLoss(config.learning_rate)],
                )
            except numerics.NonFiniteLoss as error:
                job.run.delete()
                raise ValueError(str(error)) from error
            trained += history.steps
            values[method] = members.values_of(job.model)
        choice = strength_search.search(
            job.model,
            values,
            clips,
            math.nan,
            strength=config.strength,
            alphas=ALPHAS,
            value_range=float(np.ptp(clips[0].y)),
            judge=strength_search.judge_without_reference(
                config.strength, job.inferred.task.has_contrast
            ),
            batches=members.statistics_batches(job.model, job.batches(0, steps)),
            advance=start(
                "choosing the strength",
                strength_search.evaluations(config.methods, config.strength),
            ),
        )
    choice = dataclasses.replace(choice, floor=floor)
    plot = _beside(output, "strength.png")
    choice.plot(plot)
    if not choice.weights:
        raise ValueError(
            f"strength {config.strength!r} found no blend, so no model was written. "
            f"{choice.reason} The blends are drawn in {plot}. What was trained is kept: the "
            "same call with a strength in [0, 1] takes that blend all the same"
        )
    return choice, trained


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
