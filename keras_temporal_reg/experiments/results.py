"""What an experiment found: its rows, a summary, plots, and a page with the poster's claims."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_temporal_reg.experiments.claims import (
    MEASURES,
    Claim,
    Groups,
    Row,
    grouped,
    mean_of,
    number_of,
    of_method,
    spread_of,
)
from keras_temporal_reg.experiments.configs import CONVERGED, Plan
from keras_temporal_reg.io import atomic, jsonable
from keras_temporal_reg import saved_models


@dataclasses.dataclass(frozen=True)
class Reproduction:
    """What `reproduce` found.

    Attributes:
        experiment: its name.
        rows: one for each run, as in ``rows.json``.
        claims: those of the poster that it tests.
        goals: what was to be reached past the paper.
        output: the folder with the page, the plots and the numbers.
        trained: how many runs were made; the others had been made before.
        seconds: that it took.
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
        f"\n{result.trained} of {len(result.rows)} runs made in {result.seconds:.0f} s. "
        f"Page: {result.output / 'results.md'}"
    )


def write(result: Reproduction, plan: Plan, versions: Mapping[str, str] | None = None) -> None:
    """Write ``summary.json``, the plots and ``results.md`` into the folder of `result`.

    `versions` are those of the software that made the rows; None: of this.
    """
    groups = grouped(result.rows)
    plots = ["pareto.png"] if len(plan.sizes) == 1 else ["data-size.png"]
    if len(plan.sizes) == 1:
        _plot_pareto(result.output / "pareto.png", groups)
    else:
        _plot_sizes(result.output / "data-size.png", groups)
    summary = {
        "experiment": result.experiment,
        "plan": plan,
        "seeds": sorted({row["seed"] for row in result.rows}),
        "groups": [
            {
                "method": method,
                "alpha": alpha,
                "data": size,
                "mean": {key: mean_of(group, key) for key in (*MEASURES, "trivial_psnr")},
                "spread": {
                    key: spread_of([number_of(row[key]) for row in group.values()])
                    for key in MEASURES
                },
                "stabilised_seeds": sum(bool(row["stabilised"]) for row in group.values()),
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
        temporary.write_text(_page(result, summary, plots))


def _page(result: Reproduction, summary: Mapping[str, Any], plots: Sequence[str]) -> str:
    seeds = summary["seeds"]
    spread = (
        "One seed: there is no spread, and what is said below is a direction, not a proof."
        if len(seeds) == 1
        else "Mean and standard deviation over seeds; differences are taken seed by seed."
    )
    versions = ", ".join(f"{name} {value}" for name, value in summary["versions"].items())
    parts = [
        f"# Reproduced: {result.experiment}",
        f"Eilertsen, Mantiuk and Unger, CVPR 2019. {len(result.rows)} runs, seeds "
        f"{', '.join(map(str, seeds))}, {summary['run_seconds'] / 60:.0f} minutes of training and "
        f"measuring. {versions}. {spread}{_converged(result.rows)}",
        "Better: temporal error and warping error (times 10^4) lower; PSNR, SSIM, S, S x C and "
        'structure higher; contrast nearer to 1. "Stabilised" counts the seeds that are, by the '
        "rule of `metrics.verdict`. The best alpha is the best on these very clips.",
        *([_HDR_NOTE] if result.experiment == "hdr" else []),
        _table(result.rows),
        *(f"![{plot.split('.')[0]}]({plot})" for plot in plots),
    ]
    for title, judged in (("The poster's claims", result.claims), ("Past the paper", result.goals)):
        parts += [f"## {title}"] if judged else []
        for claim in judged:
            parts += [
                f"### {claim.claim}",
                f"**{claim.verdict.capitalize()}.** Measured: {claim.measured}.",
                f"Rule: {claim.rule}",
            ]
    return "\n\n".join(parts) + "\n"


_HDR_NOTE = (
    "Where the camera did not clip, the result is its noisy picture, whatever the network; so all "
    "but SSIM and the warping error is measured where it clipped, the rest being as in the truth."
)


def _converged(rows: Sequence[Row]) -> str:
    """Whether the networks that methods began with had converged, in words."""
    bases = {row["seed"]: row["converged"] for row in rows if row["converged"] is not None}
    if not bases:
        return ""
    return (
        f" The networks that were fine-tuned had converged for {sum(bases.values())} of "
        f"{len(bases)} seeds: a further round gained less than {CONVERGED} dB."
    )


def _table(rows: Sequence[Row]) -> str:
    titles = {
        "temporal_error": "temporal error",
        "psnr": "PSNR, dB",
        "smoothness": "S",
        "contrast_ratio": "contrast",
        "relative_smoothness": "S x C",
        "structure": "structure",
        "ssim": "SSIM",
        "warping_error": "warping error",
    }
    lines = [
        "| method | alpha | data | " + " | ".join(titles.values()) + " | stabilised |",
        "| --- " * (len(titles) + 4) + "|",
    ]
    trivial = []
    for (method, alpha, size), group in grouped(rows).items():
        cells = [method, f"{alpha:g}" if alpha else "", str(size)]
        for key in titles:
            unit = 1e4 if key == "warping_error" else 1.0
            digits = 2 if key in ("psnr", "warping_error") else 3
            values = [unit * number_of(row[key]) for row in group.values()]
            cell = f"{np.mean(values):.{digits}f}"
            cells.append(cell + (f" +- {spread_of(values):.{digits}f}" if len(values) > 1 else ""))
        judged = [row for row in group.values() if row["stabilised"] is not None]
        counting = sum(row["stabilised"] for row in judged)
        cells.append(f"{counting} of {len(judged)}" if judged else "")
        lines.append("| " + " | ".join(cells) + " |")
        trivial.append(mean_of(group, "trivial_psnr"))
    lines.append(f"\nThe trivial predictor has {np.mean(trivial):.2f} dB.")
    return "\n".join(lines)


def _plot_pareto(path: Path, groups: Groups) -> None:
    """PSNR against temporal error, a line for each method, its alphas beside their points."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 6), layout="constrained")
    axis = figure.subplots()
    for number, method in enumerate(dict.fromkeys(name for name, _, _ in groups)):
        by_alpha = of_method(groups, method)
        points = {
            alpha: (mean_of(group, "temporal_error"), mean_of(group, "psnr"))
            for alpha, group in by_alpha.items()
        }
        colour = f"C{number}"
        axis.plot(*zip(*points.values()), "o-", color=colour, label=method)
        for alpha, place in points.items():
            if alpha:
                axis.annotate(f"{alpha:g}", place, (4, 4), textcoords="offset points", color=colour)
    axis.set_xlabel("temporal error (lower is better)")
    axis.set_ylabel("PSNR, dB (higher is better)")
    axis.set_title("Mean over seeds; numbers are alpha")
    axis.legend()
    _save(figure, path)


def _plot_sizes(path: Path, groups: Groups) -> None:
    """PSNR, temporal error and S over the size of the training data."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(14, 5), layout="constrained")
    titles = {"psnr": "PSNR, dB", "temporal_error": "temporal error", "smoothness": "smoothness S"}
    lines = dict.fromkeys((method, alpha) for method, alpha, _ in groups)
    for axis, (key, title) in zip(figure.subplots(1, len(titles)), titles.items()):
        for method, alpha in lines:
            own = sorted((s, g) for (m, a, s), g in groups.items() if (m, a) == (method, alpha))
            sizes = [size for size, _ in own]
            means = [mean_of(group, key) for _, group in own]
            spreads = [spread_of([number_of(r[key]) for r in group.values()]) for _, group in own]
            label = f"{method} {alpha:g}" if alpha else method
            axis.errorbar(sizes, means, spreads, marker="o", capsize=3, label=label)
        axis.set_xscale("log", base=2)
        axis.set_xlabel("pictures a clip to learn from")
        axis.set_title(title)
    axis.legend()
    _save(figure, path)


def _save(figure: Any, path: Path) -> None:
    with atomic.atomic_write(path) as temporary:
        figure.savefig(temporary, dpi=110)
