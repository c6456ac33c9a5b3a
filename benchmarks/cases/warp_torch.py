"""PyTorch: affine_grid and grid_sample, NCHW."""

import functools

import numpy as np
import torch
from torch.nn import functional

from cases import common
from cases.torch_devices import DEVICE, finishing


def build(batch, size, gradient):
    """The warp as a call that may return before its result is there."""
    torch.set_num_threads(2)
    images = torch.from_numpy(common.pictures(batch, size, size, 3)).permute(0, 3, 1, 2)
    images = images.contiguous().to(DEVICE).requires_grad_(gradient)
    upstream = torch.from_numpy(common.pictures(batch, 3, size, size, seed=1)).to(DEVICE)
    # PyTorch counts from -1 to 1, and with align_corners those are the centres of the edge.
    to_unit = np.array([[2.0 / (size - 1), 0, -1], [0, 2.0 / (size - 1), -1], [0, 0, 1]])
    matrices = np.concatenate([common.motions(batch, size), np.ones((batch, 1))], axis=1)
    matrices = to_unit @ matrices.reshape(-1, 3, 3) @ np.linalg.inv(to_unit)
    theta = torch.from_numpy(matrices[:, :2].astype(np.float32)).to(DEVICE)

    def call():
        grid = functional.affine_grid(theta, images.shape, align_corners=True)
        warped = functional.grid_sample(images, grid, align_corners=True)
        if gradient:
            torch.autograd.grad(warped, images, upstream)
        return warped

    return call


def prepare(batch, size, gradient):
    return finishing(build(batch, size, gradient))


version = functools.partial(common.versions, "torch")
