"""Measures of networks and of filters on the test clips of a problem."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import tensorflow as tf
from tensorflow import keras

from keras_temporal_reg import metrics
from keras_temporal_reg.evaluation.ssim import ssim_of_frame
from keras_temporal_reg.experiments.alternatives import ALTERNATIVES
from keras_temporal_reg.experiments.configs import Run
from keras_temporal_reg.experiments.datasets import CLIPS, Problem
from keras_temporal_reg.experiments.statistics import BASELINE_PSNR, REFERENCE_FLICKER
from keras_temporal_reg.finetuning.validation_clips import ClipArrays

Results = Mapping[str, Mapping[str, np.ndarray]]  # of each clip of each set
Measured = dict[str, dict[str, dict[str, float]]]  # likewise, by measure
_T = TypeVar("_T")
_DIGITS = 6  # of measures in rows, which are committed


def predict(network: keras.Model, x: np.ndarray) -> np.ndarray:
    """The network's output for the frames of a clip."""
    # Not Keras's `predict`, which is traced again for each network.
    return np.concatenate([network(x[n : n + 8], training=False) for n in range(0, len(x), 8)])


def of_references(problem: Problem) -> Measured:
    """What the results on each clip are compared with: flicker of the reference, and PSNR of the
    baseline prediction.
    """
    return _of_clips(
        problem,
        lambda clips, name, clip: {
            REFERENCE_FLICKER: clip.floor,
            BASELINE_PSNR: metrics.psnr(
                clip.y, where_weighted(problem, problem.task.baseline(clip.x), clip.y)
            ),
        },
    )


def measure_network(problem: Problem, network: keras.Model, references: Measured) -> dict[str, Any]:
    """The part of a row that measures a network: ``clips``, and ``seconds_per_frame``."""
    started = time.monotonic()
    results = predictions(problem, network)
    return _part_of_row(problem, results, references, time.monotonic() - started)


def measure_alternatives(
    problem: Problem, network: keras.Model, runs: Sequence[Run], references: Measured
) -> Iterator[dict[str, Any]]:
    """For each filter, the same; its seconds per frame come on top of one pass of the network."""
    plain = predictions(problem, network)

    def of_network(x: np.ndarray) -> np.ndarray:
        return predict(network, x)

    def filtered(run: Run, clips: str, name: str, clip: ClipArrays) -> np.ndarray:
        alternative, prediction = ALTERNATIVES[run.method], plain[clips][name]
        return alternative.apply(
            of_network, clip.x, prediction, problem.task, run.strength, clip.cuts
        )

    for run in runs:
        started = time.monotonic()
        results = _of_clips(problem, functools.partial(filtered, run))
        yield _part_of_row(problem, results, references, time.monotonic() - started)


def predictions(problem: Problem, network: keras.Model) -> Results:
    """The network's output for all clips."""
    return _of_clips(problem, lambda clips, name, clip: predict(network, clip.x))


def mean_measures(problem: Problem, network: keras.Model) -> dict[str, float]:
    """Means of all measures over the real test clips."""
    measured = [
        _measures(problem, clip, predict(network, clip.x)) for clip in problem.sets[CLIPS].values()
    ]
    return {key: float(np.mean([each[key] for each in measured])) for key in measured[0]}


def where_weighted(problem: Problem, prediction: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The prediction where the weight of the loss is 1, and y where it is 0."""
    if problem.weight is None:
        return prediction
    weight = problem.weight(tf.constant(y)).numpy()[..., np.newaxis]
    return weight * prediction + (1.0 - weight) * y


def _measures(problem: Problem, clip: ClipArrays, prediction: np.ndarray) -> dict[str, float]:
    task, x, y = problem.task, clip.x, clip.y
    shown = task.decode(x, prediction)
    return {
        **clip.measures(where_weighted(problem, prediction, y)),
        "ssim": float(np.mean([*map(ssim_of_frame, task.decode(x, y), shown)])),
        "warping_error": metrics.warping_error(shown, clip.motion, clip.mask, clip.cuts),
    }


def _part_of_row(
    problem: Problem, results: Results, references: Measured, seconds: float
) -> dict[str, Any]:
    def measured(clips: str, name: str, clip: ClipArrays) -> dict[str, float]:
        found = {**references[clips][name], **_measures(problem, clip, results[clips][name])}
        return {key: float(f"{value:.{_DIGITS}g}") for key, value in found.items()}

    frames = sum(len(clip.x) for of_set in problem.sets.values() for clip in of_set.values())
    return {
        "clips": _of_clips(problem, measured),
        "seconds_per_frame": float(f"{seconds / frames:.3g}"),
    }


def _of_clips(
    problem: Problem, function: Callable[[str, str, ClipArrays], _T]
) -> dict[str, dict[str, _T]]:
    """A function of each clip, with the names of its set and its own."""
    return {
        clips: {name: function(clips, name, clip) for name, clip in of_set.items()}
        for clips, of_set in problem.sets.items()
    }
