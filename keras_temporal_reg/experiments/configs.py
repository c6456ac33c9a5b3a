"""What an experiment compares, and how large it is. Importing this imports no TensorFlow."""

from __future__ import annotations

import dataclasses
import itertools
import types
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from keras_temporal_reg.core import deprecation, validation
from keras_temporal_reg.finetuning.config import (
    AUTO,
    DEFAULT_CONTRAST,
    MEMBER_ALPHA,
    MEMBERS,
    FinetuneConfig,
    check_members,
    strength_or_auto,
)

EXPERIMENTS = ("colorization", "small-data", "hdr", "finetune", "super-resolution", "denoising")
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
    INVARIANCE + CONTRAST: Method(INVARIANCE, contrast=DEFAULT_CONTRAST),
    JACOBIAN + CONTRAST: Method(JACOBIAN, contrast=DEFAULT_CONTRAST),
}
REGULARIZERS = (INVARIANCE, JACOBIAN)  # those of the paper


class Blend(NamedTuple):
    """An average of the weights of reconstruction only and of members.

    Attributes:
        parts: of the members, by their names in `METHODS`; their sum is 1.
        alpha: of the members' losses.
    """

    parts: Mapping[str, float]
    alpha: float = MEMBER_ALPHA


_BOTH = {INVARIANCE + CONTRAST: 0.5, JACOBIAN + CONTRAST: 0.5}
BLENDS = {
    "blend-transform-invariance": Blend({INVARIANCE + CONTRAST: 1.0}),
    "blend-sparse-jacobian": Blend({JACOBIAN + CONTRAST: 1.0}),
    "blend": Blend(_BOTH),
    "blend-1-to-3": Blend({INVARIANCE + CONTRAST: 0.25, JACOBIAN + CONTRAST: 0.75}),
    "blend-strong": Blend(_BOTH, alpha=0.97),
    "blend-strong-1-to-7": Blend({INVARIANCE + CONTRAST: 0.125, JACOBIAN + CONTRAST: 0.875}, 0.97),
    "blend-strong-sparse-jacobian": Blend({JACOBIAN + CONTRAST: 1.0}, alpha=0.97),
}


@dataclasses.dataclass(frozen=True)
class ExperimentConfig:
    """How large an experiment is.

    Attributes:
        methods: names in `METHODS`; the first is the baseline.
        alphas: of those methods that have one.
        blends: names in `BLENDS`.
        shares: of the regularized members in a blend.
        alternatives: whether filters of the baseline's results are compared with.
        sizes: of the training data: stills per clip, or scenes.
        base_steps: of training without a regularizer, which the methods start from; 0: each
            method trains from scratch. With several rounds, of one round.
        rounds: of that training, at most; it ends when one gains less than `CONVERGED`.
        steps: of training by each method.
        lengths: further numbers of steps, for the baseline and the blends.
        rate: the learning rate of the methods, after its warm-up.
        channels: of the network's first level.
        frames: of each shot of a test clip, at most.
        xla: compile with XLA on a CPU too: it halves the time of colorization, and doubles that
            of HDR.
    """

    methods: tuple[str, ...] = (PLAIN, AUGMENTED, INVARIANCE, JACOBIAN)
    alphas: tuple[float, ...] = (0.9, 0.97)
    blends: tuple[str, ...] = (
        "blend-transform-invariance",
        "blend-sparse-jacobian",
        "blend",
        "blend-1-to-3",
    )
    shares: tuple[float, ...] = (0.3, 0.5, 0.7, 0.85, 1.0)
    alternatives: bool = True
    sizes: tuple[int, ...] = (24,)
    base_steps: int = 6000
    rounds: int = 1
    steps: int = 2000
    lengths: tuple[int, ...] = ()
    rate: float = 1e-3
    channels: int = 16
    frames: int = 20
    xla: bool = False


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
    """A network or a filter to measure, and the start of its row.

    Attributes:
        method: a name in `METHODS` or `BLENDS`, or of an alternative.
        strength: alpha of the loss, the share of the regularized members of a blend, or the
            strength of a filter; 0 where there is none.
        steps: of training by the method; of a filter: of the network whose results it works on.
        data: stills per clip, or scenes.
        seed: of weights, crops and T.
    """

    method: str
    strength: float
    steps: int
    data: int
    seed: int

    def __str__(self) -> str:
        strength = f" {self.strength:g}" if self.strength else ""
        return f"seed {self.seed}: {self.method}{strength}, {self.steps} steps"


def runs(
    config: ExperimentConfig,
    seeds: Sequence[int],
    alternatives: Mapping[str, Sequence[float]] = types.MappingProxyType({}),
) -> list[Run]:
    """All runs of an experiment; those that start from the same network are neighbours.

    Args:
        config: how large it is.
        seeds: each of them has all runs.
        alternatives: strengths of the filters to compare with.
    """
    strengths: dict[str, Sequence[float]] = {
        name: config.alphas if METHODS[name].regularizer else (0.0,) for name in config.methods
    }
    blends = {name: config.shares for name in config.blends}
    of_length = {config.steps: {**strengths, **blends, **alternatives}}
    for steps in config.lengths:
        of_length[steps] = {PLAIN: (0.0,), **blends}
    return [
        Run(name, strength, steps, size, seed)
        for size, seed in itertools.product(config.sizes, seeds)
        for steps, methods in of_length.items()
        for name, of_method in methods.items()
        for strength in of_method
    ]


def trainings_of(run: Run) -> list[Run]:
    """The trainings that a run needs: those of the members of a blend, or its own."""
    plain = run._replace(method=PLAIN, strength=0.0)
    if run.method in BLENDS:
        parts, alpha = BLENDS[run.method]
        members = [run._replace(method=name, strength=alpha) for name in parts]
        return members if run.strength == 1.0 else [plain, *members]
    return [run] if run.method in METHODS else [plain]


_POSTER = (PLAIN, AUGMENTED, INVARIANCE, JACOBIAN)
_SMALL_DATA = ExperimentConfig(
    methods=_POSTER,
    sizes=(2, 4, 8, 16, 32),
    alphas=(0.8,),
    blends=(),
    alternatives=False,
    base_steps=0,
    steps=1200,
    rate=2e-3,
    channels=8,
    xla=True,
)
_EACH_KIND = (
    "blend-transform-invariance",
    "blend-sparse-jacobian",
    "blend",
    "blend-strong-sparse-jacobian",
)
_RESTORATION = ExperimentConfig(
    blends=_EACH_KIND,
    base_steps=2000,
    steps=600,
    rate=5e-4,
)
FULL = {
    "colorization": ExperimentConfig(
        methods=(PLAIN, AUGMENTED, "noise-stability", INVARIANCE, JACOBIAN),
        blends=tuple(BLENDS),
        base_steps=2000,
        rounds=6,
        rate=3e-4,
        xla=True,
    ),
    "small-data": _SMALL_DATA,
    "hdr": ExperimentConfig(
        alphas=(0.5, 0.9),
        blends=_EACH_KIND,
        steps=1000,
        rate=5e-4,
        channels=8,
    ),
    "finetune": ExperimentConfig(
        methods=(PLAIN, INVARIANCE, JACOBIAN),
        alphas=(0.8, 0.9),
        alternatives=False,
        base_steps=2000,
        rounds=6,
        steps=600,
        lengths=(2000,),
        rate=3e-4,
        xla=True,
    ),
    "super-resolution": dataclasses.replace(_RESTORATION, channels=32),
    "denoising": _RESTORATION,
}
_QUICK: dict[str, Any] = {
    "methods": _POSTER,
    "alphas": (0.9, 0.97),
    "blends": ("blend", "blend-sparse-jacobian"),
    "shares": (0.5, 0.7, 1.0),
    "alternatives": False,
    "lengths": (),
    "frames": 12,
}
QUICK = {
    "colorization": dataclasses.replace(
        FULL["colorization"],
        **_QUICK
        | {"blends": ("blend-sparse-jacobian", "blend-strong-sparse-jacobian"), "base_steps": 3000},
        rounds=1,
        steps=500,
    ),
    "small-data": dataclasses.replace(_SMALL_DATA, sizes=(2, 8, 32), steps=1000, frames=12),
    "hdr": dataclasses.replace(FULL["hdr"], **_QUICK, base_steps=800, steps=200),
    "finetune": dataclasses.replace(
        FULL["finetune"], **_QUICK, base_steps=1000, rounds=4, steps=400
    ),
    "super-resolution": dataclasses.replace(
        FULL["super-resolution"], **_QUICK, base_steps=1000, steps=250
    ),
    "denoising": dataclasses.replace(FULL["denoising"], **_QUICK, base_steps=1000, steps=250),
}

__getattr__ = deprecation.renamed_names(__name__, {"Plan": "ExperimentConfig"})
