"""kornia on PyTorch, NCHW. It takes the motion from input to output point."""

import functools

import kornia
import numpy as np
import torch

from cases import common
from cases.torch_devices import DEVICE, finishing


def prepare(batch, size, gradient):
    torch.set_num_threads(2)
    images = torch.from_numpy(common.pictures(batch, size, size, 3)).permute(0, 3, 1, 2)
    images = images.contiguous().to(DEVICE).requires_grad_(gradient)
    upstream = torch.from_numpy(common.pictures(batch, 3, size, size, seed=1)).to(DEVICE)
    matrices = np.concatenate([common.motions(batch, size), np.ones((batch, 1))], axis=1)
    inverse = np.linalg.inv(matrices.reshape(-1, 3, 3))[:, :2]
    matrix = torch.from_numpy(inverse.astype(np.float32)).to(DEVICE)

    def call():
        warped = kornia.geometry.warp_affine(images, matrix, (size, size))
        if gradient:
            torch.autograd.grad(warped, images, upstream)
        return warped

    return finishing(call)


version = functools.partial(common.versions, "kornia")
