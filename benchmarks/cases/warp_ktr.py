"""This package, inside and outside of XLA, with each backend."""

import functools

import keras_temporal_reg as ktr
from cases import common, warps


def prepare(backend="auto", **setting):
    ktr.image.set_backend(backend)
    warp = functools.partial(ktr.image.transform, interpolation="bilinear")
    return warps.prepare(warp, **setting)


version = functools.partial(common.versions, "tensorflow", "keras")
