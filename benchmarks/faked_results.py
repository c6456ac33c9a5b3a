"""The table of docs/method.md: what only looks steadier, judged against the network that it fakes.

    python benchmarks/faked_results.py demo-output/plain.keras

The clips are test frames of the demo's clips under a camera that moves by several pixels per frame.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np
from scipy import ndimage
from tensorflow import keras

from keras_temporal_reg import metrics
from keras_temporal_reg.evaluation import camera, inference
from keras_temporal_reg.experiments import media
from keras_temporal_reg.finetuning.validation_clips import ClipArrays, baseline_psnr
from keras_temporal_reg.tasks import colorization

FRAMES, STEP = 192, 8  # of the camera's path, of which every eighth is taken


def _blurred(sigma: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda p: ndimage.gaussian_filter(p, (0, sigma, sigma, 0))


def _low_passed(sigma: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda p: ndimage.gaussian_filter1d(p, sigma, axis=0)


FAKES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "faded to half": lambda p: 0.5 * p,
    "faded by a tenth": lambda p: 0.9 * p,
    "blurred, sigma 1 pixel": _blurred(1.0),
    "blurred, sigma 2 pixels": _blurred(2.0),
    "blurred, sigma 4 pixels": _blurred(4.0),
    "frozen": lambda p: np.repeat(p[:1], len(p), axis=0),
    "every fourth frame held": lambda p: p[np.arange(len(p)) // 4 * 4],
    "temporally low-passed, sigma 1 frame": _low_passed(1.0),
    "temporally low-passed, sigma 2 frames": _low_passed(2.0),
    "delayed by one frame": lambda p: np.concatenate([p[:1], p[:-1]]),
}


def filmed(split: media.SplitClip, seed: int) -> ClipArrays:
    """A test frame of a clip under a fast camera."""
    test = split.test
    picture = test[len(test) // 2] / np.float32(255.0)
    path = camera.path(FRAMES, *picture.shape[:2], seed=seed)[::STEP]
    frames = np.stack([*camera.film(picture, path)])
    return ClipArrays(*colorization.encode(frames), camera.motion(path))


def mean(measures: list[dict[str, float]]) -> dict[str, float]:
    return {key: float(np.mean([each[key] for each in measures])) for key in measures[0]}


def main(model: str) -> None:
    network = keras.models.load_model(model)
    clips = [filmed(media.split(p), n) for n, p in enumerate(media.shipped_clips())]
    results = [inference.runner(network, *clip.x.shape[1:])(clip.x) for clip in clips]
    before = [clip.measures(result) for clip, result in zip(clips, results)]
    grey = baseline_psnr(clips, colorization.baseline)
    print("| fake | flicker | PSNR | structure | detail | contrast | outcome | reasons |")
    print("| --- " * 8 + "|")
    for name, fake in FAKES.items():
        after = [clip.measures(fake(result)) for clip, result in zip(clips, results)]
        found = metrics.verdict(mean(before), mean(after), grey)
        old, new = mean(before), mean(after)
        print(
            f"| {name} | x {new['flicker'] / old['flicker']:.2f} "
            f"| {new['psnr'] - old['psnr']:+.2f} dB | {new['structure'] - old['structure']:+.3f} "
            f"| x {new['detail'] / old['detail']:.2f} "
            f"| {old['contrast_ratio']:.2f} to {new['contrast_ratio']:.2f} "
            f"| {found.outcome.name.replace('_', ' ')} | {'; '.join(found.reasons)} |"
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
