"""TensorFlow Addons, in the environment where it can be imported."""

import functools

import tensorflow_addons as tfa

from cases import common, warps

warp = functools.partial(tfa.image.transform, interpolation="bilinear")
prepare = functools.partial(warps.prepare, warp)


def version():
    return {"tensorflow-addons": common.versions("tensorflow-addons")["tensorflow-addons"]}
