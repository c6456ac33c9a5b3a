"""Choose alpha: the strongest regularization that still counts as stabilised.

Each trial is a short fine-tuning from the model's own weights on the same batches, held against
one without the regularizer by `metrics.verdict`. Bisection needs few of them.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow import keras

from keras_temporal_reg import metrics
from keras_temporal_reg.core import seeding, validation
from keras_temporal_reg.evaluation import camera, inference
from keras_temporal_reg.finetuning import schedule
from keras_temporal_reg.io import atomic, progress
from keras_temporal_reg.losses import _regularized as losses
from keras_temporal_reg.model import RegularizedModel
from keras_temporal_reg.transforms import RandomAffine

ALPHAS = (0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98)
FRAMES = 24  # of each still that the camera moves over
TRIAL_SHARE = 2  # a trial takes the steps of a full fine-tuning over this
MAX_TRIALS = 3

Pictures = tuple[Any, np.ndarray]  # x, or None where it is made from y; and y


@dataclasses.dataclass(frozen=True)
class Trial:
    """One alpha that was tried.

    Attributes:
        alpha: 0 without the regularizer.
        measures: as from `metrics.stability`, mean over the clips.
        counts: whether it counts as stabilised; False without the regularizer.
        verdict: why, in words.
    """

    alpha: float
    measures: Mapping[str, float]
    counts: bool
    verdict: str


@dataclasses.dataclass(frozen=True)
class Choice:
    """What `choose_alpha` found.

    Attributes:
        alpha: the strongest that counted, or 0.
        reason: why this one, in words.
        plain: the trial without the regularizer.
        tried: all others, in the order of their alpha.
        trivial_psnr: of the trivial predictor, in dB.
        cost: of all trials and one full fine-tuning, over that of the latter.
    """

    alpha: float
    reason: str
    plain: Trial
    tried: tuple[Trial, ...]
    trivial_psnr: float
    cost: float

    @classmethod
    def of_parts(cls, parts: Mapping[str, Any]) -> Choice:
        """The choice that `dataclasses.asdict` took apart."""
        tried = tuple(Trial(**trial) for trial in parts["tried"])
        return cls(**{**parts, "plain": Trial(**parts["plain"]), "tried": tried})

    def plot(self, path: Any) -> None:
        """Draw PSNR against temporal error of all trials, the choice marked.

        Args:
            path: a ``.png`` file. Needs matplotlib.
        """
        from matplotlib.figure import Figure

        figure = Figure(figsize=(7, 5), layout="constrained")
        axis = figure.subplots()
        shown = sorted((self.plain, *self.tried), key=lambda trial: trial.alpha)
        places = [(t.measures["temporal_error"], t.measures["psnr"]) for t in shown]
        axis.plot(*zip(*places), color="0.7", zorder=1)
        for trial, place in zip(shown, places):
            chosen = trial.counts and trial.alpha == self.alpha
            colour = "tab:green" if trial.counts else "tab:red" if trial.alpha else "black"
            axis.scatter(*place, color=colour, s=90 if chosen else 30, zorder=2)
            label = f"alpha {trial.alpha:g}" + (", chosen" if chosen else "")
            axis.annotate(label, place, (6, 6), textcoords="offset points")
        axis.set_xlabel("temporal error (lower is better)")
        axis.set_ylabel("PSNR, dB (higher is better)")
        axis.set_title("green: counts as stabilised; red: does not; black: not regularized")
        axis.margins(0.15)
        path = Path(path)
        with atomic.atomic_write(path) as temporary:
            figure.savefig(temporary, dpi=110)


def choose_alpha(
    model: keras.Model,
    dataset: tf.data.Dataset,
    clip: Any = None,
    reference: Any = None,
    *,
    stills: Sequence[Pictures] = (),
    loss: Callable[..., Any] = losses.SparseJacobianLoss,
    alphas: Sequence[float] = ALPHAS,
    steps: int = 500,
    learning_rate: float = 1e-4,
    transform: Any = None,
    perturbation: Any = None,
    make_input: Any = None,
    pair_fraction: float = 1.0,
    trivial: Callable[[np.ndarray], np.ndarray] | None = None,
    value_range: float = 1.0,
    seed: int = 0,
    show_progress: bool = False,
) -> Choice:
    """Find the strongest regularization that still counts as stabilised on a validation clip.

    Trials are half as long as the full fine-tuning and at most three, by bisection, beside one
    without the regularizer. Together with the full fine-tuning that follows they cost less than
    three of those. The model keeps its weights.

    Args:
        model: to be fine-tuned; image to image.
        dataset: batches ``(x, y)`` or ``(x, y, sample_weight)`` to learn from; repeated as needed.
        clip: frames x of a validation clip, ``(frames, height, width, channels)``.
        reference: what should come out, frames y. Needed with `clip`.
        stills: in place of a clip: pictures ``(x, y)``, each ``(height, width, channels)``, that
            are not trained on. A virtual camera moves over each. y may be a whole number of times
            as large as x; with `make_input`, x may be None.
        loss: makes the loss of an alpha: `losses.SparseJacobianLoss`, the other one, or a
            `functools.partial` of either.
        alphas: to choose from, each in (0, 1).
        steps: of the full fine-tuning.
        learning_rate: of Adam; it falls to a tenth.
        transform: draws T. None: `RandomAffine()` with `seed`.
        perturbation: as in `RegularizedModel`.
        make_input: likewise; the frames x of `stills` are then made from y.
        pair_fraction: likewise.
        trivial: x to what one would predict knowing nothing. None: x itself, its pixels repeated
            where y is larger, if it has the channels of y; else the mean of y.
        value_range: of y, from black to white, which PSNR goes by.
        seed: same seed, same numbers.
        show_progress: show a bar; needs rich.

    Returns:
        The choice; its alpha is 0 where nothing counts as stabilised, and `reason` says why.

    Raises:
        ValueError: for arguments that do not fit each other.

    Example:
        >>> import keras_temporal_reg as ktr
        >>> choice = ktr.choose_alpha(model, dataset, clip, reference)  # doctest: +SKIP
        >>> choice.alpha, choice.reason  # doctest: +SKIP
        >>> choice.plot("alpha.png")  # doctest: +SKIP
    """
    if not alphas:
        raise ValueError("alphas must hold at least one number in (0, 1). Received: none")
    grid = sorted({validation.fraction("alphas", alpha, "(", ")") for alpha in alphas})
    validation.whole_number("steps", steps, TRIAL_SHARE)
    validation.whole_number("seed", seed, 0)
    if not (learning_rate > 0 and math.isfinite(learning_rate)):
        raise ValueError(f"learning_rate must be a number above 0. Received: {learning_rate!r}")
    validation.fraction("pair_fraction", pair_fraction, "(", "]")
    if not (value_range > 0 and math.isfinite(value_range)):
        raise ValueError(f"value_range must be a number above 0. Received: {value_range!r}")
    keras.utils.set_random_seed(seed)  # of what `make_input` draws
    clips = _clips(clip, reference, stills, make_input, seed)
    trivial_psnr = float(
        np.mean([metrics.psnr(y, _guess(x, y, trivial), value_range) for x, y in clips])
    )
    runs = {size: inference.runner(model, *size) for size in {x.shape[1:] for x, _ in clips}}
    motion = RandomAffine(seed=seed) if transform is None else transform
    weights = model.get_weights()
    trial_steps = steps // TRIAL_SHARE
    trials = min(MAX_TRIALS, int(math.log2(len(grid))) + 1)

    def tuned(alpha: float, advance: Callable[[int], None]) -> Mapping[str, float]:
        model.set_weights(weights)
        keras.utils.set_random_seed(seed)
        wrapper = RegularizedModel if alpha else Unregularized
        network = wrapper(model, motion, perturbation, make_input, pair_fraction)
        schedule.compile_for(network, loss(alpha=alpha), learning_rate, trial_steps)
        counted = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: advance(1))
        network.fit(
            dataset.repeat(),
            steps_per_epoch=trial_steps,
            verbose=0,
            shuffle=False,
            callbacks=[counted],
        )
        return _measured(runs, clips, value_range)

    tried: dict[float, Trial] = {}
    try:
        with progress.bars(show_progress) as start:
            measures = tuned(0.0, start("without regularizer", trial_steps))
            plain = Trial(0.0, measures, False, "What the others are held against.")
            low, high = 0, len(grid)  # the strongest that counts is among grid[low - 1 : high]
            while low < high and len(tried) < trials:
                middle = (low + high) // 2
                alpha = grid[middle]
                measures = tuned(alpha, start(f"alpha {alpha:g}", trial_steps))
                verdict = metrics.verdict(plain.measures, measures, trivial_psnr)
                tried[alpha] = Trial(alpha, measures, verdict.is_stabilized, verdict.sentence)
                if verdict.is_stabilized or _too_weak(plain.measures, measures):
                    low = middle + 1
                else:
                    high = middle
    finally:
        model.set_weights(weights)
    found = tuple(tried[alpha] for alpha in sorted(tried))
    alpha, reason = _chosen(plain, found, trivial_psnr)
    regularized = 1.0 + pair_fraction  # images for each of a plain step
    images = trial_steps + regularized * (trial_steps * len(found) + steps)
    return Choice(alpha, reason, plain, found, trivial_psnr, images / (regularized * steps))


class Unregularized(RegularizedModel):
    """Trains without counterparts; the loss of a plain target is `L_vis`."""

    def train_step(self, data: Any) -> dict[str, tf.Tensor]:
        return keras.Model.train_step(self, data)


def _clips(
    clip: Any, reference: Any, stills: Sequence[Pictures], make_input: Any, seed: int
) -> list[Pictures]:
    if (clip is None) != (reference is None):
        missing = "clip" if clip is None else "reference"
        raise ValueError(
            f"clip and reference must both be given, or neither. Received: no {missing}"
        )
    if clip is None and not len(stills):
        raise ValueError("clip and reference, or stills, must be given. Received: neither")
    found = []
    if clip is not None:
        found.append((np.asarray(clip, np.float32), np.asarray(reference, np.float32)))
    for number, (x, y) in enumerate(stills):
        found.append(_filmed(x, np.asarray(y), make_input, number, seed))
    for x, y in found:
        if x.ndim != 4 or y.ndim != 4 or len(x) != len(y) or len(x) < 2:
            raise ValueError(
                "clip and reference must be (frames, height, width, channels) with as many frames, "
                f"at least 2. Received: {x.shape} and {y.shape}"
            )
    return found


def _filmed(x: Any, y: np.ndarray, make_input: Any, number: int, seed: int) -> Pictures:
    """Frames of a still, x and y; its number says how the camera moves."""
    if make_input is not None:
        if y.ndim != 3:
            raise ValueError(f"y of stills must be (height, width, channels). Received: {y.shape}")
        frames = np.stack([*camera.film(y, camera.path(FRAMES, *y.shape[:2], seed=number))])
        of_frames = seeding.call_in_training(make_input, tf.constant(frames), (seed, number))
        made = np.asarray(of_frames, np.float32)
        # Without the rows and columns that did not suffice for another pixel of x.
        scale = max(frames.shape[1] // made.shape[1], 1)
        return made, frames[:, : scale * made.shape[1], : scale * made.shape[2]]
    x = np.asarray(x)
    scale = max(y.shape[0] // x.shape[0], 1) if x.ndim == y.ndim == 3 else 0
    if not scale or y.shape[:2] != (scale * x.shape[0], scale * x.shape[1]):
        raise ValueError(
            "stills must be pairs x, y of (height, width, channels), y a whole number of times as "
            f"large as x unless make_input is given. Received: {x.shape} and {y.shape}"
        )
    path = camera.path(FRAMES, *x.shape[:2], seed=number)
    return np.stack([*camera.film(x, path)]), np.stack([*camera.film(y, path, scale)])


def _guess(x: np.ndarray, y: np.ndarray, trivial: Any) -> np.ndarray:
    if trivial is not None:
        return np.asarray(trivial(x), np.float32)
    scale = y.shape[1] // x.shape[1]
    larger = x.repeat(scale, axis=1).repeat(scale, axis=2)
    return larger if larger.shape == y.shape else np.broadcast_to(y.mean(axis=(0, 1, 2)), y.shape)


def _measured(
    runs: Mapping[Any, Any], clips: Sequence[Pictures], value_range: float
) -> dict[str, float]:
    measured = []
    for x, y in clips:
        result = runs[x.shape[1:]](x)
        # Only PSNR depends on the range.
        measured.append(metrics.stability(y / value_range, result / value_range))
    return {key: float(np.mean([each[key] for each in measured])) for key in measured[0]}


def _too_weak(plain: Mapping[str, float], measures: Mapping[str, float]) -> bool:
    """Whether it changed nothing for the better, so that more of it may."""
    return (
        measures["temporal_error"] >= plain["temporal_error"]
        and measures["relative_smoothness"] <= plain["relative_smoothness"]
        and measures["smoothness"] <= plain["smoothness"]
    )


def _chosen(plain: Trial, tried: Sequence[Trial], trivial_psnr: float) -> tuple[float, str]:
    counting = [trial for trial in tried if trial.counts]
    if not counting:
        last = tried[0]
        return 0.0, (
            f"No alpha of {', '.join(f'{trial.alpha:g}' for trial in tried)} counts as stabilised; "
            f"the weakest of them, {last.alpha:g}: {last.verdict}"
        )
    best = counting[-1]
    reason = f"The strongest of {len(tried)} tried that counts. {best.verdict}"
    stronger = [trial for trial in tried if trial.alpha > best.alpha]
    if stronger:
        reason += f" The next stronger, {stronger[0].alpha:g}: {stronger[0].verdict}"
    return best.alpha, reason
