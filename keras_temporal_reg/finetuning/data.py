"""The images of a fine-tuning: which are trained on, which are held out, and their crops."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from keras_temporal_reg.data import _crops, _directory
from keras_temporal_reg.finetuning.config import FinetuneConfig
from keras_temporal_reg.io import image_files
from keras_temporal_reg.saved_models import ModelError, introspection
from keras_temporal_reg.tasks import Task

DEFAULT_CROP = 64


@dataclasses.dataclass(frozen=True)
class ImageData:
    """Training data from folders of images.

    Attributes:
        training: the images that are trained on.
        held_out: the images that are validated on.
        skipped: ``name: reason`` of each image that is not used.
        load: reads x and y of an image.
        shape: of the crops.
        make_input: makes x from crops of y; None where images have x and y.
        batch_size: crops per step.
        seed: fixes order, crops and flips.
        has_teacher: whether a teacher makes the targets: batches are then ``(x,)``.
    """

    training: Sequence[_directory.Pair]
    held_out: Sequence[_directory.Pair]
    skipped: Sequence[str]
    load: Callable[[_directory.Pair], _crops.Sample]
    shape: _crops.CropShape
    make_input: Callable[..., tf.Tensor] | None
    batch_size: int
    seed: int
    has_teacher: bool = False

    def batches(self, start: int, stop: int) -> tf.data.Dataset:
        """Random crops and flips for the steps from `start` to before `stop`."""
        samples = _crops.from_loader(self.training, self.load, self.shape)
        indices = _crops.by_step(samples.count, self.batch_size, self.seed, start, stop)
        dataset = _crops.batches(samples, indices, flips=True, make_input=self.make_input)
        return self._without_targets(dataset)

    def validation(self) -> tf.data.Dataset | None:
        """The centers of the images that are held out, the same ones each time."""
        if not self.held_out:
            return None
        samples = _crops.from_loader(self.held_out, self.load, self.shape)
        indices = _crops.by_epoch(samples.count, self.batch_size, self.seed, shuffle=False)
        dataset = _crops.batches(samples, indices, center=True, make_input=self.make_input)
        return self._without_targets(dataset).cache()

    def _without_targets(self, dataset: tf.data.Dataset) -> tf.data.Dataset:
        return dataset.map(lambda x, y: (x,)) if self.has_teacher else dataset

    def names_of_step(self, step: int) -> list[str]:
        """The names of the images of a step, one per row."""
        indices = _crops.indices_of_step(len(self.training), self.batch_size, self.seed, step)
        return [self.training[index].x.name for index in indices]


def prepare(
    inputs: Path,
    targets: Path | None,
    task: Task,
    shape: _crops.CropShape,
    config: FinetuneConfig,
    has_teacher: bool = False,
) -> ImageData:
    """Find the usable images, and choose those to hold out.

    With a teacher, images are inputs, and samples hold them as x and as y, until it makes y.

    Raises:
        ImageError: if fewer than two images are usable.
    """
    if has_teacher:
        shape = shape._replace(scale=1)
        task = dataclasses.replace(
            task, encode=_input_twice(task), encode_input=None, make_input=None
        )
    cache_bytes = None if config.cache is None else 1e6 * config.cache
    load = _directory.loader(task, cache_bytes)
    usable, skipped = _directory.usable_pairs(inputs, targets, load, shape)
    # Shuffled, so that the images of one scene do not all go to one side.
    shuffled = [usable[n] for n in np.random.default_rng(config.seed).permutation(len(usable))]
    count = max(1, round(config.validation * len(usable))) if config.validation else 0
    count = min(count, len(usable) - 1)
    return ImageData(
        training=shuffled[count:],
        held_out=shuffled[:count],
        skipped=skipped,
        load=load,
        shape=shape,
        # T comes before the degradation, and so inside of the model.
        make_input=task.make_input if targets is None else None,
        batch_size=config.batch_size,
        seed=config.seed,
        has_teacher=has_teacher,
    )


def first_sample(
    inputs: Path, targets: Path | None, task: Task, has_teacher: bool = False
) -> tuple[Any, np.ndarray | None]:
    """x and y of the first image that can be read; y is None with a teacher, which makes it.

    Raises:
        ImageError: if no image can be read.
    """
    reasons = []
    task = dataclasses.replace(task, make_input=None)  # for an x of its own
    for pair in _directory.pairs_in(inputs, targets):
        try:
            if has_teacher:
                return task.input(image_files.read(pair.x)), None
            return _directory.read_sample(pair, task)
        except image_files.ImageError as error:
            reasons.append(f"\n  {pair.x.name}: {error}")
    skipped = image_files.describe_skipped(inputs, targets)
    raise image_files.ImageError(
        f"inputs must have at least 2 usable images. Received: none in {inputs}. {skipped or ''}"
        f"{''.join(reasons[:5])}"
    )


def _input_twice(task: Task) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]:
    def encode(rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        x = task.input(rgb)
        return x, x

    return encode


def crop_shape(
    model: Any, task: Task, crop: int | None, has_targets: bool, has_teacher: bool = False
) -> _crops.CropShape:
    """The size of the crops that a model takes, after checks that it fits the task.

    With a teacher, which makes the targets, only the inputs of the task must fit.

    Raises:
        ValueError: if the model takes another size, does not fit the task, or the task needs
            targets.
    """
    fixed = introspection.fixed_size(model)
    if crop is not None and any(size not in (None, crop) for size in fixed):
        raise ValueError(
            f"crop must be the size that the model takes, {fixed[0]} x {fixed[1]}, or None. "
            f"Received: {crop}"
        )
    height, width = (size or crop or DEFAULT_CROP for size in fixed)
    introspection.check_any_batch_size(model)
    scale = introspection.check_fits(model, task, (height, width), has_teacher)
    shape = _crops.CropShape(height, width, scale)
    if has_targets or has_teacher:
        return shape
    x, y = task.encode(np.random.default_rng(0).random((64, 64, 3)).astype(np.float32))
    if task.make_input is None and x.shape == y.shape and np.array_equal(x, y):
        raise ValueError(
            f"task {task.name} makes the same x and y from an image, so it needs a folder of "
            "targets: --targets DIR (targets). Received: none"
        )
    if scale * x.shape[0] != y.shape[0]:
        raise ModelError(
            f"the model gives {scale} times the size of its input, "
            f"the task {task.name} wants {y.shape[0] / x.shape[0]:g} times"
        )
    return shape
