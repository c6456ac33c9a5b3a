"""Adam with linear warm-up and cosine decay, as all commands train."""

from __future__ import annotations

from typing import Any

from tensorflow import keras

WARM_UP = 100  # steps; a tenth of the training if that is less


def compile_for(
    model: keras.Model, loss: Any, learning_rate: float, steps: int, xla: bool = False
) -> None:
    """Compile a model with Adam, linear warm-up and cosine decay to a tenth.

    The warm-up is needed: the first steps of Adam at the full rate can leave the ReLUs of a network
    dead.

    Args:
        model: any Keras model.
        loss: as in `keras.Model.compile`.
        learning_rate: after the warm-up.
        steps: of the training.
        xla: compile with XLA where Keras by itself would not, on a machine without a GPU.

    Example:
        >>> from tensorflow import keras
        >>> model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Conv2D(1, 3)])
        >>> compile_for(model, "mse", learning_rate=1e-3, steps=1000)
        >>> round(float(model.optimizer.learning_rate), 6)
        0.0
    """
    warm_up = min(WARM_UP, max(steps // 10, 1))
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0,
        max(steps - warm_up, 1),
        alpha=0.1,
        warmup_target=learning_rate,
        warmup_steps=warm_up,
    )
    # TensorFlow 2.15, with Keras 2, has no XLA kernel for the gradient of UpSampling2D.
    compiles = hasattr(keras, "ops")
    model.compile(
        keras.optimizers.Adam(schedule),
        loss,
        jit_compile=(xla or "auto") if compiles else False,
    )
