"""Results of an experiment: its rows, a summary, plots, and a page with the poster's claims."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_temporal_reg import metrics, saved_models
from keras_temporal_reg.experiments.claims import Claim
from keras_temporal_reg.experiments.configs import CONVERGED, ExperimentConfig
from keras_temporal_reg.experiments.statistics import (
    BASELINE_PSNR,
    MEASURES,
    Groups,
    Row,
    group_rows,
    of_group,
    of_method,
    steadiness,
)
from keras_temporal_reg.io import atomic, jsonable

_HDR_NOTE = (
    "Where the camera did not clip, the result is its noisy picture, whatever the network. So all "
    "measures but SSIM and the warping error are taken where it clipped, the rest being as in the "
    "truth."
)


@dataclasses.dataclass(frozen=True)
class Reproduction:
    """What `reproduce` returns.

    Attributes:
        experiment: its name.
        rows: one for each run, as in ``rows.json``.
        claims: those of the poster that it tests.
        goals: goals beyond the paper.
        output: the folder with the page, the plots and the numbers.
        trained: how many runs this call trained; the others were in the folder already.
        seconds: run time of this call.
    """

    experiment: str
    rows: tuple[Row, ...]
    claims: tuple[Claim, ...]
    goals: tuple[Claim, ...]
    output: Path
    trained: int
    seconds: float


def show(result: Reproduction) -> None:
    """Print the table and the claims."""
    print(_table(result.rows))
    for claim in (*result.claims, *result.goals):
        print(f"\n{claim.verdict.upper()}: {claim.claim}\n  {claim.measured}")
    print(
        f"\n{result.trained} of {len(result.rows)} runs trained in {result.seconds:.0f} s. "
        f"Page: {result.output / 'results.md'}"
    )


def write(
    result: Reproduction, config: ExperimentConfig, versions: Mapping[str, str] | None = None
) -> None:
    """Write ``summary.json``, a plot and ``results.md`` into the folder of `result`.

    `versions` are those of the software that made the rows; None: of this one.
    """
    groups = group_rows(result.rows)
    if len(config.sizes) == 1:
        name, figure = "pareto", _pareto(groups)
    else:
        name, figure = "data-size", _over_sizes(groups)
    with atomic.atomic_write(result.output / f"{name}.png") as temporary:
        figure.savefig(temporary, dpi=110)
    summary = {
        "experiment": result.experiment,
        "config": config,
        "seeds": sorted({row["seed"] for row in result.rows}),
        "groups": [
            {
                "method": method,
                "alpha": alpha,
                "data": size,
                "mean": {key: of_group(group, key).mean for key in (*MEASURES, BASELINE_PSNR)},
                "spread": {key: of_group(group, key).spread for key in MEASURES},
                "stabilized_seeds": sum(bool(row["stabilized"]) for row in group.values()),
            }
            for (method, alpha, size), group in groups.items()
        ],
        "claims": result.claims,
        "goals": result.goals,
        "run_seconds": round(sum(row["seconds"] for row in result.rows), 1),
        "versions": saved_models.versions() if versions is None else versions,
    }
    jsonable.write(result.output / "summary.json", summary)
    with atomic.atomic_write(result.output / "results.md") as temporary:
        temporary.write_text(_page(result, summary, name))


def _page(result: Reproduction, summary: Mapping[str, Any], plot: str) -> str:
    seeds = summary["seeds"]
    spread = (
        "One seed: there is no spread, so what follows is an indication, not a proof."
        if len(seeds) == 1
        else "Mean and standard deviation over seeds; differences are taken seed by seed."
    )
    versions = ", ".join(f"{name} {value}" for name, value in summary["versions"].items())
    parts = [
        f"# Reproduced: {result.experiment}",
        f"Eilertsen, Mantiuk and Unger, CVPR 2019. {len(result.rows)} runs, seeds "
        f"{', '.join(map(str, seeds))}, {summary['run_seconds'] / 60:.0f} minutes of training and "
        f"measuring. {versions}. {spread}{_converged(result.rows)}",
        f'{_better()} "Stabilized" is the number of seeds that are stabilized by the rule of '
        "`metrics.verdict`. The best alpha is the best on these very clips.",
        *([_HDR_NOTE] if result.experiment == "hdr" else []),
        _table(result.rows),
        f"![{plot}]({plot}.png)",
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
    return "\n\n".join(parts) + "\n"


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


def _table(rows: Sequence[Row]) -> str:
    measures = [metrics.MEASURES[key] for key in MEASURES]
    titles = [measure.heading for measure in measures]
    lines = [
        f"| method | alpha | data | {' | '.join(titles)} | stabilized |",
        "| --- " * (len(titles) + 4) + "|",
    ]
    groups = group_rows(rows)
    for (method, alpha, size), group in groups.items():
        cells = [method, f"{alpha:g}" if alpha else "", str(size)]
        cells += [of_group(group, m.key, m.factor).text(m.digits) for m in measures]
        judged = [row["stabilized"] for row in group.values() if row["stabilized"] is not None]
        cells.append(f"{sum(judged)} of {len(judged)}" if judged else "")
        lines.append("| " + " | ".join(cells) + " |")
    baseline = np.mean([of_group(group, BASELINE_PSNR).mean for group in groups.values()])
    lines.append(f"\nThe baseline prediction has {baseline:.2f} dB.")
    return "\n".join(lines)


def _pareto(groups: Groups) -> Any:
    """PSNR over flicker, a line for each method, with alpha beside each point.

    Over temporal error where rows were made before flicker was measured.
    """
    from matplotlib.figure import Figure

    steady = steadiness(groups)

    figure = Figure(figsize=(9, 6), layout="constrained")
    axis = figure.subplots()
    for number, method in enumerate(dict.fromkeys(name for name, _, _ in groups)):
        points = {
            alpha: (of_group(group, steady).mean, of_group(group, "psnr").mean)
            for alpha, group in of_method(groups, method).items()
        }
        colour = f"C{number}"
        axis.plot(*zip(*points.values()), "o-", color=colour, label=method)
        for alpha, place in points.items():
            if alpha:
                axis.annotate(f"{alpha:g}", place, (4, 4), textcoords="offset points", color=colour)
    axis.set_xlabel(f"{metrics.MEASURES[steady].heading} (lower is better)")
    axis.set_ylabel(f"{metrics.MEASURES['psnr'].heading} (higher is better)")
    axis.set_title("Mean over seeds; numbers are alpha")
    axis.legend()
    return figure


def _over_sizes(groups: Groups) -> Any:
    """PSNR, flicker (or temporal error) and S over the size of the training data."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(14, 5), layout="constrained")
    measures = [metrics.MEASURES[key] for key in ("psnr", steadiness(groups), "smoothness")]
    lines = dict.fromkeys((method, alpha) for method, alpha, _ in groups)
    for axis, measure in zip(figure.subplots(1, len(measures)), measures):
        for method, alpha in lines:
            points = {
                size: of_group(group, measure.key)
                for (name, own_alpha, size), group in sorted(groups.items())
                if (name, own_alpha) == (method, alpha)
            }
            means = [point.mean for point in points.values()]
            spreads = [point.spread for point in points.values()]
            label = f"{method} {alpha:g}" if alpha else method
            axis.errorbar([*points], means, spreads, marker="o", capsize=3, label=label)
        axis.set_xscale("log", base=2)
        axis.set_xlabel("training pictures per clip")
        axis.set_title(measure.heading)
    axis.legend()
    return figure
