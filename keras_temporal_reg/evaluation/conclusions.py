"""What the measures of an evaluation mean: the verdict, a summary and warnings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from keras_temporal_reg import metrics
from keras_temporal_reg.evaluation.clip_evaluator import INPUT, ClipEvaluation
from keras_temporal_reg.metrics import MEASURES
from keras_temporal_reg.metrics._verdict import TOLERANCE

_PSNR_WARNING = 0.1  # dB

Measures = Mapping[str, float]


def mean_over(clips: Sequence[ClipEvaluation]) -> dict[str, dict[str, float]]:
    """Name of a result to key of a measure to the mean over clips."""
    return {
        name: {
            key: float(np.mean([clip.measures[name][key] for clip in clips])) for key in MEASURES
        }
        for name in clips[0].measures
    }


def judge(mean: Mapping[str, Measures], has_reference: bool) -> metrics.Verdict | None:
    """The verdict on the last model against the first.

    Returns:
        None where there is one model only, or no reference.
    """
    first, *others = (measures for name, measures in mean.items() if name != INPUT)
    if not others or not has_reference:
        return None
    return metrics.verdict(first, others[-1], mean[INPUT]["psnr"])


def summarize(
    mean: Mapping[str, Measures],
    has_reference: bool,
    verdict: metrics.Verdict | None,
    baseline_name: str,
) -> str:
    """A sentence on what was found: the verdict where there is one, else the main measures."""
    if verdict is not None:
        return verdict.sentence
    names = [name for name in mean if name != INPUT]
    baseline, first, last = mean[INPUT], mean[names[0]], mean[names[-1]]
    if has_reference:
        return (
            f"{names[0]}: temporal error {first['temporal_error']:.3f} and PSNR "
            f"{first['psnr']:.2f} dB; the baseline prediction, {baseline_name}, has "
            f"{baseline['temporal_error']:.3f} and {baseline['psnr']:.2f} dB."
        )
    error = MEASURES["warping_error"]
    before, after, of_input = (
        error.text(measures[error.key]) for measures in (first, last, baseline)
    )
    if len(names) == 1:
        return (
            f"NOT JUDGED, since no reference was given: the warping error of {names[0]} is "
            f"{before}, that of the input {of_input} (in {error.unit})."
        )
    return (
        f"NOT JUDGED, since no reference was given: from {names[0]} to {names[-1]} the warping "
        f"error changes from {before} to {after} (in {error.unit}), and contrast from "
        f"{first['contrast_ratio']:.2f} to {last['contrast_ratio']:.2f} of the input's."
    )


def warn_of_losses(mean: Mapping[str, Measures], has_reference: bool) -> tuple[str, ...]:
    """A sentence on each model that is smoother than the first at the price of something else."""
    names = [name for name in mean if name != INPUT]
    before, warnings = mean[names[0]], []
    for name in names[1:]:
        after = mean[name]
        if not after["smoothness"] > before["smoothness"]:
            continue
        if after["contrast_ratio"] < before["contrast_ratio"] - TOLERANCE:
            warnings.append(
                f"{name} is smoother than {names[0]} (S {before['smoothness']:.2f} -> "
                f"{after['smoothness']:.2f}), but has less contrast "
                f"({before['contrast_ratio']:.2f} -> {after['contrast_ratio']:.2f}), which alone "
                "raises S. Compare S x C and temporal error."
            )
        if has_reference and after["psnr"] < before["psnr"] - _PSNR_WARNING:
            warnings.append(
                f"{name} is smoother than {names[0]}, but loses "
                f"{before['psnr'] - after['psnr']:.2f} dB of PSNR: look for blur."
            )
    return tuple(warnings)
