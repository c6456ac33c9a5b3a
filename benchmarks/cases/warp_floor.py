"""Images read, multiplied and written, which no warp can be faster than."""

import functools

from cases import common, warps


def prepare(**setting):
    return warps.prepare(lambda images, motions: 1.5 * images, **setting)


version = functools.partial(common.versions, "tensorflow")
