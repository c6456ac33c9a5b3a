"""The poster's claims, and goals past the paper, held against the rows of an experiment by written
rules."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from keras_temporal_reg.core import validation
from keras_temporal_reg.experiments.configs import (
    AUGMENTED,
    BEYOND,
    EXPERIMENTS,
    INVARIANCE,
    JACOBIAN,
    PLAIN,
    REGULARIZERS,
)
from keras_temporal_reg.metrics import _temporal as metrics

MEASURES = (
    "temporal_error",
    "psnr",
    "ssim",
    "smoothness",
    "contrast_ratio",
    "relative_smoothness",
    "structure",
    "warping_error",
)
# What the regularizers are to reach against each of the two baselines.
TEMPORAL_ERROR_AT_MOST = 0.92
RELATIVE_SMOOTHNESS_AT_LEAST = 1.05
SMALL = 8  # stills a clip up to which data are scarce
# The goals of what goes past the paper, against reconstruction only.
GOAL_TEMPORAL_ERROR, GOAL_RELATIVE_SMOOTHNESS = 0.80, 1.20
PSNR_TO_LOSE = 0.1  # dB, in super-resolution

Row = Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Claim:
    """A claim of the poster, and what became of it here.

    Attributes:
        claim: in the poster's words.
        rule: when it counts as holding here.
        measured: what was found, in numbers.
        verdict: ``"holds"``, ``"holds in part"``, ``"does not hold"`` or ``"not tested"``; other
            words where one seed gives no spread.
    """

    claim: str
    rule: str
    measured: str
    verdict: str


class _Compared(NamedTuple):
    """A measure of one group against that of another: mean and spread over their seeds."""

    mean: float
    spread: float
    seeds: int

    def __str__(self) -> str:
        return f"{self.mean:.3f}" + (f" +- {self.spread:.3f}" if self.seeds > 1 else "")

    @property
    def is_above_0(self) -> bool:
        """Beyond the spread over seeds."""
        return self.mean > self.spread


Groups = Mapping[tuple[str, float, int], Mapping[int, Row]]


def claims(experiment: str, rows: Sequence[Row]) -> list[Claim]:
    """The poster's claims that an experiment tests, judged by its rows alone.

    Differences are taken seed by seed; "beyond the spread" means a mean above the standard
    deviation over seeds. With one seed there is no spread, and the verdict says so.

    Args:
        experiment: one of `EXPERIMENTS`.
        rows: as in ``rows.json``.
    """
    validation.one_of("experiment", experiment, EXPERIMENTS)
    tested = {
        "small-data": [_boosts_small_data],
        "finetune": [_preserves_psnr, _is_less_sensitive],
        "super-resolution": [_is_steadier],
    }.get(experiment, [_is_steadier, _gains_psnr, _is_less_sensitive, _is_sometimes_better])
    return _of_so_many_seeds([judge(grouped(rows)) for judge in tested], rows)


def goals(experiment: str, rows: Sequence[Row]) -> list[Claim]:
    """What was to be reached past the paper, judged like `claims`; nothing for small data."""
    validation.one_of("experiment", experiment, EXPERIMENTS)
    tested = {"small-data": [], "super-resolution": [_costs_no_detail]}.get(
        experiment, [_goes_past]
    )
    return _of_so_many_seeds([judge(grouped(rows)) for judge in tested], rows)


def _of_so_many_seeds(judged: list[Claim], rows: Sequence[Row]) -> list[Claim]:
    if len({row["seed"] for row in rows}) > 1:
        return judged
    return [dataclasses.replace(c, verdict=_ONE_SEED.get(c.verdict, c.verdict)) for c in judged]


# What cannot be held against a spread over seeds is a hint and no more.
_ONE_SEED = {
    "holds": "one seed, which points that way",
    "holds in part": "one seed, which points that way in part",
    "does not hold": "one seed, which does not point that way",
}


def grouped(rows: Sequence[Row]) -> dict[tuple[str, float, int], dict[int, Row]]:
    """Rows by method, alpha and data size, and there by seed."""
    groups: dict[tuple[str, float, int], dict[int, Row]] = {}
    for row in rows:
        key = (row["method"], row["alpha"], row["data"])
        groups.setdefault(key, {})[row["seed"]] = row
    return groups


def mean_of(group: Mapping[int, Row], key: str) -> float:
    """Mean over the seeds of a group."""
    return float(np.mean([number_of(row[key]) for row in group.values()]))


def number_of(value: Any) -> float:
    """A number of a row; NaN where it has none."""
    return math.nan if value is None else float(value)  # JSON has null for NaN


def spread_of(values: Sequence[float]) -> float:
    """Standard deviation over seeds; 0 of one."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else 0.0


def _of_seeds(values: Sequence[float]) -> _Compared:
    mean = float(np.mean(values)) if values else math.nan
    return _Compared(mean, spread_of(values), len(values))


def _difference(a: Mapping[int, Row], b: Mapping[int, Row], key: str) -> _Compared:
    return _of_seeds([number_of(a[s][key]) - number_of(b[s][key]) for s in a if s in b])


def _ratio(a: Mapping[int, Row], b: Mapping[int, Row], key: str) -> _Compared:
    return _of_seeds([number_of(a[s][key]) / number_of(b[s][key]) for s in a if s in b])


def _counts(group: Mapping[int, Row], plain: Mapping[int, Row]) -> bool:
    """Whether the mean over seeds counts as stabilised."""
    before, after = (
        {key: mean_of(each, key) for key in (*MEASURES, "trivial_psnr")} for each in (plain, group)
    )
    return metrics.verdict(before, after, before["trivial_psnr"])[0]


def of_method(groups: Groups, method: str) -> dict[float, Mapping[int, Row]]:
    """Groups of one method by alpha."""
    return {alpha: group for (name, alpha, _), group in sorted(groups.items()) if name == method}


def _best(
    groups: Groups, method: str, plain: Mapping[int, Row]
) -> tuple[float, Mapping[int, Row]] | None:
    """The alpha with the lowest temporal error, of those that count as stabilised if any do."""
    found = [*of_method(groups, method).items()]
    counting = [(alpha, group) for alpha, group in found if _counts(group, plain)]
    return min(counting or found, key=lambda each: mean_of(each[1], "temporal_error"), default=None)


def _plain(groups: Groups) -> Mapping[int, Row] | None:
    return next(iter(of_method(groups, PLAIN).values()), None)


def _verdict(held: Sequence[bool]) -> str:
    if not held:
        return "not tested"
    return "holds" if all(held) else "holds in part" if any(held) else "does not hold"


def _is_steadier(groups: Groups) -> Claim:
    plain = _plain(groups)
    augmented = next(iter(of_method(groups, AUGMENTED).values()), None)
    held, words = [], []
    for method in (INVARIANCE, JACOBIAN):
        best = None if plain is None else _best(groups, method, plain)
        if plain is None or best is None:
            continue
        alpha, group = best
        counts = _counts(group, plain)
        fits = counts
        parts = []
        for name, other in ((PLAIN, plain), (AUGMENTED, augmented)):
            if other is None:
                continue
            error = _ratio(group, other, "temporal_error")
            steady = _ratio(group, other, "relative_smoothness")
            fits = (
                fits
                and error.mean <= TEMPORAL_ERROR_AT_MOST
                and 1.0 - error.mean > error.spread
                and steady.mean >= RELATIVE_SMOOTHNESS_AT_LEAST
                and steady.mean - 1.0 > steady.spread
            )
            parts.append(f"temporal error {error} and S x C {steady} times those of {name}")
        held.append(fits)
        counted = "counts as stabilised" if counts else "does not count as stabilised"
        words.append(f"{method} {alpha:g} {counted}, with {', '.join(parts)}")
    return Claim(
        "Our regularization provides a significant improvement in temporal stability.",
        "For each of the two formulations, at its best alpha: it counts as stabilised, its "
        f"temporal error is at most {TEMPORAL_ERROR_AT_MOST} times and its relative smoothness "
        f"S x C at least {RELATIVE_SMOOTHNESS_AT_LEAST} times that of reconstruction only and that "
        "of augmentation, beyond the spread over seeds.",
        "; ".join(words) or "no runs",
        _verdict(held),
    )


def _gains_psnr(groups: Groups) -> Claim:
    plain = _plain(groups)
    held, words = [], []
    for method in (INVARIANCE, JACOBIAN):
        if plain is None:
            continue
        gains = {
            alpha: _difference(group, plain, "psnr")
            for alpha, group in of_method(groups, method).items()
        }
        if not gains:
            continue
        alpha = max(gains, key=lambda a: gains[a].mean)
        held.append(gains[alpha].is_above_0)
        words.append(f"{method}, most at alpha {alpha:g}: {gains[alpha]} dB")
    return Claim(
        "... not only in temporal stability, but also in PSNR.",
        "For each of the two formulations: at some alpha PSNR is above that of reconstruction "
        "only, beyond the spread over seeds.",
        "; ".join(words) or "no runs",
        _verdict(held),
    )


def _range_over_alphas(groups: Groups, method: str, key: str) -> dict[int, float]:
    """For each seed, the largest minus the smallest value over the alphas."""
    by_alpha = [*of_method(groups, method).values()]
    if len(by_alpha) < 2:
        return {}
    seeds = set.intersection(*({*group} for group in by_alpha))
    values = {seed: [number_of(group[seed][key]) for group in by_alpha] for seed in seeds}
    return {seed: max(each) - min(each) for seed, each in values.items()}


def _is_less_sensitive(groups: Groups) -> Claim:
    held, words = [], []
    for key, name in (("psnr", "PSNR, dB"), ("contrast_ratio", "contrast ratio")):
        invariance, jacobian = (
            _range_over_alphas(groups, method, key) for method in (INVARIANCE, JACOBIAN)
        )
        seeds = sorted({*invariance} & {*jacobian})
        if not seeds:
            continue
        less = _of_seeds([invariance[seed] - jacobian[seed] for seed in seeds])
        held.append(less.is_above_0)
        ranges = (_of_seeds([each[seed] for seed in seeds]) for each in (jacobian, invariance))
        words.append(f"{name}: {' against '.join(map(str, ranges))}, less by {less}")
    return Claim(
        "The sparse Jacobian is less sensitive to the regularization strength.",
        "The range over alpha, largest minus smallest, of PSNR and of the contrast ratio is "
        "smaller for the sparse Jacobian than for transform invariance, beyond the spread over "
        "seeds.",
        "; ".join(words) or "needs two alphas of both formulations",
        _verdict(held),
    )


def _is_sometimes_better(groups: Groups) -> Claim:
    plain = _plain(groups)
    held, measured = [], "no runs"
    if plain is not None:
        invariance, jacobian = (_best(groups, method, plain) for method in (INVARIANCE, JACOBIAN))
        if invariance is not None and jacobian is not None:
            less = _difference(jacobian[1], invariance[1], "temporal_error")
            counts = [_counts(group, plain) for _, group in (invariance, jacobian)]
            # What was bought with detail or contrast is no better performance.
            held.append(less.is_above_0 and counts[0])
            words = ["counts" if each else "does not count" for each in counts]
            measured = (
                f"transform invariance {invariance[0]:g}, which {words[0]} as stabilised, has a "
                f"temporal error lower by {less} than the sparse Jacobian {jacobian[0]:g}, which "
                f"{words[1]}"
            )
    return Claim(
        "Transform invariance formulation can sometimes give better performance.",
        "At the best alpha of each, transform invariance counts as stabilised and its temporal "
        "error is below that of the sparse Jacobian, beyond the spread over seeds.",
        measured,
        _verdict(held),
    )


def _boosts_small_data(groups: Groups) -> Claim:
    held, words = [], []
    for size in sorted({key[2] for key in groups}):
        own = {key: group for key, group in groups.items() if key[2] == size}
        baselines = [g for name in (PLAIN, AUGMENTED) for g in of_method(own, name).values()]
        regularized = [
            (f"{name} {alpha:g}", group)
            for name in REGULARIZERS
            for alpha, group in of_method(own, name).items()
        ]
        if not baselines or not regularized:
            continue
        better = max(baselines, key=lambda group: mean_of(group, "psnr"))
        best, group = max(regularized, key=lambda each: mean_of(each[1], "psnr"))
        gain = _difference(group, better, "psnr")
        words.append(f"{size}: {gain} dB ({best})")
        if size <= SMALL:
            held.append(gain.is_above_0)
    return Claim(
        "For smaller datasets, the PSNR is also boosted.",
        f"With {SMALL} pictures a clip and fewer, the best regularizer's PSNR is above that of the "
        "better of reconstruction only and augmentation, beyond the spread over seeds.",
        "gain by pictures a clip: " + "; ".join(words) if words else "no runs",
        _verdict(held),
    )


def _preserves_psnr(groups: Groups) -> Claim:
    plain = _plain(groups)
    held, words = [], []
    for method in (INVARIANCE, JACOBIAN):
        fits: dict[float, bool] = {}
        for alpha, group in of_method(groups, method).items():
            if plain is None:
                continue
            error = _ratio(group, plain, "temporal_error")
            psnr = _difference(group, plain, "psnr")
            counts = _counts(group, plain)
            fits[alpha] = (
                counts and error.mean <= TEMPORAL_ERROR_AT_MOST and 1.0 - error.mean > error.spread
            )
            before, after = (mean_of(each, "contrast_ratio") for each in (plain, group))
            words.append(
                f"{method} {alpha:g} {'counts' if counts else 'does not count'} as stabilised: "
                f"temporal error {error} times, PSNR {psnr} dB more, contrast {before:.3f} -> "
                f"{after:.3f}"
            )
        if fits:
            held.append(any(fits.values()))
    return Claim(
        "Applied to trained CNNs, the regularization gives a significant improvement in temporal "
        "stability while preserving the PSNR.",
        "For each of the two formulations: at some alpha it counts as stabilised, so that PSNR "
        f"does not fall, and its temporal error is at most {TEMPORAL_ERROR_AT_MOST} times that of "
        "fine-tuning without it, beyond the spread over seeds.",
        "; ".join(words) or "no runs",
        _verdict(held),
    )


def _goes_past(groups: Groups) -> Claim:
    plain = _plain(groups)
    held, words = [], []
    for method in BEYOND:
        best = None if plain is None else _best(groups, method, plain)
        if plain is None or best is None:
            continue
        alpha, group = best
        counts = _counts(group, plain)
        error = _ratio(group, plain, "temporal_error")
        steady = _ratio(group, plain, "relative_smoothness")
        held.append(
            counts and error.mean <= GOAL_TEMPORAL_ERROR and steady.mean >= GOAL_RELATIVE_SMOOTHNESS
        )
        words.append(
            f"{method} {alpha:g} {'counts' if counts else 'does not count'} as stabilised, with "
            f"temporal error {error} and S x C {steady} times, PSNR "
            f"{_difference(group, plain, 'psnr')} dB more"
        )
    return Claim(
        "A regularizer past the paper's steadies more, at no cost.",
        "One of those that go past the paper, at its best alpha: it counts as stabilised, its "
        f"temporal error is at most {GOAL_TEMPORAL_ERROR:.2f} times and its S x C at least "
        f"{GOAL_RELATIVE_SMOOTHNESS:.2f} times that of reconstruction only.",
        "; ".join(words) or "no runs",
        _verdict([any(held)] if held else []),
    )


def _costs_no_detail(groups: Groups) -> Claim:
    plain = _plain(groups)
    held, words = [], []
    for method in (INVARIANCE, JACOBIAN, *BEYOND):
        for alpha, group in of_method(groups, method).items():
            if plain is None:
                continue
            less = _difference(plain, group, "temporal_error")
            psnr = _difference(group, plain, "psnr")
            held.append(less.is_above_0 and psnr.mean >= -PSNR_TO_LOSE)
            words.append(f"{method} {alpha:g}: temporal error less by {less}, PSNR {psnr} dB more")
    return Claim(
        "Super-resolution can be steadied without blurring it.",
        "Some regularizer has a temporal error below that of reconstruction only, beyond the "
        f"spread over seeds, and loses at most {PSNR_TO_LOSE} dB of PSNR.",
        "; ".join(words) or "no runs",
        _verdict([any(held)] if held else []),
    )
