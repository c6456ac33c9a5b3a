"""Choose alpha: the strongest regularization with which a model is stabilized.

Each trial is a short fine-tuning from the model's own weights on the same batches, compared by
`metrics.verdict` to a trial without the regularizer. Bisection keeps the trials few.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow import keras

from keras_temporal_reg import metrics
from keras_temporal_reg.core import deprecation, validation
from keras_temporal_reg.evaluation import inference
from keras_temporal_reg.finetuning import schedule, training, validation_clips
from keras_temporal_reg.finetuning.config import TRIAL_SHARE
from keras_temporal_reg.io import atomic, progress
from keras_temporal_reg.losses import SparseJacobianLoss
from keras_temporal_reg.model import RegularizedModel
from keras_temporal_reg.transforms import RandomAffine

ALPHAS = (0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98)
MAX_TRIALS = 3


@deprecation.renamed_fields(counts="stabilized")
@dataclasses.dataclass(frozen=True)
class Trial:
    """One alpha that was tried.

    Attributes:
        alpha: 0 without the regularizer.
        measures: as from `metrics.stability`, mean over the clips.
        stabilized: whether the outcome is `metrics.Outcome.STABILIZED`; False without the
            regularizer.
        verdict: the verdict as a sentence.
    """

    alpha: float
    measures: Mapping[str, float]
    stabilized: bool
    verdict: str


@deprecation.renamed_fields(trivial_psnr="baseline_psnr")
@dataclasses.dataclass(frozen=True)
class Choice:
    """What `choose_alpha` found.

    Attributes:
        alpha: the strongest one that stabilizes the model, or 0.
        reason: why this one, in words.
        plain: the trial without the regularizer.
        tried: all others, in the order of their alpha.
        baseline_psnr: of the baseline prediction, in dB.
        cost: images of all trials and one full fine-tuning, over those of the latter.
    """

    alpha: float
    reason: str
    plain: Trial
    tried: tuple[Trial, ...]
    baseline_psnr: float
    cost: float

    @classmethod
    def from_dict(cls, parts: Mapping[str, Any]) -> Choice:
        """The inverse of `dataclasses.asdict`."""
        tried = tuple(Trial(**trial) for trial in parts["tried"])
        return cls(**{**parts, "plain": Trial(**parts["plain"]), "tried": tried})

    def plot(self, path: Any) -> None:
        """Draw PSNR against temporal error of all trials, and mark the choice.

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
            chosen = trial.stabilized and trial.alpha == self.alpha
            color = "tab:green" if trial.stabilized else "tab:red" if trial.alpha else "black"
            axis.scatter(*place, color=color, s=90 if chosen else 30, zorder=2)
            label = f"alpha {trial.alpha:g}" + (", chosen" if chosen else "")
            axis.annotate(label, place, (6, 6), textcoords="offset points")
        axis.set_xlabel("temporal error (lower is better)")
        axis.set_ylabel("PSNR, dB (higher is better)")
        axis.set_title("green: stabilized; red: not stabilized; black: without regularizer")
        axis.margins(0.15)
        with atomic.atomic_write(Path(path)) as temporary:
            figure.savefig(temporary, dpi=110)


@deprecation.renamed_arguments(trivial="baseline")
def choose_alpha(
    model: keras.Model,
    dataset: tf.data.Dataset,
    clip: Any = None,
    reference: Any = None,
    *,
    stills: Sequence[validation_clips.Still] = (),
    loss: Callable[..., Any] = SparseJacobianLoss,
    alphas: Sequence[float] = ALPHAS,
    steps: int = 500,
    learning_rate: float = 1e-4,
    transform: Any = None,
    perturbation: Any = None,
    make_input: Any = None,
    pair_fraction: float = 1.0,
    baseline: Callable[[np.ndarray], np.ndarray] | None = None,
    value_range: float = 1.0,
    seed: int = 0,
    show_progress: bool = False,
) -> Choice:
    """Find the strongest regularization that stabilizes a model, on a validation clip.

    There is one trial without the regularizer, and by bisection at most three with it, each half
    as long as the full fine-tuning. Trials and the full fine-tuning together cost less than three
    times the latter. The model keeps its weights.

    Args:
        model: to be fine-tuned; image to image.
        dataset: batches ``(x, y)`` or ``(x, y, sample_weight)`` to train on; repeated as needed.
        clip: frames x of a validation clip, ``(frames, height, width, channels)``.
        reference: its targets y, likewise. Needed with `clip`.
        stills: in place of a clip, images ``(x, y)``, each ``(height, width, channels)``, that
            are not trained on. A virtual camera moves over each. y may be a whole number of times
            as large as x; with `make_input`, x may be None.
        loss: from ``alpha=...`` to a loss: `losses.SparseJacobianLoss`, the other one, or a
            `functools.partial` of either.
        alphas: to choose from, each in (0, 1).
        steps: of the full fine-tuning, at least 2.
        learning_rate: of Adam after its warm-up; it decays to a tenth.
        transform: draws T. None: `RandomAffine()` with `seed`.
        perturbation: as in `RegularizedModel`.
        make_input: as in `RegularizedModel`; the frames x of `stills` are then made from y.
        pair_fraction: as in `RegularizedModel`.
        baseline: from x to the baseline prediction. None: x itself, its pixels repeated where y is
            larger, if it has the channels of y; else the mean of y.
        value_range: difference between the highest and the lowest value of y, for PSNR.
        seed: the same seed gives the same numbers.
        show_progress: show a bar; needs rich.

    Returns:
        The choice. Its alpha is 0 where none stabilizes the model, and `reason` says why.

    Raises:
        ValueError: for arguments that are out of range or do not fit each other.

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
    validation.positive("learning_rate", learning_rate)
    validation.fraction("pair_fraction", pair_fraction, "(", "]")
    validation.positive("value_range", value_range)
    keras.utils.set_random_seed(seed)  # for what `make_input` draws
    clips = validation_clips.gather(clip, reference, stills, make_input, seed)
    baseline_psnr = _baseline_psnr(clips, baseline, value_range)
    runs = {size: inference.runner(model, *size) for size in {x.shape[1:] for x, _ in clips}}
    motion = RandomAffine(seed=seed) if transform is None else transform
    weights = model.get_weights()
    trial_steps = steps // TRIAL_SHARE

    def measure(alpha: float, advance: training.Advance) -> Mapping[str, float]:
        model.set_weights(weights)
        keras.utils.set_random_seed(seed)
        wrapper = RegularizedModel if alpha else Unregularized
        network = wrapper(model, motion, perturbation, make_input, pair_fraction)
        schedule.compile_for(network, loss(alpha=alpha), learning_rate, trial_steps)
        training.train(network, lambda *_: dataset.repeat(), trial_steps, advance=advance)
        return _measures(runs, clips, value_range)

    try:
        with progress.bars(show_progress) as start:
            plain, tried = _bisect(
                grid,
                baseline_psnr,
                lambda alpha: measure(
                    alpha,
                    start(f"alpha {alpha:g}" if alpha else "without regularizer", trial_steps),
                ),
            )
    finally:
        model.set_weights(weights)
    alpha, reason = _choose(tried)
    images_per_step = 1.0 + pair_fraction
    images = trial_steps + images_per_step * (trial_steps * len(tried) + steps)
    cost = images / (images_per_step * steps)
    return Choice(alpha, reason, plain, tried, baseline_psnr, cost)


class Unregularized(RegularizedModel):
    """Trains without counterparts: the loss of a plain target is the reconstruction loss.

    A model of its own, since compiling the base model would change how its owner compiled it.
    """

    def train_step(self, data: Any) -> dict[str, tf.Tensor]:
        return keras.Model.train_step(self, data)


def _bisect(
    grid: Sequence[float],
    baseline_psnr: float,
    measure: Callable[[float], Mapping[str, float]],
) -> tuple[Trial, tuple[Trial, ...]]:
    """The trial without the regularizer, and those that search for the strongest alpha."""
    plain = Trial(0.0, measure(0.0), False, "The model without the regularizer.")
    tried: dict[float, Trial] = {}
    low, high = 0, len(grid)  # the strongest one is in grid[low - 1 : high]
    while low < high and len(tried) < MAX_TRIALS:
        middle = (low + high) // 2
        measures = measure(grid[middle])
        verdict = metrics.verdict(plain.measures, measures, baseline_psnr)
        tried[grid[middle]] = Trial(grid[middle], measures, verdict.is_stabilized, verdict.sentence)
        if verdict.is_stabilized or _too_weak(plain.measures, measures):
            low = middle + 1
        else:
            high = middle
    return plain, tuple(tried[alpha] for alpha in sorted(tried))


def _baseline_psnr(
    clips: Sequence[validation_clips.Clip], baseline: Any, value_range: float
) -> float:
    found = [metrics.psnr(y, _baseline(x, y, baseline), value_range) for x, y in clips]
    return float(np.mean(found))


def _baseline(x: np.ndarray, y: np.ndarray, baseline: Any) -> np.ndarray:
    if baseline is not None:
        return np.asarray(baseline(x), np.float32)
    scale = y.shape[1] // x.shape[1]
    larger = x.repeat(scale, axis=1).repeat(scale, axis=2)
    return larger if larger.shape == y.shape else np.broadcast_to(y.mean(axis=(0, 1, 2)), y.shape)


def _measures(
    runs: Mapping[Any, Any], clips: Sequence[validation_clips.Clip], value_range: float
) -> dict[str, float]:
    measured = []
    for x, y in clips:
        result = runs[x.shape[1:]](x)
        # Only PSNR depends on the range.
        measured.append(metrics.stability(y / value_range, result / value_range))
    return {key: float(np.mean([each[key] for each in measured])) for key in measured[0]}


def _too_weak(plain: Mapping[str, float], measures: Mapping[str, float]) -> bool:
    """Whether the regularizer improved nothing, so that a stronger one may."""
    return (
        measures["temporal_error"] >= plain["temporal_error"]
        and measures["relative_smoothness"] <= plain["relative_smoothness"]
        and measures["smoothness"] <= plain["smoothness"]
    )


def _choose(tried: Sequence[Trial]) -> tuple[float, str]:
    stabilized = [trial for trial in tried if trial.stabilized]
    if not stabilized:
        weakest = tried[0]
        return 0.0, (
            f"No alpha of {', '.join(f'{trial.alpha:g}' for trial in tried)} stabilizes the model; "
            f"the weakest, {weakest.alpha:g}: {weakest.verdict}"
        )
    best = stabilized[-1]
    reason = f"The strongest of {len(tried)} trials that stabilizes the model. {best.verdict}"
    stronger = [trial for trial in tried if trial.alpha > best.alpha]
    if stronger:
        reason += f" The next stronger, {stronger[0].alpha:g}: {stronger[0].verdict}"
    return best.alpha, reason
