"""What experiments hold against each other, and how large they are."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

from keras_temporal_reg.losses import _regularized as losses

EXPERIMENTS = ("colorization", "small-data", "hdr", "finetune", "super-resolution")
CONVERGED = 0.1  # dB of validation PSNR: a round that gains less is the last


class Method(NamedTuple):
    """How a network is trained, beside L_vis.

    Attributes:
        loss: makes the loss of an alpha; None: L_vis alone.
        augmented: x and y are moved by T, without a counterpart.
        noise: counterparts differ by noise in place of T.
    """

    loss: Callable[[float], Any] | None = None
    augmented: bool = False
    noise: bool = False


PLAIN, AUGMENTED = "reconstruction", "augmentation"
INVARIANCE, JACOBIAN = "transform-invariance", "sparse-jacobian"
NORMALIZED, CONTRAST = "-normalized", "-contrast"
METHODS = {
    PLAIN: Method(),
    AUGMENTED: Method(augmented=True),
    "noise-stability": Method(losses.TransformInvarianceLoss, noise=True),
    INVARIANCE: Method(losses.TransformInvarianceLoss),
    JACOBIAN: Method(losses.SparseJacobianLoss),
    INVARIANCE + NORMALIZED: Method(
        functools.partial(losses.TransformInvarianceLoss, normalize=True)
    ),
    JACOBIAN + NORMALIZED: Method(functools.partial(losses.SparseJacobianLoss, normalize=True)),
    INVARIANCE + CONTRAST: Method(functools.partial(losses.TransformInvarianceLoss, contrast=0.1)),
    JACOBIAN + CONTRAST: Method(functools.partial(losses.SparseJacobianLoss, contrast=0.1)),
}
REGULARIZERS = (INVARIANCE, JACOBIAN, INVARIANCE + NORMALIZED, JACOBIAN + NORMALIZED)
BEYOND = (
    INVARIANCE + NORMALIZED,
    JACOBIAN + NORMALIZED,
    INVARIANCE + CONTRAST,
    JACOBIAN + CONTRAST,
)


@dataclasses.dataclass(frozen=True)
class Plan:
    """How large an experiment is.

    Attributes:
        methods: names in `METHODS`; the first is what others are held against.
        alphas: of those methods that have one.
        sizes: of the training data: stills a clip, or scenes.
        base_steps: of training without a regularizer; 0: each method trains from scratch. In
            `finetune` of one round, of which there are as many as it takes to converge.
        rounds: at most.
        steps: of each method.
        rate: the learning rate at which methods begin.
        channels: of the network's first level.
        frames: of each clip that is measured, at most.
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


_POSTER = (PLAIN, AUGMENTED, INVARIANCE, JACOBIAN)
_AND_CONTRAST = (*_POSTER, JACOBIAN + CONTRAST)
FULL = {
    "colorization": Plan(),
    "small-data": Plan(
        methods=_POSTER,
        sizes=(2, 4, 8, 16, 32),
        alphas=(0.8,),
        base_steps=0,
        steps=1200,
        rate=2e-3,
        channels=8,
    ),
    "hdr": Plan(
        methods=_AND_CONTRAST, sizes=(24,), base_steps=1200, steps=300, channels=12, frames=40
    ),
    "finetune": Plan(
        methods=(PLAIN, INVARIANCE, JACOBIAN, JACOBIAN + CONTRAST),
        alphas=(0.8, 0.9),
        base_steps=2000,
        rounds=3,
        steps=600,
        rate=3e-4,
    ),
    "super-resolution": Plan(
        methods=_POSTER, alphas=(0.5, 0.9), base_steps=1500, rate=5e-4, frames=40
    ),
}
QUICK = {
    "colorization": Plan(alphas=(0.8, 0.97), base_steps=3000, steps=200, frames=25),
    "small-data": Plan(
        methods=_POSTER,
        sizes=(2, 8, 32),
        alphas=(0.8,),
        base_steps=0,
        steps=1000,
        rate=2e-3,
        channels=8,
        frames=25,
    ),
    "hdr": Plan(
        methods=_AND_CONTRAST,
        alphas=(0.8, 0.9),
        sizes=(16,),
        base_steps=800,
        steps=250,
        channels=8,
        frames=24,
    ),
    "finetune": Plan(
        methods=_POSTER,
        alphas=(0.5, 0.8, 0.9),
        base_steps=2000,
        rounds=3,
        steps=200,
        rate=3e-4,
        frames=25,
    ),
    "super-resolution": Plan(
        methods=_POSTER,
        alphas=(0.5, 0.9),
        base_steps=1000,
        steps=200,
        rate=5e-4,
        frames=24,
    ),
}
