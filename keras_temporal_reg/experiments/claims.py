"""The claims of the paper's poster, and goals beyond the paper, tested on the rows of an
experiment by written rules.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from keras_temporal_reg.core import validation
from keras_temporal_reg.experiments.configs import (
    AUGMENTED,
    EXPERIMENTS,
    EXTENSIONS,
    INVARIANCE,
    JACOBIAN,
    PLAIN,
    REGULARIZERS,
)
from keras_temporal_reg.experiments.statistics import (
    Estimate,
    Group,
    Groups,
    Row,
    best_alpha,
    difference,
    estimate,
    first_of,
    group_rows,
    is_stabilized,
    number,
    of_group,
    of_method,
    ratio,
)

# What a regularizer must reach relative to each of the two baselines.
TEMPORAL_ERROR_AT_MOST = 0.92
RELATIVE_SMOOTHNESS_AT_LEAST = 1.05
SMALL = 8  # stills per clip up to which a data set is small
# The goals beyond the paper, relative to the reconstruction loss alone.
GOAL_TEMPORAL_ERROR, GOAL_RELATIVE_SMOOTHNESS = 0.80, 1.20
PSNR_TO_LOSE = 0.1  # dB, in super-resolution


@dataclasses.dataclass(frozen=True)
class Claim:
    """A claim and its test.

    Attributes:
        claim: in the poster's words.
        rule: when the claim holds here.
        measured: the numbers that decide.
        verdict: ``"holds"``, ``"holds in part"``, ``"does not hold"`` or ``"not tested"``; other
            words where one seed gives no spread.
    """

    claim: str
    rule: str
    measured: str
    verdict: str


class _Test(NamedTuple):
    """A claim, its rule, and the function that yields each result (None: no part of the verdict)
    with its numbers. One result is enough for a claim of which `any_result` is True.
    """

    claim: str
    rule: str
    results: Callable[[Groups], Iterator[tuple[bool | None, str]]]
    any_result: bool = False


def claims(experiment: str, rows: Sequence[Row]) -> list[Claim]:
    """The poster's claims that an experiment tests, decided by its rows alone.

    Differences are taken seed by seed; "beyond the spread" means a mean above the standard
    deviation over seeds. With one seed there is no spread, and the verdict says so.

    Args:
        experiment: one of `EXPERIMENTS`.
        rows: as in ``rows.json``.
    """
    validation.one_of("experiment", experiment, EXPERIMENTS)
    return [_decide(test, rows) for test in _CLAIMS[experiment]]


def goals(experiment: str, rows: Sequence[Row]) -> list[Claim]:
    """Goals beyond the paper, decided like `claims`; none for small data."""
    validation.one_of("experiment", experiment, EXPERIMENTS)
    return [_decide(test, rows) for test in _GOALS[experiment]]


def _decide(test: _Test, rows: Sequence[Row]) -> Claim:
    found = list(test.results(group_rows(rows)))
    held = [holds for holds, _ in found if holds is not None]
    if test.any_result and held:
        held = [any(held)]
    if not held:
        verdict = "not tested"
    else:
        verdict = "holds" if all(held) else "holds in part" if any(held) else "does not hold"
    if len({row["seed"] for row in rows}) <= 1:
        verdict = _ONE_SEED.get(verdict, verdict)
    measured = "; ".join(words for _, words in found) or "not enough runs"
    return Claim(test.claim, test.rule, measured, verdict)


# Without a spread over seeds, a result is an indication only.
_ONE_SEED = {
    "holds": "supported by one seed",
    "holds in part": "supported in part by one seed",
    "does not hold": "not supported by one seed",
}


def _stabilized(group: Group, plain: Group) -> tuple[bool, str]:
    is_so = is_stabilized(group, plain)
    return is_so, "is stabilized" if is_so else "is not stabilized"


def _is_below(value: Estimate, limit: float) -> bool:
    """Whether a ratio is at most `limit`, and below 1 beyond its spread."""
    return value.mean <= limit and 1.0 - value.mean > value.spread


def _is_above(value: Estimate, limit: float) -> bool:
    """Whether a ratio is at least `limit`, and above 1 beyond its spread."""
    return value.mean >= limit and value.mean - 1.0 > value.spread


class _Best(NamedTuple):
    """A method at its best alpha, and the plain group to compare it with."""

    name: str
    group: Group
    plain: Group
    is_stabilized: bool
    state: str  # the same in words


def _best_of(groups: Groups, methods: Sequence[str]) -> Iterator[_Best]:
    plain = first_of(groups, PLAIN)
    for method in methods:
        best = None if plain is None else best_alpha(groups, method, plain)
        if plain is not None and best is not None:
            alpha, group = best
            yield _Best(f"{method} {alpha:g}", group, plain, *_stabilized(group, plain))


def _stability(groups: Groups) -> Iterator[tuple[bool, str]]:
    augmented = first_of(groups, AUGMENTED)
    for best in _best_of(groups, REGULARIZERS):
        holds, parts = best.is_stabilized, []
        for name, other in ((PLAIN, best.plain), (AUGMENTED, augmented)):
            if other is None:
                continue
            error = ratio(best.group, other, "temporal_error")
            smoothness = ratio(best.group, other, "relative_smoothness")
            holds = (
                holds
                and _is_below(error, TEMPORAL_ERROR_AT_MOST)
                and _is_above(smoothness, RELATIVE_SMOOTHNESS_AT_LEAST)
            )
            parts.append(f"temporal error {error} and S x C {smoothness} times those of {name}")
        yield holds, f"{best.name} {best.state}, with {', '.join(parts)}"


def _psnr_gain(groups: Groups) -> Iterator[tuple[bool, str]]:
    plain = first_of(groups, PLAIN)
    for method in REGULARIZERS:
        by_alpha = of_method(groups, method)
        if plain is None or not by_alpha:
            continue
        gains = {alpha: difference(group, plain, "psnr") for alpha, group in by_alpha.items()}
        alpha = max(gains, key=lambda a: gains[a].mean)
        yield gains[alpha].is_positive, f"{method}, most at alpha {alpha:g}: {gains[alpha]} dB"


def _range_over_alphas(groups: Groups, method: str, key: str) -> dict[int, float]:
    """For each seed, the largest minus the smallest value over the alphas."""
    by_alpha = list(of_method(groups, method).values())
    if len(by_alpha) < 2:
        return {}
    seeds = set.intersection(*({*group} for group in by_alpha))
    values = {seed: [number(group[seed], key) for group in by_alpha] for seed in seeds}
    return {seed: max(each) - min(each) for seed, each in values.items()}


def _sensitivity(groups: Groups) -> Iterator[tuple[bool, str]]:
    for key, name in (("psnr", "PSNR, dB"), ("contrast_ratio", "contrast ratio")):
        invariance, jacobian = (
            _range_over_alphas(groups, method, key) for method in (INVARIANCE, JACOBIAN)
        )
        seeds = sorted({*invariance} & {*jacobian})
        if not seeds:
            continue
        less = estimate([invariance[seed] - jacobian[seed] for seed in seeds])
        ranges = (str(estimate([each[s] for s in seeds])) for each in (jacobian, invariance))
        yield less.is_positive, f"{name}: {' against '.join(ranges)}, less by {less}"


def _better_invariance(groups: Groups) -> Iterator[tuple[bool, str]]:
    found = list(_best_of(groups, (INVARIANCE, JACOBIAN)))
    if len(found) == 2:
        invariance, jacobian = found
        less = difference(jacobian.group, invariance.group, "temporal_error")
        # A gain at the cost of detail or contrast is no better performance.
        yield (
            less.is_positive and invariance.is_stabilized,
            f"{invariance.name}, which {invariance.state}, has a temporal error lower by {less} "
            f"than {jacobian.name}, which {jacobian.state}",
        )


def _small_data_gain(groups: Groups) -> Iterator[tuple[bool | None, str]]:
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
        better = max(baselines, key=lambda group: of_group(group, "psnr").mean)
        name, group = max(regularized, key=lambda each: of_group(each[1], "psnr").mean)
        gain = difference(group, better, "psnr")
        yield (
            gain.is_positive if size <= SMALL else None,
            f"gain with {size} pictures per clip: {gain} dB ({name})",
        )


def _kept_psnr(groups: Groups) -> Iterator[tuple[bool, str]]:
    plain = first_of(groups, PLAIN)
    for method in REGULARIZERS:
        held, words = [], []
        for alpha, group in of_method(groups, method).items():
            if plain is None:
                continue
            error = ratio(group, plain, "temporal_error")
            stabilized, state = _stabilized(group, plain)
            held.append(stabilized and _is_below(error, TEMPORAL_ERROR_AT_MOST))
            before, after = (of_group(each, "contrast_ratio").mean for each in (plain, group))
            words.append(
                f"{method} {alpha:g} {state}: temporal error {error} times, PSNR "
                f"{difference(group, plain, 'psnr')} dB more, contrast {before:.3f} -> {after:.3f}"
            )
        if held:
            yield any(held), "; ".join(words)


def _beyond_the_paper(groups: Groups) -> Iterator[tuple[bool, str]]:
    for best in _best_of(groups, EXTENSIONS):
        error = ratio(best.group, best.plain, "temporal_error")
        smoothness = ratio(best.group, best.plain, "relative_smoothness")
        yield (
            best.is_stabilized
            and error.mean <= GOAL_TEMPORAL_ERROR
            and smoothness.mean >= GOAL_RELATIVE_SMOOTHNESS,
            f"{best.name} {best.state}, with temporal error {error} and S x C {smoothness} times, "
            f"PSNR {difference(best.group, best.plain, 'psnr')} dB more",
        )


def _no_blur(groups: Groups) -> Iterator[tuple[bool, str]]:
    plain = first_of(groups, PLAIN)
    for method in (*REGULARIZERS, *EXTENSIONS):
        for alpha, group in of_method(groups, method).items():
            if plain is None:
                continue
            less = difference(plain, group, "temporal_error")
            psnr = difference(group, plain, "psnr")
            yield (
                less.is_positive and psnr.mean >= -PSNR_TO_LOSE,
                f"{method} {alpha:g}: temporal error less by {less}, PSNR {psnr} dB more",
            )


_STABILITY = _Test(
    "Our regularization provides a significant improvement in temporal stability.",
    "Each of the two formulations, at its best alpha, is stabilized by the rule of "
    f"`metrics.verdict`; its temporal error is at most {TEMPORAL_ERROR_AT_MOST} times and its "
    f"relative smoothness S x C at least {RELATIVE_SMOOTHNESS_AT_LEAST} times that of "
    "reconstruction only and that of augmentation, beyond the spread over seeds.",
    _stability,
)
_PSNR = _Test(
    "... not only in temporal stability, but also in PSNR.",
    "For each of the two formulations: at some alpha PSNR is above that of reconstruction only, "
    "beyond the spread over seeds.",
    _psnr_gain,
)
_SENSITIVITY = _Test(
    "The sparse Jacobian is less sensitive to the regularization strength.",
    "The range over alpha, largest minus smallest, of PSNR and of the contrast ratio is smaller "
    "for the sparse Jacobian than for transform invariance, beyond the spread over seeds.",
    _sensitivity,
)
_BETTER_INVARIANCE = _Test(
    "Transform invariance formulation can sometimes give better performance.",
    "At the best alpha of each, transform invariance is stabilized and its temporal error is below "
    "that of the sparse Jacobian, beyond the spread over seeds.",
    _better_invariance,
)
_SMALL_DATA = _Test(
    "For smaller datasets, the PSNR is also boosted.",
    f"With {SMALL} pictures per clip and fewer, the best regularizer's PSNR is above that of the "
    "better of reconstruction only and augmentation, beyond the spread over seeds.",
    _small_data_gain,
)
_KEPT_PSNR = _Test(
    "Applied to trained CNNs, the regularization gives a significant improvement in temporal "
    "stability while preserving the PSNR.",
    "Each of the two formulations, at some alpha, is stabilized, so that PSNR does not fall, and "
    f"its temporal error is at most {TEMPORAL_ERROR_AT_MOST} times that of fine-tuning without it, "
    "beyond the spread over seeds.",
    _kept_psnr,
)
_BEYOND = _Test(
    "A regularizer that goes beyond the paper stabilizes more, at no cost.",
    "One of the regularizers that go beyond the paper, at its best alpha, is stabilized; its "
    f"temporal error is at most {GOAL_TEMPORAL_ERROR:.2f} times and its S x C at least "
    f"{GOAL_RELATIVE_SMOOTHNESS:.2f} times that of reconstruction only.",
    _beyond_the_paper,
    any_result=True,
)
_NO_BLUR = _Test(
    "Super-resolution can be stabilized without blur.",
    "Some regularizer has a temporal error below that of reconstruction only, beyond the spread "
    f"over seeds, and loses at most {PSNR_TO_LOSE} dB of PSNR.",
    _no_blur,
    any_result=True,
)

_CLAIMS = {
    "colorization": (_STABILITY, _PSNR, _SENSITIVITY, _BETTER_INVARIANCE),
    "small-data": (_SMALL_DATA,),
    "hdr": (_STABILITY, _PSNR, _SENSITIVITY, _BETTER_INVARIANCE),
    "finetune": (_KEPT_PSNR, _SENSITIVITY),
    "super-resolution": (_STABILITY,),
}
_GOALS = {
    "colorization": (_BEYOND,),
    "small-data": (),
    "hdr": (_BEYOND,),
    "finetune": (_BEYOND,),
    "super-resolution": (_NO_BLUR,),
}
