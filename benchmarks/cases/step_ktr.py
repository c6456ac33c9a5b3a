"""This package's step."""

import functools

import keras_temporal_reg as ktr
from cases import common, steps


def build(loss="SparseJacobianLoss", pair_fraction=1.0, policy="float32"):
    """The model, not compiled, and its loss."""
    motion = ktr.RandomAffine(seed=0)
    model = ktr.RegularizedModel(steps.network(policy), motion, pair_fraction=pair_fraction)
    return model, getattr(ktr.losses, loss)(common.ALPHA)


def prepare(batch, size, jit_compile, **setting):
    return steps.prepare(*build(**setting), batch, size, jit_compile)


version = functools.partial(common.versions, "tensorflow", "keras")
