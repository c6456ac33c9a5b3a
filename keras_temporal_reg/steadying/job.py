"""A run of `steady`: the network and its teacher, the frames, and what is trained on."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow import keras

from keras_temporal_reg import saved_models, tasks
from keras_temporal_reg.data import _crops, _sample_cache
from keras_temporal_reg.finetuning import members, preflight, schedule, training
from keras_temporal_reg.finetuning.checkpoints import RunFolder, digest
from keras_temporal_reg.io import progress
from keras_temporal_reg.model import RegularizedModel
from keras_temporal_reg.steadying import footage, inferred_task, windows
from keras_temporal_reg.steadying.config import ALPHAS, SteadyConfig

_PIXELS = 8 * 64 * 64  # of x in a batch, before pairing


@dataclasses.dataclass(frozen=True)
class Job:
    """What the steps of a run share.

    Attributes:
        config: the options.
        model: is trained, and holds the result in the end.
        teacher: the same network, which stays as it is.
        inferred: what it takes and returns.
        footage: the frames.
        window: what is trained on.
        run: where the run is saved.
    """

    config: SteadyConfig
    model: keras.Model
    teacher: keras.Model
    inferred: inferred_task.Inferred
    footage: footage.Footage
    window: windows.Window
    run: RunFolder

    @functools.cached_property
    def _samples(self) -> _crops.Samples:
        """x of the frames to train on."""
        frames = self.footage.training

        def load(number: int) -> _crops.Sample:
            return None, self.inferred.inputs(frames[number][np.newaxis])[0]

        shape = self.window.shape._replace(scale=1)
        return _crops.from_loader(range(len(frames)), _sample_cache.cached(load), shape)

    def batches(self, start: int, stop: int) -> tf.data.Dataset:
        """Batches ``(x,)`` for the steps from `start` to before `stop`."""
        shape = self.window.shape
        size = self.config.batch_size
        if size is None:
            size = max(1, round(_PIXELS / (shape.height * shape.width)))
        indices = _crops.by_step(self._samples.count, size, self.config.seed, start, stop)
        return _crops.batches(self._samples, indices, flips=True).map(lambda _, x: (x,))

    def network(self, method: str, steps: int) -> RegularizedModel:
        """The model as it is trained by a method, compiled."""
        config = self.config
        transform = members.transform_of(config.transform, config.seed)
        network = RegularizedModel(self.model, transform, teacher=self.teacher)
        loss = training.LOSSES[method](ALPHAS[method], contrast=config.contrast)
        schedule.compile_for(network, loss, config.learning_rate, steps)
        return network


def prepare(
    model: Path, clips: tuple[Path, ...], output: Path, format: str, config: SteadyConfig
) -> Job:
    """Read everything, and refuse what cannot be used."""
    keras.utils.set_random_seed(config.seed)
    student, teacher = (
        saved_models.load(model, allow_code=config.allow_code, for_training=True).model
        for _ in range(2)
    )
    preflight.check_model(student, output, format)
    frames = footage.read(clips)
    task = None if config.task is None else tasks.find(config.task)
    inferred = inferred_task.infer(teacher, frames.training[0], task, config.value_range)
    samples = inferred.inputs(windows.sample_frames(frames.training))
    window = windows.choose(teacher, samples, inferred.scale, config.crop)
    settings = {
        **config.settings(),
        "model": digest([weights.tobytes() for weights in student.get_weights()]),
        "clips": digest([frame.tobytes() for frame in frames.training]),
        "keras": saved_models.keras_version(),
    }
    run = RunFolder(output.parent / f".{output.name}.training", settings)
    if not config.resume:
        run.delete()
    progress.say(
        config.show_progress, f"{inferred.description} {frames.describe()} {window.reason}"
    )
    return Job(config, student, teacher, inferred, frames, window, run)
