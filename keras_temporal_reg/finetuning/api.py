"""Fine-tune a saved model on a folder of pictures, so that it flickers less on video.

What is trained, and on which batches, is a function of the settings and the step alone. So a run
that was interrupted goes on from its last checkpoint as if nothing had happened.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import importlib.util
import itertools
import json
import math
import re
import shutil
import tempfile
import time
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow import keras

from keras_temporal_reg import callbacks, tasks
from keras_temporal_reg.core import validation as checks
from keras_temporal_reg.data import _augment as data
from keras_temporal_reg.data import _crops as crops
from keras_temporal_reg.data import _directory as directory
from keras_temporal_reg.evaluation import camera
from keras_temporal_reg.evaluation import clips as evaluation_clips
from keras_temporal_reg.finetuning import schedule
from keras_temporal_reg.finetuning import strength_search as choosing
from keras_temporal_reg.io import atomic, progress
from keras_temporal_reg.losses import _regularized as losses
from keras_temporal_reg.model import RegularizedModel
from keras_temporal_reg.saved_models import introspection, model_files
from keras_temporal_reg.transforms import RandomAffine

METHODS = {
    "sparse-jacobian": losses.SparseJacobianLoss,
    "transform-invariance": losses.TransformInvarianceLoss,
}
DEFAULT_METHOD = "sparse-jacobian"
DEFAULT_ALPHA = 0.8
DEFAULT_CONTRAST = 0.1  # what won in docs/results; the losses by themselves are the paper's
AUTO = "auto"  # in place of an alpha: the strongest that counts as stabilised
DEFAULT_STEPS = 1000
DEFAULT_CROP = 64
PARTS = 10  # of a run; after each it is validated and can be resumed
# What alpha is chosen on, so that measuring costs little beside training and memory is bounded.
STILLS = 4
CLIP_FRAMES = 50
SIDE = 256  # pixels of y


@dataclasses.dataclass
class FineTuned:
    """What a run did.

    Attributes:
        output: the model that was written.
        method: the regularizer.
        alpha: its strength.
        choice: how alpha was chosen; None where it was given.
        plot: a picture of that choice; None likewise.
        task: what the network does.
        steps: how many were trained; fewer than asked for where it was stopped early.
        pictures: how many it learned from.
        validation_pictures: how many it was validated on.
        skipped: ``name: reason`` of each picture that was not used, or not to choose alpha on.
        loss: the regularized loss, its mean over each part of the run.
        val_loss: the reconstruction loss on pictures nobody trained on, after each part.
        seconds: what it took, over all parts of an interrupted run.
        versions: of Python, TensorFlow, Keras and this package.
    """

    output: Path
    method: str
    alpha: float
    choice: choosing.Choice | None
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


def finetune(
    model: str | Path,
    output: str | Path,
    inputs: str | Path,
    targets: str | Path | None = None,
    *,
    task: str | tasks.Task = "restoration",
    method: str = DEFAULT_METHOD,
    alpha: float | str = DEFAULT_ALPHA,
    clip: str | Path | None = None,
    reference: str | Path | None = None,
    steps: int = DEFAULT_STEPS,
    batch_size: int = 8,
    crop: int | None = None,
    learning_rate: float = 1e-4,
    transform: RandomAffine | None = None,
    normalize: bool = False,
    contrast: float = DEFAULT_CONTRAST,
    pair_fraction: float = 1.0,
    reconstruction: Any = "mse",
    validation: float = 0.1,
    early_stopping: int | None = None,
    allow_code: bool = False,
    seed: int = 0,
    logs: str | Path | None = None,
    resume: bool = True,
    show_progress: bool = True,
    values: tuple[float, float] | None = None,
    check_numerics: bool = False,
) -> FineTuned:
    """Fine-tune a saved model and save the result; the original stays as it is.

    A run has ten parts. After each it is validated, and kept in the hidden folder
    ``.OUTPUT.training`` beside the output, from where the same call goes on after an
    interruption; the folder goes when the run is done. A resumed run gives the weights of one that
    was never interrupted, up to random numbers that the model's own layers draw, or a task's
    `make_input` that takes no `seed`.

    With alpha ``"auto"``, `choosing.choose_alpha` first tries a few on the same batches, held
    against each other on pictures that are not trained on, over which a virtual camera moves, or
    on `clip`. All together trains on at most three times as many images as the fine-tuning alone.
    What was tried is drawn in ``STEM.alpha.png`` beside the output ``STEM.keras``, for which the
    extra ``demo`` is needed, and the choice is kept for a resumed run.

    Args:
        model: the model's file or folder, see `saved.load`.
        output: where the result goes. Its suffix says the form: ``.keras``, ``.h5`` or none for
            a SavedModel; any other keeps the form of `model`.
        inputs: a folder of pictures, what the network is given.
        targets: a folder of pictures of the same names but for the suffix, what it should make
            of them, of the inputs' size or that times the model's scale. None: the task makes
            both of `inputs`.
        task: the name of one, its dotted path, or itself; see `tasks.find`.
        method: ``"sparse-jacobian"`` or ``"transform-invariance"``.
        alpha: strength of the regularizer, in [0, 1); or ``"auto"``, the strongest that still
            counts as stabilised (see `metrics.verdict`).
        clip: with alpha ``"auto"``, a clip to choose it on, a file or a folder of frames: what
            the network is given. Of its first frames the middle is used.
        reference: a clip of what should come out of it. None: the task makes both of `clip`.
        steps: of training.
        batch_size: crops a step.
        crop: height and width of what the network is trained on, pixels of its input. None: the
            size that the model is made for, or 64.
        learning_rate: of Adam, at the start; it falls to a tenth.
        transform: draws T. None: `RandomAffine()`. Where it has no seed it gets `seed`.
        normalize: as in the losses.
        contrast: likewise; 0 for the losses of the paper.
        pair_fraction: share of each batch that gets a counterpart, in (0, 1].
        reconstruction: as in the losses.
        validation: share of the pictures that are not trained on, in [0, 1), at least one;
            0 for none, which alpha ``"auto"`` takes with a clip only.
        early_stopping: parts without a better validation loss after which to stop; the result
            is then the best of all parts. None: never.
        allow_code: see `saved.load`.
        seed: same seed, same numbers.
        logs: a folder for TensorBoard.
        resume: go on with an interrupted run; False starts anew.
        show_progress: show a progress bar.
        values: lowest and highest value of the model's inputs and outputs. None: 0 and 1.
        check_numerics: stop at the first batch in which anything is NaN or infinite, before it is
            trained on, and name what and the pictures; it costs a copy of the weights each step.

    Returns:
        What was done.

    Raises:
        ValueError: for an argument, a model or a folder that cannot be used, settings that are
            not those of the interrupted run, a loss that is no number any more, or, with alpha
            ``"auto"``, where none counts as stabilised: then no model is written.
        OSError: if `output` cannot be written, or another run is writing it.
        ImportError: if a package for pictures, clips, the bar, the plot or the logs is missing.

    Example:
        >>> import keras_temporal_reg as ktr
        >>> ktr.finetune("denoiser.h5", "steady.h5", "photos", task="denoising")  # doctest: +SKIP
        >>> result = ktr.finetune(
        ...     "denoiser.h5", "steady.h5", "photos", task="denoising", alpha="auto"
        ... )  # doctest: +SKIP
        >>> result.alpha, result.choice.reason  # doctest: +SKIP
    """
    checks.one_of("method", method, sorted(METHODS))
    alpha = alpha_or_auto("alpha", alpha)
    loss = functools.partial(
        METHODS[method], reconstruction=reconstruction, normalize=normalize, contrast=contrast
    )
    loss(alpha=DEFAULT_ALPHA)  # refuses what does not fit before anything is read
    checks.whole_number("steps", steps, choosing.TRIAL_SHARE if alpha == AUTO else 1)
    checks.whole_number("batch_size", batch_size, 1)
    if crop is not None:
        checks.whole_number("crop", crop, 8)
    if not (learning_rate > 0 and math.isfinite(learning_rate)):
        raise ValueError(f"learning_rate must be a number above 0. Received: {learning_rate!r}")
    checks.fraction("pair_fraction", pair_fraction, "(", "]")
    checks.fraction("validation", validation, "[", ")")
    if early_stopping is not None:
        checks.whole_number("early_stopping", early_stopping, 1)
        if not validation:
            raise ValueError("early_stopping needs a validation above 0. Received: 0")
    checks.whole_number("seed", seed, 0)
    _check_choosing(alpha, clip, reference, validation)
    if logs is not None and importlib.util.find_spec("tensorboard") is None:
        raise ImportError("logs need pip install tensorboard")
    unit_task = tasks.find(task) if isinstance(task, str) else task
    task = unit_task if values is None else tasks.with_value_range(unit_task, *values)
    motion = RandomAffine() if transform is None else transform
    if motion.seed is None:
        motion = RandomAffine.from_config({**motion.get_config(), "seed": seed})

    model, output = Path(model), Path(output)
    form = model_files.form_for(output, model_files.form_of(model))
    _check_apart(model, output)
    model_files.check_target(output, form)
    atomic.writable_folder(output.parent)
    with atomic.locked(output):
        keras.utils.set_random_seed(seed)
        base = model_files.load(model, allow_code=allow_code, for_training=True).model
        shape = _crop_of(base, task, crop, paired=targets is not None)
        if not base.trainable_variables:
            raise ValueError(
                "the model must have weights to train. Received: none, or all are frozen"
            )
        _check_can_be_saved(base, output, form)
        pairs = directory.pairs_in(Path(inputs), None if targets is None else Path(targets))
        read = directory.loader(task)
        usable, skipped = directory.usable_pairs(pairs, read, shape)
        # Its own order, so that the pictures of one scene do not all go to one side.
        shuffled = [usable[n] for n in np.random.default_rng(seed).permutation(len(usable))]
        held_out = max(1, round(validation * len(usable))) if validation else 0
        held_out = min(held_out, len(usable) - 1)
        tested, learned = shuffled[:held_out], shuffled[held_out:]

        # What makes x of y comes after the motion, and so inside of the model too.
        make_input = task.make_input if targets is None else None
        validated = None
        if tested:
            held = crops.from_loader(tested, read, shape)
            order = crops.by_epoch(held.count, batch_size, seed, shuffle=False)
            validated = crops.batches(held, order, center=True, make_input=make_input).cache()
        source = crops.from_loader(learned, read, shape)

        def batches(start: int, stop: int) -> tf.data.Dataset:
            order = crops.by_step(source.count, batch_size, seed, start, stop)
            return crops.batches(source, order, flips=True, make_input=make_input)

        def whence(step: int) -> list[directory.Pair]:
            return [learned[n] for n in crops.indices_of_step(len(learned), batch_size, seed, step)]

        settings = {
            "model": _digest(base.get_weights()),
            "pictures": _digest([str([(p.x.name, p.y and p.y.name) for p in shuffled])]),
            "task": task.name,
            "values": values and [float(v) for v in values],
            "method": method,
            "alpha": alpha,
            "clip": clip and str(Path(clip).resolve()),
            "reference": reference and str(Path(reference).resolve()),
            "steps": steps,
            "batch_size": batch_size,
            "crop": list(shape),
            "learning_rate": float(learning_rate),
            "transform": motion.get_config(),
            "normalize": bool(normalize),
            "contrast": float(contrast),
            "pair_fraction": float(pair_fraction),
            "reconstruction": reconstruction
            if isinstance(reconstruction, str)
            else getattr(reconstruction, "__name__", type(reconstruction).__name__),
            "validation": held_out,
            "early_stopping": early_stopping,
            "seed": seed,
            "keras": model_files.keras_version(),
        }
        folder = output.parent / f".{output.name}.training"
        if not resume:
            shutil.rmtree(folder, ignore_errors=True)
        kept, stored = _kept_choice(folder, settings), _stored(folder, settings)
        choice, plot, seconds = None, None, 0.0
        window = _window(shape)
        if alpha == AUTO:
            plot = output.with_name(f"{output.stem}.alpha.png")
            stills, unfit = _stills(tested, read, shape, window) if clip is None else ([], [])
            skipped += unfit

            def choose() -> choosing.Choice:
                on: dict[str, Any] = {"stills": stills}
                if clip is not None:
                    on = _clip(Path(clip), reference, unit_task, window, values or (0.0, 1.0))
                return choosing.choose_alpha(
                    base,
                    batches(0, steps),
                    **on,
                    loss=loss,
                    steps=steps,
                    learning_rate=learning_rate,
                    transform=motion,
                    make_input=make_input,
                    pair_fraction=pair_fraction,
                    trivial=task.baseline if shape.scale == task.scale else None,
                    value_range=1.0 if values is None else values[1] - values[0],
                    seed=seed,
                    show_progress=show_progress,
                )

            choice, seconds = _chosen(kept, choose, plot, folder, settings)
            keras.utils.set_random_seed(seed)  # as if this alpha had been given
        strength = float(alpha) if choice is None else choice.alpha
        network = RegularizedModel(base, motion, make_input=make_input, pair_fraction=pair_fraction)
        schedule.compile_for(network, loss(alpha=strength), learning_rate, steps)
        with progress.bars(show_progress) as start:
            advance = start("fine-tuning", steps)
            state = _train(
                network,
                batches,
                validated,
                settings,
                stored,
                folder,
                advance,
                logs,
                whence if check_numerics else None,
            )
        model_files.save(base, output, form)
        shutil.rmtree(folder, ignore_errors=True)
    return FineTuned(
        output=output,
        method=method,
        alpha=strength,
        choice=choice,
        plot=plot,
        task=task.name,
        steps=state["done"],
        pictures=len(learned),
        validation_pictures=len(tested),
        skipped=skipped,
        loss=state["loss"],
        val_loss=state["val_loss"],
        seconds=round(seconds + state["seconds"], 1),
        versions=model_files.versions(),
    )


def alpha_or_auto(name: str, value: Any) -> float | str:
    """`value` where it is an alpha or `AUTO`.

    Raises:
        ValueError: where it is neither, with the `name` of the argument.
    """
    if value == AUTO:
        return AUTO
    try:
        return checks.fraction(name, value, "[", ")")
    except ValueError:
        raise ValueError(
            f"{name} must be a number in [0, 1) or {AUTO!r}. Received: {value!r}"
        ) from None


def show(result: FineTuned) -> None:
    """Print what a run did."""
    if result.choice is not None:
        print(
            f"Alpha {result.alpha:g} was chosen; with the fine-tuning that cost "
            f"{result.choice.cost:.2f} times the fine-tuning alone. {result.choice.reason}"
        )
        print(f"What was tried: {result.plot}")
    print(
        f"Fine-tuned for {result.task} with {result.method} {result.alpha:g}: {result.steps} "
        f"steps on {result.pictures} pictures, {result.seconds:.0f} s."
    )
    if result.val_loss:
        print(
            f"Reconstruction loss on {result.validation_pictures} more: {result.val_loss[0]:.5f} "
            f"after the first part, {result.val_loss[-1]:.5f} after the last, "
            f"{min(result.val_loss):.5f} at best."
        )
    for reason in result.skipped:
        print(f"Skipped: {reason}")
    print(f"Written: {result.output}")


def _check_choosing(alpha: float | str, clip: Any, reference: Any, validation: float) -> None:
    """That what is given to choose alpha on fits."""
    if reference is not None and clip is None:
        raise ValueError(f"reference needs a clip that it belongs to. Received: {reference} alone")
    if alpha != AUTO:
        if clip is not None:
            raise ValueError(
                f"clip is what alpha {AUTO!r} is chosen on, so it needs that. Received: clip "
                f"{clip} and alpha {alpha}"
            )
        return
    if clip is None and not validation:
        raise ValueError(
            f"alpha {AUTO!r} needs a validation above 0 or a clip, to choose it on. Received: "
            "validation 0 and no clip"
        )
    if importlib.util.find_spec("matplotlib") is None:
        raise ImportError(
            f"alpha {AUTO!r} draws what it tried, which needs pip install keras-temporal-reg[demo]"
        )


def _window(shape: crops.CropShape) -> crops.CropShape:
    """How much of a picture alpha is chosen on, where crops have this shape."""
    least = SIDE // shape.scale
    # A camera's frames are smaller than the picture, and are to be no smaller than the crops.
    height, width = (max(least, 3 * side // 2) for side in (shape.height, shape.width))
    return crops.CropShape(height, width, shape.scale)


def _stills(
    tested: Sequence[directory.Pair],
    read: Callable[[directory.Pair], crops.Sample],
    shape: crops.CropShape,
    window: crops.CropShape,
) -> tuple[list[choosing.Pictures], list[str]]:
    """The middles of some pictures for a camera to move over; ``name: reason`` of those unfit."""
    stills: list[choosing.Pictures] = []
    unfit = []
    for pair in tested:
        if len(stills) == STILLS:
            break
        cut = crops.center_crop(read(pair), window)
        height, width = (side // shape.scale for side in cut[-1].shape[:2])
        frame = camera.frame_size(height, width)
        if frame[0] < shape.height or frame[1] < shape.width:
            unfit.append(
                f"{pair.x.name}: no alpha is chosen on it, since a camera over {height} x {width} "
                f"pixels has frames of {frame[0]} x {frame[1]}, smaller than the crop of "
                f"{shape.height} x {shape.width}"
            )
        else:
            stills.append((None, cut[0]) if len(cut) == 1 else (cut[0], cut[1]))
    if not stills:
        raise ValueError(
            f"alpha {AUTO!r} needs larger pictures to validate on, a smaller crop, or a clip. "
            f"Received: {'; '.join(unfit)}"
        )
    return stills, unfit


def _clip(
    clip: Path,
    reference: str | Path | None,
    task: tasks.Task,
    window: crops.CropShape,
    values: tuple[float, float],
) -> dict[str, np.ndarray]:
    """x and y of a clip, of its first frames the middles, as `choosing.choose_alpha` takes them."""
    task = dataclasses.replace(task, scale=window.scale)
    evaluation_clip = evaluation_clips.of_clip(
        clip, None if reference is None else Path(reference), task
    )
    if not evaluation_clip.has_reference:
        raise ValueError(
            f"clip {clip} needs a clip of what should come out of it, since task {task.name} does "
            "not make x of it: --reference CLIP (reference). Received: none"
        )
    first = itertools.islice(evaluation_clip.frames(), CLIP_FRAMES)
    cuts = [crops.center_crop((x, y), window) for x, y in first if y is not None]
    low, high = values
    x, y = (np.stack(part) * np.float32(high - low) + np.float32(low) for part in zip(*cuts))
    return {"clip": x, "reference": y}


def _chosen(
    kept: tuple[choosing.Choice, float] | None,
    choose: Callable[[], choosing.Choice],
    plot: Path,
    folder: Path,
    settings: dict[str, Any],
) -> tuple[choosing.Choice, float]:
    """What was kept, or is chosen now and then kept in `folder`; and in how many seconds."""
    started = time.monotonic()
    choice, seconds = kept or (choose(), time.monotonic() - started)
    choice.plot(plot)
    if not choice.alpha:
        raise ValueError(
            f"alpha {AUTO!r} found none, so no model was written. {choice.reason} What was tried "
            f"is drawn in {plot}. To go on all the same, give alpha a number in [0, 1)"
        )
    if kept is None:
        folder.mkdir(exist_ok=True)
        with atomic.atomic_write(folder / "choice.json") as temporary:
            parts = {"settings": settings, "seconds": seconds, "choice": dataclasses.asdict(choice)}
            temporary.write_text(json.dumps(parts))
    return choice, seconds


def _train(
    network: RegularizedModel,
    batches: Callable[[int, int], tf.data.Dataset],
    validated: tf.data.Dataset | None,
    settings: dict[str, Any],
    stored: tuple[dict[str, Any], dict[str, np.ndarray]] | None,
    folder: Path,
    advance: Callable[..., None],
    logs: Any,
    whence: Callable[[int], list[directory.Pair]] | None,
) -> dict[str, Any]:
    """Train part by part, from the last checkpoint on; returns how it went.

    With `whence`, which tells where the rows of a step come from, numbers are checked.
    """
    steps, patience = settings["steps"], settings["early_stopping"]
    base = network.base_model
    network.optimizer.build(base.trainable_variables)
    variables = [*base.variables, *network.optimizer.variables]
    state: dict[str, Any] = {
        "settings": settings,
        "done": 0,
        "loss": [],
        "val_loss": [],
        "seconds": 0.0,
    }
    best: list[np.ndarray] = []
    if stored is not None:
        state, arrays = stored
        for number, variable in enumerate(variables):
            variable.assign(arrays[f"now{number}"])
        best = [arrays[f"best{n}"] for n in range(sum(name.startswith("best") for name in arrays))]
        advance(state["done"])

    called: list[Any] = [
        keras.callbacks.LambdaCallback(
            on_train_batch_end=lambda batch, logs: advance(1, f"loss {logs['loss']:.5f}")
        )
    ]
    if whence is not None:
        called.append(callbacks.CheckNumerics())
    if logs is not None:
        called.append(keras.callbacks.TensorBoard(str(logs), write_graph=False))
    bounds = [steps * part // PARTS for part in range(PARTS + 1)]
    parts = [part for part in range(PARTS) if bounds[part + 1] > max(bounds[part], state["done"])]
    for part in parts:
        if patience is not None and _waited(state["val_loss"]) >= patience:
            break
        started = time.monotonic()
        trained = batches(bounds[part], bounds[part + 1])
        try:
            history = network.fit(
                trained if whence is None else data.check_numerics(trained),
                initial_epoch=part,
                epochs=part + 1,
                validation_data=validated,
                callbacks=called,
                shuffle=False,
                verbose=0,
            ).history
        except (ValueError, tf.errors.InvalidArgumentError) as error:
            reason = None if whence is None else _not_finite(str(error), bounds[part], whence)
            if reason is None:
                raise
            raise ValueError(reason) from error
        if not all(math.isfinite(values[-1]) for values in history.values()):
            shutil.rmtree(folder, ignore_errors=True)
            raise ValueError(
                f"the loss is no finite number after {bounds[part + 1]} steps, so nothing was "
                f"written; try a lower learning_rate. Received: {settings['learning_rate']}"
            )
        state["done"] = bounds[part + 1]
        state["loss"].append(float(history["loss"][-1]))
        if validated is not None:
            state["val_loss"].append(float(history["val_loss"][-1]))
        state["seconds"] += time.monotonic() - started
        if patience is not None and _waited(state["val_loss"]) == 0:
            best = [_plain(v) for v in base.variables]
        _keep(folder, state, variables, best)
    if best:
        for variable, value in zip(base.variables, best):
            variable.assign(value)
    return state


def _not_finite(
    error: str, first: int, whence: Callable[[int], list[directory.Pair]]
) -> str | None:
    """What was not finite and where, by an error of the checks; None where it is another error.

    Args:
        error: its words.
        first: the step that its batches are counted from.
        whence: the pictures of a step.
    """
    batch = re.search(r"(x|y) must be finite\. .*\] \[(\d+)\] \[([\d ]+)\]", error)
    value = re.search(r"the (loss|gradient) of batch (\d+)", error)
    found = batch or value
    if found is None:
        return None
    step = first + int(found[2])
    pairs = whence(step)
    if batch is not None:
        pairs = [pairs[int(row)] for row in batch[3].split()]
    names = ", ".join(dict.fromkeys(pair.x.name for pair in pairs))
    return (
        f"the {found[1]} of step {step} is NaN or infinite, so it was not trained on, and no model "
        f"was written. Its pictures: {names}"
    )


def _waited(val_loss: Sequence[float]) -> int:
    """Parts since the one with the lowest validation loss."""
    return len(val_loss) - 1 - int(np.argmin(val_loss)) if len(val_loss) else 0


def _keep(folder: Path, state: dict[str, Any], variables: Sequence[Any], best: list[Any]) -> None:
    folder.mkdir(exist_ok=True)
    arrays: dict[str, Any] = {f"now{n}": _plain(v) for n, v in enumerate(variables)}
    arrays.update({f"best{n}": value for n, value in enumerate(best)})
    with atomic.atomic_write(folder / "state.npz") as temporary:
        np.savez(temporary, state=np.array(json.dumps(state)), **arrays)


def _stored(
    folder: Path, settings: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, np.ndarray]] | None:
    """The state of an interrupted run and its values; None where there was none."""
    path = folder / "state.npz"
    if not path.is_file():
        return None
    try:
        with np.load(path) as stored:
            arrays = {name: stored[name] for name in stored.files}
        state = json.loads(str(arrays["state"]))
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise _unreadable(folder, error) from error
    _check_same(folder, state["settings"], settings)
    return state, arrays


def _kept_choice(folder: Path, settings: dict[str, Any]) -> tuple[choosing.Choice, float] | None:
    """What an interrupted run chose, and in how many seconds; None where it did not."""
    path = folder / "choice.json"
    if not path.is_file():
        return None
    try:
        kept = json.loads(path.read_text())
        found = choosing.Choice.of_parts(kept["choice"]), float(kept["seconds"])
        earlier = dict(kept["settings"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _unreadable(folder, error) from error
    _check_same(folder, earlier, settings)
    return found


def _unreadable(folder: Path, error: Exception) -> ValueError:
    return ValueError(
        f"the interrupted run in {folder} cannot be read ({error}); start anew with "
        "--restart (resume=False)"
    )


def _check_same(folder: Path, earlier: dict[str, Any], settings: dict[str, Any]) -> None:
    """That an interrupted run can be resumed with these settings."""
    changed = [name for name in settings if settings[name] != earlier.get(name)]
    if changed:
        names = ", ".join(
            name
            if name in ("model", "pictures")
            else f"{name} {earlier.get(name)} -> {settings[name]}"
            for name in changed
        )
        raise ValueError(
            f"the interrupted run in {folder} had other settings ({names}): repeat them to go on, "
            "or start anew with --restart (resume=False)"
        )


def _plain(variable: Any) -> np.ndarray:
    value = variable.numpy()
    # NumPy's files cannot hold bfloat16, of which float32 holds every value.
    return value.astype(np.float32) if value.dtype.name == "bfloat16" else value


def _check_apart(model: Path, output: Path) -> None:
    a, b = model.resolve(), output.resolve()
    if a == b or a in b.parents or b in a.parents or (b.exists() and a.samefile(b)):
        raise ValueError(f"output must be another file than model, {model}. Received: {output}")


def _crop_of(base: Any, task: tasks.Task, crop: int | None, paired: bool) -> crops.CropShape:
    fixed = introspection.fixed_size(base)
    if crop is not None and any(size not in (None, crop) for size in fixed):
        raise ValueError(
            f"crop must be the size that the model is made for, {fixed[0]} x {fixed[1]}, or None. "
            f"Received: {crop}"
        )
    height, width = (size or crop or DEFAULT_CROP for size in fixed)
    introspection.check_any_batch_size(base)
    scale = introspection.check_fits(base, task, (height, width))
    if paired:
        return crops.CropShape(height, width, scale)
    x, y = task.encode(np.random.default_rng(0).random((64, 64, 3)).astype(np.float32))
    if task.make_input is None and x.shape == y.shape and np.array_equal(x, y):
        raise ValueError(
            f"task {task.name} makes x and y alike of one picture, so it needs the pictures as "
            "they should come out: --targets DIR (targets)"
        )
    if scale * x.shape[0] != y.shape[0]:
        raise model_files.ModelError(
            f"the model gives {scale} times the size of its input, "
            f"the task {task.name} wants {y.shape[0] / x.shape[0]:g} times"
        )
    return crops.CropShape(height, width, scale)


def _check_can_be_saved(base: Any, output: Path, form: str) -> None:
    """Save and load on trial: hours of training are not to end in a form that cannot hold it."""
    with tempfile.TemporaryDirectory(prefix=".writing-", dir=output.parent) as folder:
        try:
            model_files.save(base, Path(folder) / "trial", form)
            # What came from the model's own file has had its consent.
            model_files.load(Path(folder) / "trial", allow_code=True)
        except OSError as error:
            raise OSError(f"output {output} cannot be written: {error}") from error
        except (ValueError, TypeError, NotImplementedError) as error:
            raise model_files.ModelError(
                f"output {output} cannot hold this model in the form {form} ({error})"
            ) from error


def _digest(parts: Sequence[Any]) -> str:
    whole = hashlib.sha256()
    for part in parts:
        whole.update(part.encode() if isinstance(part, str) else part.tobytes())
    return whole.hexdigest()[:16]
