"""Steady networks on clips whose ideal output is known, and hidden from `ktr.steady`.

    python benchmarks/steadying.py demo-output [demo-output-1 ...] [--minutes 3]
    python benchmarks/steadying.py --task hdr [--seed 0]

The network of each `original.keras`, of `ktr demo`, is steadied on the luma of the second half of
each shot of each clip. With a task of `TRAINED`, a network is trained first, on the stills and
photographs of the demo, and steadied on the inputs of that task. Flicker, PSNR against the ideal
output, contrast and temporal error are those of `metrics.stability`. Results go to
`benchmarks/results/steadying.json`, or `steadying-TASK.json`. For HDR, generated scenes are trained
on, and others under a moving camera, whose motion is known exactly, are steadied on.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import pathlib
import shutil
import tempfile
import time

import cv2
import numpy as np
from tensorflow import keras

import keras_temporal_reg as ktr
from keras_temporal_reg import saved_models, tasks
from keras_temporal_reg.evaluation import inference
from keras_temporal_reg.experiments import datasets, media, networks, runner
from keras_temporal_reg.experiments.configs import ExperimentConfig
from keras_temporal_reg.io import image_files, video

RESULTS = pathlib.Path(__file__).parent / "results" / "steadying.json"
STEPS = 1500  # of the training for a task
PICTURES = 24  # scenes, or stills of each clip, to train on
SHOWN = ("flicker", "psnr", "contrast_ratio", "temporal_error")


def enhancement_net(channels: int = 16) -> keras.Model:
    """RGB to RGB, by convolutions of two scales."""
    layers = keras.layers
    x = keras.Input((None, None, 3))
    fine = layers.Conv2D(channels, 3, padding="same", activation="relu")(x)
    h = layers.Conv2D(2 * channels, 3, strides=2, padding="same", activation="relu")(fine)
    h = layers.Conv2D(2 * channels, 3, padding="same", activation="relu")(h)
    h = layers.UpSampling2D(2, interpolation="bilinear")(h)
    h = layers.Concatenate()([h, fine])
    h = layers.Conv2D(channels, 3, padding="same", activation="relu")(h)
    return keras.Model(x, layers.Conv2D(3, 3, padding="same")(h))


def unet(channels: int = 16) -> keras.Model:
    """RGB to RGB: a U-Net that begins at half resolution."""
    layers = keras.layers
    x = keras.Input((None, None, 3))
    h = layers.Conv2D(channels, 5, strides=2, padding="same", activation="relu")(x)
    skips = []
    for level in range(3):
        h = layers.Conv2D(channels * 2**level, 3, padding="same", activation="relu")(h)
        skips.append(h)
        h = layers.MaxPooling2D()(h)
    h = layers.Conv2D(8 * channels, 3, padding="same", activation="relu")(h)
    for level in reversed(range(3)):
        h = layers.Concatenate()([layers.UpSampling2D()(h), skips[level]])
        h = layers.Conv2D(channels * 2**level, 3, padding="same", activation="relu")(h)
    return keras.Model(x, layers.Conv2DTranspose(3, 4, strides=2, padding="same")(h))


def paint(rgb: np.ndarray) -> np.ndarray:
    """A picture in [0, 1] as if it was painted: areas of one colour, of few brightnesses."""
    areas = cv2.pyrMeanShiftFiltering(image_files.to_uint8(rgb), 8, 24)
    few = (areas // 43 * 43 + 21).astype(np.uint8)
    return cv2.medianBlur(few, 5).astype(np.float32) / np.float32(255.0)


def encode_style(rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    painted = paint(rgb) if rgb.ndim == 3 else np.stack([paint(frame) for frame in rgb])
    return rgb.astype(np.float32), painted


STYLE = dataclasses.replace(tasks.restoration, name="style", encode=encode_style)
TRAINED = {
    "hdr": unet,
    "style": unet,
    "low-light": enhancement_net,
    "sensor-denoising": enhancement_net,
    "super-resolution": lambda channels: networks.super_resolution_net(2, channels),
}


def problem_of(task: str, splits: list[media.SplitClip]) -> datasets.Problem:
    """What to train and to steady on."""
    if task == "hdr":
        scenes = datasets.problem("hdr", ExperimentConfig(frames=50), None)
        # All of the picture is predicted, and measured.
        return dataclasses.replace(scenes, network=TRAINED[task], weight=None)
    its_task = STYLE if task == "style" else tasks.find(task)
    photographs = media.shipped_photographs().values()
    return datasets.of_clips(its_task, TRAINED[task], splits, photographs)


def train(problem: datasets.Problem, seed: int, path: pathlib.Path) -> pathlib.Path:
    """Train a network on pictures, without a regularizer, and save it."""
    keras.utils.set_random_seed(seed)
    config = ExperimentConfig(base_steps=STEPS)
    setting = runner.Setting(problem, config, problem.pictures(PICTURES), seed)
    network = problem.network(config.channels)
    network.set_weights(runner.train_base(setting, lambda steps: None).weights)
    path.parent.mkdir()
    saved_models.save(network, path, "keras")
    return path


def steady(original: pathlib.Path, name: str, clip: datasets.ClipArrays, options: dict) -> dict:
    """Steady a network on a clip, and measure the original and the result with the hidden truth."""
    with tempfile.TemporaryDirectory() as folder:
        frames = pathlib.Path(folder) / "frames"
        # Of luma, grey frames: the colours are not there to be seen.
        rgb = (np.repeat(x, 3, axis=-1) if x.shape[-1] == 1 else x for x in clip.x)
        video.write(frames, rgb, video.FOLDER_RATE)
        output = pathlib.Path(folder) / "steady.keras"
        result = ktr.steady(original, frames, output, **options)
        models = [saved_models.load(path).model for path in (original, output)]
    before, after = (
        clip.measures(inference.runner(model, *clip.x.shape[1:])(clip.x)) for model in models
    )
    return {
        "network": "/".join(original.parts[-2:]),
        "clip": name,
        "before": {key: before[key] for key in SHOWN},
        "after": {key: after[key] for key in SHOWN},
        "reference": {"flicker": clip.floor},
        "verdict": str(result.evaluation.verdict),
        "outcome": result.evaluation.outcome.name,
        "weights": dict(result.choice.weights),
        "error": result.choice.chosen.measures["error"],
        "window": result.window,
        "steps": result.steps,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("outputs", nargs="*", type=pathlib.Path, help="folders of ktr demo")
    parser.add_argument("--task", choices=TRAINED, help="train a network for it, and steady that")
    parser.add_argument("--seed", type=int, default=0, help="of that training")
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--steps", type=int, help="of each training, in place of minutes")
    parser.add_argument("--strength", default="auto")
    parser.add_argument("--results", type=pathlib.Path)
    given = parser.parse_args()
    strength = given.strength if given.strength == "auto" else float(given.strength)
    options = {"minutes": given.minutes, "steps": given.steps, "strength": strength}
    options["show_progress"] = False
    splits = [media.split(path) for path in media.shipped_clips()]
    folder = pathlib.Path(tempfile.mkdtemp())
    if given.task is None:
        problem = datasets.of_clips(tasks.colorization, networks.colorization_unet, splits, [])
        models = [output / "original.keras" for output in given.outputs]
    else:
        problem = problem_of(given.task, splits)
        models = [train(problem, given.seed, folder / given.task / f"seed-{given.seed}.keras")]
    # Of the two sets of HDR, the one to test on.
    (*_, clips) = problem.sets.values()
    rows = []
    for model in models:
        for name, clip in clips.items():
            started = time.monotonic()
            row = steady(model, name, clip, options)
            rows.append(row)
            before, after = row["before"], row["after"]
            print(
                f"{row['network']} {row['clip']}: flicker {before['flicker']:.2f} to "
                f"{after['flicker']:.2f} (x {after['flicker'] / before['flicker']:.2f}), PSNR "
                f"{after['psnr'] - before['psnr']:+.2f} dB, contrast "
                f"{before['contrast_ratio']:.3f} to {after['contrast_ratio']:.3f}; "
                f"{row['steps']} steps, {time.monotonic() - started:.0f} s. "
                f"{row['verdict']}",
                flush=True,
            )
    factors = [row["after"]["flicker"] / row["before"]["flicker"] for row in rows]
    changes = [row["after"]["psnr"] - row["before"]["psnr"] for row in rows]
    print(f"Mean: flicker x {np.mean(factors):.2f}, PSNR {np.mean(changes):+.2f} dB.")
    shutil.rmtree(folder)
    results = given.results or RESULTS.with_stem("-".join(filter(None, ["steadying", given.task])))
    results.write_text(
        json.dumps({"versions": saved_models.versions(), "rows": rows}, indent=1) + "\n"
    )


if __name__ == "__main__":
    main()
