"""What the measures of an evaluation mean: the verdict, a summary and warnings."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from keras_temporal_reg import metrics
from keras_temporal_reg.evaluation.clip_evaluator import (
    INPUT,
    REFERENCE,
    ClipEvaluation,
    model_names,
)
from keras_temporal_reg.metrics import MEASURES

Measures = Mapping[str, float]


def mean_over(clips: Sequence[ClipEvaluation]) -> dict[str, dict[str, float]]:
    """Mean over clips of each measure of each result that all clips have.

    A clip in which a measure is NaN for every result is left out of the mean of that measure.

    Returns:
        Name of a result to key of a measure to the mean.
    """
    names = [name for name in clips[0].measures if all(name in clip.measures for clip in clips)]
    means: dict[str, dict[str, float]] = {name: {} for name in names}
    for key in MEASURES:
        values = np.array([[clip.measures[name][key] for name in names] for clip in clips])
        is_measured = ~np.isnan(values).all(axis=1)
        for name, column in zip(names, values[is_measured].T):
            means[name][key] = float(np.mean(column)) if column.size else math.nan
    return means


def judge(
    clips: Sequence[ClipEvaluation], mean: Mapping[str, Measures], has_contrast: bool = True
) -> metrics.Verdict | None:
    """The verdict on the last model against the first; `has_contrast` is that of the task.

    Returns:
        None where there is one model only, some clips have a reference and others none, or nothing
        tells whether the results are steady: neither flicker nor temporal error.
    """
    first, *others = model_names(mean)
    if not others or _only_some_have_references(clips):
        return None
    if all(math.isnan(mean[first][key]) for key in ("flicker", "temporal_error")):
        return None
    return _judge(clips, mean, others[-1], has_contrast)


def excess_removed(clips: Sequence[ClipEvaluation]) -> float | None:
    """`metrics.excess_removed` of the last model against the first.

    Returns:
        None where `judge` gives none, and where no clip has flicker that its reference does not
        have.
    """
    first, *others = model_names(clips[0].measures)
    if not others or not _has_references(clips):
        return None
    before, after, reference = (
        [clip.measures[name]["flicker"] for clip in clips]
        for name in (first, others[-1], REFERENCE)
    )
    removed = metrics.excess_removed(before, after, reference)
    return None if math.isnan(removed) else removed


def describe(verdict: metrics.Verdict, removed: float | None, names: Sequence[str]) -> str:
    """The verdict, and what `excess_removed` found, as sentences.

    Args:
        verdict: on the last model.
        removed: as from `excess_removed`.
        names: of the models; of more than two, the sentences say which are compared.
    """
    compared = f"{names[-1]} against {names[0]}: " if len(names) > 2 else ""
    if removed is None:
        return f"{compared}{verdict.sentence}"
    change = "removes {:.0f} % of" if removed >= 0 else "adds {:.0f} % to"
    change = change.format(100 * abs(removed))
    return f"{compared}{verdict.sentence} It {change} the flicker that the reference does not have."


def summarize(
    clips: Sequence[ClipEvaluation],
    mean: Mapping[str, Measures],
    verdict: metrics.Verdict | None,
    removed: float | None,
    baseline_name: str,
) -> str:
    """What was found: the verdict and what to do next where there is one, else main measures."""
    names = model_names(mean)
    if verdict is not None:
        return f"{describe(verdict, removed, names)} {verdict.next_step}"
    if not _has_references(clips):
        which = " for some clips" if _only_some_have_references(clips) else ""
        return f"NOT JUDGED, since no reference was given{which}: {_against_input(mean)}."
    if len(names) > 1:
        return "NOT JUDGED, since neither flicker nor temporal error could be measured."
    measures, baseline = mean[names[0]], mean[INPUT]
    return (
        f"{names[0]}: flicker {_flicker(measures)} (the reference has {_flicker(mean[REFERENCE])}) "
        f"and PSNR {measures['psnr']:.2f} dB (the baseline prediction, {baseline_name}, has "
        f"{baseline['psnr']:.2f} dB)."
    )


def warn_of_losses(
    clips: Sequence[ClipEvaluation], mean: Mapping[str, Measures], has_contrast: bool = True
) -> tuple[str, ...]:
    """A sentence on each model that pays for its steadiness, where the verdict is on another."""
    others = model_names(mean)[1:]
    if _only_some_have_references(clips):
        return ()
    verdicts = {name: _judge(clips, mean, name, has_contrast) for name in others[:-1]}
    return tuple(
        f"{name}: {verdict.sentence}"
        for name, verdict in verdicts.items()
        if verdict.outcome is metrics.Outcome.TRADE_OFF
    )


def _has_references(clips: Sequence[ClipEvaluation]) -> bool:
    return all(clip.has_reference for clip in clips)


def _only_some_have_references(clips: Sequence[ClipEvaluation]) -> bool:
    return len({clip.has_reference for clip in clips}) > 1


def _judge(
    clips: Sequence[ClipEvaluation], mean: Mapping[str, Measures], name: str, has_contrast: bool
) -> metrics.Verdict:
    """The verdict on a model against the first."""
    limits = {} if has_contrast else {"contrast_shift": math.inf}
    first = model_names(mean)[0]
    pairs = [(clip.measures[first], clip.measures[name]) for clip in clips]
    if not clips[0].has_reference:
        return metrics.verdict_without_reference(mean[first], mean[name], pairs, **limits)
    return metrics.verdict(mean[first], mean[name], mean[INPUT]["psnr"], clips=pairs, **limits)


def _against_input(mean: Mapping[str, Measures]) -> str:
    names = model_names(mean)
    first, last = mean[names[0]], mean[names[-1]]
    if len(names) == 1 or math.isnan(first["flicker"]):
        return f"{names[0]} has flicker {_flicker(first)}, the input {_flicker(mean[INPUT])}"
    return (
        f"from {names[0]} to {names[-1]}, flicker changes from {_flicker(first)} to "
        f"{_flicker(last)}"
    )


def _flicker(measures: Measures) -> str:
    value = measures["flicker"]
    return "of unknown size" if math.isnan(value) else f"{MEASURES['flicker'].text(value)} %"
