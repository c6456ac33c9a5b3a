"""Reproduce what Eilertsen, Mantiuk and Unger report (CVPR 2019; section III of their poster).

For each seed one network is trained without a regularizer, then fine-tuned from the same weights
on the same batches by each method. A run is a row of ``rows.json``. From the rows follow plots, a
summary, and for each of the poster's claims whether it holds here, by a rule that is written out.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import itertools
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from tensorflow import keras

from keras_temporal_reg import __version__, metrics
from keras_temporal_reg.core import seeding, validation
from keras_temporal_reg.data import _augment as data
from keras_temporal_reg.evaluation import camera
from keras_temporal_reg.experiments import demo, networks, scenes
from keras_temporal_reg.experiments import results as findings
from keras_temporal_reg.experiments.claims import MEASURES, Row, claims, goals
from keras_temporal_reg.experiments.configs import (
    CONVERGED,
    EXPERIMENTS,
    FULL,
    METHODS,
    PLAIN,
    QUICK,
    Method,
    Plan,
)
from keras_temporal_reg.finetuning import schedule
from keras_temporal_reg.io import atomic, image_files, jsonable, video
from keras_temporal_reg import saved_models
from keras_temporal_reg.tasks import _task as tasks
from keras_temporal_reg.transforms import RandomAffine

SEEDS = (0, 1, 2)
FILMED = 16  # frames of a clip of a still
NOISE = 0.03  # of noise stability: the middle of the range in the authors' code


class Clip(NamedTuple):
    """What networks are measured on; motion where it is exact."""

    x: np.ndarray
    y: np.ndarray
    motion: np.ndarray | None = None


class Problem(NamedTuple):
    """A task with its data.

    Attributes:
        task: what networks are to do.
        network: makes one, for a number of channels.
        learned: ``(x, y)`` pictures of a data size; those of x may have no channels where
            `make_input` makes x.
        clips: to be measured on.
        filmed: clips of stills on which only the warping error is measured.
        make_input: x of y, where x is made of y.
        weight: a `sample_weight` of y, or None; all but SSIM and the warping error, which are of
            the whole picture, is measured where it is above 0.
    """

    task: tasks.Task
    network: Callable[[int], keras.Model]
    learned: Callable[[int], list[tuple[np.ndarray, np.ndarray]]]
    clips: Sequence[Clip]
    filmed: Sequence[Clip] = ()
    make_input: Callable[[tf.Tensor], tf.Tensor] | None = None
    weight: Callable[[tf.Tensor], tf.Tensor] | None = None


class Base(NamedTuple):
    """Where methods begin: weights, and whether they converged; None where nobody asked."""

    weights: list[np.ndarray]
    converged: bool | None = None


class Run(NamedTuple):
    """One run of an experiment: what its row begins with."""

    method: str
    alpha: float
    data: int
    seed: int


def reproduce(
    experiment: str,
    output: Any,
    *,
    quick: bool = True,
    data: Any = None,
    seeds: Sequence[int] | None = None,
    plan: Plan | None = None,
    show_progress: bool = True,
) -> findings.Reproduction:
    """Run an experiment of the poster, and judge the poster's claims by it.

    Runs that `output` holds already, of the same settings and software, are not made again; so
    the same call goes on after an interruption.

    Args:
        experiment: one of `EXPERIMENTS`.
        output: folder for ``rows.json``, ``summary.json``, ``results.md`` and plots; made if
            need be.
        quick: a small grid, within about ten minutes on two cores; False: the whole, in hours.
        data: a folder of your own: clips and photographs for colorization, EXR and HDR pictures
            for ``hdr``. None: what ships with packages, and artificial scenes.
        seeds: each of them runs the whole grid. None: 0 for quick runs, else `SEEDS`.
        plan: how large it is, in place of `quick`.
        show_progress: show a bar with an estimate of the time left; needs rich.

    Raises:
        ValueError: for an argument or data that cannot be used.
        OSError: if `output` cannot be written to.
        ImportError: if a package of the extra ``demo`` is missing.

    Example:
        >>> import keras_temporal_reg as ktr
        >>> result = ktr.reproduce("hdr", "reproduced")  # doctest: +SKIP
        >>> print(result.claims[0].verdict)  # doctest: +SKIP
    """
    started = time.monotonic()
    validation.one_of("experiment", experiment, EXPERIMENTS)
    if seeds is None:
        seeds = (0,) if quick else SEEDS
    if not seeds or len({*seeds}) < len(seeds):
        raise ValueError(f"seeds must be different whole numbers, at least one. Received: {seeds}")
    for seed in seeds:
        validation.whole_number("seeds", seed, 0)
    if plan is None:
        plan = (QUICK if quick else FULL)[experiment]
    folder = None if data is None else Path(data)
    output = atomic.writable_folder(Path(output))
    settings = _settings(experiment, plan, folder)
    stored = _read_rows(output / "rows.json")
    runs = _runs(plan, seeds)
    rows = {
        Run(row["method"], row["alpha"], row["data"], row["seed"]): row
        for row in stored
        if row["settings"] == settings
    }
    missing = [run for run in runs if run not in rows]
    if missing:
        problem = _problem(experiment, plan, folder)
        with _shown(show_progress, experiment, plan, rows, missing) as progress:
            for (size, seed), several in itertools.groupby(missing, lambda r: (r.data, r.seed)):
                learned = problem.learned(size)
                path = output / "weights" / f"{settings}-{size}-{seed}.npz"
                base = _base(problem, plan, learned, seed, path, progress)
                for run in several:
                    row = _row(problem, plan, learned, run, base, progress)
                    row = {"experiment": experiment, **run._asdict(), **row, "settings": settings}
                    plain = rows.get(run._replace(method=PLAIN, alpha=0.0))
                    rows[run] = {**row, **_judged(row, plain)}
                    stored.append(rows[run])
                    jsonable.write(output / "rows.json", stored)
                    progress.finished(rows[run])
    found = tuple(rows[run] for run in runs)
    result = findings.Reproduction(
        experiment,
        found,
        tuple(claims(experiment, found)),
        tuple(goals(experiment, found)),
        output,
        len(missing),
        round(time.monotonic() - started, 1),
    )
    findings.write(result, plan)
    return result


def _runs(plan: Plan, seeds: Sequence[int]) -> list[Run]:
    """All runs of an experiment; those that share a network to begin with stand together."""
    found = []
    for size, seed in itertools.product(plan.sizes, seeds):
        for name in plan.methods:
            alphas = plan.alphas if METHODS[name].loss is not None else (0.0,)
            found += [Run(name, alpha, size, seed) for alpha in alphas]
    return found


def _settings(experiment: str, plan: Plan, folder: Path | None) -> str:
    """A digest of all that a row depends on beside its own method, alpha, data and seed."""
    whole = dataclasses.asdict(plan)
    # Which runs there are is no matter of any one of them.
    for name in ("methods", "alphas", "sizes"):
        whole.pop(name)
    contents = [] if folder is None else [(p.name, p.stat().st_size) for p in _listed(folder)]
    software = (__version__, tf.__version__, saved_models.keras_version())
    text = json.dumps([experiment, whole, contents, software], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _listed(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise ValueError(f"data must be a folder. Received: {folder}")
    return sorted(p for p in folder.iterdir() if p.is_file() and not p.name.startswith("."))


def _read_rows(path: Path) -> list[dict[str, Any]]:
    if not path.is_file():
        return []
    try:
        rows = json.loads(path.read_text())
        assert all({"settings", *Run._fields} <= {*row} for row in rows)
    except (ValueError, TypeError, AssertionError) as error:
        raise ValueError(f"{path} must hold the rows of earlier runs; move it away") from error
    return rows


def _problem(experiment: str, plan: Plan, folder: Path | None) -> Problem:
    if experiment == "hdr":
        return _hdr(plan, folder)
    if experiment == "super-resolution":
        task = tasks.super_resolution
        network = functools.partial(networks.super_resolution_net, task.scale)
        return _of_clips(task, network, plan, folder)
    photographs = experiment != "small-data"
    return _of_clips(tasks.colorization, networks.colorization_unet, plan, folder, photographs)


def _of_clips(
    task: tasks.Task,
    network: Callable[[int], keras.Model],
    plan: Plan,
    folder: Path | None,
    photographs: bool = True,
) -> Problem:
    """Stills of the first halves of clips to learn from; later frames to be measured on."""
    if folder is None:
        paths = demo.shipped_clips()
        photos = demo.shipped_photos() if photographs else []
    else:
        own = _listed(folder)
        paths = [path for path in own if path.suffix.lower() in video.CODECS]
        photos = [
            _photograph(path) for path in own if path.suffix.lower() in image_files.LDR_SUFFIXES
        ]
        photos = photos if photographs else []
        if not paths:
            raise ValueError(
                f"data must hold at least one clip ({', '.join(video.CODECS)}). Received: {folder}"
            )
    learned, clips, filmed = [], [], []
    for number, path in enumerate(paths):
        footage = demo.divide(path)
        frames = video.read(path, height=demo.HEIGHT, multiple=demo.SIZE_MULTIPLE).frames
        learned.append(frames[: footage.first_test_frame])
        shown = footage.test[: plan.frames] / np.float32(255.0)
        clips.append(Clip(*task.encode(shown)))
        # Of a frame that nobody trained on, under a camera whose motion is known.
        height, width = (
            side // demo.SIZE_MULTIPLE * demo.SIZE_MULTIPLE
            for side in camera.frame_size(*shown.shape[1:3])
        )
        moved = scenes.film(shown[len(shown) // 2], FILMED, number, (height, width))
        filmed.append(Clip(*task.encode(moved.frames), moved.motion))

    def stills(size: int) -> list[tuple[np.ndarray, np.ndarray]]:
        chosen = list(photos)
        for first_half in learned:
            last = len(first_half) - 2
            # At least two frames apart from each other, and from those that are measured.
            places = np.linspace(0, last, min(size, len(first_half) // 2)).astype(int)
            chosen += [first_half[place] for place in places]
        samples = [task.encode(picture / np.float32(255.0)) for picture in chosen]
        if task.make_input is None:
            return samples
        # x is made of crops of y, so that motion comes before degradation.
        return [(y[..., :0], y) for _, y in samples]

    return Problem(task, network, stills, clips, filmed, task.make_input)


def _photograph(path: Path) -> np.ndarray:
    picture = image_files.to_uint8(image_files.read(path))
    width = round(picture.shape[1] * demo.PHOTO_HEIGHT / picture.shape[0])
    return video.resize(picture, max(width, demo.CROP), demo.PHOTO_HEIGHT)


def _hdr(plan: Plan, folder: Path | None) -> Problem:
    """Artificial scenes, or pictures of real ones, under a moving camera."""
    size = (128, 160)
    if folder is None:
        films = [scenes.clip(1000 + n, plan.frames, *size) for n in range(3)]

        def lights(count: int) -> list[np.ndarray]:
            return [scenes.scene(n, 160, 208) for n in range(count)]
    else:
        own = [
            _real_scene(p) for p in _listed(folder) if p.suffix.lower() in image_files.HDR_SUFFIXES
        ]
        if len(own) < 2:
            raise ValueError(
                f"data must hold at least 2 pictures ({', '.join(image_files.HDR_SUFFIXES)}), to "
                f"learn from and to be measured on. Received: {len(own)} in {folder}"
            )
        held_out = max(1, len(own) // 4)
        films = [
            scenes.film(light, plan.frames, n, _multiple_of(8, light))
            for n, light in enumerate(own[-held_out:])
        ]

        def lights(count: int) -> list[np.ndarray]:
            return own[:-held_out][:count]

    clips = []
    for number, (frames, motion) in enumerate(films):
        y = scenes.to_log(frames)
        clips.append(Clip(scenes.capture_clip(y, number), y, motion))
    task = dataclasses.replace(tasks.hdr, baseline=scenes.linearized)
    return Problem(
        task,
        networks.hdr_unet,
        # x is made of crops of y, so that motion comes before clipping, noise and JPEG.
        lambda count: [(y[..., :0], y) for y in map(scenes.to_log, lights(count))],
        clips,
        make_input=scenes.capture,
        weight=scenes.saturation,
    )


def _multiple_of(multiple: int, picture: np.ndarray) -> tuple[int, int]:
    height, width = camera.frame_size(*picture.shape[:2])
    return height // multiple * multiple, width // multiple * multiple


def _real_scene(path: Path) -> np.ndarray:
    """A picture of linear light, 192 pixels high, of which 10 % clip."""
    light = image_files.read(path)
    width = max(round(light.shape[1] * demo.PHOTO_HEIGHT / light.shape[0]), 2 * demo.CROP)
    light = np.maximum(video.resize(light, width, demo.PHOTO_HEIGHT), 0.0)
    white = np.quantile(light.max(axis=-1), 0.9)
    if not white > 0:
        raise ValueError(f"data must hold pictures with light. Received: {path}, mostly black")
    return light / np.float32(white)


# Training.


def _batches(
    problem: Problem, learned: Sequence[Any], method: Method, seed: int
) -> tf.data.Dataset:
    """Batches ``(x, y)`` or ``(x, y, sample_weight)``, paired where the method pairs."""
    motion = RandomAffine(seed=seed)
    dataset = demo.batches(learned, seed)
    if method.augmented:
        dataset = tf.data.Dataset.zip((dataset, seeding.seed_pairs(seed))).map(
            lambda pair, draw: _moved(pair, motion, draw)
        )
    if problem.make_input is not None or problem.weight is not None:
        # One after the other: what draws random numbers would draw them in any order.
        dataset = dataset.map(functools.partial(_completed, problem))
    if method.loss is not None:
        dataset = data.pair_with_transformed(
            dataset,
            None if method.noise else motion,
            _noisy if method.noise else None,
            problem.make_input,
        )
    return dataset.prefetch(2)


def _moved(pair: tuple[tf.Tensor, tf.Tensor], motion: RandomAffine, draw: tf.Tensor) -> Any:
    """x and y under one T; of one size."""
    x, y = pair
    both = tf.concat([x, y], axis=-1)
    transforms = motion.sample(demo.BATCH, demo.CROP, demo.CROP, seed=draw)
    both = tf.ensure_shape(motion.apply(both, transforms), both.shape)
    return both[..., : x.shape[-1]], both[..., x.shape[-1] :]


def _completed(problem: Problem, x: tf.Tensor, y: tf.Tensor) -> Any:
    if problem.make_input is not None:
        x = problem.make_input(y)
    return (x, y) if problem.weight is None else (x, y, problem.weight(y))


def _noisy(x: tf.Tensor) -> tf.Tensor:
    return x + tf.random.normal(tf.shape(x), stddev=NOISE)


def _base(
    problem: Problem,
    plan: Plan,
    learned: Sequence[Any],
    seed: int,
    path: Path,
    progress: _Progress,
) -> Base:
    """What all methods begin with, kept in a file from call to call."""
    keras.utils.set_random_seed(seed)
    network = problem.network(plan.channels)
    if not plan.base_steps:
        return Base(network.get_weights())
    if path.is_file():
        with np.load(path) as stored:
            weights = [stored[f"arr_{n}"] for n in range(len(stored.files) - 1)]
            return Base(weights, json.loads(str(stored["converged"])))
    progress.run = f"seed {seed}: training"
    progress.weight = 1
    converged = None
    if plan.rounds == 1:
        batches = _batches(problem, learned, METHODS[PLAIN], seed)
        _train(network, "mse", batches, plan.base_steps, 2e-3, progress)
    else:
        converged = _converge(problem, plan, network, learned, seed, progress)
    atomic.writable_folder(path.parent)
    base = Base(network.get_weights(), converged)
    with atomic.atomic_write(path) as temporary:
        np.savez(temporary, *base.weights, converged=np.array(json.dumps(converged)))
    return base


def _converge(
    problem: Problem,
    plan: Plan,
    network: keras.Model,
    learned: Sequence[Any],
    seed: int,
    progress: _Progress,
) -> bool:
    """Train in rounds, until one gains less than `CONVERGED` on every fifth picture, held out.

    Returns:
        Whether that came before the rounds were over.
    """
    shown = [picture for n, picture in enumerate(learned) if n % 5]
    held_out = [picture for n, picture in enumerate(learned) if n % 5 == 0]
    x, y = (np.stack([_centre(picture[side]) for picture in held_out]) for side in (0, 1))
    best = -math.inf
    for number in range(plan.rounds):
        progress.run = f"seed {seed}: training, round {number + 1}"
        batches = _batches(problem, shown, METHODS[PLAIN], 100 * seed + number)
        _train(network, "mse", batches, plan.base_steps, 2e-3, progress)
        reached = metrics.psnr(y, _predicted(network, x))
        if reached < best + CONVERGED:
            progress.advance((plan.rounds - number - 1) * plan.base_steps)
            return True
        best = reached
    return False


def _centre(picture: np.ndarray) -> np.ndarray:
    top, left = ((side - demo.CROP) // 2 for side in picture.shape[:2])
    return picture[top : top + demo.CROP, left : left + demo.CROP]


def _row(
    problem: Problem,
    plan: Plan,
    learned: Sequence[Any],
    run: Run,
    base: Base,
    progress: _Progress,
) -> dict[str, Any]:
    """Train one network and measure it."""
    started = time.monotonic()
    keras.backend.clear_session()
    # T, noise and captures of all methods draw the same numbers.
    keras.utils.set_random_seed(run.seed + 1)
    network = problem.network(plan.channels)
    network.set_weights(base.weights)
    method = METHODS[run.method]
    batches = _batches(problem, learned, method, run.seed + 1)
    loss = "mse" if method.loss is None else method.loss(run.alpha)
    progress.run = f"seed {run.seed}: {run.method}" + (f" {run.alpha:g}" if run.alpha else "")
    progress.weight = _passes(run)
    _train(network, loss, batches, plan.steps, plan.rate, progress)
    measured = _measured(problem, network)
    return {
        "base_steps": plan.base_steps,
        "converged": base.converged,
        "steps": plan.steps,
        **measured,
        "seconds": round(time.monotonic() - started, 1),
    }


def _train(
    network: keras.Model, loss: Any, batches: Any, steps: int, rate: float, progress: _Progress
) -> None:
    """As `demo.train`, but without XLA on a CPU, where it is slower for networks this small."""
    schedule.compile_for(network, loss, rate, steps)
    advance = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: progress.advance()
    )
    network.fit(batches, steps_per_epoch=steps, verbose=0, shuffle=False, callbacks=[advance])


def _passes(run: Run) -> int:
    """Images through the network for each sample."""
    return 1 if METHODS[run.method].loss is None else 2


def _measured(problem: Problem, network: keras.Model) -> dict[str, float]:
    """Means over the clips of `MEASURES`, and the PSNR of the trivial predictor."""
    task, found, warping = problem.task, [], []
    for clip in (*problem.clips, *problem.filmed):
        made = _predicted(network, clip.x)
        shown = task.decode(clip.x, made)
        if clip.motion is not None:
            warping.append(metrics.warping_error(shown, clip.motion))
        if any(clip is other for other in problem.filmed):
            continue
        judged, trivial = (
            _where_it_counts(problem, p, clip.y) for p in (made, task.baseline(clip.x))
        )
        measures = metrics.stability(clip.y, judged)
        measures["ssim"] = metrics.ssim(task.decode(clip.x, clip.y), shown)
        measures["trivial_psnr"] = metrics.psnr(clip.y, trivial)
        found.append(measures)
    mean = {key: float(np.mean([each[key] for each in found])) for key in found[0]}
    mean["warping_error"] = float(np.mean(warping)) if warping else math.nan
    return {key: mean[key] for key in (*MEASURES, "trivial_psnr")}


def _where_it_counts(problem: Problem, made: np.ndarray, y: np.ndarray) -> np.ndarray:
    """What was made where the weight of the loss is 1, and y where it is 0."""
    if problem.weight is None:
        return made
    weight = problem.weight(tf.constant(y)).numpy()[..., np.newaxis]
    return weight * made + (1.0 - weight) * y


def _predicted(network: keras.Model, x: np.ndarray) -> np.ndarray:
    # Not Keras's predict, which would be traced anew for each of so many networks.
    return np.concatenate([network(x[n : n + 8], training=False) for n in range(0, len(x), 8)])


def _judged(row: Row, plain: Row | None) -> dict[str, Any]:
    """The verdict against the reconstruction-only run of the same seed and data."""
    if plain is None:
        return {"stabilised": None, "verdict": ""}
    verdict = metrics.verdict(plain, row, plain["trivial_psnr"])
    return {"stabilised": verdict.is_stabilized, "verdict": verdict.sentence}


class _Progress:
    """One bar over all runs, in batches through the network."""

    def __init__(self, total: float, rows: Sequence[Row], plan: Plan, update: Any) -> None:
        self.left = total
        self.run = ""
        self.weight = 1
        self._update = update
        self._plan = plan
        self._seconds = sum(row["seconds"] for row in rows)
        self._passes = sum(self._of(row) for row in rows)

    def advance(self, passes: float | None = None) -> None:
        passes = self.weight if passes is None else passes
        self.left -= passes
        self._update(passes, self.run, self.estimate())

    def finished(self, row: Row) -> None:
        self._seconds += row["seconds"]
        self._passes += self._of(row)
        self._update(0, self.run, self.estimate())

    def _of(self, row: Row) -> float:
        return self._plan.steps * (1 if METHODS[row["method"]].loss is None else 2)

    def estimate(self) -> str:
        """Time left, by the seconds that finished runs took."""
        if not self._passes:
            return "time left: known after the first run"
        minutes = self._seconds / self._passes * self.left / 60.0
        return f"about {math.ceil(minutes)} min left"


@contextmanager
def _shown(
    wanted: bool, experiment: str, plan: Plan, rows: Mapping[Run, Row], missing: Sequence[Run]
) -> Iterator[_Progress]:
    trained = len({(run.data, run.seed) for run in missing}) * plan.rounds * plan.base_steps
    total = trained + sum(plan.steps * _passes(run) for run in missing)
    if not wanted:
        yield _Progress(total, [*rows.values()], plan, lambda *_: None)
        return
    try:
        from rich import console, progress
    except ImportError as error:
        raise ImportError("progress bars need pip install keras-temporal-reg[demo]") from error
    with progress.Progress(
        progress.TextColumn("{task.description:<44}"),
        progress.BarColumn(),
        progress.TaskProgressColumn(),
        progress.TextColumn("{task.fields[left]}"),
        console=console.Console(stderr=True),
    ) as bar:
        number = bar.add_task(experiment, total=total, left="")

        def update(passes: float, run: str, left: str) -> None:
            bar.update(number, advance=passes, description=f"{experiment}, {run}", left=left)

        yield _Progress(total, [*rows.values()], plan, update)
