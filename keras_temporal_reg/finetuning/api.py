"""Fine-tune a saved model on a folder of images, so that it is stable on video.

What is trained, and on which batches, is a function of the settings and the step alone. So an
interrupted run continues from its last checkpoint as if it had not been interrupted.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import importlib.util
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow import keras

from keras_temporal_reg import callbacks, saved_models, tasks
from keras_temporal_reg.core import deprecation
from keras_temporal_reg.finetuning import (
    data,
    numerics,
    schedule,
    strength_search,
    training,
    validation_clips,
)
from keras_temporal_reg.finetuning.checkpoints import RunFolder
from keras_temporal_reg.finetuning.config import AUTO, FinetuneConfig, takes_options
from keras_temporal_reg.io import atomic, progress
from keras_temporal_reg.model import RegularizedModel
from keras_temporal_reg.transforms import RandomAffine

PARTS = 10  # of a run; after each it is validated and saved


@dataclasses.dataclass(frozen=True)
class FineTuned:
    """What a run did.

    Attributes:
        output: the model that was written.
        method: the regularizer.
        alpha: its strength.
        choice: how alpha was chosen; None where it was given.
        plot: a plot of that choice; None where alpha was given.
        task: name of the task.
        steps: how many were trained; fewer than the option says after early stopping.
        pictures: number of images that were trained on.
        validation_pictures: number of images that were held out.
        skipped: ``name: reason`` of each image that was not used, or not to choose alpha.
        loss: mean of the regularized loss over each part of the run.
        val_loss: the reconstruction loss on the images that were held out, after each part.
        seconds: over all parts of an interrupted run.
        versions: of Python, TensorFlow, Keras and this package.
    """

    output: Path
    method: str
    alpha: float
    choice: strength_search.Choice | None
    plot: Path | None
    task: str
    steps: int
    pictures: int
    validation_pictures: int
    skipped: list[str]
    loss: list[float]
    val_loss: list[float]
    seconds: float
    versions: dict[str, str]


@dataclasses.dataclass(frozen=True)
class _Job:
    """What the steps of a run share."""

    config: FinetuneConfig
    task: tasks.Task
    model: keras.Model
    images: data.ImageData
    transform: RandomAffine
    make_loss: Callable[..., Any]
    run: RunFolder


@deprecation.renamed_arguments(values="value_range")
@takes_options
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

    With alpha ``"auto"``, `choose_alpha` first tries a few on the same batches. It compares them on
    a clip, or on held-out images over which a virtual camera moves. The choice is kept for a
    resumed run.

    Args:
        model: file or folder of the model: ``.keras``, H5 or a SavedModel.
        output: where the result goes. The suffix says the format: ``.keras``, ``.h5`` or none for a
            SavedModel; any other keeps the format of `model`.
        inputs: a folder of images to train on, the network's inputs.
        targets: a folder of images with the same names, apart from the suffix: the desired outputs,
            of the inputs' size times the model's scale. None: the task makes inputs and targets
            from `inputs`.
        **options: the fields of `FinetuneConfig`, as keyword arguments.

    Returns:
        What was done.

    Raises:
        TypeError: for a keyword that is not an option.
        ValueError: for an argument, a model or a folder that cannot be used, settings that are
            not those of the interrupted run, a NaN or infinite loss, or, with alpha ``"auto"``,
            if no alpha stabilizes the model: then no model is written.
        OSError: if `output` cannot be written, or another run is writing it.
        ImportError: if a package for images, clips, the bar, the plot or the logs is missing.

    Example:
        >>> import keras_temporal_reg as ktr
        >>> ktr.finetune("denoiser.h5", "stable.h5", "photos", task="denoising")  # doctest: +SKIP
        >>> result = ktr.finetune(
        ...     "denoiser.h5", "stable.h5", "photos", task="denoising", alpha="auto"
        ... )  # doctest: +SKIP
        >>> result.alpha, result.choice.reason  # doctest: +SKIP
    """
    config = FinetuneConfig.from_options(options)
    make_loss = functools.partial(
        training.LOSSES[config.method],
        reconstruction=config.reconstruction,
        contrast=config.contrast,
    )
    make_loss(alpha=0.5)  # refuses a wrong option before anything is read
    task = _task_of(config)
    _check_packages(config)
    model, output = Path(model), Path(output)
    format = saved_models.format_for(output, saved_models.format_of(model))
    _check_output(model, output, format)
    with atomic.locked(output):
        keras.utils.set_random_seed(config.seed)
        base = saved_models.load(model, allow_code=config.allow_code, for_training=True).model
        shape = data.crop_shape(base, task, config.crop, has_targets=targets is not None)
        _check_model(base, output, format)
        images = data.prepare(
            Path(inputs), None if targets is None else Path(targets), task, shape, config
        )
        run = RunFolder(output.parent / f".{output.name}.training", _settings(config, base, images))
        if not config.resume:
            run.delete()
        run.check_settings()
        job = _Job(config, task, base, images, _transform_of(config), make_loss, run)
        choice, plot, seconds, skipped = None, None, 0.0, [*images.skipped]
        if config.alpha == AUTO:
            plot = output.with_name(f"{output.stem}.alpha.png")
            choice, seconds, too_small = _choose_alpha(job, plot)
            skipped += too_small
        alpha = float(config.alpha) if choice is None else choice.alpha
        history = _train(job, alpha)
        saved_models.save(base, output, format)
        run.delete()
    return FineTuned(
        output=output,
        method=config.method,
        alpha=alpha,
        choice=choice,
        plot=plot,
        task=task.name,
        steps=history.steps,
        pictures=len(images.training),
        validation_pictures=len(images.held_out),
        skipped=skipped,
        loss=history.loss,
        val_loss=history.val_loss,
        seconds=round(seconds + history.seconds, 1),
        versions=saved_models.versions(),
    )


def show(result: FineTuned) -> None:
    """Print what a run did."""
    if result.choice is not None:
        print(
            f"Alpha {result.alpha:g} was chosen; with the fine-tuning that cost "
            f"{result.choice.cost:.2f} times the fine-tuning alone. {result.choice.reason}"
        )
        print(f"Trials: {result.plot}")
    print(
        f"Fine-tuned for {result.task} with {result.method} {result.alpha:g}: {result.steps} "
        f"steps on {result.pictures} images, {result.seconds:.0f} s."
    )
    if result.val_loss:
        print(
            f"Reconstruction loss on {result.validation_pictures} held-out images: "
            f"{result.val_loss[0]:.5f} after the first part, {result.val_loss[-1]:.5f} after the "
            f"last, {min(result.val_loss):.5f} at best."
        )
    for reason in result.skipped:
        print(f"Skipped: {reason}")
    print(f"Written: {result.output}")


def _task_of(config: FinetuneConfig) -> tasks.Task:
    task = tasks.find(config.task) if isinstance(config.task, str) else config.task
    if config.value_range is None:
        return task
    return tasks.with_value_range(task, *config.value_range)


def _transform_of(config: FinetuneConfig) -> RandomAffine:
    transform = RandomAffine() if config.transform is None else config.transform
    if transform.seed is not None:
        return transform
    return RandomAffine.from_config({**transform.get_config(), "seed": config.seed})


def _choose_alpha(job: _Job, plot: Path) -> tuple[strength_search.Choice, float, list[str]]:
    """The choice, which an interrupted run may have made; its seconds; images too small for it."""
    config, shape = job.config, job.images.shape
    stills, too_small = ((), []) if config.clip else validation_clips.stills_of(job.images)
    stored = job.run.read_choice(strength_search.Choice.from_dict)
    if stored is not None:
        choice, seconds = stored
    else:
        started = time.monotonic()
        low, high = config.value_range or (0.0, 1.0)
        clip, reference = None, None
        if config.clip is not None:
            unit_task = _task_of(dataclasses.replace(config, value_range=None))
            path = None if config.reference is None else Path(config.reference)
            clip, reference = validation_clips.read(
                Path(config.clip), path, unit_task, shape, (low, high)
            )
        choice = strength_search.choose_alpha(
            job.model,
            job.images.batches(0, config.steps),
            clip,
            reference,
            stills=stills,
            loss=job.make_loss,
            steps=config.steps,
            learning_rate=config.learning_rate,
            transform=job.transform,
            make_input=job.images.make_input,
            pair_fraction=config.pair_fraction,
            baseline=job.task.baseline if shape.scale == job.task.scale else None,
            value_range=high - low,
            seed=config.seed,
            show_progress=config.show_progress,
        )
        seconds = time.monotonic() - started
    choice.plot(plot)
    if not choice.alpha:
        raise ValueError(
            f"alpha {AUTO!r} found none, so no model was written. {choice.reason} The trials are "
            f"drawn in {plot}. To train all the same, give alpha a number in [0, 1)"
        )
    if stored is None:
        job.run.write_choice(dataclasses.asdict(choice), seconds)
    keras.utils.set_random_seed(config.seed)  # as if this alpha had been given
    return choice, seconds, too_small


def _train(job: _Job, alpha: float) -> training.History:
    config, images = job.config, job.images
    network = RegularizedModel(
        job.model,
        job.transform,
        make_input=images.make_input,
        pair_fraction=config.pair_fraction,
    )
    schedule.compile_for(network, job.make_loss(alpha=alpha), config.learning_rate, config.steps)
    batches: Any = images.batches
    called: list[Any] = [numerics.StopAtNonFiniteLoss(config.learning_rate)]
    if config.check_numerics:
        batches = numerics.CheckedBatches(batches, images.names_of_step)
        called.append(callbacks.CheckNumerics())
    if config.logs is not None:
        called.append(keras.callbacks.TensorBoard(str(config.logs), write_graph=False))
    try:
        with progress.bars(config.show_progress) as start:
            return training.train(
                network,
                batches,
                config.steps,
                parts=PARTS,
                validation=images.validation(),
                patience=config.early_stopping,
                run=job.run,
                advance=start("fine-tuning", config.steps),
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
        "model": _digest([weights.tobytes() for weights in model.get_weights()]),
        "images": _digest([str(names).encode()]),
        "keras": saved_models.keras_version(),
    }


def _digest(parts: Sequence[bytes]) -> str:
    return hashlib.sha256(b"".join(parts)).hexdigest()[:16]


def _check_packages(config: FinetuneConfig) -> None:
    if config.logs is not None and importlib.util.find_spec("tensorboard") is None:
        raise ImportError("logs need pip install tensorboard")
    if config.alpha == AUTO and importlib.util.find_spec("matplotlib") is None:
        raise ImportError(
            f"alpha {AUTO!r} draws its trials, which needs pip install keras-temporal-reg[demo]"
        )


def _check_output(model: Path, output: Path, format: str) -> None:
    a, b = model.resolve(), output.resolve()
    if a == b or a in b.parents or b in a.parents or (b.exists() and a.samefile(b)):
        raise ValueError(f"output must be another file than model, {model}. Received: {output}")
    saved_models.check_target(output, format)
    atomic.writable_folder(output.parent)


def _check_model(model: Any, output: Path, format: str) -> None:
    """Check that there are weights to train, and save and load the model on trial."""
    if not model.trainable_variables:
        raise ValueError("the model must have weights to train. Received: none, or all are frozen")
    with tempfile.TemporaryDirectory(prefix=".writing-", dir=output.parent) as folder:
        try:
            saved_models.save(model, Path(folder) / "trial", format)
            # Code in the model's own file was allowed when it was loaded.
            saved_models.load(Path(folder) / "trial", allow_code=True)
        except OSError as error:
            raise OSError(f"output {output} cannot be written: {error}") from error
        except (ValueError, TypeError, NotImplementedError) as error:
            raise saved_models.ModelError(
                f"output {output} cannot hold this model in the format {format} ({error})"
            ) from error
