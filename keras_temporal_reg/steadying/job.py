"""A run of `steady`: the network and its teacher, the frames, and what is trained on."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow import keras

from keras_temporal_reg import saved_models, tasks
from keras_temporal_reg.data import _crops
from keras_temporal_reg.finetuning import preflight, schedule, training
from keras_temporal_reg.finetuning.checkpoints import RunFolder
from keras_temporal_reg.io import progress
from keras_temporal_reg.model import RegularizedModel
from keras_temporal_reg.steadying import footage, inferred_task, windows
from keras_temporal_reg.steadying.config import ALPHAS, SteadyConfig
from keras_temporal_reg.transforms import RandomAffine

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

    def batches(self, start: int, stop: int) -> tf.data.Dataset:
        """Batches of x for the steps from `start` to before `stop`."""
        shape = self.window.shape
        samples = _crops.from_loader(
            self.footage.training,
            lambda frame: (None, self.inferred.inputs(frame[np.newaxis])[0]),
            _crops.CropShape(shape.height, shape.width),
        )
        size = self.config.batch_size
        if size is None:
            size = max(1, round(_PIXELS / (shape.height * shape.width)))
        indices = _crops.by_step(samples.count, size, self.config.seed, start, stop)
        return _crops.batches(samples, indices, flips=True).map(lambda _, x: x)

    def network(self, method: str, steps: int) -> RegularizedModel:
        """The model as it is trained by a method, compiled."""
        config = self.config
        transform = config.transform or RandomAffine()
        if transform.seed is None:
            transform = RandomAffine.from_config({**transform.get_config(), "seed": config.seed})
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
    task = tasks.find(config.task) if isinstance(config.task, str) else config.task
    inferred = inferred_task.infer(teacher, frames.training[0], task, config.value_range)
    samples = inferred.inputs(windows.sample_frames(frames.training))
    window = windows.choose(teacher, samples, inferred.scale, config.crop)
    settings = {
        **config.settings(),
        "model": _digest([weights.tobytes() for weights in student.get_weights()]),
        "clips": _digest([frame.tobytes() for frame in frames.training]),
        "keras": saved_models.keras_version(),
    }
    run = RunFolder(output.parent / f".{output.name}.training", settings)
    if not config.resume:
        run.delete()
    progress.say(
        config.show_progress, f"{inferred.description} {frames.describe()} {window.reason}"
    )
    return Job(config, student, teacher, inferred, frames, window, run)


def _digest(parts: Sequence[bytes]) -> str:
    return hashlib.sha256(b"".join(parts)).hexdigest()[:16]
