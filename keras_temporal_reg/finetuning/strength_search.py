"""Choose how strongly to steady a network: the best blend of fine-tunings, by evaluation alone.

Members are fine-tunings of one network: one without a regularizer, one for each regularizer. The
average of their weights is a network too, and lies in front of each of them in flicker and PSNR
(compare Wortsman et al., "Model soups", 2022). So the strength is chosen after training: blends
are evaluated on validation clips and judged by `metrics.verdict`.
"""

from __future__ import annotations

import functools
import itertools
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from tensorflow import keras

from keras_temporal_reg import metrics
from keras_temporal_reg.evaluation import inference
from keras_temporal_reg.finetuning import blending
from keras_temporal_reg.finetuning.choice import Choice, Trial, pareto_front
from keras_temporal_reg.finetuning.config import AUTO, MEMBER_ALPHA, PLAIN
from keras_temporal_reg.finetuning.validation_clips import ClipArrays
from keras_temporal_reg.metrics import _verdict as limits

ORIGINAL = "original"
_GRID = 3  # blends of the first round have weights in thirds
_FINE = (6, 12)  # those around the best one then in sixths and in twelfths
# Three quarters of each limit: the rest is a margin for clips that the search does not see.
_SHARE = 0.75
_LIMITS = {
    "psnr_drop": _SHARE * limits.PSNR_DROP,
    "structure_drop": _SHARE * limits.STRUCTURE_DROP,
    "detail_drop": _SHARE * limits.DETAIL_DROP,
    "contrast_shift": _SHARE * limits.CONTRAST_SHIFT,
}

Values = Sequence[np.ndarray]  # of a network's variables
Shares = tuple[float, ...]  # of the original and each member, with sum 1
Measures = Mapping[str, float]
Judge = Callable[[Measures, Measures, Sequence[tuple[Measures, Measures]]], metrics.Verdict]


class _Blends:
    """Evaluates blends on the validation clips, each once.

    Args:
        network: that the weights belong to; takes those of the blends.
        values: name to the values of the network's variables: `ORIGINAL`, then the members.
        clips: to evaluate on.
        judge: as in `search`.
        value_range: as in `ClipArrays.measures`.
        batches: inputs to re-estimate the statistics of BatchNormalization on.
        advance: called after each evaluation.
    """

    def __init__(
        self,
        network: keras.Model,
        values: Mapping[str, Values],
        clips: Sequence[ClipArrays],
        judge: Judge,
        value_range: float,
        batches: Iterable[Any] | None,
        advance: Callable[..., Any],
    ) -> None:
        self.network, self.values, self.clips = network, values, clips
        self.names = [*values]
        self.judge, self.value_range = judge, value_range
        self.batches, self.advance = batches, advance
        self.compared_with = PLAIN if PLAIN in values else ORIGINAL
        self.trials: dict[Shares, Trial] = {}
        self._measures: dict[Shares, list[dict[str, float]]] = {}
        self._runs = {
            size: inference.runner(network, *size) for size in {c.x.shape[1:] for c in clips}
        }

    def shares(self, weights: Mapping[str, float]) -> Shares:
        """The weights in the order of the networks, with zeros for those that it does not name."""
        return tuple(weights.get(name, 0.0) for name in self.names)

    def evaluate(self, shares: Shares) -> Trial:
        """The trial of a blend."""
        if shares not in self.trials:
            before, after = self._of(self.shares({self.compared_with: 1.0})), self._of(shares)
            verdict = self.judge(_mean(before), _mean(after), list(zip(before, after)))
            weights = {name: share for name, share in zip(self.names, shares) if share}
            outcome, sentence = verdict.outcome.value, verdict.sentence
            self.trials[shares] = Trial(weights, _mean(after), outcome, sentence)
            self.advance(1, "")
        return self.trials[shares]

    def _of(self, shares: Shares) -> list[dict[str, float]]:
        """The measures of each clip."""
        if shares not in self._measures:
            blending.assign(self.network, self.values, dict(zip(self.names, shares)), self.batches)
            self._measures[shares] = [
                clip.measures(self._runs[clip.x.shape[1:]](clip.x), self.value_range)
                for clip in self.clips
            ]
        return self._measures[shares]


def search(
    network: keras.Model,
    values: Mapping[str, Values],
    clips: Sequence[ClipArrays],
    baseline_psnr: float,
    *,
    strength: float | str = AUTO,
    alphas: Mapping[str, float] | None = None,
    value_range: float = 1.0,
    judge: Judge | None = None,
    batches: Iterable[Any] | None = None,
    advance: Callable[..., Any] = lambda *_: None,
) -> Choice:
    """Find the blend with the least flicker that `metrics.verdict` calls stabilized.

    Blends are judged by three quarters of the limits of `metrics.verdict`, against the plain
    fine-tuning where it is a member, else against the original. With a number for `strength`, the
    blend is the one on the Pareto front of flicker and PSNR with so much of the flicker taken away.

    Args:
        network: that the weights belong to; it has those of the choice afterwards, or the
            original's where none was found.
        values: name to the values of the network's variables: `ORIGINAL`, then the members.
        clips: to evaluate on, with motion.
        baseline_psnr: of the baseline prediction on them, in dB.
        strength: ``"auto"``, or in [0, 1].
        alphas: name of a member to its alpha. None: `MEMBER_ALPHA` but for the plain one.
        value_range: difference between the highest and the lowest value of y, for PSNR.
        judge: from the mean measures before and after, and those of each clip, to a verdict. None:
            `metrics.verdict` by three quarters of its limits.
        batches: inputs to re-estimate the statistics of BatchNormalization on.
        advance: called as ``advance(evaluations, note)``.

    Raises:
        ValueError: if no clip has flicker to measure, or the original's results have none and
            `strength` is a number.
    """
    started = time.monotonic()
    floors = [clip.floor for clip in clips]
    usable = [clip for clip, floor in zip(clips, floors) if not math.isnan(floor)]
    if not usable:
        raise ValueError(
            "the validation clips must have contrast and a motion that can be trusted. Received: "
            "none that has"
        )
    if judge is None:
        judge = _judge_by(baseline_psnr, _LIMITS if strength == AUTO else {})
    blends = _Blends(network, values, usable, judge, value_range, batches, advance)
    # Where a plain fine-tuning is a member, it takes the place of the original in blends.
    first = int(PLAIN in values)
    for shares in dict.fromkeys((blends.shares({ORIGINAL: 1.0}), *_grid(len(values), first))):
        blends.evaluate(shares)
    if strength == AUTO:
        for denominator in _FINE:
            center = _steadiest(blends) or blends.shares({blends.compared_with: 1.0})
            for shares in _around(center, denominator, first):
                blends.evaluate(shares)
        best = _steadiest(blends)
    else:
        best = _at_strength(blends, float(strength))
        blends.evaluate(best)
    trials = tuple(blends.trials.values())
    found = None if best is None else blends.trials[best]
    blending.assign(network, values, {ORIGINAL: 1.0} if found is None else found.weights, batches)
    return Choice(
        weights={} if found is None else found.weights,
        strength=None if strength == AUTO else float(strength),
        alpha=_mean_alpha({} if found is None else found.weights, alphas),
        reason=_reason(found, trials, strength, blends.compared_with),
        trials=trials,
        compared_with=blends.compared_with,
        floor=float(np.mean([floor for floor in floors if not math.isnan(floor)])),
        baseline_psnr=baseline_psnr,
        seconds=round(time.monotonic() - started, 1),
    )


def _judge_by(baseline_psnr: float, limits: Mapping[str, float]) -> Judge:
    def judge(before: Measures, after: Measures, clips: Sequence[Any]) -> metrics.Verdict:
        return metrics.verdict(before, after, baseline_psnr, clips=clips, **limits)

    return judge


def judge_without_reference(strength: float | str, has_contrast: bool = True) -> Judge:
    """For targets that are the results of the original: `metrics.verdict_without_reference`, by
    three quarters of its limits where the strength is to be found.

    Args:
        strength: as in `search`.
        has_contrast: that of the task.
    """
    share = _SHARE if strength == AUTO else 1.0
    return functools.partial(
        metrics.verdict_without_reference,
        most_change=share * limits.MOST_CHANGE,
        contrast_shift=share * limits.CONTRAST_SHIFT if has_contrast else math.inf,
    )


def evaluations(members: Sequence[str], strength: float | str = AUTO) -> int:
    """How many blends `search` evaluates of members with these names, at most."""
    first = int(PLAIN in members)
    count = len(members) + 1 - first
    grid = first + len(_grid(len(members) + 1, first))
    return grid + (len(_FINE) * count * (count - 1) if strength == AUTO else 1)


def _grid(networks: int, first: int) -> list[Shares]:
    """All blends of the networks from `first` on, with weights in steps of 1 / `_GRID`."""
    return [
        (*[0.0] * first, *(count / _GRID for count in counts))
        for counts in itertools.product(range(_GRID + 1), repeat=networks - first)
        if sum(counts) == _GRID
    ]


def _around(center: Shares, denominator: int, first: int) -> list[Shares]:
    """Blends with 1 / `denominator` moved between two of the networks from `first` on."""
    counts = [round(share * denominator) for share in center]
    found = []
    for source, target in itertools.permutations(range(first, len(center)), 2):
        moved = [*counts]
        moved[source] -= 1
        moved[target] += 1
        if moved[source] >= 0:
            found.append(tuple(count / denominator for count in moved))
    return found


def _steadiest(blends: _Blends) -> Shares | None:
    stabilized = [
        shares
        for shares, trial in blends.trials.items()
        if trial.outcome == metrics.Outcome.STABILIZED.value
    ]
    return min(stabilized, key=lambda s: blends.trials[s].measures["flicker"], default=None)


def _at_strength(blends: _Blends, strength: float) -> Shares:
    """Along the Pareto front: the blend with that share of the flicker taken away."""
    original = blends.trials[blends.shares({ORIGINAL: 1.0})]
    start = original.measures["flicker"]
    if math.isnan(start):
        raise ValueError(
            f"strength must be {AUTO!r} where the results of the original have no contrast, and so "
            f"no flicker to take away. Received: {strength:g}"
        )
    path = [original] + [
        trial for trial in pareto_front(blends.trials.values()) if trial.measures["flicker"] < start
    ]
    levels = [trial.measures["flicker"] for trial in path]
    wanted = (1.0 - strength) * start + strength * levels[-1]  # exact at 0 and at 1
    for a, b in itertools.pairwise(path):
        high, low = a.measures["flicker"], b.measures["flicker"]
        if low <= wanted:
            part = (high - wanted) / (high - low)
            first, second = (np.array(blends.shares(each.weights)) for each in (a, b))
            return tuple(((1.0 - part) * first + part * second).tolist())
    return blends.shares(path[-1].weights)


def _mean(measures: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {key: float(np.mean([each[key] for each in measures])) for key in measures[0]}


def _mean_alpha(weights: Mapping[str, float], alphas: Mapping[str, float] | None) -> float:
    if alphas is None:
        alphas = {name: MEMBER_ALPHA for name in weights if name not in (ORIGINAL, PLAIN)}
    return sum(weight * alphas.get(name, 0.0) for name, weight in weights.items())


def _reason(
    found: Trial | None, trials: Sequence[Trial], strength: float | str, compared_with: str
) -> str:
    if found is None:
        front = pareto_front(trials)
        steadiest = front[-1] if front else trials[0]
        return (
            f"None of {len(trials)} blends is stabilized against {compared_with}; the one with the "
            f"least flicker, {steadiest}: {steadiest.verdict}"
        )
    why = (
        f"the blend with the least flicker of {len(trials)} that is stabilized"
        if strength == AUTO
        else f"the blend at strength {strength:g}"
    )
    return f"{found} is {why}. Against {compared_with}: {found.verdict}"
