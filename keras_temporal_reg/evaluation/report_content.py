"""Turn what was measured into the content of the report page."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from keras_temporal_reg import tasks
from keras_temporal_reg.evaluation import conclusions, report
from keras_temporal_reg.evaluation.clip_evaluator import (
    INPUT,
    REFERENCE,
    ClipEvaluation,
    model_names,
)
from keras_temporal_reg.evaluation.previews import MAX_FRAMES, Previews
from keras_temporal_reg.metrics import MEASURES

if TYPE_CHECKING:
    from keras_temporal_reg.evaluation.api import Evaluation

_PLOTS = {"Flicker, % of contrast": "flicker", "Fast error": "fast_error", "PSNR, dB": "psnr"}
_FLICKER_MAP = (
    "Flicker at each pixel, in % of the contrast of the result; 0 where motion is unknown."
)
_FAST_ERROR_MAP = "Root mean square over time of the high-pass filtered error."


def whole_report(
    result: Evaluation, sections: Sequence[report.ClipSection], task: tasks.Task, command: str
) -> report.Report:
    """Make the content of the page.

    Args:
        result: of the evaluation.
        sections: one per clip, as from `clip_section`.
        task: the task.
        command: how the evaluation was started.
    """
    verdict = result.verdict
    found = result.summary
    if verdict is not None:
        found = conclusions.describe(verdict, result.excess_removed, model_names(result.mean))
    return report.Report(
        title="Temporal stability of " + ", ".join(model_names(result.mean)),
        verdict=found,
        next_step="" if verdict is None else verdict.next_step,
        outcome="not_judged" if verdict is None else verdict.outcome.value,
        warnings=result.warnings,
        measures=[*MEASURES.values()],
        mean=_table(result.mean, task),
        clips=sections,
        baselines=[_label(INPUT, task), REFERENCE],
        command=command,
        facts={
            **result.versions,
            "task": str(result.settings["task"]),
            "flow": str(result.settings["flow"]),
            "sigma": f"{result.settings['sigma']:g} frames",
        },
    )


def clip_section(clip: ClipEvaluation, previews: Previews, task: tasks.Task) -> report.ClipSection:
    """Make the content of the page on one clip.

    Args:
        clip: what was measured.
        previews: what to show of it, complete.
        task: the task.
    """
    column = previews.column_of_most_flicker(model_names(clip.measures)[0])
    has_flicker = any(not math.isnan(values["flicker"]) for values in clip.measures.values())
    shown = min(clip.frames, MAX_FRAMES)
    notes = [f"Compared with {clip.reference}.", *clip.notes]
    if shown < clip.frames:
        notes.append(f"Players and slices show its first {shown} of {clip.frames} frames.")
    return report.ClipSection(
        name=clip.name,
        rate=clip.rate,
        frames=shown,
        panels=[
            report.Panel(
                label=_label(name, task),
                video=previews.video(name),
                slice=previews.slice(name, column),
                heat=previews.heat(name),
            )
            for name in previews.names
        ],
        heat_meaning=_FLICKER_MAP if has_flicker else _FAST_ERROR_MAP,
        rows=_table(clip.measures, task),
        per_frame={
            title: {_label(name, task): v[:shown] for name, v in clip.per_frame[key].items()}
            for title, key in _PLOTS.items()
            if clip.per_frame[key]
        },
        notes=notes,
    )


def _table(
    measures: Mapping[str, Mapping[str, float]], task: tasks.Task
) -> dict[str, dict[str, float]]:
    """Label to key to value, in the units of `MEASURES`."""
    return {
        _label(name, task): {key: MEASURES[key].in_unit(value) for key, value in values.items()}
        for name, values in measures.items()
    }


def _label(name: str, task: tasks.Task) -> str:
    """What the page calls a result: the input is shown as its baseline prediction."""
    if name != INPUT or task.baseline_name == tasks.restoration.baseline_name:
        return name
    return f"{INPUT} ({task.baseline_name})"
