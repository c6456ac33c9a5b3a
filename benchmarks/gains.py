"""What `pair_fraction` leaves of the demo's gains: full pairing against a quarter, by seed.

    python benchmarks/gains.py [--seeds 0 1 2 3 4 5] [--fraction 0.25] [--output FILE]

For each seed one network is trained, then fine-tuned from the same weights on the same crops
without the regularizer, with full pairing and with partial pairing. A gain is the fall of
flicker and of the temporal error, and the rise of S, relative to plain fine-tuning.
"""

from __future__ import annotations

import argparse
import pathlib
import statistics

from keras_temporal_reg.experiments import datasets, measures, media, networks, runner
from keras_temporal_reg.experiments.configs import (
    JACOBIAN,
    METHODS,
    PLAIN,
    DemoConfig,
    ExperimentConfig,
    Method,
)
from keras_temporal_reg.finetuning.config import SINGLE_ALPHA
from keras_temporal_reg.io import jsonable, progress
from keras_temporal_reg.tasks import colorization

TRIED = ("plain", "full", "partial")
MEASURES = (
    "flicker",
    "temporal_error",
    "smoothness",
    "relative_smoothness",
    "psnr",
    "contrast_ratio",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[*range(6)])
    parser.add_argument("--fraction", type=float, default=0.25)
    parser.add_argument("--steps", type=int, default=DemoConfig.steps)
    parser.add_argument("--output", type=pathlib.Path, default="benchmarks/results/gains.json")
    options = parser.parse_args()
    splits = [media.split(path) for path in media.shipped_clips()]
    photographs = media.shipped_photographs().values()
    problem = datasets.of_clips(colorization, networks.colorization_unet, splits, photographs)
    rows = [run(problem, seed, options.fraction, options.steps) for seed in options.seeds]
    results = {"fraction": options.fraction, "steps": options.steps, "seeds": rows}
    results["gains"] = gains(rows)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    jsonable.write(options.output, results)
    show(results)


def run(problem: datasets.Problem, seed: int, fraction: float, steps: int) -> dict:
    """Measures of the three networks, mean of the clips."""
    demo = DemoConfig(steps=steps, seed=seed)
    config = ExperimentConfig(base_steps=steps, steps=demo.tuning_steps)
    pictures = problem.pictures(media.STILLS)
    setting = runner.Setting(problem, config, pictures, seed, xla=True)
    full = Method(JACOBIAN)
    methods = (METHODS[PLAIN], full, full._replace(pair_fraction=fraction))
    measured = {}
    with progress.bars() as start:
        base = runner.train_base(setting, start(f"seed {seed}: training", steps))
        for name, method in zip(TRIED, methods, strict=True):
            total = config.steps * method.passes
            advance = start(f"seed {seed}: fine-tuning, {name}", total)
            network = runner.fine_tune(setting, method, SINGLE_ALPHA, base, advance)
            found = measures.mean_measures(problem, network)
            measured[name] = {key: found[key] for key in MEASURES}
    return {"seed": seed, **measured}


def gains(rows: list[dict]) -> dict:
    """The gain of full and of partial pairing per measure and seed, and what partial keeps."""
    found = {}
    for key, sign in (("flicker", -1.0), ("temporal_error", -1.0), ("smoothness", 1.0)):
        by_name = {
            name: [sign * (row[name][key] / row["plain"][key] - 1.0) for row in rows]
            for name in ("full", "partial")
        }
        full, partial = (statistics.mean(by_name[name]) for name in ("full", "partial"))
        found[key] = {**by_name, "mean_full": full, "mean_partial": partial, "kept": partial / full}
    return found


def show(results: dict) -> None:
    for row in results["seeds"]:
        for name in TRIED:
            values = "  ".join(f"{key} {row[name][key]:.4f}" for key in MEASURES)
            print(f"seed {row['seed']}  {name:<8} {values}")
    for key, gain in results["gains"].items():
        by_seed = ", ".join(
            f"{f:.3f} / {p:.3f}" for f, p in zip(gain["full"], gain["partial"], strict=True)
        )
        print(
            f"gain in {key}: full {gain['mean_full']:.3f}, with pair_fraction="
            f"{results['fraction']:g} {gain['mean_partial']:.3f}: {gain['kept']:.2f} of it is kept "
            f"(by seed, full / partial: {by_seed})"
        )


if __name__ == "__main__":
    main()
