"""One page to judge a result by: videos in step, measures, slices over time, maps of flicker.

The page is a single HTML file that asks nothing of any network. Needs the extra ``video``.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import html
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_temporal_reg.core import validation
from keras_temporal_reg.io import atomic

BETTER = {
    "lower": ("↓", "Lower is better."),
    "higher": ("↑", "Higher is better."),
    "nearer to 1": ("→ 1", "Nearer to 1 is better."),
    "": ("", ""),
}
DASH = "\u2013"
LINES = 6  # kinds of lines that report.css knows
SPEEDS = {"1": "normal", "0.5": "1/2", "0.25": "1/4", "0.125": "1/8"}
HEAT_SIDE = 480  # pixels of a map of flicker, at most
HEAT_QUANTILE = 0.999  # of the maps of a clip is the top of their scale: a few pixels are outliers
# Thirteen colours of matplotlib's "inferno": their lightness rises evenly, from black.
HEAT_COLOURS = np.frombuffer(
    bytes.fromhex(
        "000004 110a30 320a5e 57106e 781c6d 9a2865 bc3754 d84c3e ed6925 f98e09 fbb61a f4df53 fcffa4"
    ),
    np.uint8,
).reshape(-1, 3)
# Of the plots, in units of their drawing: the area of the lines, and the whole.
LEFT, TOP, WIDE, HIGH = 48, 8, 384, 168
PLOT_SIZE = (LEFT + WIDE + 8, TOP + HIGH + 36)


@dataclasses.dataclass(frozen=True)
class Measure:
    """A column of the tables.

    Attributes:
        key: its name in the rows.
        title: its name for a person.
        meaning: one or two sentences, shown on hover, focus and tap.
        better: ``"lower"``, ``"higher"``, ``"nearer to 1"`` or ``""``.
        digits: after the point.
    """

    key: str
    title: str
    meaning: str
    better: str
    digits: int = 3


@dataclasses.dataclass(frozen=True)
class Panel:
    """One video of a clip, as the input or a result.

    Attributes:
        label: what it is.
        video: H.264 MP4, of one frame count, rate and size for all panels of a clip.
        slice: ``(height, frames, 3)`` uint8, one column of pixels over time.
        heat: ``(height, width)``, at least 0: where it flickers, as the root mean square over
            time of the high-passed error.
    """

    label: str
    video: Path | None
    slice: np.ndarray | None
    heat: np.ndarray | None


@dataclasses.dataclass(frozen=True)
class ClipSection:
    """What is shown of one clip.

    Attributes:
        name: of the clip.
        rate: frames a second.
        frames: of the videos.
        panels: side by side, in this order.
        rows: label of a result to key of a measure to value; NaN and what is missing is a dash.
        per_frame: title of a plot, with its unit, to label to one value a frame.
        notes: sentences below.
    """

    name: str
    rate: float
    frames: int
    panels: Sequence[Panel]
    rows: Mapping[str, Mapping[str, float]]
    per_frame: Mapping[str, Mapping[str, Sequence[float]]]
    notes: Sequence[str] = ()


@dataclasses.dataclass(frozen=True)
class Report:
    """All that the page says.

    Attributes:
        title: of the page.
        verdict: one sentence.
        good: whether it is good news; None: neither.
        warnings: sentences in boxes.
        measures: columns of the tables.
        mean: label of a result to key of a measure to the mean over clips.
        clips: one section each.
        command: the exact command that made it.
        facts: versions and settings, name to value.
        notes: sentences at the end.
        floors: labels of results that are shown to compare with, and never marked as the best.
    """

    title: str
    verdict: str
    good: bool | None
    warnings: Sequence[str]
    measures: Sequence[Measure]
    mean: Mapping[str, Mapping[str, float]]
    clips: Sequence[ClipSection]
    command: str
    facts: Mapping[str, str]
    notes: Sequence[str] = ()
    floors: Sequence[str] = ()


def write(path: Path, report: Report) -> None:
    """Write the page; the file appears when it is complete.

    It is about as large as 4/3 of its videos.

    Args:
        path: an ``.html`` file.
        report: what it says. No string in it is taken for HTML.

    Raises:
        ValueError: if a part of the report cannot be shown.
        OSError: if a video cannot be read, or the file not written.
        ImportError: if Pillow is not installed.
    """
    _check(report)
    page = _page(report)
    with atomic.atomic_write(Path(path)) as temporary:
        # Names of files may hold bytes that are no UTF-8, which Python keeps as lone surrogates.
        temporary.write_text(page, encoding="utf-8", errors="replace")


def _check(report: Report) -> None:
    for measure in report.measures:
        validation.one_of(f"better of measure {measure.key}", measure.better, [*BETTER])
    for clip in report.clips:
        validation.whole_number(f"frames of clip {clip.name}", clip.frames, 1)
        if not (clip.rate > 0 and math.isfinite(clip.rate)):
            raise ValueError(
                f"rate of clip {clip.name} must be positive frames a second. Received: {clip.rate}"
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


def _page(report: Report) -> str:
    folder = Path(__file__).parent
    style = (folder / "report.css").read_text(encoding="utf-8")
    script = (folder / "report.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    # The browser itself then refuses networks, and any script but this one.
    policy = (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; "
        "img-src data:; media-src blob:; base-uri 'none'; form-action 'none'"
    )
    kinds = _kinds(report)
    count = len(report.clips)
    return "\n".join(
        [
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light dark">',
            f"<title>{_text(report.title)}</title>\n<style>\n{style}</style>\n</head>\n<body>",
            f"<main>\n<h1>{_text(report.title)}</h1>",
            _verdict(report),
            *(_warning(warning) for warning in report.warnings),
            "<noscript><p>The videos need JavaScript; all else is here.</p></noscript>",
            f"<h2>Mean over {count} clip{'' if count == 1 else 's'}</h2>" if report.mean else "",
            _table(report, report.mean, kinds),
            _contents(report.clips) if count > 1 else "",
            *(_clip(number, clip, report, kinds) for number, clip in enumerate(report.clips)),
            _meanings(report.measures) if report.measures else "",
            _origin(report),
            _notes(report.notes),
            '</main>\n<div id="help" role="tooltip" hidden></div>',
            f"<script>{script}</script>\n</body>\n</html>\n",
        ]
    )


def _text(value: Any) -> str:
    return html.escape(str(value), quote=True)


def _name(value: Any) -> str:
    """A name given from outside, whose direction of writing is kept from what stands around it."""
    return f"<bdi>{_text(value)}</bdi>"


def _kinds(report: Report) -> dict[str, int]:
    """Label to the kind of its lines, the same one all over the page."""
    labels: list[str] = []
    for clip in report.clips:
        labels += [panel.label for panel in clip.panels]
        for lines in (clip.rows, *clip.per_frame.values()):
            labels += lines
    labels += report.mean
    return {label: number % LINES for number, label in enumerate(dict.fromkeys(labels))}


def _label(label: str, kinds: Mapping[str, int]) -> str:
    key = '<svg class="key" viewBox="0 0 24 8" aria-hidden="true"><path d="M1,4h22"/></svg>'
    return f'<span class="label line{kinds[label]}">{key}{_name(label)}</span>'


def _verdict(report: Report) -> str:
    kind = {True: "good", False: "bad", None: "neither"}[report.good]
    return f'<p class="verdict {kind}">{_text(report.verdict)}</p>'


def _warning(warning: str) -> str:
    return f'<p class="warning" role="note"><strong>Mind:</strong> {_text(warning)}</p>'


def _notes(notes: Sequence[str]) -> str:
    items = "".join(f"<li>{_text(note)}</li>" for note in notes)
    return f'<ul class="notes">{items}</ul>' if notes else ""


def _contents(clips: Sequence[ClipSection]) -> str:
    links = (f'<li><a href="#clip{n}">{_name(c.name)}</a></li>' for n, c in enumerate(clips))
    return f'<nav aria-label="Clips"><ul>{"".join(links)}</ul></nav>'


def _table(
    report: Report, rows: Mapping[str, Mapping[str, float]], kinds: Mapping[str, int]
) -> str:
    measures = report.measures
    if not (measures and rows):
        return ""
    heads = []
    for number, measure in enumerate(measures):
        arrow = f' <span aria-hidden="true">{BETTER[measure.better][0]}</span>'
        heads.append(
            f'<th scope="col"><button type="button" class="term" '
            f'aria-describedby="meaning{number}">{_text(measure.title)}{arrow}</button></th>'
        )
    candidates = {label: row for label, row in rows.items() if label not in report.floors}
    best = {measure.key: _best(measure, candidates) for measure in measures}
    body = []
    for label, row in rows.items():
        cells = []
        for measure in measures:
            shown = _number(row.get(measure.key, math.nan), measure.digits)
            if label in best[measure.key]:
                shown = f'<strong>{shown}</strong><span class="spoken"> (best)</span>'
            cells.append(f"<td>{shown}</td>")
        body.append(f'<tr><th scope="row">{_label(label, kinds)}</th>{"".join(cells)}</tr>')
    return (
        f'<div class="scroll"><table class="measures"><thead><tr><td></td>{"".join(heads)}</tr>'
        f"</thead><tbody>{''.join(body)}</tbody></table></div>"
    )


def _best(measure: Measure, rows: Mapping[str, Mapping[str, float]]) -> set[str]:
    """Labels of the best values as they are shown; none where all are equal."""
    values = {label: row.get(measure.key, math.nan) for label, row in rows.items()}
    values = {label: float(v) for label, v in values.items() if not math.isnan(v)}
    if measure.better == "" or not values:
        return set()
    cost = {
        "lower": lambda v: v,
        "higher": lambda v: -v,
        "nearer to 1": lambda v: abs(v - 1.0),
    }[measure.better]
    costs = {label: round(cost(v), measure.digits) for label, v in values.items()}
    if len({*costs.values()}) == 1:
        return set()
    return {label for label, c in costs.items() if c == min(costs.values())}


def _number(value: float, digits: int) -> str:
    if math.isnan(value):
        return DASH
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    return f"{round(float(value), digits) + 0.0:.{digits}f}"  # + 0.0: there is no minus zero


def _meanings(measures: Sequence[Measure]) -> str:
    items = (
        f'<dt>{_text(m.title)}</dt><dd id="meaning{number}">{_text(m.meaning)} '
        f"{BETTER[m.better][1]}</dd>"
        for number, m in enumerate(measures)
    )
    return f'<h2>What the measures mean</h2>\n<dl class="meanings">{"".join(items)}</dl>'


def _origin(report: Report) -> str:
    rows = "".join(
        f'<tr><th scope="row">{_text(name)}</th><td>{_text(value)}</td></tr>'
        for name, value in report.facts.items()
    )
    return (
        "<h2>How this page was made</h2>\n"
        f'<div class="command"><pre tabindex="0"><code>{_text(report.command)}</code></pre>'
        '<button type="button" class="copy">Copy</button></div>\n'
        f'<div class="scroll"><table class="facts"><tbody>{rows}</tbody></table></div>'
    )


def _clip(number: int, clip: ClipSection, report: Report, kinds: Mapping[str, int]) -> str:
    seconds = clip.frames / clip.rate
    strips = [(panel, panel.slice) for panel in clip.panels if panel.slice is not None]
    plots = [_plot(title, lines, kinds) for title, lines in clip.per_frame.items()]
    parts = [
        f'<section class="clip" id="clip{number}" aria-labelledby="name{number}" '
        f'data-rate="{float(clip.rate)!r}" data-frames="{clip.frames}">',
        f'<h2 id="name{number}">{_name(clip.name)}</h2>',
        f'<p class="quiet">{clip.frames} frames, {seconds:.2f} s at {clip.rate:.4g} frames a '
        "second.</p>",
        _players(number, clip, kinds),
        # Of a single clip, the mean says the same.
        _table(report, clip.rows, kinds) if len(report.clips) > 1 else "",
    ]
    if strips:
        parts += [
            "<h3>One column of pixels over time: time runs to the right</h3>",
            '<p class="quiet">What moves draws slanted lines, what stands still level ones; '
            "upright streaks are flicker.</p>",
            '<div class="panels">',
            *(_strip(panel.label, strip, kinds) for panel, strip in strips),
            "</div>",
        ]
    parts += [_heats(clip, kinds)]
    if plots:
        parts += ["<h3>Frame by frame</h3>", '<div class="plots">', *plots, "</div>"]
    return "\n".join([*parts, _notes(clip.notes), "</section>"])


def _players(number: int, clip: ClipSection, kinds: Mapping[str, int]) -> str:
    moving = any(panel.video is not None for panel in clip.panels)
    figures, sources = [], []
    # Videos are loaded late; room for them is kept from the start.
    shape = next((p.heat.shape for p in clip.panels if p.heat is not None), (9, 16))
    for place, panel in enumerate(clip.panels if moving else ()):
        source = f"video{number}-{place}"
        shown = '<p class="absent">no video</p>'
        if panel.video is not None:
            data = base64.b64encode(panel.video.read_bytes()).decode()
            sources.append(f'<script type="text/plain" id="{source}">{data}</script>')
            shown = (
                f'<video muted playsinline preload="auto" data-source="{source}" '
                f'style="aspect-ratio: {shape[1]} / {shape[0]}" '
                f'aria-label="{_text(panel.label)}"></video>'
            )
        caption = f"<figcaption>{_label(panel.label, kinds)}</figcaption>"
        figures.append(f"<figure>{caption}{shown}</figure>")
    speeds = "".join(f'<option value="{s}">{name}</option>' for s, name in SPEEDS.items())
    play = '<button type="button" class="play">Play</button>' if moving else ""
    speed = f'<label>speed <select class="speed">{speeds}</select></label>' if moving else ""
    keys = "Space plays and pauses; arrow keys step a frame." if moving else "Arrow keys step."
    return (
        f'<div class="players" tabindex="0" role="group" aria-label="Players. {keys}">\n'
        f'<div class="panels">{"".join(figures)}</div>\n'
        f'<div class="controls" title="{keys}">{play}'
        '<button type="button" class="back" aria-label="one frame back">◂</button>'
        '<button type="button" class="on" aria-label="one frame on">▸</button>'
        f'<input type="range" min="0" max="{clip.frames - 1}" step="1" value="0" '
        'aria-label="frame">'
        f'<span class="counter"></span>{speed}</div>\n{"".join(sources)}</div>'
    )


def _strip(label: str, strip: np.ndarray, kinds: Mapping[str, int]) -> str:
    frames = strip.shape[1]
    alt = f"One column of pixels over time: {label}"
    return (
        f"<figure><figcaption>{_label(label, kinds)}</figcaption>"
        f'<div class="strip" data-of="{frames}" style="--of: {frames}">'
        f'<img src="{_png(strip)}" alt="{_text(alt)}"><i class="marker"></i></div></figure>'
    )


def _heats(clip: ClipSection, kinds: Mapping[str, int]) -> str:
    heats = {
        place: _smaller(np.nan_to_num(np.asarray(panel.heat, np.float64)))
        for place, panel in enumerate(clip.panels)
        if panel.heat is not None
    }
    if not heats:
        return ""
    values = np.concatenate([heat.ravel() for heat in heats.values()])
    top, most = float(np.quantile(values, HEAT_QUANTILE)), float(values.max())
    top = top or most  # where next to nothing flickers
    figures = []
    for place, heat in heats.items():
        label = clip.panels[place].label
        figures.append(
            f"<figure><figcaption>{_label(label, kinds)}</figcaption>"
            f'<img class="heat" src="{_png(_coloured(heat, top))}" '
            f'alt="{_text(f"Where {label} flickers")}"></figure>'
        )
    bar = _png(_coloured(np.linspace(0.0, 1.0, 256)[np.newaxis], 1.0))
    return "\n".join(
        [
            "<h3>Where it flickers</h3>",
            '<p class="quiet">Root mean square over time of what changes from frame to frame and '
            f'should not. One scale for all: 0 <img class="bar" src="{bar}" alt=\'black to '
            f"light yellow'> {top:.3g} and above; the maximum is {most:.3g}.</p>",
            f'<div class="panels">{"".join(figures)}</div>',
        ]
    )


def _smaller(heat: np.ndarray) -> np.ndarray:
    """Means of squares of pixels, so that the longer side is no more than `HEAT_SIDE`."""
    step = -(-max(heat.shape) // HEAT_SIDE)
    if step == 1:
        return heat
    rows, columns = (np.arange(0, size, step) for size in heat.shape)
    sums = np.add.reduceat(np.add.reduceat(heat**2, rows, axis=0), columns, axis=1)
    heights, widths = (
        np.diff(np.append(edges, size)) for edges, size in zip((rows, columns), heat.shape)
    )
    return np.sqrt(sums / (heights[:, np.newaxis] * widths))


def _coloured(heat: np.ndarray, top: float) -> np.ndarray:
    """Values from 0 to `top` as uint8 RGB of `HEAT_COLOURS`."""
    share = np.clip(heat / top, 0.0, 1.0) if top > 0 else np.zeros(heat.shape)
    stops = np.linspace(0.0, 1.0, len(HEAT_COLOURS))
    channels = [np.interp(share, stops, HEAT_COLOURS[:, c]) for c in range(3)]
    return np.rint(np.stack(channels, -1)).astype(np.uint8)


def _png(picture: np.ndarray) -> str:
    try:
        from PIL import Image
    except ImportError as error:
        raise ImportError("reports need Pillow: pip install keras-temporal-reg[video]") from error
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(picture)).save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def _plot(title: str, lines: Mapping[str, Sequence[float]], kinds: Mapping[str, int]) -> str:
    series = {label: np.asarray(values, np.float64) for label, values in lines.items()}
    known = np.concatenate([[], *(v[np.isfinite(v)] for v in series.values())])
    caption = f"<figcaption>{_text(title)}</figcaption>"
    if not known.size:
        return f'<figure>{caption}<p class="absent">no values</p></figure>'
    count = max(len(values) for values in series.values())
    ticks, digits = _ticks(float(known.min()), float(known.max()))
    low, high = ticks[0], ticks[-1]

    def x(frame: float) -> float:
        return LEFT + (frame + 0.5) / count * WIDE

    def y(value: float) -> float:
        return TOP + (high - value) / (high - low) * HIGH

    bottom, right = TOP + HIGH, LEFT + WIDE
    drawn = []
    for tick in ticks:
        drawn.append(f'<path class="grid" d="M{LEFT},{y(tick):.1f}H{right}"/>')
        drawn.append(
            f'<text class="value" x="{LEFT - 6}" y="{y(tick) + 4:.1f}">{tick:.{digits}f}</text>'
        )
    for frame in _frame_ticks(count):
        drawn.append(f'<path class="grid" d="M{x(frame):.1f},{bottom}v4"/>')
        drawn.append(f'<text class="frame" x="{x(frame):.1f}" y="{bottom + 16}">{frame + 1}</text>')
    drawn.append(f'<text class="frame" x="{LEFT + WIDE / 2}" y="{bottom + 32}">frame</text>')
    drawn.append(
        f'<path class="marker" d="M{LEFT},{TOP}v{HIGH}" style="--of: {count}; --wide: {WIDE}px"/>'
    )
    legend = []
    for label, values in series.items():
        points = [(x(t), y(v)) if math.isfinite(v) else None for t, v in enumerate(values)]
        drawn.append(f'<path class="line line{kinds[label]}" d="{_path(points)}"/>')
        told = ",".join(f"{v:.4g}" if math.isfinite(v) else DASH for v in values)
        legend.append(
            f'<li>{_label(label, kinds)} <span class="now" data-values="{told}"></span></li>'
        )
    drawn.append(
        f'<rect class="area" data-of="{count}" x="{LEFT}" y="{TOP}" width="{WIDE}" '
        f'height="{HIGH}"/>'
    )
    alt = f"{title}, {count} frames, of {', '.join(series)}; {known.min():.4g} to {known.max():.4g}"
    width, height = PLOT_SIZE
    return (
        f'<figure>{caption}<svg class="plot" role="img" aria-label="{_text(alt)}" '
        f'viewBox="0 0 {width} {height}">{"".join(drawn)}</svg>'
        f'<ul class="legend">{"".join(legend)}</ul></figure>'
    )


def _path(points: Iterable[tuple[float, float] | None]) -> str:
    """Through the points; where one is missing the line has a gap."""
    steps, pen_down = [], False
    for point in points:
        if point is not None:
            # A line of no length, so that a point between two gaps shows.
            steps.append(f"{'L' if pen_down else 'M'}{point[0]:.1f},{point[1]:.1f}")
            steps.append("" if pen_down else "h0")
        pen_down = point is not None
    return "".join(steps)


def _ticks(low: float, high: float) -> tuple[list[float], int]:
    """Round values around low to high, from 0 where that is not far, and their digits."""
    if 0 < low < 0.6 * high:
        low = 0.0
    if high <= low:  # a level line: it gets some room
        room = abs(low) * 0.1 or 1.0
        low, high = low - room, high + room
    rough = (high - low) / 4
    power = math.floor(math.log10(rough))
    factor = next(f for f in (1, 2, 5, 10) if f * 10.0**power >= rough * (1 - 1e-9))
    step = factor * 10.0**power
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    digits = max(0, -power - (factor == 10))
    return [number * step for number in range(first, last + 1)], digits


def _frame_ticks(count: int) -> list[int]:
    """Numbers from 0 of the frames that people, who count from 1, call 1 and by round numbers."""
    sizes = (f * 10**p for p in range(9) for f in (1, 2, 5))
    step = next(size for size in sizes if count / size <= 8)
    return [0, *range(step - 1 if step > 2 else 2 * step - 1, count, step)]
