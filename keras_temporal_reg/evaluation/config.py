"""The settings of an evaluation.

The module imports no TensorFlow, so that the command line can check its options without it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING

from keras_temporal_reg.core import validation

if TYPE_CHECKING:
    from keras_temporal_reg.tasks import Task

FLOW_METHODS = ("dis", "farneback", "none")


@dataclasses.dataclass(frozen=True)
class EvaluationConfig:
    """How networks are run on clips and measured.

    Attributes:
        task: makes inputs, targets and baseline predictions.
        value_range: the values of the networks that stand for 0 and 1; of inputs and then of
            outputs where these differ. Where each network has its own: name to these.
        flow_method: optical flow of flicker, warping error and tOF; one of `FLOW_METHODS`.
        memory: megabytes for a network's layers; larger frames are cut into tiles. None: half
            of what is free.
        sigma: of the temporal Gaussian of the stability measures, in frames.
        find_cuts: find cuts in clips, and compare no frames across them.

    Raises:
        ValueError: if a setting is out of its range.
    """

    task: Task
    value_range: tuple[float, ...] | Mapping[str, tuple[float, ...]] = (0.0, 1.0)
    flow_method: str = "dis"
    memory: float | None = None
    sigma: float = 2.0
    find_cuts: bool = True

    def __post_init__(self) -> None:
        own = self.value_range
        for values in own.values() if isinstance(own, Mapping) else (own,):
            validation.value_range("value_range", values)
        validation.one_of("flow_method", self.flow_method, FLOW_METHODS)
        validation.positive("sigma", self.sigma)
        if self.memory is not None:
            validation.positive("memory", self.memory)

    def value_range_of(self, name: str) -> tuple[float, ...]:
        """The values of the network of this name."""
        if isinstance(self.value_range, Mapping):
            return self.value_range[name]
        return self.value_range
