"""Measure networks on one clip, in one pass, in memory that does not grow with its length."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from keras_temporal_reg import metrics
from keras_temporal_reg.evaluation import clips as materials
from keras_temporal_reg.evaluation import inference
from keras_temporal_reg.evaluation import optical_flow as flow
from keras_temporal_reg.evaluation.report import page as report
from keras_temporal_reg.io import image_files, video
from keras_temporal_reg.tasks import _task as tasks

INPUT = "input"
REFERENCE = "reference"
FLOWS = (*flow.METHODS, "none")
NOTHING_TO_DO = 45.0  # dB that the trivial predictor has where there is nothing to predict
FLOW_PAIRS = 300  # of neighbours, of each clip, that flow is estimated at
SHOWN_FRAMES = 600  # of each clip, in the report
PREVIEW_CRF = 20  # of the report's players, against 16 of a clip to keep
SHOWN_WIDTH = 640  # pixels
_COLUMNS = 9  # of pixels that are kept over time, of which the report shows one

MEASURES = (
    report.Measure(
        "temporal_error",
        "Temporal error",
        "Change over time that the reference does not have, over the change that it has. 0 is "
        "perfect, 1 is what a frozen picture gets. It sinks towards 1 when a result fades.",
        "lower",
    ),
    report.Measure(
        "psnr", "PSNR, dB", "Likeness to the reference, frame by frame.", "higher", digits=2
    ),
    report.Measure(
        "ssim", "SSIM", "Structural similarity to the reference (Wang et al. 2004).", "higher"
    ),
    report.Measure(
        "smoothness",
        "Smoothness S",
        "Fast change of the reference over that of the result: above 1, smoother. Fading and "
        "blurring raise it, too, so read it beside the contrast ratio and PSNR.",
        "higher",
    ),
    report.Measure(
        "contrast_ratio",
        "Contrast C",
        "Spatial standard deviation of the result over that of the reference.",
        "nearer to 1",
    ),
    report.Measure(
        "relative_smoothness", "S x C", "Smoothness for the same amount of signal.", "higher"
    ),
    report.Measure(
        "structure",
        "Structure",
        "Correlation with the reference about the mean of each frame, whatever the contrast.",
        "higher",
    ),
    report.Measure(
        "warping_error",
        "Warping error",
        "Squared difference of neighbouring frames that their motion does not explain (Lai et "
        "al. 2018), of values in [0, 1], times 10^4.",
        "lower",
        digits=2,
    ),
    report.Measure(
        "flow_difference",
        "tOF, pixels",
        "Mean length of the difference between the optical flow of the reference and that of the "
        "result (Farneback).",
        "lower",
    ),
)
WARPING_UNIT = 1e4  # the report shows warping errors times this


@dataclasses.dataclass(frozen=True)
class ClipEvaluation:
    """What was measured on one clip.

    Attributes:
        name: of the clip.
        frames: how many were measured.
        size: height and width of the clip's frames, in pixels.
        rate: frames a second.
        measures: by name of the result (``"input"``, then each model) and of the measure.
        per_frame: ``"flicker"``, rms of hp(p - v), and ``"psnr"``, by name of the result.
        reference: what results were held against, in words.
        notes: what a reader should know, in sentences.
        is_complete: False where the clip broke off; what came before was measured.
    """

    name: str
    frames: int
    size: tuple[int, int]
    rate: float
    measures: Mapping[str, Mapping[str, float]]
    per_frame: Mapping[str, Mapping[str, Sequence[float]]]
    reference: str
    notes: tuple[str, ...]
    is_complete: bool = True


class _Shown:
    """Pictures of a chunk, and what is made of them where it is asked for."""

    def __init__(self, pictures_: np.ndarray, before: np.ndarray | None) -> None:
        self.pictures = pictures_
        self._before = pictures_[0] if before is None else before
        self._greys: dict[int, np.ndarray] = {}

    def grey(self, number: int) -> np.ndarray:
        """Luma of a frame, uint8; -1 is the one before the chunk."""
        if number not in self._greys:
            frame = self._before if number < 0 else self.pictures[number]
            self._greys[number] = flow.as_grey(image_files.to_uint8(frame))
        return self._greys[number]


class _Result:
    """What is gathered of one result, frame by frame."""

    def __init__(self, sigma: float) -> None:
        self.stability = metrics.Stability(sigma)
        self.warping = metrics.WarpingError()
        self.flow_difference = flow.FlowDifference()
        self.ssim = 0.0  # sum over the frames
        self.psnr: list[float] = []

    def measures(self) -> dict[str, float]:
        found = self.stability.result() if self.stability.frames else {}
        found["ssim"] = self.ssim / len(self.psnr) if self.psnr else math.nan
        found["warping_error"] = self.warping.result()
        found["flow_difference"] = self.flow_difference.result()
        return {measure.key: found.get(measure.key, math.nan) for measure in MEASURES}


class Measuring:
    """One clip, on its way through the networks and the measures."""

    def __init__(
        self,
        material: materials.Material,
        networks: Mapping[str, Any],
        task: tasks.Task,
        values: tuple[float, float],
        flow_method: str,
        memory: float | None,
        sigma: float,
        previews: Path | None,
    ) -> None:
        self.material, self.networks, self.task = material, networks, task
        self.values = values
        self.flow_method, self.memory, self.previews = flow_method, memory, previews
        self.results = {name: _Result(sigma) for name in (INPUT, *networks)}
        self.count = 0
        self.notes = material.notes
        self.flow_step = 1
        if material.motion is None and flow_method != "none" and material.count is not None:
            self.flow_step = math.ceil(material.count / FLOW_PAIRS)
        if self.flow_step > 1:
            self.notes.append(
                f"Flow was estimated at one pair of neighbours in {self.flow_step}, about "
                f"{FLOW_PAIRS} in all."
            )
        self._last: dict[str, np.ndarray] = {}  # grey frames
        self._columns: dict[str, list[np.ndarray]] = {}
        self._previews: dict[str, Any] = {}

    def run(self, bar: Any) -> ClipEvaluation:
        """Read, run and measure; what was measured before a clip breaks off is kept."""
        runners: dict[str, Any] = {}
        advance = bar(self.material.name, self.material.count)
        pending: Future[None] | None = None
        if self.previews is not None:
            self.previews.mkdir()
        frames = video.prefetch(self._chunks())
        is_complete = True
        with (
            ThreadPoolExecutor(1) as turn,
            ThreadPoolExecutor(2) as pool,
            contextlib.ExitStack() as opened,
        ):
            try:
                for x, y in frames:
                    if not runners:
                        runners = self._runners(x)
                    made = {name: run(x) for name, run in runners.items()}
                    if pending is not None:
                        pending.result()
                    pending = turn.submit(self._measure, x, y, made, pool, opened)
                    advance(len(x))
                if pending is not None:
                    pending.result()
            except video.BrokenClip as error:
                if pending is not None:
                    pending.result()
                if self.count < 2:
                    raise
                is_complete = False
                reason = str(error)
                self.notes.append(
                    f"{reason[0].upper()}{reason[1:]}; what came before was measured."
                )
        if self.count < 2:
            raise video.ClipError(
                f"clip {self.material.name} must have at least 2 frames. Received: {self.count}"
            )
        results = {name: r.measures() for name, r in self.results.items()}
        if results[INPUT]["psnr"] > NOTHING_TO_DO:
            self.notes.append(
                f"{self.task.baseline_name.capitalize()} is right already (a grey clip?), so that "
                "contrast, structure and temporal error say nothing."
            )
        compared = {name: r for name, r in self.results.items() if r.stability.frames}
        flicker = {name: r.stability.flicker()[0].tolist() for name, r in compared.items()}
        psnr = {name: r.psnr for name, r in compared.items()}
        return ClipEvaluation(
            self.material.name,
            self.count,
            self.material.size,
            float(self.material.rate),
            results,
            {"flicker": flicker, "psnr": psnr},
            self.material.reference,
            tuple(self.notes),
            is_complete,
        )

    def _chunks(self) -> Iterator[tuple[np.ndarray, list[np.ndarray | None]]]:
        for chunk in video.chunks(self.material.frames(), math.prod(self.material.size)):
            yield np.stack([x for x, _ in chunk]).astype(np.float32), [y for _, y in chunk]

    def _runners(self, x: np.ndarray) -> dict[str, Any]:
        found = {}
        for name, model in self.networks.items():
            try:
                run = inference.runner(model, *x.shape[1:], memory=self.memory, value_range=self.values)
            except ValueError as error:
                raise ValueError(
                    f"model {name} cannot be run on {self.material.name}: {error}"
                ) from (error)
            if run.scale != self.task.scale:
                raise ValueError(
                    f"model {name} returns {run.scale} times the size of what it is given, and the "
                    f"task {self.task.name} asks for {self.task.scale} times; "
                    "see --task super-resolution, super-resolution-3 and -4"
                )
            if run.tiles > 1:
                self.notes.append(
                    f"{name} ran in {run.tiles} tiles of {run.tile[1]} x {run.tile[0]} pixels."
                )
            found[name] = run
        return found

    def _measure(
        self, x: np.ndarray, y: list[np.ndarray | None], made: dict, pool: Any, opened: Any
    ) -> None:
        floor = np.asarray(self.task.baseline(x), np.float32)
        truth = floor
        if self.material.has_reference:
            truth = np.stack([t for t in y if t is not None])
        for name, prediction in made.items():
            if prediction.shape != truth.shape:
                raise ValueError(
                    f"model {name} must return {truth.shape[-1]} channels for the task "
                    f"{self.task.name}. Received: {prediction.shape[-1]}"
                )
        made = {**made, INPUT: floor, REFERENCE: truth}

        def show(name: str) -> _Shown:
            return _Shown(self.task.decode(x, made[name]), self._last.get(name))

        apart = [name for name in made if name != REFERENCE or self.material.has_reference]
        shown = dict(zip(apart, pool.map(show, apart)))
        self._last = {name: of.pictures[-1] for name, of in shown.items()}
        shown.setdefault(REFERENCE, shown[INPUT])
        numbers = range(self.count, self.count + len(x))
        sampled = [i for i, number in enumerate(numbers) if self._is_sampled(number)]
        if self.material.motion is None:
            motions = dict(zip(sampled, pool.map(self._flow_and_mask(shown[INPUT]), sampled)))
        else:
            known = self.material.motion
            motions = {i: (known[n - 1], None) for i, n in enumerate(numbers) if n > 0}
        flows = dict(zip(sampled, pool.map(_farneback(shown[REFERENCE]), sampled)))
        done = [
            pool.submit(self._update, name, made[name], truth, shown, motions, flows)
            for name in self.results
        ]
        for name in apart:
            self._keep(name, shown[name].pictures, opened)
        for future in done:
            future.result()
        self.count += len(x)

    def _update(
        self,
        name: str,
        prediction: np.ndarray,
        truth: np.ndarray,
        shown: dict[str, _Shown],
        motions: dict[int, tuple],
        flows: dict[int, np.ndarray],
    ) -> None:
        """A result's next frames; motions and flows by number of the frame they lead to."""
        result, own = self.results[name], shown[name]
        for i, picture in enumerate(own.pictures):
            result.warping.update_state(picture, *motions.get(i, (None, None)))
        if name == INPUT and not self.material.has_reference:
            return  # it is what the others are held against
        result.stability.update_state(truth, prediction)
        result.psnr += [_decibel(float(np.square(p - t).mean())) for p, t in zip(prediction, truth)]
        for v, p in zip(shown[REFERENCE].pictures, own.pictures):
            result.ssim += flow.ssim(v, p)
        for i, true_flow in flows.items():
            result.flow_difference.update_state(true_flow, _farneback(own)(i))

    def _is_sampled(self, number: int) -> bool:
        """Whether flow is estimated from the frame before to this one."""
        return self.flow_method != "none" and number > 0 and number % self.flow_step == 0

    def _flow_and_mask(self, shown: _Shown) -> Callable[[int], tuple[np.ndarray, np.ndarray]]:
        def of(number: int) -> tuple[np.ndarray, np.ndarray]:
            before, grey = shown.grey(number - 1), shown.grey(number)
            forward = flow.estimate(before, grey, self.flow_method)
            backward = flow.estimate(grey, before, self.flow_method)
            return forward, flow.trusted(forward, backward)

        return of

    def _keep(self, name: str, frames: np.ndarray, opened: contextlib.ExitStack) -> None:
        """What the report shows of the first frames."""
        if self.previews is None:
            return
        columns = self._columns.setdefault(name, [])
        places = _places(frames.shape[2])
        for frame in image_files.to_uint8(frames[: max(SHOWN_FRAMES - len(columns), 0)]):
            columns.append(frame[:, places])
            if name not in self._previews:
                rate = self.material.rate.limit_denominator(60000)
                writer = video.writer(self._preview(name), rate, crf=PREVIEW_CRF)
                self._previews[name] = opened.enter_context(writer)
            height, width = _shown_size(*frame.shape[:2])
            self._previews[name](video.resize(frame, width, height))

    def _preview(self, name: str) -> Path:
        assert self.previews is not None
        number = [INPUT, *self.networks, REFERENCE].index(name)
        return self.previews / f"{number}.mp4"

    def section(self, measured: ClipEvaluation) -> report.ClipSection:
        """What the report shows of this clip."""
        maps = {
            name: result.stability.flicker()[1]
            for name, result in self.results.items()
            if result.stability.frames
        }
        # The column where the first network flickers most.
        first = maps[next(iter(self.networks))]
        column = int(first[:, _places(first.shape[1])].mean(axis=0).argmax())
        panels = []
        for name in (*self.results, REFERENCE):
            if name == REFERENCE and not self.material.has_reference:
                continue
            heat = maps.get(name)
            if heat is not None:
                size = _shown_size(*heat.shape)
                heat = video.resize(heat.astype(np.float32), size[1], size[0])
            panels.append(
                report.Panel(
                    label(name, self.task),
                    self._preview(name),
                    np.stack([c[:, column] for c in self._columns[name]], axis=1),
                    heat,
                )
            )
        shown = min(measured.frames, SHOWN_FRAMES)
        notes = [f"Held against {measured.reference}.", *measured.notes]
        if shown < measured.frames:
            notes.append(f"Players and slices show its first {shown} of {measured.frames} frames.")
        rows = {
            label(name, self.task): as_shown(measures)
            for name, measures in measured.measures.items()
        }
        plots = {"Flicker (rms of fast error)": "flicker", "PSNR, dB": "psnr"}
        per_frame = {
            title: {
                label(name, self.task): series[:shown]
                for name, series in measured.per_frame[key].items()
            }
            for title, key in plots.items()
        }
        return report.ClipSection(
            measured.name, measured.rate, shown, panels, rows, per_frame, notes
        )


def _farneback(shown: _Shown) -> Callable[[int], np.ndarray]:
    """The flow from the frame before to a frame of a chunk, by its number in it."""
    return lambda i: flow.estimate(shown.grey(i - 1), shown.grey(i), "farneback")


def _places(width: int) -> np.ndarray:
    """The columns that are kept over time."""
    return np.linspace(0, width - 1, _COLUMNS + 2)[1:-1].astype(int)


def _decibel(mean_squared_error: float) -> float:
    return math.inf if mean_squared_error == 0 else -10.0 * math.log10(mean_squared_error)


def _shown_size(height: int, width: int) -> tuple[int, int]:
    factor = min(1.0, SHOWN_WIDTH / width)
    return tuple(max(round(side * factor / 2) * 2, 2) for side in (height, width))  # type: ignore[return-value]


def label(name: str, task: tasks.Task) -> str:
    """What the report calls a result."""
    if name != INPUT or task.baseline_name == tasks.restoration.baseline_name:
        return name
    return f"{INPUT} ({task.baseline_name})"


def as_shown(measures: Mapping[str, float]) -> dict[str, float]:
    """Measures in the units of `MEASURES`."""
    return {**measures, "warping_error": measures["warping_error"] * WARPING_UNIT}
