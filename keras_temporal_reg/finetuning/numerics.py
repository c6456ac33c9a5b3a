"""NaN and infinity in training: an error that names the step and its images."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow import keras


class NonFiniteLoss(ValueError):
    """The loss of a part of the run is NaN or infinite."""


def at_step(quantity: str, step: int, names: Sequence[str]) -> ValueError:
    """Make the error for a quantity of one step.

    Args:
        quantity: ``"x"``, ``"y"``, ``"loss"`` or ``"gradient"``.
        step: counted from 0.
        names: of the images that it comes from.
    """
    return ValueError(
        f"the {quantity} of step {step} is NaN or infinite, so it was not trained on, and no model "
        f"was written. Its images: {', '.join(dict.fromkeys(names))}"
    )


class CheckedBatches:
    """Batches that stop before one that holds NaN or infinity.

    TensorFlow reports an exception in a data set as one of its own; the original is in `error`.

    Args:
        batches: from a first step and the one after the last to their batches ``(x, y)``.
        names_of_step: the names of the images of a step, one per row.
    """

    def __init__(
        self,
        batches: Callable[[int, int], tf.data.Dataset],
        names_of_step: Callable[[int], Sequence[str]],
    ) -> None:
        self.error: ValueError | None = None
        self._batches = batches
        self._names_of_step = names_of_step

    def __call__(self, start: int, stop: int) -> tf.data.Dataset:
        return self._batches(start, stop).enumerate(start).map(self._check)

    def _check(self, step: tf.Tensor, batch: tuple[tf.Tensor, tf.Tensor]) -> Any:
        bad = [
            tf.reduce_any(~tf.math.is_finite(t), axis=list(range(1, t.shape.rank))) for t in batch
        ]
        passed = tf.numpy_function(self._raise_if, [step, *bad], tf.bool)
        with tf.control_dependencies([passed]):
            return tf.nest.map_structure(tf.identity, batch)

    def _raise_if(self, step: int, *bad: np.ndarray) -> np.bool_:
        for quantity, rows in zip(("x", "y"), bad):
            if rows.any():
                names = np.array(self._names_of_step(int(step)))[rows]
                self.error = self.error or at_step(quantity, int(step), names.tolist())
                raise self.error
        return np.True_


class StopAtNonFiniteLoss(keras.callbacks.Callback):
    """Raise `NonFiniteLoss` after a part of the run whose losses are not finite.

    Args:
        learning_rate: for the message.
    """

    def __init__(self, learning_rate: float) -> None:
        super().__init__()
        self._learning_rate = learning_rate

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        if not all(math.isfinite(value) for value in (logs or {}).values()):
            raise NonFiniteLoss(
                f"the loss is NaN or infinite after {int(self.model.optimizer.iterations)} steps, "
                "so no model was written; try a lower learning_rate. "
                f"Received: {self._learning_rate}"
            )
