"""What an experiment compares, and how large it is. Importing this imports no TensorFlow."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

from keras_temporal_reg.core import deprecation, validation
from keras_temporal_reg.finetuning.config import (
    AUTO,
    MEMBERS,
    FinetuneConfig,
    check_members,
    strength_or_auto,
)

EXPERIMENTS = ("colorization", "small-data", "hdr", "finetune", "super-resolution")
SEEDS = (0, 1, 2)
CONVERGED = 0.1  # dB of validation PSNR; a round of training that gains less is the last


class Method(NamedTuple):
    """How a network is trained.

    Attributes:
        regularizer: `INVARIANCE` or `JACOBIAN`; None: the reconstruction loss alone.
        contrast: weight of the term that keeps the contrast, as in the losses.
        augmented: x and y are moved by T, without a counterpart.
        noise: counterparts differ by noise in place of T.
        pair_fraction: share of each batch that gets a counterpart, in (0, 1].
    """

    regularizer: str | None = None
    contrast: float = 0.0
    augmented: bool = False
    noise: bool = False
    pair_fraction: float = 1.0

    @property
    def passes(self) -> int:
        """Images through the network per sample: with a counterpart, two."""
        return 1 if self.regularizer is None else 2

    def loss(self, alpha: float) -> Any:
        """The loss as `keras.Model.compile` takes it."""
        from keras_temporal_reg.finetuning import training

        if self.regularizer is None:
            return "mse"
        return training.LOSSES[self.regularizer](alpha, contrast=self.contrast)


PLAIN, AUGMENTED = "reconstruction", "augmentation"
INVARIANCE, JACOBIAN = "transform-invariance", "sparse-jacobian"
CONTRAST = "-contrast"
METHODS = {
    PLAIN: Method(),
    AUGMENTED: Method(augmented=True),
    "noise-stability": Method(INVARIANCE, noise=True),
    INVARIANCE: Method(INVARIANCE),
    JACOBIAN: Method(JACOBIAN),
    INVARIANCE + CONTRAST: Method(INVARIANCE, contrast=0.1),
    JACOBIAN + CONTRAST: Method(JACOBIAN, contrast=0.1),
}
REGULARIZERS = (INVARIANCE, JACOBIAN)  # those of the paper
EXTENSIONS = (INVARIANCE + CONTRAST, JACOBIAN + CONTRAST)


@dataclasses.dataclass(frozen=True)
class ExperimentConfig:
    """How large an experiment is.

    Attributes:
        methods: names in `METHODS`; the first is the baseline.
        alphas: of those methods that have one.
        sizes: of the training data: stills per clip, or scenes.
        base_steps: of training without a regularizer, which the methods start from; 0: each
            method trains from scratch. With several rounds, of one round.
        rounds: of that training, at most; it ends when one gains less than `CONVERGED`.
        steps: of training by each method.
        rate: the learning rate of the methods, after its warm-up.
        channels: of the network's first level.
        frames: of each test clip, at most.
    """

    methods: tuple[str, ...] = tuple(METHODS)
    alphas: tuple[float, ...] = (0.5, 0.8, 0.9, 0.97)
    sizes: tuple[int, ...] = (16,)
    base_steps: int = 6000
    rounds: int = 1
    steps: int = 300
    rate: float = 1e-3
    channels: int = 16
    frames: int = 50


@dataclasses.dataclass(frozen=True)
class DemoConfig:
    """Options of the demo.

    Attributes:
        strength: of the blend, as in `FinetuneConfig`.
        members: fine-tunings to blend, likewise.
        contrast: weight of the term that keeps the contrast, as in the losses.
        steps: of training the network that is steadied. The default is until convergence: a network
            that still learns differs more from run to run than any regularizer changes it.
        tuning_steps: of each member.
        steady_steps: of steadying the network on a clip; 0 leaves that out.
        seed: the same seed gives the same numbers.

    Raises:
        ValueError: for an option out of its range.
    """

    strength: float | str = AUTO
    members: tuple[str, ...] = (MEMBERS[0], JACOBIAN)  # a third takes two minutes more
    contrast: float = FinetuneConfig.contrast
    steps: int = 6000
    tuning_steps: int = 2000
    steady_steps: int = 100
    seed: int = 0

    def __post_init__(self) -> None:
        strength_or_auto("strength", self.strength)
        check_members("members", self.members)
        validation.not_negative("contrast", self.contrast)
        validation.whole_number("steps", self.steps, 1)
        validation.whole_number("tuning_steps", self.tuning_steps, 1)
        validation.whole_number("steady_steps", self.steady_steps, 0)
        validation.whole_number("seed", self.seed, 0)


class Run(NamedTuple):
    """One training of an experiment, and the start of its row."""

    method: str
    alpha: float
    data: int
    seed: int

    def __str__(self) -> str:
        return f"seed {self.seed}: {self.method}" + (f" {self.alpha:g}" if self.alpha else "")


def runs(config: ExperimentConfig, seeds: Sequence[int]) -> list[Run]:
    """All runs of an experiment; those that start from the same network are neighbours."""
    found = []
    for size, seed in itertools.product(config.sizes, seeds):
        for name in config.methods:
            alphas = config.alphas if METHODS[name].regularizer else (0.0,)
            found += [Run(name, alpha, size, seed) for alpha in alphas]
    return found


_POSTER = (PLAIN, AUGMENTED, INVARIANCE, JACOBIAN)
_POSTER_AND_CONTRAST = (*_POSTER, JACOBIAN + CONTRAST)
_SMALL_DATA = ExperimentConfig(
    methods=_POSTER,
    sizes=(2, 4, 8, 16, 32),
    alphas=(0.8,),
    base_steps=0,
    steps=1200,
    rate=2e-3,
    channels=8,
)
FULL = {
    "colorization": ExperimentConfig(),
    "small-data": _SMALL_DATA,
    "hdr": ExperimentConfig(
        methods=_POSTER_AND_CONTRAST, sizes=(24,), base_steps=1200, channels=12, frames=40
    ),
    "finetune": ExperimentConfig(
        methods=(PLAIN, INVARIANCE, JACOBIAN, JACOBIAN + CONTRAST),
        alphas=(0.8, 0.9),
        base_steps=2000,
        rounds=3,
        steps=600,
        rate=3e-4,
    ),
    "super-resolution": ExperimentConfig(
        methods=_POSTER, alphas=(0.5, 0.9), base_steps=1500, rate=5e-4, frames=40
    ),
}
QUICK = {
    "colorization": dataclasses.replace(
        FULL["colorization"], alphas=(0.8, 0.97), base_steps=3000, steps=200, frames=25
    ),
    "small-data": dataclasses.replace(_SMALL_DATA, sizes=(2, 8, 32), steps=1000, frames=25),
    "hdr": dataclasses.replace(
        FULL["hdr"],
        alphas=(0.8, 0.9),
        sizes=(16,),
        base_steps=800,
        steps=250,
        channels=8,
        frames=24,
    ),
    "finetune": dataclasses.replace(
        FULL["finetune"], methods=_POSTER, alphas=(0.5, 0.8, 0.9), steps=200, frames=25
    ),
    "super-resolution": dataclasses.replace(
        FULL["super-resolution"], base_steps=1000, steps=200, frames=24
    ),
}

__getattr__ = deprecation.renamed_names(__name__, {"Plan": "ExperimentConfig"})
