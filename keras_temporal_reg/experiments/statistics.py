"""Rows of an experiment in groups, and their statistics over seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from keras_temporal_reg import metrics

# Without tOF, which needs an estimate of optical flow, and the error, which says what PSNR says.
MEASURES = tuple(key for key in metrics.MEASURES if key not in ("flow_difference", "error"))
BASELINE_PSNR = "baseline_psnr"

Row = Mapping[str, Any]
Group = Mapping[int, Row]  # rows of one method, alpha and data size, by seed
Groups = Mapping[tuple[str, float, int], Group]


class Estimate(NamedTuple):
    """Mean and sample standard deviation over seeds; the latter is 0 for one seed."""

    mean: float
    spread: float
    seeds: int

    def __str__(self) -> str:
        return self.text(3)

    def text(self, digits: int) -> str:
        """Mean and spread with so many digits after the point; ``"-"`` for NaN."""
        if math.isnan(self.mean):
            return "-"
        spread = f" +- {self.spread:.{digits}f}" if self.seeds > 1 else ""
        return f"{self.mean:.{digits}f}{spread}"

    @property
    def is_positive(self) -> bool:
        """Whether the mean is above 0 by more than the spread."""
        return self.mean > self.spread


def estimate(values: Sequence[float]) -> Estimate:
    """Mean and spread of one value per seed."""
    mean = float(np.mean(values)) if values else math.nan
    spread = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
    return Estimate(mean, spread, len(values))


def group_rows(rows: Sequence[Row]) -> dict[tuple[str, float, int], dict[int, Row]]:
    """Rows by method, alpha and data size, and there by seed."""
    groups: dict[tuple[str, float, int], dict[int, Row]] = {}
    for row in rows:
        groups.setdefault((row["method"], row["alpha"], row["data"]), {})[row["seed"]] = row
    return groups


def number(row: Row, key: str) -> float:
    """A number of a row; NaN where the row has null, as JSON stores NaN, or was made before the
    measure was.
    """
    value = row.get(key)
    return math.nan if value is None else float(value)


def of_group(group: Group, key: str, unit: float = 1.0) -> Estimate:
    """A measure of a group, times `unit`."""
    return estimate([unit * number(row, key) for row in group.values()])


def difference(a: Group, b: Group, key: str) -> Estimate:
    """``a - b``, seed by seed."""
    return estimate([number(a[s], key) - number(b[s], key) for s in a if s in b])


def ratio(a: Group, b: Group, key: str) -> Estimate:
    """``a / b``, seed by seed."""
    return estimate([number(a[s], key) / number(b[s], key) for s in a if s in b])


def of_method(groups: Groups, method: str) -> dict[float, Group]:
    """Groups of one method by alpha."""
    return {alpha: group for (name, alpha, _), group in sorted(groups.items()) if name == method}


def first_of(groups: Groups, method: str) -> Group | None:
    """The group of a method that has no alpha."""
    return next(iter(of_method(groups, method).values()), None)


def is_stabilized(group: Group, plain: Group) -> bool:
    """Whether the means over seeds are stabilized by the rule of `metrics.verdict`."""
    before, after = (
        {key: of_group(each, key).mean for key in (*MEASURES, BASELINE_PSNR)}
        for each in (plain, group)
    )
    return metrics.verdict(before, after, before[BASELINE_PSNR]).is_stabilized


def steadiness(groups: Groups) -> str:
    """The key of the measure that tells how steady groups are: flicker, where all have it."""
    has_flicker = all(not math.isnan(of_group(group, "flicker").mean) for group in groups.values())
    return "flicker" if has_flicker else "temporal_error"


def best_alpha(groups: Groups, method: str, plain: Group) -> tuple[float, Group] | None:
    """The steadiest alpha, of those that are stabilized if any are."""
    found = list(of_method(groups, method).items())
    stabilized = [(alpha, group) for alpha, group in found if is_stabilized(group, plain)]
    key = steadiness(groups)
    return min(stabilized or found, key=lambda each: of_group(each[1], key).mean, default=None)
