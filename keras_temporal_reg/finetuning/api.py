"""Fine-tune a saved model on a folder of images, so that it is stable on video.

What is trained, and on which batches, is a function of the settings and the step alone. So an
interrupted run continues from its last checkpoint as if it had not been interrupted.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import tensorflow as tf
from tensorflow import keras

from keras_temporal_reg import callbacks, saved_models, tasks
from keras_temporal_reg.core import deprecation
from keras_temporal_reg.evaluation import value_ranges
from keras_temporal_reg.finetuning import (
    blending,
    data,
    members,
    numerics,
    preflight,
    schedule,
    strength_search,
    training,
    validation_clips,
)
from keras_temporal_reg.finetuning.checkpoints import RunFolder, digest
from keras_temporal_reg.finetuning.choice import Choice
from keras_temporal_reg.finetuning.config import MEMBERS, PLAIN, FinetuneConfig
from keras_temporal_reg.finetuning.options import takes_options
from keras_temporal_reg.finetuning.result import FineTuned
from keras_temporal_reg.io import atomic, progress
from keras_temporal_reg.transforms import RandomAffine

PARTS = 10  # of a run; after each it is validated and saved
SELF = "self"  # in place of a folder of targets


@dataclasses.dataclass(frozen=True)
class _Job:
    """What the steps of a run share."""

    config: FinetuneConfig
    task: tasks.Task
    model: keras.Model
    images: data.ImageData
    transform: RandomAffine
    run: RunFolder
    value_range: value_ranges.ValueRange
    teacher: keras.Model | None = None

    @property
    def members(self) -> tuple[str, ...]:
        """The names of the members: with itself as the teacher, a plain one learns nothing."""
        taught = self.teacher is not None
        return tuple(name for name in self.config.members if not (taught and name == PLAIN))


@deprecation.renamed_arguments(values="value_range")
@saved_models.takes_custom_objects
@takes_options(FinetuneConfig)
def finetune(
    model: str | Path,
    output: str | Path,
    inputs: str | Path,
    targets: str | Path | None = None,
    **options: Any,
) -> FineTuned:
    """Fine-tune a saved model and save the result; the original is not changed.

    A run has ten parts. After each it is validated, and saved in the hidden folder
    ``.OUTPUT.training`` beside the output, from where the same call continues after an
    interruption. The folder is deleted when the run is done. A resumed run gives the weights of an
    uninterrupted one, except for random numbers that the model's own layers draw, or a task's
    `make_input` without a `seed`.

    Without `alpha`, the members are fine-tuned, each from the model's weights on the same batches,
    and blended: averages of their weights are evaluated on a clip, or on held-out images over which
    a virtual camera moves, and the one is saved that has the least flicker of those that
    `metrics.verdict` calls stabilized. With `alpha`, one network is trained.

    Args:
        model: file or folder of the model: ``.keras``, H5 or a SavedModel.
        output: where the result goes. The suffix says the format: ``.keras``, ``.h5`` or none for a
            SavedModel.
        inputs: a folder of images to train on, the network's inputs.
        targets: a folder of images with the same names, apart from the suffix: the desired outputs,
            of the inputs' size times the model's scale. None: the task makes inputs and targets
            from `inputs`. ``"self"``: the model's own outputs before, on the same crops
            (self-distillation); blends are then judged by `metrics.verdict_without_reference`.
        **options: the fields of `FinetuneConfig`, as keyword arguments.

    Returns:
        What was done.

    Raises:
        TypeError: for a keyword that is not an option.
        ValueError: for an argument, a model or a folder that cannot be used, settings that are
            not those of the interrupted run, a NaN or infinite loss, or, with strength
            ``"auto"``, if no blend is stabilized: then no model is written, and the same call
            with a number takes the members that were trained.
        OSError: if `output` cannot be written, or another run is writing it.
        ImportError: if a package for images, clips, the bar, the plot or the logs is missing.

    Example:
        >>> import keras_temporal_reg as ktr
        >>> result = ktr.finetune(
        ...     "denoiser.h5", "stable.h5", "photos", task="denoising"
        ... )  # doctest: +SKIP
        >>> result.choice.weights, result.choice.reason  # doctest: +SKIP
        >>> ktr.finetune(
        ...     "denoiser.h5", "single.h5", "photos", task="denoising", alpha=0.8
        ... )  # doctest: +SKIP
    """
    config = FinetuneConfig.from_options(options)
    # Refuses a wrong option before anything is read.
    members.loss_of(config.method, config.reconstruction, config.contrast)
    task = tasks.find(config.task)
    preflight.check_packages(config)
    model, output = Path(model), Path(output)
    saved_models.format_of(model)  # refuses what is no model
    format = saved_models.format_for(output)
    preflight.check_output(model, output, format)
    with atomic.locked(output):
        job = _prepare(model, output, Path(inputs), targets, config, task, format)
        base, images, run = job.model, job.images, job.run
        choice, plot, kept, skipped = None, None, None, [*images.skipped]
        if config.blend_strength is None:
            loss = training.LOSSES[config.method](
                config.single_alpha, config.reconstruction, contrast=config.contrast
            )
            trainings = {config.method: _train(job, config.method, loss, run)}
        else:
            plot = output.with_name(f"{output.stem}.strength.png")
            trainings, choice, values, too_small = _blend(job, plot)
            skipped += too_small
            if config.keep_members:
                kept = _save_members(job, values, output, format)
                blending.assign(base, values, choice.weights, _statistics(job))
        saved_models.save(base, output, format)
        run.delete()
    return FineTuned(
        output=output,
        choice=choice,
        plot=plot,
        method=config.method if choice is None else "blend",
        alpha=config.single_alpha if choice is None else choice.alpha,
        task=task.name,
        steps=sum(history.steps for history in trainings.values()),
        pictures=len(images.training),
        validation_pictures=len(images.held_out),
        skipped=skipped,
        trainings=trainings,
        members=kept,
        notes=job.value_range.notes,
        seconds=round(sum(history.seconds for history in trainings.values()), 1),
        versions=saved_models.versions(),
    )


def _prepare(
    model: Path,
    output: Path,
    inputs: Path,
    targets: str | Path | None,
    config: FinetuneConfig,
    task: tasks.Task,
    format: str,
) -> _Job:
    """Load the model and the images, and refuse what cannot be trained or resumed."""
    taught = targets in (SELF, Path(SELF))
    keras.utils.set_random_seed(config.seed)
    base, teacher = _load(model, config), _load(model, config) if taught else None
    shape = data.crop_shape(base, task, config.crop, targets is not None, taught)
    preflight.check_model(base, output, format)
    folder = None if targets is None or taught else Path(targets)
    sample = data.first_sample(inputs, folder, task, has_teacher=taught)
    found = value_ranges.find(base, task, *sample, given=config.value_range)
    task = tasks.with_value_range(task, *found.values)
    progress.say(config.show_progress and bool(found.notes), " ".join(found.notes))
    images = data.prepare(inputs, folder, task, shape, config, has_teacher=taught)
    settings = {**_settings(config, base, images), "has_teacher": taught}
    run = RunFolder(output.parent / f".{output.name}.training", settings)
    if not config.resume:
        run.delete()
    transform = members.transform_of(config.transform, config.seed)
    job = _Job(config, task, base, images, transform, run, found, teacher)
    for begun in (run, *(_member_run(job, name) for name in MEMBERS)):
        begun.check_settings()
    return job


def _load(model: Path, config: FinetuneConfig) -> keras.Model:
    return saved_models.load(model, allow_code=config.allow_code, for_training=True).model


class _Blended(NamedTuple):
    """Members, and the blend that was chosen of them.

    Attributes:
        trainings: name of a member to what its training did.
        choice: the blend.
        values: of the variables of the original and each member.
        too_small: ``name: reason`` of each image too small to choose on.
    """

    trainings: dict[str, training.History]
    choice: Choice
    values: dict[str, strength_search.Values]
    too_small: list[str]


def _blend(job: _Job, plot: Path) -> _Blended:
    """Train the members, choose their best blend, and give the model its weights."""
    config, shape = job.config, job.images.shape
    runs = {name: _member_run(job, name) for name in job.members}
    clips, too_small = _validation_clips(job)
    validation_clips.check_results(job.model, clips)
    original = members.values_of(job.model)
    values: dict[str, strength_search.Values] = {strength_search.ORIGINAL: original}
    trainings = {}
    for name, run in runs.items():
        blending.assign(job.model, values, {strength_search.ORIGINAL: 1.0})
        keras.utils.set_random_seed(config.seed)
        loss = members.loss_of(name, config.reconstruction, config.contrast, config.member_alpha)
        trainings[name] = _train(job, name, loss, run)
        values[name] = members.values_of(job.model)
    low, high = job.value_range.values[-2:]
    baseline = job.task.baseline if shape.scale == job.task.scale else None
    strength = config.blend_strength
    assert strength is not None
    judge: strength_search.Judge | None
    if job.teacher is None:
        judge, baseline_psnr = None, validation_clips.baseline_psnr(clips, baseline, high - low)
    else:
        judge = strength_search.judge_without_reference(strength, job.task.has_contrast)
        baseline_psnr = math.nan
    with progress.bars(config.show_progress) as start:
        choice = strength_search.search(
            job.model,
            values,
            clips,
            baseline_psnr,
            strength=strength,
            alphas={name: config.member_alpha for name in runs if name != PLAIN},
            value_range=high - low,
            judge=judge,
            batches=_statistics(job),
            advance=start("choosing the blend", strength_search.evaluations([*runs], strength)),
        )
    if job.teacher is not None:  # that of the targets, which are the original's results
        choice = dataclasses.replace(choice, floor=math.nan)
    choice.plot(plot)
    if not choice.weights:
        raise ValueError(
            f"strength {strength!r} found no blend, so no model was written. {choice.reason} The "
            f"blends are drawn in {plot}. What was trained is kept: the same call with strength "
            "0.5, or another number in [0, 1], takes that blend all the same"
        )
    return _Blended(trainings, choice, values, too_small)


def _validation_clips(job: _Job) -> tuple[list[validation_clips.ClipArrays], list[str]]:
    """The clips to choose the blend on, and the images that are too small to be filmed."""
    config, shape = job.config, job.images.shape
    if job.teacher is not None:
        return _taught_clips(job)
    if config.clip is not None:
        unit_task = tasks.find(config.task)
        reference = None if config.reference is None else Path(config.reference)
        clip, values = Path(config.clip), job.value_range.values
        return [validation_clips.read(clip, reference, unit_task, shape, values)], []
    stills, too_small = validation_clips.stills_of(job.images)
    keras.utils.set_random_seed(config.seed)  # for what `make_input` draws
    return validation_clips.gather(
        None, None, stills, job.images.make_input, config.seed
    ), too_small


def _taught_clips(job: _Job) -> tuple[list[validation_clips.ClipArrays], list[str]]:
    """The same, with the teacher's results as targets."""
    if job.config.clip is not None:
        raise ValueError(
            "clip cannot be used with targets 'self': ktr steady trains on a clip and judges on "
            f"it. Received: clip {job.config.clip}"
        )
    stills, too_small = validation_clips.stills_of(job.images)
    filmed = validation_clips.gather(None, None, stills, None, job.config.seed)
    return [validation_clips.with_results_of(job.teacher, clip) for clip in filmed], too_small


def _member_run(job: _Job, name: str) -> RunFolder:
    return RunFolder(job.run.path / name, job.run.settings)


def _save_members(
    job: _Job, values: Mapping[str, strength_search.Values], output: Path, format: str
) -> Path:
    """Save each member beside the output, for `blend`."""
    folder = output.with_name(f"{output.stem}.members")
    folder.mkdir(exist_ok=True)
    for name in job.members:
        blending.assign(job.model, values, {name: 1.0})
        saved_models.save(job.model, folder / f"{name}{output.suffix}", format)
    return folder


def _statistics(job: _Job) -> list[Any] | None:
    return members.statistics_batches(job.model, job.images.batches(0, job.config.steps))


def _train(job: _Job, name: str, loss: Any, run: RunFolder) -> training.History:
    config, images = job.config, job.images
    network = members.network_of(
        name,
        job.model,
        job.transform,
        make_input=images.make_input,
        pair_fraction=config.pair_fraction,
        teacher=job.teacher,
    )
    schedule.compile_for(network, loss, config.learning_rate, config.steps)
    batches: Any = images.batches
    called: list[Any] = [numerics.StopAtNonFiniteLoss(config.learning_rate)]
    if config.check_numerics:
        batches = numerics.CheckedBatches(batches, images.names_of_step)
        called.append(callbacks.CheckNumerics())
    if config.logs is not None:
        folder = Path(config.logs) if config.blend_strength is None else Path(config.logs) / name
        called.append(keras.callbacks.TensorBoard(str(folder), write_graph=False))
    try:
        with progress.bars(config.show_progress) as start:
            return training.train(
                network,
                batches,
                config.steps,
                parts=PARTS,
                validation=images.validation(),
                patience=config.early_stopping,
                run=run,
                advance=start(f"fine-tuning, {name}", config.steps),
                callbacks=called,
            )
    except numerics.NonFiniteLoss as error:
        job.run.delete()
        raise ValueError(str(error)) from error
    except callbacks.NonFiniteError as error:
        step = training.first_step(error.epoch, config.steps, PARTS) + error.batch
        raise numerics.at_step(error.quantity, step, images.names_of_step(step)) from error
    except tf.errors.OpError as error:
        if getattr(batches, "error", None) is not None:
            raise batches.error from error
        raise


def _settings(config: FinetuneConfig, model: Any, images: data.ImageData) -> dict[str, Any]:
    """What must be the same when the run is resumed."""
    names = [(p.x.name, p.y and p.y.name) for p in (*images.held_out, *images.training)]
    return {
        **config.settings(),
        "model": digest([weights.tobytes() for weights in model.get_weights()]),
        "images": digest([str(names).encode()]),
        "keras": saved_models.keras_version(),
    }
