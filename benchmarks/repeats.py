"""How far the demo's verdict depends on rounding: fine-tunings from weights that differ in the last
digits, as they do from processor to processor.

    python benchmarks/repeats.py demo-output [--repeats 10] [--first 0]

The network of `demo-output/original.keras` is fine-tuned again with each weight changed by one part
in a million. Each repeat chooses its own blend, and is judged on the demo's test clips.
"""

from __future__ import annotations

import argparse
import collections
import json
import pathlib
import time

import numpy as np
from tensorflow import keras

from keras_temporal_reg import metrics
from keras_temporal_reg.experiments import datasets, demo, measures, media, networks, runner
from keras_temporal_reg.experiments.configs import DemoConfig
from keras_temporal_reg.finetuning import blending, validation_clips
from keras_temporal_reg.finetuning.config import PLAIN
from keras_temporal_reg.tasks import colorization

CHANGE = 1e-6  # standard deviation, relative to the weight


def repeat(
    problem: datasets.Problem,
    splits: list[media.SplitClip],
    weights: list[np.ndarray],
    config: DemoConfig,
    number: int,
) -> dict:
    """Fine-tune, choose and judge once; `number` draws the change of the weights."""
    started = time.monotonic()
    rng = np.random.default_rng(number)
    changed = [w * (1.0 + CHANGE * rng.normal(size=w.shape)).astype(w.dtype) for w in weights]
    keras.backend.clear_session()
    values, _ = demo.fine_tune(problem, config, runner.Base(changed))
    choice = demo.choose(problem, splits, values, config)
    found = []
    for blend in ({PLAIN: 1.0}, choice.weights):
        network = problem.network(demo.CHANNELS)
        blending.assign(network, values, blend)
        found.append(measures.mean_measures(problem, network))
    before, after = found
    clips = [*problem.sets[datasets.CLIPS].values()]
    grey = validation_clips.baseline_psnr(clips, problem.task.baseline)
    verdict = metrics.verdict(before, after, grey)
    return {
        "repeat": number,
        "outcome": verdict.outcome.name,
        "flicker": after["flicker"] / before["flicker"],
        "psnr": after["psnr"] - before["psnr"],
        "weights": dict(choice.weights),
        "seconds": round(time.monotonic() - started, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("folder", type=pathlib.Path, help="of the demo's results")
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--first", type=int, default=0, help="number of the first repeat")
    options = parser.parse_args()
    settings = json.loads((options.folder / "summary.json").read_text())["settings"]
    names = ("strength", "contrast", "steps", "tuning_steps", "seed")
    config = DemoConfig(
        **{name: settings[name] for name in names}, members=tuple(settings["members"])
    )
    weights = keras.models.load_model(options.folder / "original.keras").get_weights()
    splits = [media.split(path) for path in media.shipped_clips()]
    photographs = media.shipped_photographs().values()
    problem = datasets.of_clips(colorization, networks.colorization_unet, splits, photographs)
    outcomes: collections.Counter[str] = collections.Counter()
    for number in range(options.first, options.first + options.repeats):
        found = repeat(problem, splits, weights, config, number)
        outcomes[found["outcome"]] += 1
        print(json.dumps(found), flush=True)
    print(dict(outcomes))


if __name__ == "__main__":
    main()
