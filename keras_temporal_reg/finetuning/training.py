"""Training, shared by the demo, the experiments and fine-tuning."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow import keras

from keras_temporal_reg.finetuning.checkpoints import Checkpoint, RunFolder
from keras_temporal_reg.losses import SparseJacobianLoss, TransformInvarianceLoss

LOSSES = {
    "sparse-jacobian": SparseJacobianLoss,
    "transform-invariance": TransformInvarianceLoss,
}

Advance = Callable[..., Any]


@dataclasses.dataclass
class History:
    """What a run has done so far.

    Attributes:
        steps: number of steps.
        loss: mean over each part of the run.
        val_loss: after each part; empty without validation.
        seconds: over all lives of the run.
    """

    steps: int = 0
    loss: list[float] = dataclasses.field(default_factory=list)
    val_loss: list[float] = dataclasses.field(default_factory=list)
    seconds: float = 0.0


def train(
    network: keras.Model,
    batches: Callable[[int, int], tf.data.Dataset],
    steps: int,
    *,
    parts: int = 1,
    validation: tf.data.Dataset | None = None,
    patience: int | None = None,
    run: RunFolder | None = None,
    advance: Advance | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> History:
    """Train a compiled network part by part.

    Args:
        network: any compiled Keras model; see `schedule.compile_for`.
        batches: the batches from a first step to before a last one; for the whole run where
            there is one part.
        steps: of the whole run.
        parts: after each, the network is validated and the run is saved.
        validation: batches to validate on.
        patience: stop after so many parts without a lower validation loss, and take the weights
            of the best part.
        run: where the run is saved, and continued from.
        advance: called as ``advance(steps, note)``.
        callbacks: of `keras.Model.fit`; a part is an epoch.

    Returns:
        What the run did, before an interruption too.
    """
    # By hand, not by BackupAndRestore and EarlyStopping: neither keeps the patience, the best
    # weights and the settings across processes, and a part need not have as many steps as others.
    base = getattr(network, "base_model", network)
    history = History()
    best: list[np.ndarray] = []
    if run is not None:
        network.optimizer.build(base.trainable_variables)
        history, best = _resume(run, network)
    if advance is not None:
        advance(history.steps, "")
        callbacks = [*callbacks, _progress_callback(advance)]
    for part in range(parts):
        start, stop = first_step(part, steps, parts), first_step(part + 1, steps, parts)
        if stop <= max(start, history.steps):
            continue
        if patience is not None and _parts_since_best(history.val_loss) >= patience:
            break
        started = time.monotonic()
        logs = network.fit(
            batches(start, stop),
            initial_epoch=part,
            epochs=part + 1,
            steps_per_epoch=stop - start,
            validation_data=validation,
            callbacks=[*callbacks],
            shuffle=False,
            verbose=0,
        ).history
        history.steps = stop
        history.loss.append(float(logs["loss"][-1]))
        if validation is not None:
            history.val_loss.append(float(logs["val_loss"][-1]))
        history.seconds += time.monotonic() - started
        if patience is not None and _parts_since_best(history.val_loss) == 0:
            best = [variable.numpy() for variable in base.variables]
        if run is not None:
            values = [variable.numpy() for variable in _variables(network)]
            run.write(Checkpoint(dataclasses.asdict(history), values, best))
    for variable, value in zip(base.variables, best):
        variable.assign(value)
    return history


def first_step(part: int, steps: int, parts: int) -> int:
    """The step that a part of a run begins with."""
    return steps * part // parts


def _resume(run: RunFolder, network: keras.Model) -> tuple[History, list[np.ndarray]]:
    checkpoint = run.read()
    if checkpoint is None:
        return History(), []
    for variable, value in zip(_variables(network), checkpoint.values):
        variable.assign(value)
    return History(**checkpoint.history), [*checkpoint.best]


def _variables(network: keras.Model) -> list[Any]:
    base = getattr(network, "base_model", network)
    return [*base.variables, *network.optimizer.variables]


def _progress_callback(advance: Advance) -> keras.callbacks.Callback:
    return keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: advance(1, f"loss {logs['loss']:.5f}")
    )


def _parts_since_best(val_loss: Sequence[float]) -> int:
    return len(val_loss) - 1 - int(np.argmin(val_loss)) if val_loss else 0
