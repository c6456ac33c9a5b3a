"""Rows of an experiment in groups, and their statistics over seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from keras_temporal_reg import metrics
from keras_temporal_reg.experiments.configs import PLAIN, Run

# Without tOF, which needs an estimate of optical flow, and the error, which says what PSNR says.
MEASURES = tuple(key for key in metrics.MEASURES if key not in ("flow_difference", "error"))
BASELINE_PSNR = "baseline_psnr"
REFERENCE_FLICKER = "reference_flicker"
CONFIDENCE = 0.95
VALIDATION = "validation"  # the set of clips that strengths are chosen on

Row = Mapping[str, Any]


class Key(NamedTuple):
    """What the rows of a group have in common: a `Run` but for its seed."""

    method: str
    strength: float
    steps: int
    data: int

    @property
    def plain(self) -> Key:
        """The baseline to compare with."""
        return self._replace(method=PLAIN, strength=0.0)


class Scores(NamedTuple):
    """The measures of a run on some clips.

    Attributes:
        values: of each measure, those of the clips.
    """

    values: Mapping[str, Sequence[float]]

    def mean(self, measure: str) -> float:
        """The mean over the clips."""
        return float(np.mean(self.values[measure]))


Group = Mapping[int, Scores]  # by seed
Groups = Mapping[Key, Group]


class Estimate(NamedTuple):
    """A mean over seeds with its 95 % interval, by Student's t; one seed has no interval.

    Attributes:
        mean: of the values.
        margin: half of the interval's width.
        seeds: how many values there are.
    """

    mean: float
    margin: float
    seeds: int

    def __str__(self) -> str:
        return self.text(2)

    def text(self, digits: int, sign: str = "") -> str:
        """Mean and margin with so many digits after the point; ``"-"`` for NaN."""
        if math.isnan(self.mean):
            return "-"
        margin = f" ± {self.margin:.{digits}f}" if self.seeds > 1 else ""
        return f"{self.mean:{sign}.{digits}f}{margin}"

    def times(self, factor: float) -> Estimate:
        """The estimate in another unit."""
        return Estimate(factor * self.mean, factor * self.margin, self.seeds)

    @property
    def low(self) -> float:
        """The lower end of the interval."""
        return self.mean - self.margin

    @property
    def high(self) -> float:
        """The upper end of the interval."""
        return self.mean + self.margin


def estimate(values: Sequence[float]) -> Estimate:
    """The estimate from one value per seed."""
    from scipy.stats import t

    count = len(values)
    if count < 2:
        return Estimate(values[0] if count else math.nan, 0.0, count)
    error = float(np.std(values, ddof=1)) / math.sqrt(count)
    return Estimate(
        float(np.mean(values)), float(t.ppf((1 + CONFIDENCE) / 2, count - 1)) * error, count
    )


def sets_of(rows: Sequence[Row]) -> list[str]:
    """The sets of clips to test on, the main one first."""
    return [name for name in rows[0]["clips"] if name != VALIDATION] if rows else []


def group_rows(
    rows: Sequence[Row], clips: str, names: Sequence[str] | None = None
) -> dict[Key, dict[int, Scores]]:
    """What rows say about a set of clips, by method, strength, steps and data, and by seed.

    `names` are those of the clips to take; None: all of the set.
    """
    groups: dict[Key, dict[int, Scores]] = {}
    for row in rows:
        run = Run(*(row[name] for name in Run._fields))
        if clips in row["clips"]:
            found = row["clips"][clips]
            taken = [found[name] for name in (found if names is None else names)]
            groups.setdefault(Key(*run[:-1]), {})[run.seed] = _scores(taken)
    return groups


def _scores(clips: Sequence[Mapping[str, Any]]) -> Scores:
    return Scores(
        {
            key: [math.nan if clip[key] is None else float(clip[key]) for clip in clips]
            for key in (*MEASURES, BASELINE_PSNR, REFERENCE_FLICKER)
        }
    )


def joined(groups: Sequence[Group]) -> dict[int, Scores]:
    """Groups on different clips as one on all of these, of the seeds that all have."""
    seeds = sorted(set.intersection(*({*group} for group in groups)))
    return {seed: _joined([group[seed].values for group in groups]) for seed in seeds}


def _joined(several: Sequence[Mapping[str, Sequence[float]]]) -> Scores:
    return Scores({key: [v for values in several for v in values[key]] for key in several[0]})


def of_group(group: Group, key: str) -> Estimate:
    """A measure of a group."""
    return estimate([scores.mean(key) for scores in group.values()])


def difference(a: Group, b: Group, key: str) -> Estimate:
    """``a - b``, seed by seed."""
    return estimate([a[s].mean(key) - b[s].mean(key) for s in a if s in b])


def ratio(a: Group, b: Group, key: str) -> Estimate:
    """``a / b``, seed by seed."""
    return estimate([a[s].mean(key) / b[s].mean(key) for s in a if s in b])


def excess_removed(after: Group, before: Group) -> Estimate:
    """`metrics.excess_removed`, seed by seed."""
    return estimate(
        [
            metrics.excess_removed(
                before[s].values["flicker"],
                after[s].values["flicker"],
                after[s].values[REFERENCE_FLICKER],
            )
            for s in after
            if s in before
        ]
    )


def verdict(after: Group, before: Group) -> metrics.Verdict:
    """`metrics.verdict` on the means over seeds."""
    plain, steadied = (
        {key: of_group(group, key).mean for key in (*MEASURES, BASELINE_PSNR)}
        for group in (before, after)
    )
    return metrics.verdict(plain, steadied, plain[BASELINE_PSNR])


def main_key(groups: Groups) -> Key:
    """The baseline at the main length and the first data size, those of the first row."""
    return next(iter(groups)).plain


def strengths_of(
    groups: Groups, method: str, size: int | None = None, steps: int | None = None
) -> list[Key]:
    """A method at all of its strengths, the weakest first, at a data size and a length, by default
    those of the main key.
    """
    main = main_key(groups)
    at = (main.steps if steps is None else steps, main.data if size is None else size)
    return sorted(key for key in groups if key.method == method and (key.steps, key.data) == at)


def choose(validation: Groups, keys: Sequence[Key]) -> Key | None:
    """Which of these the validation clips favour.

    The steadiest of those that are stabilized; if none is, the weakest. None without one that has a
    baseline.
    """
    found = [key for key in keys if key.plain in validation]
    stabilized = [
        key for key in found if verdict(validation[key], validation[key.plain]).is_stabilized
    ]
    if stabilized:
        return min(stabilized, key=lambda key: of_group(validation[key], "flicker").mean)
    return min(found, key=lambda key: key.strength, default=None)
