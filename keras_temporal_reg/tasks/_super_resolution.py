"""Super-resolution by integer factors."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from keras_temporal_reg.tasks._encoding import as_float32, from_target, to_display
from keras_temporal_reg.tasks._task import Pair, Task


def _super_resolution(scale: int) -> Task:
    def average(y: tf.Tensor) -> tf.Tensor:
        return tf.nn.avg_pool2d(y, scale, scale, "VALID")

    def encode(rgb: np.ndarray) -> Pair:
        height, width = (side // scale * scale for side in rgb.shape[-3:-1])
        return from_target(average, rgb[..., :height, :width, :])

    def repeat_pixels(x: np.ndarray) -> np.ndarray:
        return np.repeat(np.repeat(x, scale, axis=-3), scale, axis=-2)

    return Task(
        "super-resolution" + ("" if scale == 2 else f"-{scale}"),
        encode,
        to_display,
        baseline=repeat_pixels,
        baseline_name="repeated pixels",
        encode_input=as_float32,
        make_input=average,
        scale=scale,
    )


super_resolution = _super_resolution(2)
"""RGB to RGB of twice the height and width, both in [0, 1]; x is made by averaging 2 x 2 pixels."""
super_resolution_3 = _super_resolution(3)
"""RGB to RGB of three times the height and width."""
super_resolution_4 = _super_resolution(4)
"""RGB to RGB of four times the height and width."""
