"""What the training steps in Keras share: the demo's network and data, and one step as a call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf
from tensorflow import keras

from cases import common, devices
from keras_temporal_reg.experiments import networks


def network(policy: str = "float32") -> keras.Model:
    """The demo's network; `policy` is also that of the model around it."""
    keras.mixed_precision.set_global_policy(policy)
    keras.utils.set_random_seed(0)
    return networks.colorization_unet()


def compile_model(model: keras.Model, loss: Any, jit_compile: bool) -> None:
    model.compile(keras.optimizers.Adam(common.LEARNING_RATE), loss, jit_compile=jit_compile)


def prepare(
    model: keras.Model, loss: Any, rows: int, size: int, jit_compile: bool, has_targets: bool = True
) -> Callable[[], Any]:
    """One step of `model` on `rows` samples, with targets or, for a teacher, without."""
    compile_model(model, loss, jit_compile)
    x = tf.constant(common.pictures(rows, size, size, 1))
    y = tf.constant(common.pictures(rows, size, size, 2, seed=1))
    batch = (x, y) if has_targets else (x,)
    batches = iter(tf.data.Dataset.from_tensors(batch).repeat())
    # The function that `fit` calls for each step, without what `fit` does around it.
    model.train_on_batch(*batch)
    step = model.make_train_function() or model.train_function
    return lambda: devices.finish(step(batches))
