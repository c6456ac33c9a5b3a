"""Blend models in files; what the command ``ktr blend`` runs."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf

from keras_temporal_reg import saved_models, tasks
from keras_temporal_reg.data import _crops, _directory
from keras_temporal_reg.evaluation import value_ranges
from keras_temporal_reg.finetuning import blending, data
from keras_temporal_reg.io import atomic, progress

BATCHES, BATCH_SIZE = 16, 8  # of crops, that statistics are estimated on


@dataclasses.dataclass(frozen=True)
class Blended:
    """What `blend_files` did.

    Attributes:
        output: the model that was written.
        models: the models that were blended.
        weights: the weight of each.
        statistics: of the BatchNormalization layers: ``"estimated"`` on images, ``"averaged"``, or
            ``"kept"`` where there are none or one model has the weight 1.
        pictures: number of images that they were estimated on.
        skipped: ``name: reason`` of each image that was not used.
        notes: sentences for the user.
    """

    output: Path
    models: tuple[Path, ...]
    weights: tuple[float, ...]
    statistics: str
    pictures: int
    skipped: list[str]
    notes: tuple[str, ...] = ()


@saved_models.takes_custom_objects
def blend_files(
    models: Sequence[Path],
    weights: Sequence[float],
    output: Path,
    inputs: Path | None = None,
    *,
    task: str = "colorization",
    value_range: tuple[float, ...] | None = None,
    allow_code: bool = False,
    custom_objects: Any = None,
    show_progress: bool = True,
) -> Blended:
    """Blend models in files into a new file; what ``ktr blend`` runs.

    Args:
        models: paths of saved models.
        weights: as in `blending.blend`.
        output: where the result goes, in the format of its suffix.
        inputs: a folder of images to estimate the statistics of BatchNormalization layers on.
        task: how the models' inputs are made from these images.
        value_range: the values of the models' inputs that stand for 0 and 1; None: they are found
            out.
        allow_code: load files with Python code in them too; see `saved_models.load`.
        custom_objects: layers and functions of your own that a model holds: a Python file that
            defines them, or a mapping from their names. Only with `allow_code`.
        show_progress: show a progress bar.

    Raises:
        ValueError: as `blending.blend`, and if `output` is one of the models.
        OSError: if `output` cannot be written.
    """
    blending.check_weights(weights, len(models))
    format = saved_models.format_for(output)
    _check_output(models, output, format)
    its_task = tasks.find(task)
    blended = blending.blend_loaded(blending.load_all(models, weights, allow_code), weights)
    statistics, images = "kept", 0
    skipped: list[str] = []
    notes: tuple[str, ...] = ()
    if blending.needs_statistics(blended, weights):
        statistics = "averaged"
        if inputs is not None:
            x, _ = data.first_sample(inputs, None, its_task, has_teacher=True)
            found = value_ranges.find(blended, its_task, x, given=value_range)
            notes = found.notes
            its_task = tasks.with_value_range(its_task, *found.values)
            batches, images, skipped = _batches_of(inputs, blended, its_task)
            with progress.bars(show_progress) as start:
                advance = start("statistics", BATCHES)
                blending.reestimate_statistics(blended, _counted(batches, advance))
            statistics = "estimated"
    try:
        saved_models.save(blended, output, format)
    except (ValueError, TypeError, NotImplementedError) as error:
        raise saved_models.ModelError(
            f"output {output} cannot hold this model in the format {format} ({error})"
        ) from error
    return Blended(output, tuple(models), tuple(weights), statistics, images, skipped, notes)


def show(result: Blended) -> None:
    """Print what `blend_files` did."""
    parts = (f"{weight:g} x {path}" for weight, path in zip(result.weights, result.models))
    print(f"Blended: {' + '.join(parts)}")
    if result.statistics == "estimated":
        print(f"Statistics of BatchNormalization layers: estimated on {result.pictures} images.")
    elif result.statistics == "averaged":
        print(
            "Statistics of BatchNormalization layers: averaged, which does not fit averaged "
            "weights. Estimate them on images with --inputs DIR --task TASK."
        )
    for reason in result.skipped:
        print(f"Skipped: {reason}")
    for note in result.notes:
        print(note)
    print(f"Written: {result.output}")


def _check_output(models: Sequence[Path], output: Path, format: str) -> None:
    written = output.resolve()
    for model in models:
        read = model.resolve()
        same = written.exists() and read.exists() and written.samefile(read)
        if same or written == read or read in written.parents or written in read.parents:
            raise ValueError(f"output must be another file than model {model}. Received: {output}")
    saved_models.check_target(output, format)
    atomic.writable_folder(output.parent)


def _batches_of(
    inputs: Path, model: Any, task: tasks.Task
) -> tuple[tf.data.Dataset, int, list[str]]:
    """Batches of random crops, the number of images they are from, and the images left out."""
    # As with targets: only x counts here, so that it may be the same as y.
    shape = data.crop_shape(model, task, None, has_targets=True)
    load = _directory.loader(task)
    usable, skipped = _directory.usable_pairs(inputs, None, load, shape)
    samples = _crops.from_loader(usable, load, shape)
    indices = _crops.by_step(samples.count, BATCH_SIZE, 0, 0, BATCHES)
    batches = _crops.batches(samples, indices, make_input=task.make_input)
    return batches, min(len(usable), BATCHES * BATCH_SIZE), skipped


def _counted(batches: Iterable[Any], advance: Any) -> Iterator[Any]:
    for batch in batches:
        yield batch
        advance()
