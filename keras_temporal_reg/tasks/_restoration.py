"""Restoration: RGB to RGB."""

from __future__ import annotations

import numpy as np

from keras_temporal_reg.tasks._encoding import as_float32, to_display
from keras_temporal_reg.tasks._task import Pair, Task


def _encode(rgb: np.ndarray) -> Pair:
    image = as_float32(rgb)
    return image, image


restoration = Task(
    "restoration",
    _encode,
    to_display,
    baseline=lambda x: x,
    baseline_name="the input itself",
)
"""RGB to RGB, both in [0, 1]: for networks that enhance images. It has no degradation of its own,
so training needs pairs of images."""
