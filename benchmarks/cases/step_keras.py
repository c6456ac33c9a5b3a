"""Keras by itself: mean squared error on `rows` times the batch."""

import functools

from cases import common, steps


def prepare(batch, size, jit_compile, rows=1, policy="float32"):
    return steps.prepare(steps.network(policy), "mse", rows * batch, size, jit_compile)


version = functools.partial(common.versions, "tensorflow", "keras")
