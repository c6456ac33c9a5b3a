"""How many training steps fit into the time that is given."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from typing import Any

from keras_temporal_reg.steadying.config import LEAST_STEPS, MOST_STEPS

_TIMED_STEPS = 10
STEPS = _TIMED_STEPS + 2  # that `measure` trains


@dataclasses.dataclass(frozen=True)
class Pace:
    """How long the parts of a run take.

    Attributes:
        first_step: seconds until a training has done its first step: tracing and compiling.
        step: seconds of each further step.
        rest: seconds of all but the trainings: the choice of the strength, the report, the clip.
        trainings: their number.
        steps: of each training.
    """

    first_step: float
    step: float
    rest: float
    trainings: int
    steps: int

    @property
    def seconds(self) -> float:
        """Of the whole run, about."""
        return self.trainings * (self.first_step + self.steps * self.step) + self.rest

    def describe(self) -> str:
        """A sentence for the user."""
        trainings = "1 training" if self.trainings == 1 else f"{self.trainings} trainings"
        return (
            f"{trainings} of {self.steps} steps, {1.0 / self.step:.1f} steps per second: about "
            f"{self.seconds / 60.0:.1f} minutes in all."
        )


def measure(network: Any, batches: Iterator[Any]) -> tuple[float, float]:
    """Seconds of the first step of a compiled network, and of each further one.

    It trains `STEPS` steps. The network's weights change.
    """
    started = time.monotonic()
    network.train_on_batch(*next(batches))
    first = time.monotonic() - started
    network.train_on_batch(*next(batches))
    started = time.monotonic()
    for _ in range(_TIMED_STEPS):
        network.train_on_batch(*next(batches))
    return first, (time.monotonic() - started) / _TIMED_STEPS


def steps_within(seconds: float, first_step: float, step: float, trainings: int) -> int:
    """How many steps of each training fit, within limits."""
    each = seconds / trainings - first_step
    return int(min(max(each / step, LEAST_STEPS), MOST_STEPS))
