"""The same network and method in PyTorch, with kornia's random affines."""

import functools

import kornia
import torch
from torch import nn

from cases import common
from cases.torch_devices import DEVICE, finishing


class UNet(nn.Module):
    """`networks.colorization_unet`, layer by layer, NCHW."""

    def __init__(self, channels=16, levels=3):
        super().__init__()
        widths = [channels * 2**level for level in range(levels + 1)]
        self.first = nn.Conv2d(1, channels, 5, stride=2, padding=2)
        inputs = [channels, *widths[: levels - 1]]
        self.down = nn.ModuleList(
            nn.Conv2d(a, b, 3, padding=1) for a, b in zip(inputs, widths[:levels])
        )
        self.middle = nn.Conv2d(widths[levels - 1], widths[levels], 3, padding=1)
        self.up = nn.ModuleList(
            nn.Conv2d(widths[level + 1] + widths[level], widths[level], 3, padding=1)
            for level in reversed(range(levels))
        )
        self.last = nn.ConvTranspose2d(channels, 2, 4, stride=2, padding=1)

    def forward(self, x):
        h, skips = torch.relu(self.first(x)), []
        for layer in self.down:
            h = torch.relu(layer(h))
            skips.append(h)
            h = nn.functional.max_pool2d(h, 2)
        h = torch.relu(self.middle(h))
        for layer, skip in zip(self.up, reversed(skips)):
            h = torch.cat([nn.functional.interpolate(h, scale_factor=2), skip], dim=1)
            h = torch.relu(layer(h))
        return self.last(h)


def prepare(batch, size, jit_compile):
    if jit_compile:
        raise NotImplementedError("has no XLA on CPUs")
    torch.set_num_threads(2)
    torch.manual_seed(0)
    network = UNet().to(DEVICE)
    optimizer = torch.optim.Adam(network.parameters(), common.LEARNING_RATE)
    x = torch.from_numpy(common.pictures(batch, size, size, 1)).permute(0, 3, 1, 2).contiguous()
    y = torch.from_numpy(common.pictures(batch, size, size, 2, seed=1)).permute(0, 3, 1, 2)
    x, y = x.to(DEVICE), y.to(DEVICE)
    sample = torch.cat([x, y], dim=1)
    motion = kornia.augmentation.RandomAffine(
        degrees=1.0,
        translate=(2.0 / size, 2.0 / size),
        scale=(0.97, 1.03),
        shear=(-1.0, 1.0, -1.0, 1.0),
        padding_mode="reflection",
        p=1.0,
    )

    def step():
        moved = motion(sample)
        outputs = network(torch.cat([x, moved[:, :1]]))
        output, moved_output = outputs[:batch], outputs[batch:]
        vis = torch.mean((output - y) ** 2)
        reg = torch.mean(((moved_output - output) - (moved[:, 1:] - y)) ** 2)
        optimizer.zero_grad()
        ((1.0 - common.ALPHA) * vis + common.ALPHA * reg).backward()
        optimizer.step()

    return finishing(step)


version = functools.partial(common.versions, "torch", "kornia")
