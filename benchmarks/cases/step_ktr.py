"""This package's step."""

import functools

import keras_temporal_reg as ktr
from cases import common, steps


def prepare(
    batch, size, jit_compile, loss="SparseJacobianLoss", pair_fraction=1.0, policy="float32"
):
    motion = ktr.RandomAffine(seed=0)
    model = ktr.RegularizedModel(steps.network(policy), motion, pair_fraction=pair_fraction)
    loss = getattr(ktr.losses, loss)(common.ALPHA)
    return steps.prepare(model, loss, batch, size, jit_compile)


version = functools.partial(common.versions, "tensorflow", "keras")
