"""Image-to-image tasks: how RGB images become inputs and targets, and predictions become images.

The commands take a task by its name, or your own by its dotted path: ``--task my_module.my_task``.
"""

from keras_temporal_reg.core import deprecation as _deprecation
from keras_temporal_reg.tasks._colorization import colorization
from keras_temporal_reg.tasks._denoising import denoising
from keras_temporal_reg.tasks._enhancement import deblurring, low_light, sensor_denoising
from keras_temporal_reg.tasks._hdr import hdr
from keras_temporal_reg.tasks._registry import find
from keras_temporal_reg.tasks._restoration import restoration
from keras_temporal_reg.tasks._super_resolution import (
    super_resolution,
    super_resolution_3,
    super_resolution_4,
)
from keras_temporal_reg.tasks._task import Task, with_value_range

__all__ = [
    "Task",
    "colorization",
    "deblurring",
    "denoising",
    "find",
    "hdr",
    "low_light",
    "restoration",
    "sensor_denoising",
    "super_resolution",
    "super_resolution_3",
    "super_resolution_4",
    "with_value_range",
]

__getattr__ = _deprecation.renamed_names(__name__, {"with_values": "with_value_range"})
