"""The members of a blend: fine-tunings of one network without and with the regularizers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow import keras

from keras_temporal_reg.core import deprecation, validation
from keras_temporal_reg.finetuning import (
    blending,
    schedule,
    strength_search,
    training,
    validation_clips,
)
from keras_temporal_reg.finetuning.choice import Choice
from keras_temporal_reg.finetuning.config import (
    AUTO,
    DEFAULT_CONTRAST,
    MEMBER_ALPHA,
    MEMBERS,
    METHODS,
    PLAIN,
    check_members,
    strength_or_auto,
)
from keras_temporal_reg.io import progress
from keras_temporal_reg.model import RegularizedModel
from keras_temporal_reg.transforms import RandomAffine

STATISTICS_BATCHES = 8
_Loss = Callable[..., Any]  # from alpha=... to a loss


class Unregularized(RegularizedModel):
    """Trains without counterparts: the loss of a plain target is the reconstruction loss.

    A model of its own, since compiling the base model would change how its owner compiled it.
    """

    def train_step(self, data: Any) -> dict[str, tf.Tensor]:
        return keras.Model.train_step(self, data)


def network_of(
    name: str,
    model: keras.Model,
    transform: Any,
    perturbation: Any = None,
    make_input: Any = None,
    pair_fraction: float = 1.0,
    teacher: Any = None,
) -> RegularizedModel:
    """The network that a member is trained as."""
    wrapper = Unregularized if name == PLAIN else RegularizedModel
    return wrapper(model, transform, perturbation, make_input, pair_fraction, teacher)


def transform_of(transform: RandomAffine | None, seed: int) -> RandomAffine:
    """The transform of a run: where it has no seed it gets that of the run."""
    transform = RandomAffine() if transform is None else transform
    if transform.seed is not None:
        return transform
    return type(transform).from_config({**transform.get_config(), "seed": seed})


def loss_of(
    name: str,
    reconstruction: Any = "mse",
    contrast: float = DEFAULT_CONTRAST,
    alpha: float = MEMBER_ALPHA,
) -> Any:
    """The loss that a member is trained with."""
    if name == PLAIN:
        return training.LOSSES[METHODS[0]](alpha=0.0, reconstruction=reconstruction)
    return training.LOSSES[name](alpha, reconstruction=reconstruction, contrast=contrast)


def values_of(model: keras.Model) -> list[np.ndarray]:
    """The values of a network's variables."""
    return [variable.numpy() for variable in model.variables]


def choose_strength(
    model: keras.Model,
    dataset: tf.data.Dataset,
    clip: Any = None,
    reference: Any = None,
    *,
    stills: Sequence[validation_clips.Still] = (),
    strength: float | str = AUTO,
    members: Sequence[str] | Mapping[str, Any] = MEMBERS,
    member_alpha: float = MEMBER_ALPHA,
    reconstruction: Any = "mse",
    contrast: float = DEFAULT_CONTRAST,
    steps: int = 500,
    learning_rate: float = 1e-4,
    transform: Any = None,
    perturbation: Any = None,
    make_input: Any = None,
    pair_fraction: float = 1.0,
    baseline: validation_clips.Baseline | None = None,
    value_range: float = 1.0,
    seed: int = 0,
    show_progress: bool = False,
) -> Choice:
    """Fine-tune a model without and with the regularizers, and give it the best blend of all.

    Each member is fine-tuned from the model's own weights on the same batches. Averages of their
    weights are then evaluated on a validation clip and judged by `metrics.verdict`, against the
    plain fine-tuning where it is a member; nothing more is trained. The choice has the least
    flicker of all that are stabilized.

    Args:
        model: image to image. It has the weights of the choice afterwards, or its own ones where
            no blend is stabilized.
        dataset: batches ``(x, y)`` or ``(x, y, sample_weight)`` to train on; repeated as needed.
        clip: frames x of a validation clip, ``(frames, height, width, channels)``.
        reference: its targets y, likewise. Needed with `clip`.
        stills: in place of a clip, images ``(x, y)``, each ``(height, width, channels)``, that
            are not trained on. A virtual camera moves over each. y may be a whole number of times
            as large as x; with `make_input`, x may be None.
        strength: ``"auto"``; or in [0, 1]: 0 is the original, 1 the blend with the least flicker,
            between them the share of the flicker taken away.
        members: names of fine-tunings, of ``"plain"``, ``"sparse-jacobian"`` and
            ``"transform-invariance"``; or a mapping from names to losses.
        member_alpha: strength of the regularizer of these fine-tunings, in (0, 1); not used where
            `members` holds losses.
        reconstruction: the reconstruction loss, as in the losses.
        contrast: weight of the term that keeps the contrast.
        steps: of each fine-tuning, at least 1.
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
        The choice. Its `weights` are empty where no blend is stabilized, and `reason` says why.

    Raises:
        ValueError: for arguments that are out of range or do not fit each other.

    Example:
        >>> import keras_temporal_reg as ktr
        >>> choice = ktr.choose_strength(model, dataset, clip, reference)  # doctest: +SKIP
        >>> choice.weights, choice.reason  # doctest: +SKIP
        >>> choice.plot("strength.png")  # doctest: +SKIP
        >>> model.save("steady.keras")  # doctest: +SKIP
    """
    strength = strength_or_auto("strength", strength)
    _check_numbers(steps, seed, learning_rate, pair_fraction, value_range)
    losses = _losses(members, member_alpha, reconstruction, contrast)
    keras.utils.set_random_seed(seed)  # for what `make_input` draws
    clips = validation_clips.gather(clip, reference, stills, make_input, seed)
    motion = RandomAffine(seed=seed) if transform is None else transform
    trials = strength_search.evaluations([*losses], strength)
    validation_clips.check_results(model, clips)

    def train(name: str, advance: training.Advance) -> None:
        keras.utils.set_random_seed(seed)
        network = network_of(name, model, motion, perturbation, make_input, pair_fraction)
        schedule.compile_for(network, losses[name], learning_rate, steps)
        training.train(network, lambda *_: dataset.repeat(), steps, advance=advance)

    values = {strength_search.ORIGINAL: values_of(model)}

    def restore() -> None:
        blending.assign(model, values, {strength_search.ORIGINAL: 1.0})

    try:
        with progress.bars(show_progress) as start:
            for name in losses:
                restore()
                train(name, start(f"fine-tuning, {name}", steps))
                values[name] = values_of(model)
            restore()
            return strength_search.search(
                model,
                values,
                clips,
                validation_clips.baseline_psnr(clips, baseline, value_range),
                strength=strength,
                alphas={name: float(getattr(loss, "alpha", 0.0)) for name, loss in losses.items()},
                value_range=value_range,
                batches=statistics_batches(model, dataset),
                advance=start("choosing the blend", trials),
            )
    except BaseException:
        restore()
        raise


def statistics_batches(model: keras.Model, dataset: tf.data.Dataset) -> list[Any] | None:
    """A few batches of inputs, where the model has BatchNormalization, whose statistics need
    them.
    """
    if not blending.needs_statistics(model, (0.5, 0.5)):
        return None
    return [batch[0] for batch in dataset.take(STATISTICS_BATCHES)]


@deprecation.renamed_arguments(trivial="baseline")
def choose_alpha(
    model: keras.Model,
    dataset: tf.data.Dataset,
    clip: Any = None,
    reference: Any = None,
    *,
    loss: _Loss | None = None,
    alphas: Sequence[float] = (MEMBER_ALPHA,),
    **options: Any,
) -> Choice:
    """`choose_strength` of two members, one without the regularizer and one with the largest alpha.

    The choice's `alpha` is that of the second times its weight. The model keeps its weights.

    Args:
        model: as in `choose_strength`, but for its weights, which it keeps.
        dataset: as in `choose_strength`.
        clip: as in `choose_strength`.
        reference: as in `choose_strength`.
        loss: from ``alpha=...`` to a loss. None: `losses.SparseJacobianLoss`.
        alphas: the largest one is used, each in (0, 1).
        **options: the others of `choose_strength`.

    Raises:
        ValueError: as `choose_strength`.
    """
    if not len(alphas):
        raise ValueError("alphas must hold at least one number in (0, 1). Received: none")
    largest = max(validation.fraction("alphas", alpha, "(", ")") for alpha in alphas)
    make_loss = training.LOSSES[METHODS[0]] if loss is None else loss
    name = f"alpha {largest:g}"
    original = {strength_search.ORIGINAL: values_of(model)}
    try:
        return choose_strength(
            model,
            dataset,
            clip,
            reference,
            members={PLAIN: make_loss(alpha=0.0), name: make_loss(alpha=largest)},
            **options,
        )
    finally:
        blending.assign(model, original, {strength_search.ORIGINAL: 1.0})


def _check_numbers(
    steps: int, seed: int, learning_rate: float, pair_fraction: float, value_range: float
) -> None:
    validation.whole_number("steps", steps, 1)
    validation.whole_number("seed", seed, 0)
    validation.positive("learning_rate", learning_rate)
    validation.fraction("pair_fraction", pair_fraction, "(", "]")
    validation.positive("value_range", value_range)


def _losses(
    members: Sequence[str] | Mapping[str, Any], alpha: float, reconstruction: Any, contrast: float
) -> dict[str, Any]:
    if isinstance(members, Mapping):
        if not {*members} - {PLAIN} or strength_search.ORIGINAL in members:
            raise ValueError(
                f"members must hold a loss besides {PLAIN!r}, and none named "
                f"{strength_search.ORIGINAL!r}. Received: {', '.join(members) or 'none'}"
            )
        return dict(members)
    check_members("members", members)
    alpha = validation.fraction("member_alpha", alpha, "(", ")")
    return {name: loss_of(name, reconstruction, contrast, alpha) for name in members}
