"""`ktr.evaluate`: measure networks on clips and write a report. Needs the extra ``video``."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.metadata
import itertools
import shlex
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from keras_temporal_reg import metrics, saved_models, tasks
from keras_temporal_reg.core import deprecation
from keras_temporal_reg.evaluation import clips as evaluation_clips
from keras_temporal_reg.evaluation import conclusions, report, report_content, value_ranges
from keras_temporal_reg.evaluation.clip_evaluator import (
    INPUT,
    REFERENCE,
    ClipEvaluation,
    ClipEvaluator,
    model_names,
)
from keras_temporal_reg.evaluation.config import EvaluationConfig
from keras_temporal_reg.evaluation.previews import Previews
from keras_temporal_reg.io import atomic, jsonable, progress
from keras_temporal_reg.metrics import MEASURES

_MODEL_SUFFIXES = (".keras", ".h5", ".hdf5")
_FLOW_NAMES = {"dis": "DIS (OpenCV, medium preset)", "farneback": "Farneback (OpenCV)"}
_COLOURS = {
    metrics.Outcome.STABILIZED: "green",
    metrics.Outcome.TRADE_OFF: "yellow",
    metrics.Outcome.NO_GAIN: "red",
    metrics.Outcome.NOT_APPLICABLE: "red",
}


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """The result of `evaluate`.

    Attributes:
        verdict: on the last model against the first, by the rule of `metrics.verdict`, or of
            `metrics.verdict_without_reference`; None with one model.
        outcome: that of the verdict.
        excess_removed: share of the flicker of the first model, beyond that of the reference, which
            the last one does not have (`metrics.excess_removed`); None where it is not defined.
        summary: sentences: the verdict and what to do next, or the main measures where there is no
            verdict.
        warnings: sentences on models whose steadiness has a price, beside what the verdict says.
        mean: name of a result (``"input"``, each model, and ``"reference"`` where all clips have
            one) to key of a measure to the mean over clips.
        clips: one by one.
        settings: of the run.
        versions: of the software.
        seconds: that the run took.
        report: the page, if one was written.
    """

    verdict: metrics.Verdict | None
    outcome: metrics.Outcome | None
    excess_removed: float | None
    summary: str
    warnings: tuple[str, ...]
    mean: Mapping[str, Mapping[str, float]]
    clips: tuple[ClipEvaluation, ...]
    settings: Mapping[str, Any]
    versions: Mapping[str, str]
    seconds: float
    report: Path | None = None

    @property
    def is_complete(self) -> bool:
        """Whether all clips could be read to their ends."""
        return all(clip.is_complete for clip in self.clips)

    @property
    def counts_as_stabilized(self) -> bool | None:
        """Deprecated: use ``verdict.outcome``."""
        deprecation.warn("Evaluation.counts_as_stabilized", "Evaluation.verdict.outcome")
        return None if self.verdict is None else self.verdict.is_stabilized


@deprecation.renamed_arguments(values="value_range")
@saved_models.takes_custom_objects
def evaluate(
    models: Sequence[Any] | Mapping[str, Any],
    clips: Sequence[Any] = (),
    output: Any = None,
    *,
    references: Sequence[Any] = (),
    stills: Sequence[Any] = (),
    task: str | tasks.Task = "restoration",
    value_range: tuple[float, ...] | None = None,
    flow_method: str = "dis",
    memory: float | None = None,
    sigma: float = 2.0,
    rate: float | None = None,
    find_cuts: bool = True,
    allow_code: bool = False,
    custom_objects: Any = None,
    show_progress: bool = True,
    command: str | None = None,
) -> Evaluation:
    """Measure networks on clips, and write a report.

    Args:
        models: files of saved Keras models, or a mapping from names to Keras models. The others
            are compared with the first.
        clips: what the models are given: files, or folders with one image per frame.
        output: folder for ``report.html`` and ``evaluation.json``, created if it does not exist.
            None: nothing is written.
        references: what the models should return, one per clip. Without, a task that makes its
            input from the target (colorization) takes the clip itself; for other tasks the first
            model is the original, and the others are compared with its results.
        stills: images that a virtual camera moves over: their motion is known exactly.
        task: a task of `tasks`, its name, or the dotted path of a task of your own.
        value_range: the values of the models that stand for black and white; of inputs and then of
            outputs where these differ. None: they are found out for each model, see
            `value_ranges.find`.
        flow_method: ``"dis"``, ``"farneback"`` or ``"none"``, for flicker, the warping error and
            tOF.
        memory: megabytes for a network's layers; larger frames are cut into tiles. None: half of
            what is free.
        sigma: of the temporal Gaussian of the stability measures, in frames.
        rate: frames per second, for folders.
        find_cuts: find cuts in clips, and compare no frames across them.
        allow_code: load models that contain code of their own (Lambda layers).
        custom_objects: layers and functions of your own that a model holds: a Python file that
            defines them, or a mapping from their names. Only with `allow_code`.
        show_progress: show a progress bar.
        command: how this was called, for the report.

    Raises:
        ValueError: for an argument, a model or a clip that cannot be used.
        OSError: if `output` cannot be written to.
        ImportError: if a package of the extra ``video`` is missing.

    Example:
        >>> import keras_temporal_reg as ktr
        >>> result = ktr.evaluate(["before.keras", "after.keras"], ["clip.mp4"],
        ...                       "evaluation", task="colorization")  # doctest: +SKIP
        >>> print(result.verdict)  # doctest: +SKIP
    """
    task = tasks.find(task)
    given = (0.0, 1.0) if value_range is None else value_range
    config = EvaluationConfig(task, given, flow_method, memory, sigma, find_cuts)
    if not models:
        raise ValueError("models must hold at least one model. Received: none")
    if not clips and not stills:
        raise ValueError("clips or stills must hold something to measure on. Received: neither")
    if references and len(references) != len(clips):
        raise ValueError(
            f"references must be one for each of the {len(clips)} clips. "
            f"Received: {len(references)}"
        )
    networks, sources = _load(models, allow_code)
    found = []
    for clip, reference in itertools.zip_longest(map(Path, clips), references):
        target = Path(reference) if reference else None
        evaluated = evaluation_clips.of_clip(clip, target, task, rate)
        found.append(_with_provenance(evaluated, clip, models))
    found += [evaluation_clips.of_still(Path(still), task) for still in stills]
    if value_range is None:
        config, found[0] = _with_value_ranges(config, found[0], networks)
    return evaluate_clips(
        found,
        networks,
        output,
        config,
        show_progress=show_progress,
        command=command,
        settings={"models": sources},
    )


def evaluate_clips(
    clips: Sequence[evaluation_clips.EvaluationClip],
    models: Mapping[str, Any],
    output: Any,
    config: EvaluationConfig,
    *,
    show_progress: bool = True,
    command: str | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Evaluation:
    """Measure networks on evaluation clips, and write a report.

    Args:
        clips: the clips.
        models: name to Keras model.
        output: as in `evaluate`.
        config: how to run and measure the models.
        show_progress: as in `evaluate`.
        command: as in `evaluate`.
        settings: stored in the result beside those of `config`.
    """
    started = time.time()
    page = None if output is None else atomic.writable_folder(Path(output)) / "report.html"
    measured, sections = [], []
    with (
        tempfile.TemporaryDirectory(prefix="ktr-") as scratch,
        progress.bars(show_progress) as start,
    ):
        for number, clip in enumerate(_with_unique_names(clips)):
            shown: Any = contextlib.nullcontext()
            if page is not None:
                shown = Previews(Path(scratch) / str(number), clip.rate)
            with shown as previews:
                measured.append(ClipEvaluator(clip, models, config, previews).run(start))
            if previews is not None:
                sections.append(report_content.clip_section(measured[-1], previews, config.task))
        settings = {**(settings or {}), **_settings(config, clips)}
        result = _conclude(measured, config.task, settings, page, started)
        if page is not None:
            jsonable.write(page.with_name("evaluation.json"), result)
            command = command or shlex.join(sys.argv)
            content = report_content.whole_report(result, sections, config.task, command)
            report.write(page, content)
    return result


def _with_provenance(
    evaluated: evaluation_clips.EvaluationClip,
    clip: Path,
    models: Sequence[Any] | Mapping[str, Any],
) -> evaluation_clips.EvaluationClip:
    """The clip, with a note on each model that was steadied on other footage."""
    paths = () if isinstance(models, Mapping) else models
    found = (saved_models.other_footage(path, clip) for path in paths)
    notes = (sentence for sentence in found if sentence is not None)
    return dataclasses.replace(evaluated, notes=(*evaluated.notes, *notes))


def _with_value_ranges(
    config: EvaluationConfig,
    clip: evaluation_clips.EvaluationClip,
    models: Mapping[str, Any],
) -> tuple[EvaluationConfig, evaluation_clips.EvaluationClip]:
    """The config with the value range of each model, and the clip with notes on them."""
    first: Any = None
    with contextlib.suppress(ValueError):  # of a broken clip, which is reported later
        first = next(clip.frames(), None)
    if first is None:
        return config, clip
    found = {name: value_ranges.find(m, config.task, *first) for name, m in models.items()}
    several = {each.values for each in found.values()}
    values = {name: each.values for name, each in found.items()}
    shared = several.pop() if len(several) == 1 else values
    notes = [f"{name}: {note}" for name, each in found.items() for note in each.notes]
    return (
        dataclasses.replace(config, value_range=shared),
        dataclasses.replace(clip, notes=(*clip.notes, *notes)),
    )


def _load(
    models: Sequence[Any] | Mapping[str, Any], allow_code: bool
) -> tuple[dict[str, Any], dict[str, str]]:
    """Models by name, and where each came from."""
    if isinstance(models, Mapping):
        if clash := {INPUT, REFERENCE} & {*models}:
            raise ValueError(f"models must have other names. Received: {', '.join(clash)}")
        return dict(models), dict.fromkeys(models, "in memory")
    paths = _named_paths(models)
    loaded = {n: saved_models.load(path, allow_code=allow_code).model for n, path in paths.items()}
    return loaded, {name: str(path) for name, path in paths.items()}


def _named_paths(models: Sequence[Any]) -> dict[str, Path]:
    """Files of models, named after them, with folders where the names of two are equal."""
    found: dict[str, Path] = {}
    for path in map(Path, models):
        whole = path.resolve()
        # Other dots are part of the name, such as that of a SavedModel's folder.
        parts = (whole.with_suffix("") if whole.suffix in _MODEL_SUFFIXES else whole).parts
        names = ("/".join(parts[-depth:]) for depth in range(1, len(parts) + 1))
        unused = (name for name in names if name not in (*found, INPUT, REFERENCE))
        found[next(unused, f"{path} again")] = path
    return found


def _with_unique_names(
    clips: Sequence[evaluation_clips.EvaluationClip],
) -> list[evaluation_clips.EvaluationClip]:
    seen: dict[str, int] = {}
    unique = []
    for clip in clips:
        seen[clip.name] = seen.get(clip.name, 0) + 1
        suffix = f" ({seen[clip.name]})" if seen[clip.name] > 1 else ""
        unique.append(dataclasses.replace(clip, name=clip.name + suffix))
    return unique


def _settings(
    config: EvaluationConfig, clips: Sequence[evaluation_clips.EvaluationClip]
) -> dict[str, Any]:
    is_exact = all(clip.motion is not None for clip in clips)
    return {
        "task": config.task.name,
        "value_range": _as_lists(config.value_range),
        "sigma": config.sigma,
        "flow": _describe_flow(config.flow_method, is_exact),
        "memory": config.memory,
        "find_cuts": config.find_cuts,
    }


def _as_lists(values: Any) -> Any:
    if isinstance(values, Mapping):
        return {name: list(each) for name, each in values.items()}
    return list(values)


def _describe_flow(method: str, is_exact: bool) -> str:
    if is_exact:
        return "motion of the virtual camera, exact; mask: inside of the frame; values in [0, 1]"
    if method == "none":
        return "no flow was estimated"
    return (
        f"{_FLOW_NAMES[method]}, estimated between neighbouring frames of the reference, or of the "
        "input where there is none; mask: forward and backward flow agree, no motion boundary "
        "(Ruder et al. 2016), inside of the frame; values in [0, 1]"
    )


def _conclude(
    clips: Sequence[ClipEvaluation],
    task: tasks.Task,
    settings: Mapping[str, Any],
    page: Path | None,
    started: float,
) -> Evaluation:
    mean = conclusions.mean_over(clips)
    verdict = conclusions.judge(clips, mean, task.has_contrast)
    removed = conclusions.excess_removed(clips)
    return Evaluation(
        verdict=verdict,
        outcome=None if verdict is None else verdict.outcome,
        excess_removed=removed,
        summary=conclusions.summarize(clips, mean, verdict, removed, task.baseline_name),
        warnings=conclusions.warn_of_losses(clips, mean, task.has_contrast),
        mean=mean,
        clips=tuple(clips),
        settings=settings,
        versions={**saved_models.versions(), "opencv": _version("opencv-python-headless")},
        seconds=round(time.time() - started, 1),
        report=page,
    )


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "unknown, from another distribution"


def show(result: Evaluation) -> None:
    """Print the mean measures, the verdict and all notes."""
    from rich import console, markup, table

    # Not the 80 columns that a pipe reports, which would squeeze the table.
    terminal = console.Console(highlight=False, width=None if sys.stdout.isatty() else 170)
    grid = table.Table(title=f"Mean of {len(result.clips)} clip(s)", expand=False)
    grid.add_column("result")
    for measure in MEASURES.values():
        grid.add_column(measure.heading, justify="right")
    for name, values in result.mean.items():
        grid.add_row(markup.escape(name), *(m.text(values[m.key]) for m in MEASURES.values()))
    terminal.print(grid)

    def print_line(line: str, style: str = "") -> None:
        terminal.print(markup.escape(line), style=style)

    for clip in result.clips:
        notes = " ".join([f"compared with {clip.reference}.", *clip.notes])
        print_line(f"{clip.name} ({clip.frames} frames): {notes}")
    print_line(f"Flow: {result.settings['flow']}.", "dim")
    for warning in result.warnings:
        print_line(f"WARNING: {warning}", "yellow")
    if result.verdict is None:
        print_line(result.summary)
    else:
        found = conclusions.describe(
            result.verdict, result.excess_removed, model_names(result.mean)
        )
        print_line(found, _COLOURS[result.verdict.outcome])
        print_line(result.verdict.next_step)
    if result.report is not None:
        print_line(f"Report: {result.report} ({result.seconds:.0f} s)")
