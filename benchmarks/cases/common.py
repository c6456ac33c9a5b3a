"""What the cases share: the same pictures and the same motions in every environment."""

from __future__ import annotations

import importlib.metadata

import numpy as np

ALPHA = 0.8  # of the regularized steps
LEARNING_RATE = 1e-3


def pictures(*shape: int, seed: int = 0) -> np.ndarray:
    """Uniform noise in [0, 1], NHWC float32."""
    return np.random.default_rng(seed).random(shape, np.float32)


def motions(batch: int, size: int, seed: int = 0) -> np.ndarray:
    """Small random affine motions about the centre, ``(batch, 8)``, output to input point."""
    draw = np.random.default_rng(seed).uniform(-1.0, 1.0, (5, batch))
    angle, zoom, shear = np.deg2rad(draw[0]), 1.0 + 0.03 * draw[1], np.tan(np.deg2rad(draw[2]))
    a0, a1 = zoom * np.cos(angle), zoom * (shear * np.cos(angle) - np.sin(angle))
    b0, b1 = zoom * np.sin(angle), zoom * (shear * np.sin(angle) + np.cos(angle))
    centre = (size - 1) / 2.0
    a2 = centre * (1.0 - a0 - a1) + 2.0 * draw[3]
    b2 = centre * (1.0 - b0 - b1) + 2.0 * draw[4]
    zero = np.zeros(batch)
    return np.stack([a0, a1, a2, b0, b1, b2, zero, zero], axis=1).astype(np.float32)


def difference(result: np.ndarray, expected: np.ndarray) -> float:
    """The largest difference, in units of the largest value."""
    result, expected = (np.asarray(array, np.float64) for array in (result, expected))
    return float(np.abs(result - expected).max() / np.abs(expected).max())


def versions(*packages: str) -> dict[str, str]:
    return {name: importlib.metadata.version(name) for name in packages}
