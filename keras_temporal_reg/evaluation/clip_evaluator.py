"""Measure networks on one clip, in one pass, in memory that does not grow with its length."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any

import numpy as np

from keras_temporal_reg.evaluation import inference
from keras_temporal_reg.evaluation.clips import EvaluationClip
from keras_temporal_reg.evaluation.config import EvaluationConfig
from keras_temporal_reg.evaluation.previews import Previews
from keras_temporal_reg.evaluation.result_measures import (
    DecodedFrames,
    Motion,
    ResultMeasures,
    Truth,
)
from keras_temporal_reg.io import video

INPUT = "input"
REFERENCE = "reference"
FLOW_PAIRS = 300  # pairs of neighbours per clip at which the motion is estimated
TOF_PAIRS = 25  # those at which the flow of each result is, for tOF, which takes longer
_PERFECT_PSNR = 45.0  # dB of a baseline prediction that leaves nothing to predict
_NAMED_CUTS = 5  # in the note of a clip
_SCENE = "scene"
_FLAT = 1 / 255  # range of the values of frames that show nothing


@dataclasses.dataclass(frozen=True)
class ClipEvaluation:
    """The measures of one clip.

    Attributes:
        name: of the clip.
        frames: number of frames measured.
        size: height and width of the clip's frames, in pixels.
        rate: frames per second.
        measures: name of a result (``"input"``, each model, and ``"reference"`` where there is
            one) to key of a measure to value. Of the reference, only flicker, the floor, and
            warping error are measured; the others are NaN.
        per_frame: key to name of a result to one value per frame: ``"flicker"``, of the frame with
            the frame before, in % of contrast, NaN where the two were not compared;
            ``"fast_error"``, the root mean square of hp(p - v); and ``"psnr"``, in dB.
        reference: what the results were compared with, as a phrase.
        notes: sentences for the user.
        is_complete: False where the clip is damaged or ended too early; what can be read was
            measured.
        has_reference: False where the results were compared with the input, or with those of the
            first model.
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
    has_reference: bool = True


def model_names(measures: Mapping[str, Any]) -> list[str]:
    """The names of results that are models: neither the input nor the reference."""
    return [name for name in measures if name not in (INPUT, REFERENCE)]


class ClipEvaluator:
    """Runs networks over one clip and measures their results. Serves one `run`.

    Three stages work at the same time, on chunks of frames: a thread reads a chunk, the networks
    run on the one before, and a third thread measures the results of the one before that.

    Args:
        clip: the clip.
        models: name to Keras model.
        config: how to run and measure them.
        previews: takes what the report shows. None: nothing is shown.
    """

    def __init__(
        self,
        clip: EvaluationClip,
        models: Mapping[str, Any],
        config: EvaluationConfig,
        previews: Previews | None = None,
    ) -> None:
        self.clip, self.models, self.config, self.previews = clip, models, config, previews
        # Without a reference, models are compared with the first, whose results are then y.
        self.original = next(iter(models)) if len(models) > 1 and not clip.has_reference else None
        is_compared = {INPUT: clip.has_reference, **dict.fromkeys(models, True)}
        if self.original is not None:
            is_compared[self.original] = False
        if clip.has_reference:
            is_compared[REFERENCE] = False
        self.results = {n: ResultMeasures(config.sigma, known) for n, known in is_compared.items()}
        self.notes = [*clip.notes]
        self.flow_step = self._choose_flow_step()
        self.count = 0  # frames measured
        self.cuts: list[int] = []  # frames that start a new shot
        self._cut_finder = video.CutFinder()
        self._last_images: dict[str, np.ndarray] = {}  # of the chunk before
        self._luma_range: tuple[float, float] | None = None  # shown as black and white

    def run(self, start: Callable[..., Callable[..., Any]]) -> ClipEvaluation:
        """Read, run and measure the clip.

        Args:
            start: starts a progress bar, as from `progress.bars`.

        Raises:
            ValueError: if a model does not fit the clip or the task, or the clip has fewer than 2
                frames.
        """
        broken = self._measure_all(start(self.clip.name, self.clip.count))
        if self.count < 2:
            raise broken or video.ClipError(
                f"clip {self.clip.name} must have at least 2 frames. Received: {self.count}"
            )
        if broken is not None:
            reason = str(broken)
            self.notes.append(
                f"{reason[0].upper()}{reason[1:]}; the frames that can be read were measured."
            )
        return self._evaluation(is_complete=broken is None)

    def _choose_flow_step(self) -> int:
        """The distance between pairs of neighbours at which flow is estimated."""
        is_estimated = self.clip.motion is None and self.config.flow_method != "none"
        if not is_estimated:
            return 1
        step = self._pairs_apart(FLOW_PAIRS)
        if step > 1:
            self.notes.append(
                f"Flow was estimated at one pair of neighbours in {step}, about {FLOW_PAIRS} in "
                "all."
            )
        return step

    def _measure_all(self, advance: Callable[[int], Any]) -> video.BrokenClip | None:
        """Measure frame by frame; return the error where the clip ends too early."""
        runners: dict[str, inference.FrameRunner] = {}
        broken = None
        with (
            ThreadPoolExecutor(1) as measuring,
            ThreadPoolExecutor(2) as pool,
            contextlib.closing(video.prefetch(self._chunks())) as chunks,
        ):
            measured: Future[None] = measuring.submit(lambda: None)
            try:
                for x, targets in chunks:
                    runners = runners or self._runners(x)
                    predictions = {name: run(x) for name, run in runners.items()}
                    measured.result()
                    measured = measuring.submit(self._measure, x, targets, predictions, pool)
                    advance(len(x))
            except video.BrokenClip as error:
                broken = error
            measured.result()
        return broken

    def _chunks(self) -> Iterator[tuple[np.ndarray, list[np.ndarray | None]]]:
        frames = self.clip.frames(note=self.notes.append)
        for chunk in video.chunks(frames, math.prod(self.clip.size)):
            yield np.stack([x for x, _ in chunk]).astype(np.float32), [y for _, y in chunk]

    def _runners(self, x: np.ndarray) -> dict[str, inference.FrameRunner]:
        config, runners = self.config, {}
        height, width, channels = x.shape[1:]
        for name, model in self.models.items():
            try:
                values = config.value_range_of(name)
                run = inference.runner(model, height, width, channels, config.memory, values)
            except ValueError as error:
                raise ValueError(f"model {name} cannot run on {self.clip.name}: {error}") from error
            if run.scale != config.task.scale:
                raise ValueError(
                    f"model {name} returns {run.scale} times the size of its input, but the task "
                    f"{config.task.name} needs {config.task.scale} times; "
                    "see --task super-resolution, super-resolution-3 and -4"
                )
            if run.note:
                self.notes.append(f"{name} {run.note}.")
            runners[name] = run
        return runners

    def _measure(
        self,
        x: np.ndarray,
        targets: list[np.ndarray | None],
        predictions: Mapping[str, np.ndarray],
        pool: Executor,
    ) -> None:
        """Measure the results of the next chunk, several at the same time."""
        baseline = np.asarray(self.config.task.baseline(x), np.float32)
        outputs = {INPUT: baseline, **predictions}
        if self.clip.has_reference:
            outputs[REFERENCE] = np.stack(targets)  # type: ignore[arg-type]
        self._check_shapes(predictions, outputs.get(REFERENCE, baseline))
        decode = functools.partial(self._decode, x)
        decoded = dict(zip(outputs, pool.map(decode, outputs, outputs.values())))
        scene = decoded[REFERENCE] if self.clip.has_reference else self._shown_input(x, decoded)
        self._last_images = {name: frames.shown[-1] for name, frames in decoded.items()}
        self._last_images[_SCENE] = scene.shown[-1]
        truth = self._truth(outputs, decoded, scene, pool)
        updates = [
            pool.submit(result.update, outputs[name], decoded[name], truth)
            for name, result in self.results.items()
        ]
        if self.previews is not None:
            for name, frames in decoded.items():
                self.previews.add(name, frames.shown)
        for update in updates:
            update.result()
        self.count += len(x)

    def _check_shapes(self, predictions: Mapping[str, np.ndarray], target: np.ndarray) -> None:
        for name, prediction in predictions.items():
            if prediction.shape != target.shape:
                raise ValueError(
                    f"model {name} must return {target.shape[-1]} channels for the task "
                    f"{self.config.task.name}. Received: {prediction.shape[-1]}"
                )

    def _decode(self, x: np.ndarray, name: str, output: np.ndarray) -> DecodedFrames:
        return DecodedFrames(self.config.task.decode(x, output), self._last_images.get(name))

    def _shown_input(self, x: np.ndarray, decoded: Mapping[str, DecodedFrames]) -> DecodedFrames:
        """What the scene looks like where there is no reference: the baseline prediction as RGB.

        One that shows nothing, as of tasks whose result is no picture of the scene (classes,
        depth), has no motion; then x itself is shown.
        """
        shown = decoded[INPUT]
        if np.ptp(shown.images) > _FLAT:
            return shown
        luma = x.mean(axis=-1, keepdims=True)
        if self._luma_range is None:  # of the first chunk, so that all are shown alike
            low, high = float(luma.min()), float(luma.max())
            self._luma_range = (0.0, 1.0) if 0.0 <= low and high <= 1.0 else (low, high)
        low, high = self._luma_range
        luma = (luma - low) / max(high - low, 1e-12)
        height, width = shown.images.shape[1:3]
        frames = [video.resize(frame, width, height) for frame in luma.repeat(3, axis=-1)]
        return DecodedFrames(np.stack(frames), self._last_images.get(_SCENE))

    def _truth(
        self,
        outputs: Mapping[str, np.ndarray],
        decoded: Mapping[str, DecodedFrames],
        scene: DecodedFrames,
        pool: Executor,
    ) -> Truth:
        """The target of a chunk, and the motion, the flow and the cuts of the scene."""
        compared_name = self.original or (REFERENCE if self.clip.has_reference else INPUT)
        target = outputs[compared_name]
        numbers = range(self.count, self.count + len(target))
        cuts = self._find_cuts(scene)
        sampled, compared = (
            [i for i, n in enumerate(numbers) if self._is_sampled(n, step) and i not in cuts]
            for step in (self.flow_step, self._pairs_apart(TOF_PAIRS))
        )
        if self.clip.motion is None:
            motion = scene.motion(sampled, self.config.flow_method, pool)
        else:
            ends = [i for i, n in enumerate(numbers) if n > 0]
            motion = Motion(ends, self.clip.motion[[numbers[i] - 1 for i in ends]])
        flows = dict(zip(compared, pool.map(scene.flow, compared)))
        return Truth(target, decoded[compared_name], motion, flows, cuts)

    def _find_cuts(self, scene: DecodedFrames) -> list[int]:
        """The frames of a chunk that start a new shot."""
        # A known motion leads from each frame to the next, so that there is no cut.
        if not self.config.find_cuts or self.clip.motion is not None:
            return []
        cuts = [i for i, image in enumerate(scene.images) if self._cut_finder.is_cut(image)]
        self.cuts += [self.count + i for i in cuts]
        return cuts

    def _pairs_apart(self, pairs: int) -> int:
        """The distance between so many pairs of neighbours; 1 for a clip of unknown length."""
        return max(math.ceil((self.clip.count or 0) / pairs), 1)

    def _is_sampled(self, number: int, step: int) -> bool:
        """Whether flow from the frame before to this one is estimated."""
        is_pair = number > 0 and number % step == 0
        return is_pair and self.config.flow_method != "none"

    def _evaluation(self, is_complete: bool) -> ClipEvaluation:
        measures = {name: result.result() for name, result in self.results.items()}
        compared = {name: result for name, result in self.results.items() if result.is_compared}
        reference, fast_errors = self.clip.reference, {}
        if self.original is None:
            fast_errors = {n: result.stability.fast_errors() for n, result in compared.items()}
        else:
            reference = f"the results of {self.original}, since no reference was given"
            for name in compared:  # what flickers less than they do differs from them
                measures[name]["temporal_error"] = math.nan
        if measures[INPUT]["psnr"] > _PERFECT_PSNR:
            self.notes.append(
                f"The baseline prediction, {self.config.task.baseline_name}, is already right (a "
                "grey clip?), so that contrast, structure and temporal error mean nothing."
            )
        if self.cuts:
            self.notes.append(_describe_cuts(self.cuts, self.count))
        if self.previews is not None:
            self.previews.flicker_maps = {
                name: np.nan_to_num(result.flicker.pixels())
                for name, result in self.results.items()
                if not math.isnan(measures[name]["flicker"])
            } or {name: pixels for name, (_, pixels) in fast_errors.items()}
        return ClipEvaluation(
            name=self.clip.name,
            frames=self.count,
            size=self.clip.size,
            rate=float(self.clip.rate),
            measures=measures,
            per_frame={
                "flicker": {n: result.frame_flicker() for n, result in self.results.items()},
                "fast_error": {name: frames.tolist() for name, (frames, _) in fast_errors.items()},
                "psnr": {name: result.stability.frame_psnr() for name, result in compared.items()},
            },
            reference=reference,
            has_reference=self.clip.has_reference,
            notes=tuple(self.notes),
            is_complete=is_complete,
        )


def _describe_cuts(cuts: Sequence[int], frames: int) -> str:
    """A sentence on where new shots start, in frames counted from 1."""
    if len(cuts) == frames - 1:
        return (
            f"All {frames} frames differ as at a cut, so that no two neighbours are compared: "
            "flicker cannot be measured."
        )
    named = [f"{cut + 1}" for cut in cuts[:_NAMED_CUTS]]
    if len(cuts) > _NAMED_CUTS:
        named.append(f"{len(cuts) - _NAMED_CUTS} more")
    places = f"{', '.join(named[:-1])} and {named[-1]}" if len(named) > 1 else named[0]
    count = "1 cut, at frame" if len(cuts) == 1 else f"{len(cuts)} cuts, at frames"
    return f"{count} {places}; frames are not compared across a cut."
