"""How this package's own commands train: Adam, whose rate rises at first and falls at the end."""

from __future__ import annotations

from typing import Any

from tensorflow import keras

WARM_UP = 100  # steps, or a tenth of all where that is less


def compile_for(
    model: keras.Model, loss: Any, learning_rate: float, steps: int, xla: bool = False
) -> None:
    """Compile a model to be trained for so many steps.

    The rate rises from 0, since the first steps of Adam at the full one can leave a network of
    ReLU dead, and falls to a tenth by half a cosine.

    Args:
        model: any Keras model.
        loss: as in `keras.Model.compile`.
        learning_rate: the highest.
        steps: how many there will be.
        xla: compile with XLA where Keras by itself would not, on a machine with a CPU only.

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
