"""Train a network on footage with its own results as targets, and choose the blend."""

from __future__ import annotations

import dataclasses
import math
import time
from typing import NamedTuple

import numpy as np
from tensorflow import keras

from keras_temporal_reg import metrics
from keras_temporal_reg.evaluation import inference, optical_flow
from keras_temporal_reg.finetuning import blending, members, numerics, strength_search, training
from keras_temporal_reg.finetuning.checkpoints import RunFolder
from keras_temporal_reg.finetuning.choice import Choice
from keras_temporal_reg.finetuning.strength_search import ORIGINAL
from keras_temporal_reg.finetuning.validation_clips import ClipArrays
from keras_temporal_reg.io import progress, video
from keras_temporal_reg.steadying.config import ALPHAS
from keras_temporal_reg.steadying.job import Job

_PARTS = 5  # of a training; after each the run is saved
_LEAST_FLICKER = 0.1  # in % of contrast; a flicker below cannot be seen


class NothingToSteady(ValueError):
    """The results of the network do not flicker."""


class Judged(NamedTuple):
    """What blends are judged on.

    Attributes:
        clip: runs of neighbouring frames, whose targets are the original's results.
        floor: flicker of the input, in % of its contrast.
        per_frame: seconds that the network takes for a frame.
        per_pair: seconds that the optical flow between two frames takes.
    """

    clip: ClipArrays
    floor: float
    per_frame: float
    per_pair: float


def judged(job: Job) -> Judged:
    """The runs of neighbouring frames, and what the original makes of them.

    Raises:
        NothingToSteady: if the original's results do not flicker.
        ValueError: if they are not finite.
    """
    runs = job.footage.runs
    cuts = np.cumsum([len(run) for run in runs])[:-1]
    frames = np.concatenate(runs)
    x = job.inferred.inputs(frames)
    run = inference.runner(job.teacher, *x.shape[1:], memory=job.config.memory)
    y = run(x)
    started = time.monotonic()
    run(x)
    per_frame = (time.monotonic() - started) / len(x)
    if not np.isfinite(y).all():
        raise ValueError("the model must return finite numbers. Received: NaN or infinity")
    height, width = y.shape[1:3]
    pictures = np.stack([video.resize(frame, width, height) for frame in frames])
    started = time.monotonic()
    clip = ClipArrays(x, y, *optical_flow.of_clip(pictures), tuple(cuts.tolist()))
    per_pair = (time.monotonic() - started) / len(x)
    flicker = metrics.flicker(y, clip.motion, clip.mask, clip.cuts)
    floor = metrics.flicker(pictures / np.float32(255.0), clip.motion, clip.mask, clip.cuts)
    if not flicker >= _LEAST_FLICKER:
        found = "no contrast" if math.isnan(flicker) else f"flicker of {flicker:.2f} % of contrast"
        raise NothingToSteady(
            "there is nothing to steady in clip "
            f"{', '.join(str(c) for c in job.footage.clips)}, and nothing was written: the results "
            f"of the model must flicker by at least {_LEAST_FLICKER:g} % of contrast. "
            f"Received: {found}"
        )
    return Judged(clip, floor, per_frame, per_pair)


def adapt(job: Job, on: Judged, steps: int) -> tuple[Choice, int]:
    """Train by each method, and give the model of the job the best blend.

    Args:
        job: what is trained.
        on: what blends are judged on.
        steps: of each training.

    Returns:
        The choice, whose weights are empty where no blend is steadier and true to the original,
        and the number of steps of all trainings.

    Raises:
        ValueError: for a NaN or infinite loss; what was trained is deleted.
    """
    config = job.config
    values: dict[str, strength_search.Values] = {ORIGINAL: members.values_of(job.model)}
    trained = 0
    with progress.bars(config.show_progress) as start:
        for method in config.methods:
            blending.assign(job.model, values, {ORIGINAL: 1.0})
            keras.utils.set_random_seed(config.seed)
            try:
                history = training.train(
                    job.network(method, steps),
                    job.batches,
                    steps,
                    parts=_PARTS,
                    run=RunFolder(job.run.path / method, {**job.run.settings, "steps": steps}),
                    advance=start(f"training, {method}", steps),
                    callbacks=[numerics.StopAtNonFiniteLoss(config.learning_rate)],
                )
            except numerics.NonFiniteLoss as error:
                job.run.delete()
                raise ValueError(str(error)) from error
            trained += history.steps
            values[method] = members.values_of(job.model)
        choice = strength_search.search(
            job.model,
            values,
            [on.clip],
            math.nan,
            strength=config.strength,
            alphas=ALPHAS,
            value_range=float(np.ptp(on.clip.y)),
            judge=strength_search.judge_without_reference(
                config.strength, job.inferred.task.has_contrast
            ),
            batches=members.statistics_batches(job.model, job.batches(0, steps)),
            advance=start(
                "choosing the strength",
                strength_search.evaluations(config.methods, config.strength),
            ),
        )
    return dataclasses.replace(choice, floor=on.floor), trained
