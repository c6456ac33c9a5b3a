"""What the page draws: lines over the frames, maps of flicker, images as data URLs."""

from __future__ import annotations

import base64
import dataclasses
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

HEAT_MAP_SIDE = 480  # pixels of the longer side of a flicker map, at most
HEAT_MAP_QUANTILE = 0.999  # of the maps of a clip is the top of their scale: outliers do not count
NO_VALUE = "\u2013"


class PlotArea(NamedTuple):
    """Where the lines of a plot are drawn, in units of the drawing."""

    left: int = 48
    top: int = 8
    width: int = 384
    height: int = 168

    @property
    def right(self) -> int:
        return self.left + self.width

    @property
    def bottom(self) -> int:
        return self.top + self.height

    @property
    def total_width(self) -> int:
        return self.right + 8

    @property
    def total_height(self) -> int:
        return self.bottom + 36


AREA = PlotArea()


class Tick(NamedTuple):
    """A mark on an axis: its place in units of the drawing, and its text."""

    place: float
    text: str


class Line(NamedTuple):
    """One result over the frames: its label, SVG path, and values as text, comma-separated."""

    label: str
    path: str
    values: str


@dataclasses.dataclass(frozen=True)
class LinePlot:
    """A plot as the template draws it; without lines where no value is finite."""

    title: str
    description: str = ""
    frames: int = 0
    value_ticks: Sequence[Tick] = ()
    frame_ticks: Sequence[Tick] = ()
    lines: Sequence[Line] = ()
    area: PlotArea = AREA


@dataclasses.dataclass(frozen=True)
class HeatMaps:
    """The flicker maps of one clip, on one scale from 0 to `top`; images are data URLs."""

    images: Mapping[str, str]
    scale_bar: str
    top: float
    maximum: float


def line_plot(title: str, series: Mapping[str, Sequence[float]]) -> LinePlot:
    """Lay out lines over the frames.

    Args:
        title: of the plot, with its unit.
        series: label to one value per frame; NaN leaves a gap.
    """
    arrays = {label: np.asarray(values, np.float64) for label, values in series.items()}
    finite = np.concatenate([[], *(v[np.isfinite(v)] for v in arrays.values())])
    if not finite.size:
        return LinePlot(title)
    frames = max(len(values) for values in arrays.values())
    ticks = value_ticks(float(finite.min()), float(finite.max()))
    low, high = ticks[0], ticks[-1]

    def x(frame: float) -> float:
        return round(AREA.left + (frame + 0.5) / frames * AREA.width, 1)

    def y(value: float) -> float:
        return round(AREA.top + (high - value) / (high - low) * AREA.height, 1)

    return LinePlot(
        title,
        f"{title}, {frames} frames, of {', '.join(arrays)}; "
        f"{finite.min():.4g} to {finite.max():.4g}",
        frames,
        [Tick(y(value), text) for value, text in zip(ticks, tick_texts(ticks))],
        [Tick(x(frame), str(frame + 1)) for frame in frame_ticks(frames)],
        [
            Line(
                label,
                _svg_path((x(t), y(v)) if math.isfinite(v) else None for t, v in enumerate(values)),
                ",".join(f"{v:.4g}" if math.isfinite(v) else NO_VALUE for v in values),
            )
            for label, values in arrays.items()
        ],
    )


def value_ticks(low: float, high: float) -> list[float]:
    """Round values that enclose low to high, from 0 where that is not far."""
    locator = _ticker().MaxNLocator(nbins=5, steps=[1, 2, 5, 10], min_n_ticks=3)
    if 0 < low < 0.6 * high:
        low = 0.0
    if high <= low:  # a level line gets some room
        room = abs(low) * 0.1 or 1.0
        low, high = low - room, high + room
    ticks = [float(tick) for tick in locator.tick_values(low, high)]
    step = ticks[1] - ticks[0]
    # The locator may leave out an end, or go a step beyond it.
    while ticks[0] > low:
        ticks.insert(0, ticks[0] - step)
    while ticks[-1] < high:
        ticks.append(ticks[-1] + step)
    while ticks[1] <= low:
        del ticks[0]
    while ticks[-2] >= high:
        del ticks[-1]
    return ticks


def tick_texts(ticks: Sequence[float]) -> list[str]:
    """The ticks as text, all with the digits that tell neighbours apart."""
    digits = max(0, -math.floor(math.log10(ticks[1] - ticks[0]) + 1e-9))
    return [f"{tick:.{digits}f}" for tick in ticks]


def frame_ticks(count: int) -> list[int]:
    """Frames, counted from 0, whose numbers counted from 1 are 1 and round numbers."""
    locator = _ticker().MaxNLocator(nbins=8, steps=[1, 2, 5, 10], integer=True, min_n_ticks=1)
    numbers = [int(n) for n in locator.tick_values(0, count)]
    return [0, *(n - 1 for n in numbers if 1 < n <= count)]


def heat_maps(maps: Mapping[str, np.ndarray]) -> HeatMaps | None:
    """Colour flicker maps on one scale; None where there are none.

    Args:
        maps: label to ``(height, width)``, at least 0; NaN counts as 0.
    """
    if not maps:
        return None
    small = {label: _shrunk(np.nan_to_num(np.asarray(m, np.float64))) for label, m in maps.items()}
    values = np.concatenate([each.ravel() for each in small.values()])
    maximum = float(values.max())
    top = float(np.quantile(values, HEAT_MAP_QUANTILE)) or maximum
    images = {label: png_url(_coloured(each, top)) for label, each in small.items()}
    scale_bar = png_url(_coloured(np.linspace(0.0, 1.0, 256)[np.newaxis], 1.0))
    return HeatMaps(images, scale_bar, top, maximum)


def png_url(image: np.ndarray) -> str:
    """A data URL of an image, ``(height, width, 3)`` uint8 RGB."""
    try:
        from PIL import Image
    except ImportError as error:
        raise ImportError("reports need Pillow: pip install keras-temporal-reg[video]") from error
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image)).save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def _shrunk(heat: np.ndarray) -> np.ndarray:
    """Root mean squares over areas, so that the longer side is at most `HEAT_MAP_SIDE`."""
    import cv2

    step = max(heat.shape) / HEAT_MAP_SIDE
    if step <= 1:
        return heat
    size = [max(round(side / step), 1) for side in heat.shape]
    return np.sqrt(cv2.resize(heat**2, size[::-1], interpolation=cv2.INTER_AREA))


def _coloured(heat: np.ndarray, top: float) -> np.ndarray:
    """Values from 0 to `top` in the colours of "inferno", ``(height, width, 3)`` uint8 RGB."""
    import cv2

    share = np.clip(heat / top, 0.0, 1.0) if top > 0 else np.zeros(heat.shape)
    bgr = cv2.applyColorMap(np.rint(255 * share).astype(np.uint8), cv2.COLORMAP_INFERNO)
    return bgr[..., ::-1]


def _svg_path(points: Iterable[tuple[float, float] | None]) -> str:
    """A path through the points, with a gap where one is missing."""
    steps, pen_down = [], False
    for point in points:
        if point is not None:
            # A line of no length, so that a point between two gaps shows.
            steps.append(f"{'L' if pen_down else 'M'}{point[0]},{point[1]}")
            steps.append("" if pen_down else "h0")
        pen_down = point is not None
    return "".join(steps)


def _ticker() -> Any:
    try:
        from matplotlib import ticker
    except ImportError as error:
        raise ImportError(
            "reports need matplotlib: pip install keras-temporal-reg[video]"
        ) from error
    return ticker
