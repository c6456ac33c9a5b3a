"""The claims of the paper's poster, and goals beyond the paper, tested on the rows of an
experiment by written rules.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from keras_temporal_reg.core import validation
from keras_temporal_reg.experiments import fronts
from keras_temporal_reg.experiments.configs import (
    AUGMENTED,
    BLENDS,
    EXPERIMENTS,
    INVARIANCE,
    JACOBIAN,
    METHODS,
    PLAIN,
    REGULARIZERS,
)
from keras_temporal_reg.experiments.evidence import Chosen, Evidence, gather
from keras_temporal_reg.experiments.statistics import (
    Groups,
    Key,
    Row,
    difference,
    estimate,
    of_group,
    ratio,
    strengths_of,
)

LEAST_FALL = 0.05  # of flicker, as a share, as in `metrics.verdict`
PSNR_LOST = 0.1  # dB: likewise
SMALL = 8  # stills per clip up to which a data set is small
# The goals: flicker at most so many times that of reconstruction only, and excess removed.
GOALS = {
    "colorization": (0.70, 0.60),
    "hdr": (0.80, None),
    "denoising": (0.85, None),
    "super-resolution": (0.95, None),
}


@dataclasses.dataclass(frozen=True)
class Claim:
    """A claim and its test.

    Attributes:
        claim: in the poster's words.
        rule: when the claim holds here.
        measured: the numbers that decide.
        verdict: ``"holds"``, ``"holds in part"``, ``"does not hold"`` or ``"not tested"``; other
            words where one seed gives no interval.
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
    results: Callable[[Evidence], Iterator[tuple[bool | None, str]]]
    any_result: bool = False


def claims(experiment: str, rows: Sequence[Row]) -> list[Claim]:
    """The poster's claims that an experiment tests, decided by its rows alone.

    Differences and ratios are taken seed by seed; an interval is the 95 % interval of their mean
    over seeds. With one seed there is none, and the verdict says so.

    Args:
        experiment: one of `EXPERIMENTS`.
        rows: as in ``rows.json``.
    """
    validation.one_of("experiment", experiment, EXPERIMENTS)
    return _decided(_CLAIMS[experiment], rows)


def goals(experiment: str, rows: Sequence[Row]) -> list[Claim]:
    """Goals beyond the paper, decided like `claims`."""
    validation.one_of("experiment", experiment, EXPERIMENTS)
    return _decided(_goals(experiment), rows)


def _decided(tests: Sequence[_Test], rows: Sequence[Row]) -> list[Claim]:
    evidence = gather(rows)
    has_interval = len({row["seed"] for row in rows}) > 1
    return [_decide(test, evidence, has_interval) for test in tests]


def _decide(test: _Test, evidence: Evidence, has_interval: bool) -> Claim:
    found = list(test.results(evidence))
    held = [holds for holds, _ in found if holds is not None]
    if test.any_result and held:
        held = [any(held)]
    if not held:
        verdict = "not tested"
    else:
        verdict = "holds" if all(held) else "holds in part" if any(held) else "does not hold"
    if not has_interval:
        verdict = _ONE_SEED.get(verdict, verdict)
    measured = "; ".join(words for _, words in found) or "not enough runs"
    return Claim(test.claim, test.rule, measured, verdict)


# Without an interval over seeds, a result is an indication only.
_ONE_SEED = {
    "holds": "supported by one seed",
    "holds in part": "supported in part by one seed",
    "does not hold": "not supported by one seed",
}


def _tested(evidence: Evidence, methods: Sequence[str]) -> Iterator[tuple[str, Chosen]]:
    """On each set that applies, methods at the strengths that other clips favour."""
    for clips in evidence.applicable:
        for chosen in evidence.chosen(clips, methods):
            yield clips, chosen


def _stability(evidence: Evidence) -> Iterator[tuple[bool, str]]:
    for clips, chosen in _tested(evidence, REGULARIZERS):
        key = chosen.keys[0].plain._replace(method=AUGMENTED)
        others = {PLAIN: chosen.plain, AUGMENTED: evidence.tests[clips].get(key)}
        ratios = {n: ratio(chosen.group, each, "flicker") for n, each in others.items() if each}
        words = " and ".join(f"{found} times that of {name}" for name, found in ratios.items())
        holds = all(found.mean <= 1 - LEAST_FALL and found.high < 1 for found in ratios.values())
        yield holds, f"{clips}: {chosen} has flicker {words}"


def _psnr_gain(evidence: Evidence) -> Iterator[tuple[bool, str]]:
    for method, clips in itertools.product(REGULARIZERS, evidence.applicable):
        chosen = evidence.picked(clips, functools.partial(_highest_psnr, methods=(method,)))
        if chosen is None:
            continue
        gain = chosen.psnr
        yield (
            gain.low > 0 and chosen.flicker.high < 1,
            f"{clips}: {chosen} has {gain.text(2, '+')} dB and flicker {chosen.flicker} times",
        )


def _highest_psnr(groups: Groups, methods: Sequence[str], size: int | None = None) -> Key | None:
    """Which of some methods, at which strength, has the highest PSNR, at the main length and a data
    size, by default the first.
    """
    keys = [key for method in methods for key in strengths_of(groups, method, size)]
    return max(keys, key=lambda key: of_group(groups[key], "psnr").mean, default=None)


def _range_over_alphas(groups: Groups, method: str, key: str) -> dict[int, float]:
    """For each seed, the largest minus the smallest value over the alphas."""
    by_alpha = [group for name, group in groups.items() if name.method == method]
    if len(by_alpha) < 2:
        return {}
    seeds = set.intersection(*({*group} for group in by_alpha))
    values = {seed: [group[seed].mean(key) for group in by_alpha] for seed in seeds}
    return {seed: max(each) - min(each) for seed, each in values.items()}


def _sensitivity(evidence: Evidence) -> Iterator[tuple[bool, str]]:
    for clips, groups in evidence.applicable.items():
        for key, name in (("psnr", "PSNR, dB"), ("contrast_ratio", "contrast")):
            invariance, jacobian = (
                _range_over_alphas(groups, method, key) for method in (INVARIANCE, JACOBIAN)
            )
            seeds = sorted({*invariance} & {*jacobian})
            if not seeds:
                continue
            less = estimate([invariance[seed] - jacobian[seed] for seed in seeds])
            ranges = (str(estimate([each[s] for s in seeds])) for each in (jacobian, invariance))
            yield less.low > 0, f"{clips}, {name}: {' against '.join(ranges)}, less by {less}"


def _less_flicker(
    evidence: Evidence, method: str, others: Callable[[Groups], Sequence[str]]
) -> Iterator[tuple[bool, str]]:
    """Whether a method has less flicker at the same PSNR than each of the others."""
    for clips, groups in evidence.applicable.items():
        ours = fronts.points(groups, method)
        for other in others(groups):
            theirs = fronts.points(groups, other)
            seeds = sorted({*ours} & {*theirs})
            if not seeds:
                continue
            least, of_other = (
                [fronts.least_flicker(front[seed], PSNR_LOST) for seed in seeds]
                for front in (ours, theirs)
            )
            less = estimate([b - a for a, b in zip(least, of_other)])
            words = f"flicker {estimate(least)} times, against {estimate(of_other)} of {other}"
            yield less.low > 0, f"{clips}: {words}"


def _better_invariance(evidence: Evidence) -> Iterator[tuple[bool, str]]:
    return _less_flicker(evidence, INVARIANCE, lambda groups: (JACOBIAN,))


def _small_data_gain(evidence: Evidence) -> Iterator[tuple[bool | None, str]]:
    for clips, size in itertools.product(evidence.tests, evidence.sizes):
        # Which of them is taken is chosen on other clips.
        baseline, regularized = (
            evidence.picked(clips, functools.partial(_highest_psnr, methods=methods, size=size))
            for methods in ((PLAIN, AUGMENTED), REGULARIZERS)
        )
        if baseline is None or regularized is None:
            continue
        gain = difference(regularized.group, baseline.group, "psnr")
        yield (
            gain.low > 0 if size <= SMALL else None,
            f"{clips}, {size} stills per clip: {gain.text(2, '+')} dB ({regularized} against "
            f"{baseline})",
        )


def _kept_psnr(evidence: Evidence) -> Iterator[tuple[bool, str]]:
    for clips, chosen in _tested(evidence, REGULARIZERS):
        flicker, psnr = chosen.flicker, chosen.psnr
        yield (
            flicker.mean <= 1 - LEAST_FALL and flicker.high < 1 and psnr.mean >= -PSNR_LOST,
            f"{clips}: {chosen} has flicker {flicker} times at {psnr.text(2, '+')} dB",
        )


def _goal(limit: float, excess: float | None) -> Callable[[Evidence], Iterator[tuple[bool, str]]]:
    def results(evidence: Evidence) -> Iterator[tuple[bool, str]]:
        for clips in evidence.applicable:
            best = evidence.best_blend(clips)
            if best is None:
                continue
            flicker, psnr, removed = best.flicker, best.psnr, best.excess_removed
            holds = flicker.mean <= limit and psnr.mean >= -PSNR_LOST
            yield (
                holds and (excess is None or removed.mean >= excess),
                f"{clips}: {best} has flicker {flicker} times at {psnr.text(2, '+')} dB, "
                f"{removed} of the excess removed",
            )

    return results


def _compared_with_filters(evidence: Evidence) -> Iterator[tuple[bool, str]]:
    return _less_flicker(evidence, "blend", _filters)


def _filters(groups: Groups) -> list[str]:
    names = dict.fromkeys(key.method for key in groups)
    return [name for name in names if name not in METHODS and name not in BLENDS]


_STABILITY = _Test(
    "Our regularization provides a significant improvement in temporal stability.",
    "On each set of clips, each of the two formulations, at the alpha that other clips "
    f"favour, has at most {1 - LEAST_FALL:g} times the flicker of reconstruction only and of "
    "augmentation, and the interval of the ratio lies below 1.",
    _stability,
)
_PSNR = _Test(
    "... not only in temporal stability, but also in PSNR.",
    "On each set of clips, each of the two formulations, at the alpha of the highest PSNR on "
    "other clips, has a higher PSNR and less flicker than reconstruction only, both beyond "
    "their intervals.",
    _psnr_gain,
)
_SENSITIVITY = _Test(
    "The sparse Jacobian is less sensitive to the regularization strength.",
    "The range over alpha, largest minus smallest, of PSNR and of contrast is smaller for the "
    "sparse Jacobian than for transform invariance, beyond the interval, on each set of clips.",
    _sensitivity,
)
_BETTER_INVARIANCE = _Test(
    "Transform invariance formulation can sometimes give better performance.",
    f"On some set of clips the least flicker of transform invariance at {PSNR_LOST} dB less than "
    "reconstruction only, over all alphas, is below that of the sparse Jacobian, beyond the "
    "interval.",
    _better_invariance,
    any_result=True,
)
_SMALL_DATA = _Test(
    "For smaller datasets, the PSNR is also boosted.",
    f"With {SMALL} stills per clip and fewer, the better regularizer's PSNR is above that of the "
    "better of reconstruction only and augmentation, beyond the interval; which one is better is "
    "chosen on other clips.",
    _small_data_gain,
)
_KEPT_PSNR = _Test(
    "Applied to trained CNNs, the regularization gives a significant improvement in temporal "
    "stability while preserving the PSNR.",
    "On each set of clips, each of the two formulations, at the alpha that other clips "
    f"favour, has at most {1 - LEAST_FALL:g} times the flicker of fine-tuning without it, beyond "
    f"the interval, and loses at most {PSNR_LOST} dB.",
    _kept_psnr,
)
_AHEAD = _Test(
    "Ahead of filters of the results.",
    f"At {PSNR_LOST} dB less than reconstruction only, the blend of all members has less flicker "
    "than each filter has, beyond the interval, on each set of clips.",
    _compared_with_filters,
)
_POSTER = (_STABILITY, _PSNR, _SENSITIVITY, _BETTER_INVARIANCE)
_CLAIMS = {
    "colorization": _POSTER,
    "small-data": (_SMALL_DATA,),
    "hdr": _POSTER,
    "finetune": (_KEPT_PSNR, _SENSITIVITY),
    "super-resolution": _POSTER,
    "denoising": _POSTER,
}


def _goals(experiment: str) -> list[_Test]:
    if experiment not in GOALS:
        return []
    limit, excess = GOALS[experiment]
    also = f", and {100 * excess:.0f} % of the excess flicker is removed" if excess else ""
    goal = _Test(
        f"Blends steady to {limit:g} times the flicker{also}, at no cost.",
        "On each set of clips, the blend that other clips favour has at most "
        f"{limit:g} times the flicker of reconstruction only at {PSNR_LOST} dB less at most{also}.",
        _goal(limit, excess),
    )
    return [goal, _AHEAD]
