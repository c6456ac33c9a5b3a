"""Fine-tune a saved model on a folder of pictures, so that it flickers less on video.

What is trained, and on which batches, is a function of the settings and the step alone. So a run
that was interrupted goes on from its last checkpoint as if nothing had happened.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import importlib.util
import json
import math
import os
import platform
import shutil
import tempfile
import time
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Callable, NamedTuple

import numpy as np
import tensorflow as tf
from tensorflow import keras

from keras_temporal_reg import __version__, checks, files, losses, pictures, saved, tasks
from keras_temporal_reg.model import RegularizedModel
from keras_temporal_reg.transforms import RandomAffine

METHODS = {
    "sparse-jacobian": losses.SparseJacobianLoss,
    "transform-invariance": losses.TransformInvarianceLoss,
}
DEFAULT_METHOD = "sparse-jacobian"
DEFAULT_ALPHA = 0.8
DEFAULT_STEPS = 1000
DEFAULT_CROP = 64
PARTS = 10  # of a run; after each it is validated and can be resumed
CACHE_BYTES = 2**30  # of decoded pictures; what is beyond is read from its file each time

Sample = tuple[Any, np.ndarray]
_held: set[Path] = set()


@dataclasses.dataclass
class FineTuned:
    """What a run did.

    Attributes:
        output: the model that was written.
        method: the regularizer.
        alpha: its strength.
        task: what the network does.
        steps: how many were trained; fewer than asked for where it was stopped early.
        pictures: how many it learned from.
        validation_pictures: how many it was validated on.
        skipped: ``name: reason`` of each picture that was not used.
        loss: the regularized loss, its mean over each part of the run.
        val_loss: the reconstruction loss on pictures nobody trained on, after each part.
        seconds: what it took, over all parts of an interrupted run.
        versions: of Python, TensorFlow, Keras and this package.
    """

    output: Path
    method: str
    alpha: float
    task: str
    steps: int
    pictures: int
    validation_pictures: int
    skipped: list[str]
    loss: list[float]
    val_loss: list[float]
    seconds: float
    versions: dict[str, str]


class _Pair(NamedTuple):
    """Where a sample comes from: one file, or one for x and one for y."""

    x: Path
    y: Path | None


class _Shape(NamedTuple):
    """Sizes of a crop."""

    height: int  # of x, in pixels
    width: int
    scale: int  # pixels of y for each of x, along an axis


def finetune(
    model: str | Path,
    output: str | Path,
    inputs: str | Path,
    targets: str | Path | None = None,
    *,
    task: str | tasks.Task = "restoration",
    method: str = DEFAULT_METHOD,
    alpha: float = DEFAULT_ALPHA,
    steps: int = DEFAULT_STEPS,
    batch_size: int = 8,
    crop: int | None = None,
    learning_rate: float = 1e-4,
    transform: RandomAffine | None = None,
    normalize: bool = False,
    pair_fraction: float = 1.0,
    reconstruction: Any = "mse",
    validation: float = 0.1,
    early_stopping: int | None = None,
    allow_code: bool = False,
    seed: int = 0,
    logs: str | Path | None = None,
    resume: bool = True,
    progress: bool = True,
    values: tuple[float, float] | None = None,
) -> FineTuned:
    """Fine-tune a saved model and save the result; the original stays as it is.

    A run has ten parts. After each it is validated, and kept in the hidden folder
    ``.OUTPUT.training`` beside the output, from where the same call goes on after an
    interruption; the folder goes when the run is done. A resumed run gives the weights of one that
    was never interrupted, up to random numbers that a task's `make_input` or the model's own
    layers draw.

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
        alpha: strength of the regularizer, in [0, 1).
        steps: of training.
        batch_size: crops a step.
        crop: height and width of what the network is trained on, pixels of its input. None: the
            size that the model is made for, or 64.
        learning_rate: of Adam, at the start; it falls to a tenth.
        transform: draws T. None: `RandomAffine()`. Where it has no seed it gets `seed`.
        normalize: as in the losses.
        pair_fraction: share of each batch that gets a counterpart, in (0, 1].
        reconstruction: as in the losses.
        validation: share of the pictures that are not trained on, in [0, 1), at least one;
            0 for none.
        early_stopping: parts without a better validation loss after which to stop; the result
            is then the best of all parts. None: never.
        allow_code: see `saved.load`.
        seed: same seed, same numbers.
        logs: a folder for TensorBoard.
        resume: go on with an interrupted run; False starts anew.
        progress: show a bar; needs rich.
        values: lowest and highest value of the model's inputs and outputs. None: 0 and 1.

    Returns:
        What was done.

    Raises:
        ValueError: for an argument, a model or a folder that cannot be used, settings that are
            not those of the interrupted run, or a loss that is no number any more.
        OSError: if `output` cannot be written, or another run is writing it.
        ImportError: if a package for pictures, the bar or the logs is missing.

    Example:
        >>> import keras_temporal_reg as ktr
        >>> ktr.finetune("denoiser.h5", "steady.h5", "photos", task="denoising")  # doctest: +SKIP
    """
    checks.one_of("method", method, sorted(METHODS))
    loss = METHODS[method](alpha, reconstruction=reconstruction, normalize=normalize)
    checks.whole_number("steps", steps, 1)
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
    if logs is not None and importlib.util.find_spec("tensorboard") is None:
        raise ImportError("logs need pip install tensorboard")
    task = tasks.find(task) if isinstance(task, str) else task
    if values is not None:
        task = tasks.with_values(task, *values)
    motion = RandomAffine() if transform is None else transform
    if motion.seed is None:
        motion = RandomAffine.from_config({**motion.get_config(), "seed": seed})

    model, output = Path(model), Path(output)
    form = saved.form_for(output, saved.form_of(model))
    _check_apart(model, output)
    saved.check_target(output, form)
    files.writable_folder(output.parent)
    with _locked(output):
        keras.utils.set_random_seed(seed)
        base = saved.load(model, allow_code=allow_code, for_training=True).model
        shape = _crop_of(base, task, crop, paired=targets is not None)
        _check_can_be_saved(base, output, form)
        pairs = _pairs(Path(inputs), None if targets is None else Path(targets))
        read = _cached(lambda pair: _sample(pair, task), CACHE_BYTES)
        usable, skipped = _usable(pairs, read, shape)
        # Its own order, so that the pictures of one scene do not all go to one side.
        shuffled = [usable[n] for n in np.random.default_rng(seed).permutation(len(usable))]
        held_out = max(1, round(validation * len(usable))) if validation else 0
        held_out = min(held_out, len(usable) - 1)
        tested, learned = shuffled[:held_out], shuffled[held_out:]

        # What makes x of y comes after the motion, and so inside of the model too.
        make_input = task.make_input if targets is None else None
        validated = _validation(tested, read, shape, make_input, batch_size) if tested else None
        crops = _crops(learned, read, shape, make_input, batch_size, seed)
        network = RegularizedModel(base, motion, make_input=make_input, pair_fraction=pair_fraction)
        schedule = keras.optimizers.schedules.CosineDecay(learning_rate, steps, alpha=0.1)
        network.compile(
            keras.optimizers.Adam(schedule),
            loss,
            # TensorFlow 2.15, with Keras 2, has no XLA kernel for the gradient of UpSampling2D.
            jit_compile="auto" if saved.KERAS_3 else False,
        )
        settings = {
            "model": _digest(base.get_weights()),
            "pictures": _digest([str([(p.x.name, p.y and p.y.name) for p in shuffled])]),
            "task": task.name,
            "values": values and [float(v) for v in values],
            "method": method,
            "alpha": float(alpha),
            "steps": steps,
            "batch_size": batch_size,
            "crop": list(shape),
            "learning_rate": float(learning_rate),
            "transform": motion.get_config(),
            "normalize": bool(normalize),
            "pair_fraction": float(pair_fraction),
            "reconstruction": reconstruction
            if isinstance(reconstruction, str)
            else getattr(reconstruction, "__name__", type(reconstruction).__name__),
            "validation": held_out,
            "early_stopping": early_stopping,
            "seed": seed,
            "keras": _versions()["keras"],
        }
        folder = output.parent / f".{output.name}.training"
        if not resume:
            shutil.rmtree(folder, ignore_errors=True)
        with _bar(steps, progress) as advance:
            state = _train(network, crops, validated, settings, folder, advance, logs)
        saved.save(base, output, form)
        shutil.rmtree(folder, ignore_errors=True)
    return FineTuned(
        output=output,
        method=method,
        alpha=float(alpha),
        task=task.name,
        steps=state["done"],
        pictures=len(learned),
        validation_pictures=len(tested),
        skipped=skipped,
        loss=state["loss"],
        val_loss=state["val_loss"],
        seconds=round(state["seconds"], 1),
        versions=_versions(),
    )


def show(result: FineTuned) -> None:
    """Print what a run did."""
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


def _train(
    network: RegularizedModel,
    crops: Callable[[int, int], tf.data.Dataset],
    validated: tf.data.Dataset | None,
    settings: dict[str, Any],
    folder: Path,
    advance: Callable[[int, Any], None],
    logs: Any,
) -> dict[str, Any]:
    """Train part by part, from the last checkpoint on; returns how it went."""
    steps, patience = settings["steps"], settings["early_stopping"]
    base = network.base_model
    if not base.trainable_variables:
        raise ValueError("the model must have weights to train. Received: none, or all are frozen")
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
    resumed = _restore(folder, settings, variables)
    if resumed is not None:
        state, best = resumed
        advance(state["done"], None)

    callbacks: list[Any] = [
        keras.callbacks.LambdaCallback(
            on_train_batch_end=lambda batch, logs: advance(1, (logs or {}).get("loss"))
        )
    ]
    if logs is not None:
        callbacks.append(keras.callbacks.TensorBoard(str(logs), write_graph=False))
    bounds = [steps * part // PARTS for part in range(PARTS + 1)]
    parts = [part for part in range(PARTS) if bounds[part + 1] > max(bounds[part], state["done"])]
    for part in parts:
        if patience is not None and _waited(state["val_loss"]) >= patience:
            break
        started = time.monotonic()
        history = network.fit(
            crops(bounds[part], bounds[part + 1]),
            initial_epoch=part,
            epochs=part + 1,
            validation_data=validated,
            callbacks=callbacks,
            shuffle=False,
            verbose=0,
        ).history
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


def _waited(val_loss: Sequence[float]) -> int:
    """Parts since the one with the lowest validation loss."""
    return len(val_loss) - 1 - int(np.argmin(val_loss)) if len(val_loss) else 0


def _keep(folder: Path, state: dict[str, Any], variables: Sequence[Any], best: list[Any]) -> None:
    folder.mkdir(exist_ok=True)
    arrays: dict[str, Any] = {f"now{n}": _plain(v) for n, v in enumerate(variables)}
    arrays.update({f"best{n}": value for n, value in enumerate(best)})
    with files.replacing(folder / "state.npz") as temporary:
        np.savez(temporary, state=np.array(json.dumps(state)), **arrays)


def _restore(
    folder: Path, settings: dict[str, Any], variables: Sequence[Any]
) -> tuple[dict[str, Any], list[np.ndarray]] | None:
    """The state of an interrupted run, its values assigned; None where there was none."""
    path = folder / "state.npz"
    if not path.is_file():
        return None
    try:
        with np.load(path) as stored:
            arrays = {name: stored[name] for name in stored.files}
        state = json.loads(str(arrays["state"]))
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"the interrupted run in {folder} cannot be read ({error}); start anew with "
            "--restart (resume=False)"
        ) from error
    earlier = state["settings"]
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
    for number, variable in enumerate(variables):
        variable.assign(arrays[f"now{number}"])
    count = sum(name.startswith("best") for name in arrays)
    return state, [arrays[f"best{n}"] for n in range(count)]


def _plain(variable: Any) -> np.ndarray:
    value = variable.numpy()
    # NumPy's files cannot hold bfloat16, of which float32 holds every value.
    return value.astype(np.float32) if value.dtype.name == "bfloat16" else value


def _check_apart(model: Path, output: Path) -> None:
    a, b = model.resolve(), output.resolve()
    if a == b or a in b.parents or b in a.parents or (b.exists() and a.samefile(b)):
        raise ValueError(f"output must be another file than model, {model}. Received: {output}")


def _crop_of(base: Any, task: tasks.Task, crop: int | None, paired: bool) -> _Shape:
    fixed = saved.fixed_size(base)
    if crop is not None and any(size not in (None, crop) for size in fixed):
        raise ValueError(
            f"crop must be the size that the model is made for, {fixed[0]} x {fixed[1]}, or None. "
            f"Received: {crop}"
        )
    height, width = (size or crop or DEFAULT_CROP for size in fixed)
    tensors = tf.nest.flatten(getattr(base, "inputs", None) or [])
    if tensors and tensors[0].shape[0] is not None:
        raise ValueError(
            "the model must take batches of any size, since training pairs them. "
            f"Received: input shape {tuple(tensors[0].shape)}"
        )
    scale = saved.check_fits(base, task, (height, width))
    if paired:
        return _Shape(height, width, scale)
    x, y = task.sample(np.random.default_rng(0).random((64, 64, 3)).astype(np.float32))
    if task.make_input is None and x.shape == y.shape and np.array_equal(x, y):
        raise ValueError(
            f"task {task.name} makes x and y alike of one picture, so it needs the pictures as "
            "they should come out: --targets DIR (targets)"
        )
    if scale * x.shape[0] != y.shape[0]:
        raise saved.ModelError(
            f"the model gives {scale} times the size of its input, "
            f"the task {task.name} wants {y.shape[0] / x.shape[0]:g} times"
        )
    return _Shape(height, width, scale)


def _check_can_be_saved(base: Any, output: Path, form: str) -> None:
    """Save and load on trial: hours of training are not to end in a form that cannot hold it."""
    with tempfile.TemporaryDirectory(prefix=".writing-", dir=output.parent) as folder:
        try:
            saved.save(base, Path(folder) / "trial", form)
            # What came from the model's own file has had its consent.
            saved.load(Path(folder) / "trial", allow_code=True)
        except (ValueError, TypeError, NotImplementedError) as error:
            raise saved.ModelError(
                f"output {output} cannot hold this model in the form {form} ({error})"
            ) from error


def _pairs(inputs: Path, targets: Path | None) -> list[_Pair]:
    if targets is None:
        return [_Pair(path, None) for path in pictures.listed(inputs)]
    found, wanted = _by_stem(inputs), _by_stem(targets)
    for folder, missing in (
        (targets, [name for name in found if name not in wanted]),
        (inputs, [name for name in wanted if name not in found]),
    ):
        if missing:
            names = ", ".join(missing[:5]) + (", ..." if len(missing) > 5 else "")
            raise pictures.PictureError(
                "inputs and targets must hold pictures of the same names but for the suffix. "
                f"{folder} lacks {len(missing)}: {names}"
            )
    return [_Pair(path, wanted[name]) for name, path in found.items()]


def _by_stem(folder: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in pictures.listed(folder):
        if path.stem in found:
            raise pictures.PictureError(
                f"folder {folder} must have one picture of each name. "
                f"Received: {found[path.stem].name} and {path.name}"
            )
        found[path.stem] = path
    return found


def _sample(pair: _Pair, task: tasks.Task) -> Sample:
    """x and y of a picture; x is None where it is to be made of each crop of y."""
    rgb = pictures.read(pair.x)
    x: Any
    if pair.y is not None:
        x, y = task.input(rgb), task.target(pictures.read(pair.y))
    elif task.make_input is not None:
        x, y = None, task.target(rgb)
    else:
        x, y = task.sample(rgb)
    return None if x is None else np.asarray(x, np.float32), np.asarray(y, np.float32)


def _cached(read: Callable[[_Pair], Sample], budget: int) -> Callable[[_Pair], Sample]:
    """`read`, which keeps what it read until `budget` bytes are full.

    Nothing is dropped again: of pictures drawn at random, those that are kept serve as well as
    those that were used last.
    """
    kept: dict[_Pair, Sample] = {}
    used = 0

    def cached(pair: _Pair) -> Sample:
        nonlocal used
        if pair in kept:
            return kept[pair]
        sample = read(pair)
        size = sum(part.nbytes for part in sample if part is not None)
        if used + size <= budget:
            used += size
            kept[pair] = sample
        return sample

    return cached


def _usable(
    pairs: Sequence[_Pair], read: Callable[[_Pair], Sample], shape: _Shape
) -> tuple[list[_Pair], list[str]]:
    """The pairs to use, and ``name: reason`` of all others."""
    usable, skipped = [], []
    scale = shape.scale
    for pair in pairs:
        try:
            x, y = read(pair)
        except pictures.PictureError as error:
            skipped.append(f"{pair.x.name}: {error}")
            continue
        if x is not None and y.shape[:2] != (scale * x.shape[0], scale * x.shape[1]):
            names = pair.x.name if pair.y is None else f"{pair.x} and {pair.y}"
            raise pictures.PictureError(
                f"y must have {scale} times the height and width of x, as the model makes it. "
                f"Received: x of {x.shape[0]} x {x.shape[1]} pixels and y of {y.shape[0]} x "
                f"{y.shape[1]}, from {names}"
            )
        height, width = y.shape[0] // scale, y.shape[1] // scale
        if height < shape.height or width < shape.width:
            skipped.append(
                f"{pair.x.name}: {height} x {width} pixels, smaller than the crop of "
                f"{shape.height} x {shape.width}"
            )
        elif not all(part is None or np.isfinite(part).all() for part in (x, y)):
            skipped.append(f"{pair.x.name}: holds NaN or inf")
        else:
            usable.append(pair)
    if len(usable) < 2:
        reasons = "".join(f"\n  {reason}" for reason in skipped[:5])
        raise pictures.PictureError(
            "inputs must have at least 2 pictures that can be used. "
            f"Received: {len(usable)} of {len(pairs)}{reasons}"
        )
    return usable, skipped


def _cut(sample: Sample, shape: _Shape, top: int, left: int) -> list[np.ndarray]:
    """A crop of y, or of x and y, whose corner is given in pixels of x."""
    x, y = sample
    scale = shape.scale
    rows = slice(scale * top, scale * (top + shape.height))
    columns = slice(scale * left, scale * (left + shape.width))
    if x is None:
        return [y[rows, columns]]
    return [x[top : top + shape.height, left : left + shape.width], y[rows, columns]]


def _room(sample: Sample, shape: _Shape) -> tuple[int, int]:
    """By how many pixels of x a crop can be shifted down and right."""
    height, width = (size // shape.scale for size in sample[1].shape[:2])
    return height - shape.height, width - shape.width


def _crops(
    pairs: Sequence[_Pair],
    read: Callable[[_Pair], Sample],
    shape: _Shape,
    make_input: Any,
    batch_size: int,
    seed: int,
) -> Callable[[int, int], tf.data.Dataset]:
    """A function from a first step and the one after the last to their batches.

    Crops and flips are random, and each picture is drawn once before any is drawn again.
    """
    first = _cut(read(pairs[0]), shape, 0, 0)

    @functools.lru_cache(maxsize=2)
    def order(turn: int) -> np.ndarray:
        return np.random.default_rng((seed, turn, 1)).permutation(len(pairs))

    def batch(step: np.ndarray) -> list[np.ndarray]:
        rng = np.random.default_rng((seed, int(step)))
        made = [np.empty((batch_size, *part.shape), np.float32) for part in first]
        for row in range(batch_size):
            turn, place = divmod(int(step) * batch_size + row, len(pairs))
            sample = read(pairs[order(turn)[place]])
            top, left = (int(rng.integers(room + 1)) for room in _room(sample, shape))
            flip = -1 if rng.integers(2) else 1
            for whole, part in zip(made, _cut(sample, shape, top, left)):
                whole[row] = part[:, ::flip]
        return made

    def tensors(step: tf.Tensor) -> tuple[tf.Tensor, ...]:
        # Not a generator: that slows the whole process of TensorFlow 2.21 (docs/design.md).
        made = tf.numpy_function(batch, [step], [tf.float32] * len(first))
        return tuple(
            tf.ensure_shape(tensor, (batch_size, *part.shape)) for tensor, part in zip(made, first)
        )

    def dataset(start: int, stop: int) -> tf.data.Dataset:
        made = tf.data.Dataset.range(start, stop).map(tensors, num_parallel_calls=2)
        if make_input is not None:
            # One by one: what draws random numbers would draw them in any order.
            made = made.map(lambda y: (make_input(y), y))
        return made.prefetch(2)

    return dataset


def _validation(
    pairs: Sequence[_Pair],
    read: Callable[[_Pair], Sample],
    shape: _Shape,
    make_input: Any,
    batch_size: int,
) -> tf.data.Dataset:
    """The centres of pictures, always the same."""
    cuts = []
    for pair in pairs:
        sample = read(pair)
        top, left = (room // 2 for room in _room(sample, shape))
        cuts.append(_cut(sample, shape, top, left))
    parts = [np.stack(column) for column in zip(*cuts)]
    if make_input is not None:
        parts.insert(0, make_input(tf.constant(parts[0])).numpy())
    return tf.data.Dataset.from_tensor_slices(tuple(parts)).batch(batch_size)


@contextlib.contextmanager
def _locked(output: Path) -> Iterator[None]:
    """Hold ``.OUTPUT.lock``, a folder with the number of this process, while it runs."""
    lock = output.parent.resolve() / f".{output.name}.lock"
    for _ in range(2):
        with tempfile.TemporaryDirectory(prefix=".writing-", dir=lock.parent) as folder:
            own = Path(folder) / "lock"
            own.mkdir()
            (own / "pid").write_text(str(os.getpid()))
            try:
                # No folder is renamed onto another with something in it: the first one wins.
                os.rename(own, lock)
                break
            except OSError:
                if not lock.exists():
                    raise
        holder = _holder(lock)
        if holder is not None:
            raise FileExistsError(
                f"another run, process {holder}, is writing {output}. If there is none, delete "
                f"the folder {lock}"
            )
        shutil.rmtree(lock, ignore_errors=True)
    else:
        raise FileExistsError(f"another run is writing {output}")
    _held.add(lock)
    try:
        yield
    finally:
        _held.discard(lock)
        shutil.rmtree(lock, ignore_errors=True)


def _holder(lock: Path) -> int | None:
    """The process that holds a lock; None where it died."""
    try:
        number = int((lock / "pid").read_text())
    except (OSError, ValueError):
        return None
    if number == os.getpid():
        # In a container an earlier process often had the number of this one.
        return number if lock in _held else None
    if os.name == "nt":
        return number  # there, asking a process would end it
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    return number


@contextlib.contextmanager
def _bar(steps: int, wanted: bool) -> Iterator[Callable[[int, Any], None]]:
    """A function that is told of steps done and of the loss; it moves a bar where wanted."""
    if not wanted:
        yield lambda done, loss: None
        return
    try:
        from rich import console, progress
    except ImportError as error:
        raise ImportError(
            "the progress bar needs rich: pip install keras-temporal-reg[video]; or ask for none"
        ) from error
    with progress.Progress(
        progress.TextColumn("fine-tuning"),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TextColumn("loss {task.fields[loss]}"),
        progress.TimeRemainingColumn(),
        console=console.Console(stderr=True),
    ) as shown:
        bar = shown.add_task("fine-tuning", total=steps, loss="")

        def advance(done: int, loss: Any) -> None:
            shown.update(bar, advance=done, loss="" if loss is None else f"{float(loss):.5f}")

        yield advance


def _digest(parts: Sequence[Any]) -> str:
    whole = hashlib.sha256()
    for part in parts:
        whole.update(part.encode() if isinstance(part, str) else part.tobytes())
    return whole.hexdigest()[:16]


def _versions() -> dict[str, str]:
    return {
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "keras": saved.keras_version(),
        "keras-temporal-reg": __version__,
    }
