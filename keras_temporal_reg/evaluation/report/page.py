"""The report: one HTML page with synchronized videos, measures, slices over time, flicker maps.

The page is a single file that makes no network request. Needs the extra ``video``.
"""

from __future__ import annotations

import base64
import dataclasses
import functools
import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from keras_temporal_reg.core import validation
from keras_temporal_reg.evaluation.report import plots
from keras_temporal_reg.io import atomic
from keras_temporal_reg.metrics import Measure

LINE_STYLES = 6  # that page.css knows
SPEEDS = {"1": "normal", "0.5": "1/2", "0.25": "1/4", "0.125": "1/8"}
FOLDER = Path(__file__).parent


class _Better(NamedTuple):
    arrow: str
    sentence: str


BETTER = {
    "lower": _Better("↓", "Lower is better."),
    "higher": _Better("↑", "Higher is better."),
    "nearer to 1": _Better("→ 1", "Nearer to 1 is better."),
    "": _Better("", ""),
}


@dataclasses.dataclass(frozen=True)
class Panel:
    """One video of a clip: the input, a result or the reference.

    Attributes:
        label: what it is.
        video: H.264 MP4; all panels of a clip have one frame count, frame rate and size.
        slice: ``(height, frames, 3)`` uint8, one column of pixels over time.
        heat: ``(height, width)``, at least 0: how much each pixel flickers.
    """

    label: str
    video: Path | None
    slice: np.ndarray | None
    heat: np.ndarray | None


@dataclasses.dataclass(frozen=True)
class ClipSection:
    """What the page shows of one clip.

    Attributes:
        name: of the clip.
        rate: frames per second.
        frames: of the videos.
        panels: side by side, in this order.
        rows: label of a result to key of a measure to value; NaN and missing values are a dash.
        per_frame: title of a plot, with its unit, to label to one value per frame.
        heat_meaning: what the numbers of the panels' `heat` are, as a sentence.
        notes: sentences below.
    """

    name: str
    rate: float
    frames: int
    panels: Sequence[Panel]
    rows: Mapping[str, Mapping[str, float]]
    per_frame: Mapping[str, Mapping[str, Sequence[float]]]
    heat_meaning: str = ""
    notes: Sequence[str] = ()


@dataclasses.dataclass(frozen=True)
class Report:
    """The content of the page.

    Attributes:
        title: of the page.
        verdict: one sentence.
        outcome: the verdict's outcome in lower case, which chooses its colour: ``"stabilized"``,
            ``"trade_off"``, ``"no_gain"``, ``"not_applicable"``, or ``"not_judged"``.
        warnings: sentences in boxes.
        measures: columns of the tables.
        mean: label of a result to key of a measure to the mean over clips.
        clips: one section each.
        command: the command that made it.
        facts: versions and settings, name to value.
        notes: sentences at the end.
        baselines: labels of results that are shown for comparison and never marked as the best.
        next_step: what to do next, as a sentence below the verdict.
    """

    title: str
    verdict: str
    outcome: str
    warnings: Sequence[str]
    measures: Sequence[Measure]
    mean: Mapping[str, Mapping[str, float]]
    clips: Sequence[ClipSection]
    command: str
    facts: Mapping[str, str]
    notes: Sequence[str] = ()
    baselines: Sequence[str] = ()
    next_step: str = ""


class Cell(NamedTuple):
    """A value of a table as text, and whether it is the best of its column."""

    text: str
    is_best: bool


def write(path: Path, report: Report) -> None:
    """Write the page; the file appears when it is complete.

    It is about 4/3 the size of its videos.

    Args:
        path: an ``.html`` file.
        report: what the page shows. Every string in it is escaped.

    Raises:
        ValueError: if a part of the report cannot be shown.
        OSError: if a video cannot be read, or the file cannot be written.
        ImportError: if a package of the extra ``video`` is missing.
    """
    _check(report)
    page = _render(report)
    with atomic.atomic_write(Path(path)) as temporary:
        # File names may hold bytes that are not UTF-8, which Python keeps as lone surrogates.
        temporary.write_text(page, encoding="utf-8", errors="replace")


def _check(report: Report) -> None:
    for measure in report.measures:
        validation.one_of(f"better of measure {measure.key}", measure.better, [*BETTER])
    for clip in report.clips:
        validation.whole_number(f"frames of clip {clip.name}", clip.frames, 1)
        if not (clip.rate > 0 and math.isfinite(clip.rate)):
            raise ValueError(
                f"rate of clip {clip.name} must be positive frames per second. "
                f"Received: {clip.rate}"
            )
        for panel in clip.panels:
            name = f"{panel.label} of clip {clip.name}"
            strip, heat = panel.slice, panel.heat
            if strip is not None and not (
                strip.dtype == np.uint8 and strip.ndim == 3 and strip.shape[2] == 3 and strip.size
            ):
                raise ValueError(
                    f"slice of {name} must be (height, frames, 3) uint8. "
                    f"Received: {strip.shape} {strip.dtype}"
                )
            if heat is not None and not (heat.ndim == 2 and heat.size):
                raise ValueError(
                    f"heat of {name} must be (height, width). Received: shape {heat.shape}"
                )


def _render(report: Report) -> str:
    try:
        import jinja2
    except ImportError as error:
        raise ImportError("reports need Jinja2: pip install keras-temporal-reg[video]") from error
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    script = (FOLDER / "page.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return environment.get_template("template.html.jinja").render(
        report=report,
        style=(FOLDER / "page.css").read_text(encoding="utf-8"),
        script=script,
        # The browser itself then refuses network requests, and any other script.
        policy=f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; "
        "img-src data:; media-src blob:; base-uri 'none'; form-action 'none'",
        better=BETTER,
        speeds=SPEEDS,
        line_styles=_line_styles(report),
        table_cells=functools.partial(_table_cells, report),
        aspect_ratio=_aspect_ratio,
        video_data=lambda panel: base64.b64encode(panel.video.read_bytes()).decode(),
        png=plots.png_url,
        plot_of=plots.line_plot,
        heat_maps_of=lambda clip: plots.heat_maps(
            {panel.label: panel.heat for panel in clip.panels if panel.heat is not None}
        ),
    )


def _line_styles(report: Report) -> dict[str, int]:
    """Label to the style of its lines, the same one all over the page."""
    labels: list[str] = []
    for clip in report.clips:
        labels += [panel.label for panel in clip.panels]
        for lines in (clip.rows, *clip.per_frame.values()):
            labels += lines
    labels += report.mean
    return {label: number % LINE_STYLES for number, label in enumerate(dict.fromkeys(labels))}


def _aspect_ratio(clip: ClipSection) -> str:
    """Room for the videos, which are loaded late."""
    height, width = next((p.heat.shape for p in clip.panels if p.heat is not None), (9, 16))
    return f"{width} / {height}"


def _table_cells(
    report: Report, rows: Mapping[str, Mapping[str, float]]
) -> Iterator[tuple[str, list[Cell]]]:
    """Label and cells of each row of a table."""
    candidates = {label: row for label, row in rows.items() if label not in report.baselines}
    best = {measure.key: _best(measure, candidates) for measure in report.measures}
    for label, row in rows.items():
        yield (
            label,
            [
                Cell(_text(row.get(m.key, math.nan), m.digits), label in best[m.key])
                for m in report.measures
            ],
        )


def _best(measure: Measure, rows: Mapping[str, Mapping[str, float]]) -> set[str]:
    """Labels of the best values as they are shown; none where all are equal."""
    values = {label: float(row.get(measure.key, math.nan)) for label, row in rows.items()}
    cost: dict[str, Any] = {
        "lower": lambda v: v,
        "higher": lambda v: -v,
        "nearer to 1": lambda v: abs(v - 1.0),
    }
    if measure.better not in cost:
        return set()
    costs = {
        label: round(cost[measure.better](value), measure.digits)
        for label, value in values.items()
        if not math.isnan(value)
    }
    if len({*costs.values()}) < 2:
        return set()
    return {label for label, value in costs.items() if value == min(costs.values())}


def _text(value: float, digits: int) -> str:
    if math.isnan(value):
        return plots.NO_VALUE
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    return f"{round(float(value), digits) + 0.0:.{digits}f}"  # + 0.0: no minus zero
