"""What `pair_fraction` leaves of the demo's gains: full pairing against a quarter, by seed.

    python benchmarks/gains.py [--seeds 0 1 2 3 4 5] [--fraction 0.25] [--output FILE]

For each seed one network is trained, then fine-tuned from the same weights on the same batches
without the regularizer, with full pairing and with partial pairing. A gain is by how much the
temporal error falls, and S rises, against plain fine-tuning, as the demo prints them.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import statistics

from tensorflow import keras

from keras_temporal_reg import RandomAffine, RegularizedModel
from keras_temporal_reg.experiments import demo, networks
from keras_temporal_reg.io import atomic

TRIED = ("plain", "full", "partial")
MEASURES = ("temporal_error", "smoothness", "relative_smoothness", "psnr", "contrast_ratio")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[*range(6)])
    parser.add_argument("--fraction", type=float, default=0.25)
    parser.add_argument("--steps", type=int, default=demo.DEFAULT_STEPS)
    parser.add_argument("--output", type=pathlib.Path, default="benchmarks/results/gains.json")
    options = parser.parse_args()
    footage = [demo.divide(path) for path in demo.shipped_clips()]
    rows = [run(footage, seed, options.fraction, options.steps) for seed in options.seeds]
    results = {"fraction": options.fraction, "steps": options.steps, "seeds": rows}
    results["gains"] = gains(rows)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    with atomic.atomic_write(options.output) as temporary:
        temporary.write_text(json.dumps(results, indent=2) + "\n")
    show(results)


def run(footage: list[demo.Footage], seed: int, fraction: float, steps: int) -> dict:
    """Measures of the three networks, mean of the clips."""
    task = demo.colorization
    stills = [still for f in footage for still in f.stills]
    pictures = [task.encode(p / 255.0) for p in (*stills, *demo.shipped_photos())]
    tests = {f.name: task.encode(f.test / 255.0) for f in footage}
    keras.utils.set_random_seed(seed)
    network = networks.colorization_unet()
    tuning_steps = steps // demo.FINE_TUNING_SHARE
    predictions = {}
    with demo.progress_bar(demo.terminal()) as progress:
        first = demo.batches(pictures, seed)
        demo.train(network, "mse", first, steps, 2e-3, progress, f"seed {seed}: training")
        weights = network.get_weights()
        for name in TRIED:
            network.set_weights(weights)
            model, loss = network, "mse"
            if name != "plain":
                share = 1.0 if name == "full" else fraction
                model = RegularizedModel(network, RandomAffine(seed=seed), pair_fraction=share)
                loss = demo.METHODS[demo.DEFAULT_METHOD](demo.DEFAULT_ALPHA)
            batch = demo.batches(pictures, seed + 1)
            label = f"seed {seed}: fine-tuning, {name}"
            demo.train(model, loss, batch, tuning_steps, 1e-3, progress, label)
            predictions[name] = {key: demo.predict(network, x) for key, (x, _) in tests.items()}
    measured = {}
    for name in TRIED:
        summary = demo.summarize(
            task, footage, tests, predictions["plain"], predictions["plain"], predictions[name]
        )
        measured[name] = {key: summary["stabilized"][key] for key in MEASURES}
    return {"seed": seed, **measured}


def gains(rows: list[dict]) -> dict:
    """By measure: the gain of full and of partial pairing by seed, and what partial keeps."""
    found = {}
    for key, sign in (("temporal_error", -1.0), ("smoothness", 1.0)):
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
