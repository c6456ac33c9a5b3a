"""What each perturbation is good for: flicker on clips with and without what it imitates.

    python benchmarks/perturbations.py demo-output [--steps 600]

The network of `demo-output/original.keras` is fine-tuned with the sparse Jacobian on the demo's
stills, without a perturbation and with each, and run on the demo's test clips: as they are, and
with each perturbation in their frames, drawn anew for each. Flicker and PSNR are means over the
clips. Results go to `benchmarks/results/perturbations.json`.
"""

from __future__ import annotations

import argparse
import json
import pathlib

import numpy as np
import tensorflow as tf
from tensorflow import keras

import keras_temporal_reg as ktr
from keras_temporal_reg import perturbations, saved_models
from keras_temporal_reg.experiments import datasets, measures, media, networks, runner
from keras_temporal_reg.experiments.configs import METHODS, PLAIN, ExperimentConfig
from keras_temporal_reg.finetuning import schedule
from keras_temporal_reg.tasks import colorization

RESULTS = pathlib.Path(__file__).parent / "results" / "perturbations.json"
RATE, ALPHA = 5e-4, 0.8
NONE = "none"
TRIED = {
    NONE: None,
    "sensor noise": perturbations.SensorNoise(0.06, 0.02),
    "exposure": perturbations.ExposureDrift(0.15),
    "defocus": perturbations.Defocus(1.0),
    "compression": perturbations.CompressionArtifacts((20, 60)),
}
METHODS_TRIED = {"plain": (0.0, None), **{name: (ALPHA, each) for name, each in TRIED.items()}}


def fine_tune(problem: datasets.Problem, original: keras.Model, steps: int, name: str) -> None:
    """Fine-tune the network in place, on the same crops whatever the perturbation."""
    alpha, perturbation = METHODS_TRIED[name]
    keras.utils.set_random_seed(1)
    setting = runner.Setting(problem, ExperimentConfig(), problem.pictures(12), 1)
    model = ktr.RegularizedModel(original, ktr.RandomAffine(seed=1), perturbation)
    loss = ktr.losses.SparseJacobianLoss(alpha, contrast=0.1)
    schedule.compile_for(model, loss, RATE, steps)
    batches = runner.batches(setting, METHODS[PLAIN], 1, 0, steps)
    model.fit(batches, steps_per_epoch=steps, verbose=0)


def measure(problem: datasets.Problem, network: keras.Model, name: str) -> dict[str, float]:
    """Flicker and PSNR on the test clips, with a perturbation in their frames."""
    found = []
    for clip in problem.sets[datasets.CLIPS].values():
        x = clip.x
        if TRIED[name] is not None:
            frames = [TRIED[name](x[n : n + 1], seed=(7, n)) for n in range(len(x))]
            x = tf.concat(frames, axis=0).numpy()
        found.append(clip.measures(measures.predict(network, x)))
    return {key: float(np.mean([m[key] for m in found])) for key in ("flicker", "psnr")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", type=pathlib.Path, help="folder of ktr demo")
    parser.add_argument("--steps", type=int, default=600)
    given = parser.parse_args()
    splits = [media.split(path) for path in media.shipped_clips()]
    problem = datasets.of_clips(
        colorization,
        networks.colorization_unet,
        splits,
        media.shipped_photographs().values(),
    )
    rows = []
    for name in METHODS_TRIED:
        network = saved_models.load(given.output / "original.keras", for_training=True).model
        fine_tune(problem, network, given.steps, name)
        row = {"trained_with": name, **{clip: measure(problem, network, clip) for clip in TRIED}}
        rows.append(row)
        shown = ", ".join(
            f"{clip} {row[clip]['flicker'] / rows[0][clip]['flicker']:.2f} "
            f"({row[clip]['psnr'] - rows[0][clip]['psnr']:+.2f} dB)"
            for clip in TRIED
        )
        print(f"{name}: flicker against plain on clips with {shown}", flush=True)
    RESULTS.write_text(
        json.dumps({"versions": saved_models.versions(), "steps": given.steps, "rows": rows})
    )


if __name__ == "__main__":
    main()
