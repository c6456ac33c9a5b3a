"""Results of an experiment: its rows, a summary, a plot, and a page with the poster's claims."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from keras_temporal_reg import metrics, saved_models
from keras_temporal_reg.experiments import fronts, tables
from keras_temporal_reg.experiments.alternatives import ALTERNATIVES
from keras_temporal_reg.experiments.claims import Claim
from keras_temporal_reg.experiments.configs import (
    BLENDS,
    CONVERGED,
    METHODS,
    PLAIN,
    ExperimentConfig,
)
from keras_temporal_reg.experiments.evidence import Evidence, gather
from keras_temporal_reg.experiments.statistics import (
    BASELINE_PSNR,
    MEASURES,
    REFERENCE_FLICKER,
    VALIDATION,
    Estimate,
    Group,
    Groups,
    Row,
    difference,
    excess_removed,
    main_key,
    of_group,
    ratio,
    strengths_of,
    verdict,
)
from keras_temporal_reg.finetuning.config import DEFAULT_CONTRAST
from keras_temporal_reg.io import atomic, jsonable

_HDR_NOTE = (
    "Where the camera did not clip, the result is its noisy picture, whatever the network. So all "
    "measures but SSIM and the warping error are taken where it clipped, the rest being as in the "
    "truth."
)
_FRONTS = (
    "Over all strengths, along straight lines between them; - where one of the seeds does not get "
    "there:"
)
_SETS = {
    "validation": "stills that were held out, under a virtual camera",
    "clips": "later frames of the clips whose stills were trained on (motion: optical flow)",
    "stills": "one of these later frames of each shot, under a virtual camera (motion exact)",
    "photographs": "photographs that were not trained on, under a virtual camera (motion exact)",
    "scenes": "generated scenes under a moving camera (motion exact)",
}


@dataclasses.dataclass(frozen=True)
class Reproduction:
    """What `reproduce` returns.

    Attributes:
        experiment: its name.
        rows: one for each run, as in ``rows.json``.
        claims: those of the poster that it tests.
        goals: goals beyond the paper.
        output: the folder with the page, the plot and the numbers.
        measured: how many runs this call trained and measured; the others were in the folder.
        seconds: run time of this call.
    """

    experiment: str
    rows: tuple[Row, ...]
    claims: tuple[Claim, ...]
    goals: tuple[Claim, ...]
    output: Path
    measured: int
    seconds: float


def show(result: Reproduction) -> None:
    """Print the first table and the claims."""
    evidence = gather(result.rows)
    print(tables.of_chosen(evidence, next(iter(evidence.tests))))
    for claim in (*result.claims, *result.goals):
        print(f"\n{claim.verdict.upper()}: {claim.claim}\n  {claim.measured}")
    print(
        f"\n{result.measured} of {len(result.rows)} runs made in {result.seconds:.0f} s. "
        f"Page: {result.output / 'results.md'}"
    )


def write(
    result: Reproduction, config: ExperimentConfig, versions: Mapping[str, str] | None = None
) -> None:
    """Write ``summary.json``, a plot and ``results.md`` into the folder of `result`.

    `versions` are those of the software that made the rows; None: of this one.
    """
    evidence = gather(result.rows)
    name, figure = _plot(evidence)
    with atomic.atomic_write(result.output / f"{name}.png") as temporary:
        figure.savefig(temporary, dpi=110)
    summary = {
        "experiment": result.experiment,
        "config": config,
        "seeds": sorted({row["seed"] for row in result.rows}),
        "headline": headline(evidence),
        "sets": {
            clips: [
                {**key._asdict(), **_summary_of(group, groups.get(key.plain), key == key.plain)}
                for key, group in groups.items()
            ]
            for clips, groups in evidence.tests.items()
        },
        "claims": result.claims,
        "goals": result.goals,
        "versions": saved_models.versions() if versions is None else versions,
    }
    jsonable.write(result.output / "summary.json", summary)
    with atomic.atomic_write(result.output / "results.md") as temporary:
        temporary.write_text(_page(result, evidence, summary, name))


def headline(evidence: Evidence) -> dict[str, dict[str, Any]]:
    """On each set of clips, the blend that other clips favour."""
    best = {clips: evidence.best_blend(clips) for clips in evidence.tests}
    return {
        clips: {"blend": str(chosen), **_summary_of(chosen.group, chosen.plain)}
        for clips, chosen in best.items()
        if chosen is not None
    }


def _summary_of(group: Group, plain: Group | None, is_plain: bool = False) -> dict[str, Any]:
    found: dict[str, Any] = {
        "seeds": sorted(group),
        "mean": {m: of_group(group, m).mean for m in (*MEASURES, BASELINE_PSNR, REFERENCE_FLICKER)},
    }
    if plain is not None and not is_plain:
        compared = {
            "flicker": ratio(group, plain, "flicker"),
            "psnr": difference(group, plain, "psnr"),
            "excess_removed": excess_removed(group, plain),
        }
        for name, value in compared.items():
            found[name] = {"mean": value.mean, "margin": value.margin}
        found["outcome"] = verdict(group, plain).outcome.name
    return found


def _page(result: Reproduction, evidence: Evidence, summary: Mapping[str, Any], plot: str) -> str:
    seeds = summary["seeds"]
    interval = (
        "One seed: there is no interval, so what follows is an indication, not a proof."
        if len(seeds) == 1
        else "Ratios and differences are taken seed by seed; ± is the 95 % interval of their mean."
    )
    versions = ", ".join(f"{name} {value}" for name, value in summary["versions"].items())
    main, *others = evidence.tests
    groups = evidence.tests[main]
    lengths = tables.of_lengths(evidence, main)
    steps = main_key(groups).steps
    parts = [
        f"# Reproduced: {result.experiment}",
        f"Relative to {PLAIN} only, trained for the same {steps} steps:",
        tables.of_chosen(evidence, main),
        f"{_rule_of_strengths(evidence)}: the steadiest that is STABILIZED on them by the rule of "
        f"`metrics.verdict`, the weakest if none is. {interval} "
        f"The baseline prediction has {_mean(groups, BASELINE_PSNR).text(2)} dB, the reference a "
        f"flicker of {_mean(groups, REFERENCE_FLICKER).text(2)} %.",
        *([_HDR_NOTE] if result.experiment == "hdr" else []),
        *_left_out(groups),
        *_list_of_blends(groups),
        "The clips:",
        _list_of_sets(evidence),
        *(["## On other clips", tables.of_other_sets(evidence, others)] if others else []),
        "## Flicker against PSNR",
        f"![{plot}]({plot}.png)",
        *([_FRONTS, tables.of_fronts(groups)] if plot == "fronts" else []),
        *(["## Longer and shorter fine-tunings", lengths] if lengths else []),
    ]
    for title, tested in (
        ("The poster's claims", result.claims),
        ("Beyond the paper", result.goals),
    ):
        parts += [f"## {title}"] if tested else []
        for claim in tested:
            parts += [
                f"### {claim.claim}",
                f"**{claim.verdict.capitalize()}.** Measured: {claim.measured}.",
                f"Rule: {claim.rule}",
            ]
    parts += [
        "## All runs",
        f"Eilertsen, Mantiuk and Unger, CVPR 2019. {len(result.rows)} rows, seeds "
        f"{', '.join(map(str, seeds))}. {versions}.{_converged(result.rows)} {_better()} "
        f"On the {main}:",
        tables.of_all(groups),
    ]
    return "\n\n".join(parts) + "\n"


def _list_of_blends(groups: Groups) -> list[str]:
    """What the blends are averages of."""
    compared = dict.fromkeys(key.method for key in groups if key.method in BLENDS)
    if not compared:
        return []
    lines = []
    for name in compared:
        parts, alpha = BLENDS[name]
        shares = [f"{share:g} {member}" for member, share in parts.items()]
        lines.append(f"- {name}: {' + '.join(shares)}, alpha {alpha:g}")
    return [
        f"Blends average weights: of {PLAIN} only, and with the share that is their strength of "
        f"the following, whose losses keep the contrast by `contrast={DEFAULT_CONTRAST:g}` where "
        "their names say so:",
        "\n".join(lines),
    ]


def _left_out(groups: Groups) -> list[str]:
    """Filters that were not compared with, where others were."""
    compared = {key.method for key in groups}
    missing = [name for name in ALTERNATIVES if name not in compared]
    if not missing or len(missing) == len(ALTERNATIVES):
        return []
    return [
        f"Not compared with: {', '.join(missing)}. FFmpeg's filters take pictures, which HDR is "
        "not, and the wheels of PyAV lack hqdn3d."
    ]


def _rule_of_strengths(evidence: Evidence) -> str:
    """What strengths are chosen on, in words."""
    if evidence.has_validation:
        return "Each method has the strength that the validation clips favour"
    return "For each clip, each method has the strength that the other clips favour"


def _list_of_sets(evidence: Evidence) -> str:
    names = (*([VALIDATION] if evidence.has_validation else []), *evidence.tests)
    return "\n".join(f"- {name}: {_SETS[name]}" for name in names)


def _mean(groups: Groups, key: str) -> Estimate:
    return of_group(groups[main_key(groups)], key)


def _better() -> str:
    better: dict[str, list[str]] = {}
    for key in MEASURES:
        better.setdefault(metrics.MEASURES[key].better, []).append(metrics.MEASURES[key].title)
    return "Better: " + "; ".join(f"{', '.join(m)} {way}" for way, m in better.items()) + "."


def _converged(rows: Sequence[Row]) -> str:
    """Whether the networks that were fine-tuned had converged, in words."""
    bases = {row["seed"]: row["converged"] for row in rows if row["converged"] is not None}
    if not bases:
        return ""
    return (
        f" The networks that were fine-tuned had converged for {sum(bases.values())} of "
        f"{len(bases)} seeds: a further round gained less than {CONVERGED} dB."
    )


def _plot(evidence: Evidence) -> tuple[str, Any]:
    """The name of a plot, and the plot."""
    groups = next(iter(evidence.tests.values()))
    if len({key.data for key in groups}) > 1:
        return "data-size", _over_sizes(groups)
    return "fronts", _fronts(groups)


def _fronts(groups: Groups) -> Any:
    """PSNR over flicker, both relative to the baseline, a line for each method."""
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 6), layout="constrained")
    axis = figure.subplots()
    pairs = colormaps["tab20"](range(20))  # a dark and a light one of each
    colours = itertools.cycle([*pairs[::2], *pairs[1::2]])
    for method in dict.fromkeys(key.method for key in groups):
        keys = strengths_of(groups, method)
        if method == PLAIN or not keys:
            continue
        means = fronts.mean(fronts.points(groups, method))
        colour = next(colours)
        line = "o-" if method in BLENDS else "o--" if method in METHODS else "x:"
        axis.plot(*zip(*means), line, color=colour, label=method)
        for key, place in zip(keys, means[1:]):
            if key.strength and key.method in METHODS:
                axis.annotate(
                    f"{key.strength:g}", place, (4, 4), textcoords="offset points", color=colour
                )
    axis.axhline(-fronts.PSNR_LOST[-1], color="grey", linewidth=0.5)
    axis.set_ylim(bottom=max(axis.get_ylim()[0], _LOWEST))
    axis.set_xlabel("flicker, relative to reconstruction only (lower is better)")
    axis.set_ylabel("PSNR, dB above reconstruction only (higher is better)")
    axis.set_title("Mean over seeds; numbers are alpha; the grey line is 0.1 dB less")
    if axis.lines[1:]:  # more than the grey line
        figure.legend(loc="outside right upper")
    return figure


_LOWEST = -2.0  # dB: what loses more is of no use


def _over_sizes(groups: Groups) -> Any:
    """PSNR, flicker and S over the size of the training data."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(14, 5), layout="constrained")
    measures = [metrics.MEASURES[key] for key in ("psnr", "flicker", "smoothness")]
    lines = dict.fromkeys(key[:2] for key in groups)
    for axis, measure in zip(figure.subplots(1, len(measures)), measures):
        for method, strength in lines:
            points = {
                key.data: of_group(group, measure.key)
                for key, group in sorted(groups.items())
                if key[:2] == (method, strength)
            }
            means = [point.mean for point in points.values()]
            margins = [point.margin for point in points.values()]
            label = f"{method} {strength:g}" if strength else method
            axis.errorbar([*points], means, margins, marker="o", capsize=3, label=label)
        axis.set_xscale("log", base=2)
        axis.set_xlabel("training pictures per clip")
        axis.set_title(measure.heading)
    axis.legend()
    return figure
