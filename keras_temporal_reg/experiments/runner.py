"""From weights to weights: train the network that methods start from, and train it by a method."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from tensorflow import keras

from keras_temporal_reg import metrics
from keras_temporal_reg.data import _crops as crops
from keras_temporal_reg.data import pair_with_transformed
from keras_temporal_reg.experiments import measures
from keras_temporal_reg.experiments.configs import (
    CONVERGED,
    METHODS,
    PLAIN,
    ExperimentConfig,
    Method,
)
from keras_temporal_reg.experiments.datasets import Problem
from keras_temporal_reg.experiments.media import CROP
from keras_temporal_reg.finetuning import schedule, training
from keras_temporal_reg.transforms import RandomAffine

BATCH = 8
BASE_RATE = 2e-3  # learning rate of training without a regularizer
# At that rate, 1 of 8 seeds of the demo's network collapsed to a constant within 600 steps; at half
# of it none of 16 did, but the network is then fitted so closely to its few stills that fine-tuning
# steadies it less. So a collapsed training is started anew.
PROBED_STEP = 600
ATTEMPTS = 4
LEAST_CONTRAST = 0.02  # of the outputs at that step, per contrast of the targets
NOISE = 0.03  # of noise stability: the middle of the range in the authors' code

Advance = Callable[..., None]  # as from `progress.bars`


@dataclasses.dataclass(frozen=True)
class Setting:
    """What the runs of one data size and one seed share.

    Attributes:
        problem: the task with its data.
        config: how large the network is, and how long to train.
        pictures: to train on.
        seed: of weights, crops and T.
        xla: compile with XLA on a CPU too, which takes longer than it saves in short trainings.
    """

    problem: Problem
    config: ExperimentConfig
    pictures: Sequence[crops.Sample]
    seed: int
    xla: bool = False


class Base(NamedTuple):
    """Where methods start: weights, and whether they converged; None where that is not tested."""

    weights: list[np.ndarray]
    converged: bool | None = None


def train_base(setting: Setting, advance: Advance) -> Base:
    """Train the network that all methods start from.

    Without `base_steps` it keeps its initial weights. A training that collapses to a constant is
    started anew, from other weights.

    Raises:
        ValueError: if all `ATTEMPTS` collapse.
    """
    config = setting.config
    counted = 0

    def count(steps: int) -> None:
        nonlocal counted
        counted += steps
        advance(steps)

    for attempt in range(ATTEMPTS):
        keras.utils.set_random_seed(setting.seed + 10_000 * attempt)
        network, converged = setting.problem.network(config.channels), None
        try:
            if config.base_steps and config.rounds > 1:
                converged = _train_to_convergence(network, setting, count)
            elif config.base_steps:
                _train_plain(network, setting, setting.seed, count)
        except _Collapsed:
            count(-counted)
            continue
        return Base(network.get_weights(), converged)
    raise ValueError(
        f"seed {setting.seed} cannot be trained: {ATTEMPTS} trainings collapsed to a constant "
        f"within {PROBED_STEP} steps. Give another seed"
    )


def fine_tune(
    setting: Setting, method: Method, alpha: float, base: Base, advance: Advance
) -> keras.Model:
    """Train a network by a method, from the weights of `base`."""
    # T, noise and captures of all methods draw the same numbers.
    seed = setting.seed + 1
    keras.utils.set_random_seed(seed)
    config = setting.config
    network = setting.problem.network(config.channels)
    network.set_weights(base.weights)
    schedule.compile_for(network, method.loss(alpha), config.rate, config.steps, setting.xla)
    training.train(
        network,
        functools.partial(batches, setting, method, seed),
        config.steps,
        advance=lambda steps, note: advance(steps * method.passes),
    )
    return network


def batches(setting: Setting, method: Method, seed: int, start: int, stop: int) -> tf.data.Dataset:
    """Batches ``(x, y)`` or ``(x, y, sample_weight)``, paired where the method pairs.

    Args:
        setting: the pictures and the task.
        method: how to train.
        seed: of the crops and of T; the crops of one seed are the same for all methods.
        start: the first step.
        stop: the step after the last one.
    """
    problem = setting.problem
    motion = RandomAffine(seed=seed)
    scale = problem.task.scale
    samples = crops.from_arrays(
        setting.pictures, crops.CropShape(CROP // scale, CROP // scale, scale)
    )

    def move(images: tf.Tensor) -> tf.Tensor:
        return motion.apply(images, motion.sample(BATCH, CROP, CROP))

    dataset = crops.batches(
        samples,
        crops.by_step(samples.count, BATCH, seed, start, stop),
        augmentation=move if method.augmented else None,
        make_input=problem.make_input,
        sample_weight=problem.weight,
    )
    if method.regularizer is None:
        return dataset
    transform, perturbation = (None, _add_noise) if method.noise else (motion, None)
    return pair_with_transformed(
        dataset, transform, perturbation, problem.make_input, method.pair_fraction, seed
    ).prefetch(2)


def _add_noise(x: tf.Tensor) -> tf.Tensor:
    return x + tf.random.normal(tf.shape(x), stddev=NOISE)


class _Collapsed(Exception):
    """The outputs of a network are constant."""


class _StopAtCollapse(keras.callbacks.Callback):
    """Raises `_Collapsed` if the outputs for a batch are constant at `PROBED_STEP`."""

    def __init__(self, x: Any, y: Any) -> None:
        super().__init__()
        self.x, self.y = x, np.asarray(y)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if batch + 1 == PROBED_STEP:
            contrasts = [
                np.std(images, axis=(0, 1, 2)).mean()
                for images in (np.asarray(self.model(self.x, training=False)), self.y)
            ]
            if not contrasts[0] > LEAST_CONTRAST * contrasts[1]:
                raise _Collapsed


def _train_plain(network: keras.Model, setting: Setting, seed: int, advance: Advance) -> None:
    steps = setting.config.base_steps
    schedule.compile_for(network, "mse", BASE_RATE, steps, setting.xla)
    probe = next(iter(batches(setting, METHODS[PLAIN], seed, 0, 1)))
    training.train(
        network,
        functools.partial(batches, setting, METHODS[PLAIN], seed),
        steps,
        advance=lambda steps, note: advance(steps),
        callbacks=[_StopAtCollapse(*probe[:2])],
    )


def _train_to_convergence(network: keras.Model, setting: Setting, advance: Advance) -> bool:
    """Train in rounds until one gains less than `CONVERGED` on every fifth picture, held out.

    Returns:
        Whether that came before the rounds were over.
    """
    config, pictures = setting.config, setting.pictures
    shown = dataclasses.replace(setting, pictures=[p for n, p in enumerate(pictures) if n % 5])
    held_out = [
        crops.center_crop(picture, crops.CropShape(CROP, CROP)) for picture in pictures[::5]
    ]
    x, y = (np.stack(parts) for parts in zip(*held_out))
    best = -math.inf
    for number in range(config.rounds):
        _train_plain(network, shown, 100 * setting.seed + number, advance)
        psnr = metrics.psnr(y, measures.predict(network, x))
        if psnr < best + CONVERGED:
            advance((config.rounds - number - 1) * config.base_steps)
            return True
        best = psnr
    return False
