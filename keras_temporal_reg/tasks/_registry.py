"""Tasks by name."""

from __future__ import annotations

import importlib

from keras_temporal_reg.tasks._colorization import colorization
from keras_temporal_reg.tasks._denoising import denoising
from keras_temporal_reg.tasks._enhancement import deblurring, low_light, sensor_denoising
from keras_temporal_reg.tasks._hdr import hdr
from keras_temporal_reg.tasks._restoration import restoration
from keras_temporal_reg.tasks._super_resolution import (
    super_resolution,
    super_resolution_3,
    super_resolution_4,
)
from keras_temporal_reg.tasks._task import Task

TASKS = {
    task.name: task
    for task in (
        colorization,
        deblurring,
        denoising,
        hdr,
        low_light,
        restoration,
        sensor_denoising,
        super_resolution,
        super_resolution_3,
        super_resolution_4,
    )
}


def find(name: str | Task) -> Task:
    """Return a task of this package by its name, or any task by its dotted path.

    Args:
        name: such as ``"super-resolution"`` or ``"my_module.my_task"``; a task is returned as it
            is.

    Raises:
        ValueError: if there is no such task, or if the object there is no `Task`.

    Example:
        >>> import keras_temporal_reg as ktr
        >>> ktr.tasks.find("super-resolution").scale
        2
    """
    if not isinstance(name, str):
        return name
    if name in TASKS:
        return TASKS[name]
    accepted = f"one of {', '.join(sorted(TASKS))}, or a dotted path such as my_module.my_task"
    module, _, attribute = name.rpartition(".")
    if not module:
        raise ValueError(f"task must be {accepted}. Received: {name!r}")
    try:
        task = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"task must be {accepted}. Received: {name!r} ({error})") from error
    if not isinstance(task, Task):
        raise ValueError(f"task {name} must be a keras_temporal_reg.tasks.Task. Received: {task!r}")
    return task
