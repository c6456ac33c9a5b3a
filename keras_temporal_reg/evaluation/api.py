"""How steady networks are on clips: run frame by frame, measured, and shown in a report.

One pass over each clip, in memory that does not grow with its length. Needs the extra ``video``.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import itertools
import math
import shlex
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_temporal_reg import metrics
from keras_temporal_reg.core import validation
from keras_temporal_reg.evaluation import clip_evaluator as measuring
from keras_temporal_reg.evaluation import clips as materials
from keras_temporal_reg.evaluation.report import page as report
from keras_temporal_reg.io import atomic, jsonable, progress
from keras_temporal_reg.metrics import _verdict
from keras_temporal_reg.saved_models import model_files
from keras_temporal_reg.tasks import _task as tasks

_MODEL_SUFFIXES = (".keras", ".h5", ".hdf5")


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """What `evaluate` found.

    Attributes:
        verdict: in a sentence; with two models or more of the last one against the first.
        counts_as_stabilized: whether it does by the rule of `metrics.verdict`; None where no
            reference or no second model is there to tell.
        warnings: where steadiness was bought with something else.
        mean: over the clips, as `measuring.ClipEvaluation.measures`.
        clips: one by one.
        settings: of the run.
        versions: of the software.
        seconds: that it took.
        report: the page, if one was written.
    """

    verdict: str
    counts_as_stabilized: bool | None
    warnings: tuple[str, ...]
    mean: Mapping[str, Mapping[str, float]]
    clips: tuple[measuring.ClipEvaluation, ...]
    settings: Mapping[str, Any]
    versions: Mapping[str, str]
    seconds: float
    report: Path | None = None

    @property
    def is_complete(self) -> bool:
        """Whether all clips could be read to their ends."""
        return all(clip.is_complete for clip in self.clips)


def evaluate(
    models: Sequence[Any] | Mapping[str, Any],
    clips: Sequence[Any] = (),
    output: Any = None,
    *,
    references: Sequence[Any] = (),
    stills: Sequence[Any] = (),
    task: str | tasks.Task = "restoration",
    values: tuple[float, float] = (0.0, 1.0),
    flow_method: str = "dis",
    memory: float | None = None,
    sigma: float = 2.0,
    rate: float | None = None,
    allow_code: bool = False,
    show_progress: bool = True,
    command: str | None = None,
) -> Evaluation:
    """Measure networks on clips, and write a report.

    Args:
        models: files of saved Keras models, or a mapping from names to Keras models. The first
            is what others are held against.
        clips: what the models are given: files, or folders with one picture a frame.
        output: folder for ``report.html`` and ``evaluation.json``; made if need be. None: neither.
        references: what should come out, one for each clip. Without, a task that makes its input
            of the clip (colorization) takes the clip; else the input itself serves, and the
            result says so.
        stills: pictures that a virtual camera moves over: their motion is known exactly.
        task: a task of `tasks`, its name, or the dotted path of one of your own.
        values: what the models take and return for black and white.
        flow_method: ``"dis"``, ``"farneback"`` or ``"none"``, for the warping error and tOF.
        memory: megabytes for a network's layers; larger frames are cut into tiles.
        sigma: of the temporal Gaussian of the stability measures, in frames.
        rate: frames a second, for folders.
        allow_code: load models that carry code of their own (Lambda layers).
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
    task = tasks.find(task) if isinstance(task, str) else task
    validation.one_of("flow_method", flow_method, measuring.FLOWS)
    if not models:
        raise ValueError("models must hold at least one model. Received: none")
    if not clips and not stills:
        raise ValueError("clips or stills must hold something to measure on. Received: neither")
    if references and len(references) != len(clips):
        raise ValueError(
            f"references must be one for each of the {len(clips)} clips. "
            f"Received: {len(references)}"
        )
    networks = _networks(models, allow_code)
    shown_on = [
        *(
            materials.of_clip(Path(clip), Path(reference) if reference else None, task, rate)
            for clip, reference in itertools.zip_longest(clips, references)
        ),
        *(materials.of_still(Path(still), task) for still in stills),
    ]
    return measured_on(
        shown_on,
        networks,
        output,
        task=task,
        values=values,
        flow_method=flow_method,
        memory=memory,
        sigma=sigma,
        show_progress=show_progress,
        command=command,
        settings={"models": {name: str(path) for name, path in _paths(models).items()}},
    )


def measured_on(
    shown_on: Sequence[materials.Material],
    networks: Mapping[str, Any],
    output: Any,
    *,
    task: tasks.Task,
    values: tuple[float, float] = (0.0, 1.0),
    flow_method: str = "dis",
    memory: float | None = None,
    sigma: float = 2.0,
    show_progress: bool = True,
    command: str | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Evaluation:
    """`evaluate` of networks in memory, on materials; `settings` are noted beside the others."""
    started = time.time()
    output = None if output is None else atomic.writable_folder(Path(output))
    exact = all(material.motion is not None for material in shown_on)
    settings = {
        "task": task.name,
        **(settings or {}),
        "values": list(values),
        "sigma": sigma,
        "flow": _flow_words(flow_method, exact),
        "memory": memory,
    }
    with (
        tempfile.TemporaryDirectory(prefix="ktr-") as previews,
        progress.bars(show_progress) as bar,
    ):
        measured = []
        sections = []
        for number, material in enumerate(_named_apart(shown_on)):
            folder = Path(previews) / str(number) if output is not None else None
            clip = measuring.Measuring(
                material, networks, task, values, flow_method, memory, sigma, folder
            )
            measured.append(clip.run(bar))
            if folder is not None:
                sections.append(clip.section(measured[-1]))
        page = None if output is None else output / "report.html"
        result = _concluded(measured, list(networks), task, started)
        result = dataclasses.replace(result, settings=settings, report=page)
        if output is not None:
            _write(output, result, sections, task, command or shlex.join(sys.argv))
    return result


def _networks(models: Any, allow_code: bool) -> dict[str, Any]:
    if isinstance(models, Mapping):
        if clash := {measuring.INPUT, measuring.REFERENCE} & {*models}:
            raise ValueError(f"models must have other names. Received: {', '.join(clash)}")
        return dict(models)
    return {
        name: model_files.load(path, allow_code=allow_code).model
        for name, path in _paths(models).items()
    }


def _paths(models: Any) -> dict[str, Any]:
    """Names of the models, each once: their files', with a folder where that is not enough."""
    if isinstance(models, Mapping):
        return dict.fromkeys(models, "in memory")
    found: dict[str, Path] = {}
    for path in map(Path, models):
        # A SavedModel's folder may have a point in its name, too.
        whole = path.resolve()
        parts = (whole.with_suffix("") if whole.suffix in _MODEL_SUFFIXES else whole).parts
        names = ("/".join(parts[-depth:]) for depth in range(1, len(parts) + 1))
        name = next(
            (n for n in names if n not in (*found, measuring.INPUT, measuring.REFERENCE)),
            f"{path} again",
        )
        found[name] = path
    return found


def _named_apart(shown_on: Sequence[materials.Material]) -> list[materials.Material]:
    seen: dict[str, int] = {}
    for material in shown_on:
        seen[material.name] = seen.get(material.name, 0) + 1
        if seen[material.name] > 1:
            material.name += f" ({seen[material.name]})"
    return list(shown_on)


def _flow_words(method: str, exact: bool) -> str:
    if exact:
        return "motion of the virtual camera, exact; mask: inside of the frame; values in [0, 1]"
    if method == "none":
        return "no flow was estimated"
    name = "DIS (OpenCV, medium preset)" if method == "dis" else "Farneback (OpenCV)"
    return (
        f"{name}, estimated on the input between neighbouring frames; mask: forward and backward "
        "flow agree, no motion boundary (Ruder et al. 2016), inside of the frame; values in [0, 1]"
    )


def _concluded(
    clips: list[measuring.ClipEvaluation], names: list[str], task: tasks.Task, started: float
) -> Evaluation:
    mean = {
        name: {
            m.key: float(np.mean([clip.measures[name][m.key] for clip in clips]))
            for m in measuring.MEASURES
        }
        for name in (measuring.INPUT, *names)
    }
    known = all(clip.reference != materials.NO_REFERENCE for clip in clips)
    floor, first = mean[measuring.INPUT], mean[names[0]]
    warnings = []
    counts: bool | None = None
    if len(names) == 1:
        verdict = (
            f"{names[0]}: temporal error {first['temporal_error']:.3f} and PSNR "
            f"{first['psnr']:.2f} dB, where {task.baseline_name} has {floor['temporal_error']:.3f} "
            f"and {floor['psnr']:.2f} dB."
            if known
            else f"{names[0]}: NOT JUDGED, since no reference was given; its warping error is "
            f"{first['warping_error'] * measuring.WARPING_UNIT:.2f} where the input has "
            f"{floor['warping_error'] * measuring.WARPING_UNIT:.2f} (times 10^4)."
        )
    elif known:
        judged = metrics.verdict(first, mean[names[-1]], floor["psnr"])
        counts, verdict = judged.is_stabilized, judged.sentence
    else:
        last = mean[names[-1]]
        verdict = (
            f"NOT JUDGED, since no reference was given: from {names[0]} to {names[-1]} the warping "
            f"error goes from {first['warping_error'] * measuring.WARPING_UNIT:.2f} to "
            f"{last['warping_error'] * measuring.WARPING_UNIT:.2f} (times 10^4), and contrast from "
            f"{first['contrast_ratio']:.2f} to {last['contrast_ratio']:.2f} of the input's."
        )
    for name in names[1:]:
        own = mean[name]
        less_contrast = own["contrast_ratio"] < first["contrast_ratio"] - _verdict.TOLERANCE
        if own["smoothness"] > first["smoothness"] and less_contrast:
            warnings.append(
                f"{name} is smoother than {names[0]} (S {first['smoothness']:.2f} -> "
                f"{own['smoothness']:.2f}), but it has less contrast "
                f"({first['contrast_ratio']:.2f} -> {own['contrast_ratio']:.2f}): part of that "
                "steadiness was bought with contrast. Trust S x C and temporal error."
            )
        if known and own["psnr"] < first["psnr"] - 0.1 and own["smoothness"] > first["smoothness"]:
            warnings.append(
                f"{name} is smoother than {names[0]}, but it lost "
                f"{first['psnr'] - own['psnr']:.2f} dB of PSNR: look for blur."
            )
    return Evaluation(
        verdict,
        counts,
        tuple(warnings),
        mean,
        tuple(clips),
        {},
        {**model_files.versions(), "opencv": _version("opencv-python-headless")},
        round(time.time() - started, 1),
    )


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "of another package"


def _write(
    output: Path,
    result: Evaluation,
    sections: list[report.ClipSection],
    task: tasks.Task,
    command: str,
) -> None:
    names = [name for name in result.mean if name != measuring.INPUT]
    jsonable.write(output / "evaluation.json", result)
    report.write(
        output / "report.html",
        report.Report(
            title="Temporal stability of " + ", ".join(names),
            verdict=result.verdict,
            outcome={True: "stabilized", False: "no_gain", None: "not_judged"}[
                result.counts_as_stabilized
            ],
            warnings=result.warnings,
            measures=measuring.MEASURES,
            mean={
                measuring.label(name, task): measuring.as_shown(measures)
                for name, measures in result.mean.items()
            },
            clips=sections,
            baselines=[measuring.label(measuring.INPUT, task)],
            command=command,
            facts={
                **{name: str(value) for name, value in result.versions.items()},
                "task": str(result.settings["task"]),
                "flow": str(result.settings["flow"]),
                "sigma": f"{result.settings['sigma']:g} frames",
            },
        ),
    )


def show(result: Evaluation) -> None:
    """Print the means, the verdict and all notes."""
    from rich import console, markup, table

    # A table squeezed into the 80 columns that a pipe claims to have cannot be read.
    terminal = console.Console(highlight=False, width=None if sys.stdout.isatty() else 140)
    grid = table.Table(title=f"Mean of {len(result.clips)} clip(s)", expand=False)
    grid.add_column("result")
    for measure in measuring.MEASURES:
        title = measure.title
        grid.add_column(
            title + ", 10^-4" if measure.key == "warping_error" else title, justify="right"
        )
    for name, measures in result.mean.items():
        shown = measuring.as_shown(measures)
        numbers = [
            f"{shown[m.key]:.{m.digits}f}" if math.isfinite(shown[m.key]) else "-"
            for m in measuring.MEASURES
        ]
        grid.add_row(markup.escape(name), *numbers)
    terminal.print(grid)
    for clip in result.clips:
        words = (f"held against {clip.reference}.", *clip.notes)
        terminal.print(markup.escape(f"{clip.name} ({clip.frames} frames): {' '.join(words)}"))
    if result.settings["flow"]:
        terminal.print(markup.escape(f"Flow: {result.settings['flow']}."), style="dim")
    colour = {True: "green", False: "red", None: ""}[result.counts_as_stabilized]
    for warning in result.warnings:
        terminal.print(markup.escape(f"WARNING: {warning}"), style="yellow")
    terminal.print(markup.escape(result.verdict), style=colour)
    if result.report is not None:
        terminal.print(markup.escape(f"Report: {result.report} ({result.seconds:.0f} s)"))
