"""OpenCV, one image after the other. It rounds positions to 1/32 pixel; no gradient."""

import functools

import cv2
import numpy as np

from cases import common


def prepare(batch, size, gradient):
    if gradient:
        raise NotImplementedError("has no gradient")
    cv2.setNumThreads(2)
    images = common.pictures(batch, size, size, 3)
    matrices = common.motions(batch, size)[:, :6].reshape(-1, 2, 3).astype(np.float64)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP

    def call():
        return [cv2.warpAffine(i, m, (size, size), flags=flags) for i, m in zip(images, matrices)]

    return call


version = functools.partial(common.versions, "opencv-python-headless")
