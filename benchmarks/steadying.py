"""Steady networks on clips whose ideal output is known, and hidden from `ktr.steady`.

    python benchmarks/steadying.py demo-output [demo-output-1 ...] [--minutes 3]

The network of each `original.keras`, of `ktr demo`, is steadied on the luma of the second half of
each shot of each clip. Flicker, PSNR against the colours of the clip, contrast and temporal error
are those of `metrics.stability`. Results go to `benchmarks/results/steadying.json`.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import tempfile
import time

import numpy as np

import keras_temporal_reg as ktr
from keras_temporal_reg import saved_models
from keras_temporal_reg.evaluation import inference
from keras_temporal_reg.experiments import datasets, networks
from keras_temporal_reg.io import image_files
from keras_temporal_reg.tasks import colorization

RESULTS = pathlib.Path(__file__).parent / "results" / "steadying.json"
SHOWN = ("flicker", "psnr", "contrast_ratio", "temporal_error")


def steady(
    original: pathlib.Path, split: datasets.SplitClip, clip: datasets.ClipArrays, options: dict
) -> dict:
    """Steady a network on a clip, and measure the original and the result with the hidden truth."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        frames = pathlib.Path(folder) / "frames"
        frames.mkdir()
        # Grey frames: the colours are not there to be seen.
        for number, luma in enumerate(clip.x):
            image_files.write(frames / f"{number:04d}.png", np.repeat(luma, 3, axis=-1))
        output = pathlib.Path(folder) / "steady.keras"
        result = ktr.steady(original, frames, output, **options)
        models = [saved_models.load(path).model for path in (original, output)]
    before, after = (
        clip.measures(inference.runner(model, *clip.x.shape[1:])(clip.x)) for model in models
    )
    return {
        "network": str(original),
        "clip": split.name,
        "before": {key: before[key] for key in SHOWN},
        "after": {key: after[key] for key in SHOWN},
        "reference": {"flicker": clip.floor},
        "verdict": str(result.evaluation.verdict),
        "outcome": result.evaluation.outcome.name,
        "weights": dict(result.choice.weights),
        "error": result.choice.chosen.measures["error"],
        "window": result.window,
        "steps": result.steps,
        "seconds": round(time.monotonic() - started, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("outputs", nargs="+", type=pathlib.Path, help="folders of ktr demo")
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--steps", type=int, help="of each training, in place of minutes")
    parser.add_argument("--strength", default="auto")
    parser.add_argument("--results", type=pathlib.Path, default=RESULTS)
    given = parser.parse_args()
    strength = given.strength if given.strength == "auto" else float(given.strength)
    options = {"minutes": given.minutes, "steps": given.steps, "strength": strength}
    options["show_progress"] = False
    splits = [datasets.split(path) for path in datasets.shipped_clips()]
    problem = datasets.of_clips(colorization, networks.colorization_unet, splits, [])
    rows = []
    for output in given.outputs:
        for split, clip in zip(splits, problem.clips):
            row = steady(
                output / "original.keras", split, clip, {**options, "show_progress": False}
            )
            rows.append(row)
            before, after = row["before"], row["after"]
            print(
                f"{row['network']} {row['clip']}: flicker {before['flicker']:.2f} to "
                f"{after['flicker']:.2f} (x {after['flicker'] / before['flicker']:.2f}), PSNR "
                f"{after['psnr'] - before['psnr']:+.2f} dB, contrast "
                f"{before['contrast_ratio']:.3f} to {after['contrast_ratio']:.3f}; "
                f"{row['steps']} steps, {row['seconds']:.0f} s. "
                f"{row['verdict']}",
                flush=True,
            )
    factors = [row["after"]["flicker"] / row["before"]["flicker"] for row in rows]
    changes = [row["after"]["psnr"] - row["before"]["psnr"] for row in rows]
    print(f"Mean: flicker x {np.mean(factors):.2f}, PSNR {np.mean(changes):+.2f} dB.")
    given.results.write_text(
        json.dumps({"versions": saved_models.versions(), "rows": rows}, indent=1) + "\n"
    )


if __name__ == "__main__":
    main()
