"""Image-to-image tasks."""

from keras_temporal_reg.tasks._task import (
    Task,
    colorization,
    denoising,
    find,
    hdr,
    restoration,
    super_resolution,
    super_resolution_3,
    super_resolution_4,
    with_values,
)

__all__ = [
    "Task",
    "colorization",
    "denoising",
    "find",
    "hdr",
    "restoration",
    "super_resolution",
    "super_resolution_3",
    "super_resolution_4",
    "with_values",
]
