"""Keras callbacks: log temporal stability, and stop at NaN and infinity."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow import keras

from keras_temporal_reg import metrics
from keras_temporal_reg.core import base_model, outputs, validation


class TemporalStability(keras.callbacks.Callback):
    """Logs the stability measures of a clip at the end of epochs.

    The keys are ``stability_`` and those of `metrics.stability`, for instance
    ``stability_temporal_error``, and ``stability_flicker`` where the motion is known. The history
    has them, and so do callbacks that come later in the list, such as EarlyStopping with
    ``monitor="stability_flicker", mode="min"``.

    The motion of a real clip is estimated by
    ``motion, mask = keras_temporal_reg.evaluation.optical_flow.of_clip(frames)`` of its reference
    as RGB frames, which needs the extra ``video``. That of a virtual camera is known
    (`evaluation.camera.motion`). For a static camera and scene it is
    ``np.zeros((frames - 1, height, width, 2))``.

    Args:
        clip: inputs of the model, consecutive frames ``(frames, height, width, channels)``, at
            least 2.
        reference: what the model should return for them, ``(frames, height, width, channels)``.
            None: the clip itself, for models that restore their input.
        every: number of epochs between measurements.
        batch_size: number of frames per prediction.
        sigma: of the temporal Gaussian, in frames.
        motion: of the reference, as in `metrics.flicker`: flow
            ``(frames - 1, height, width, 2)`` in pixels of the reference, or transforms
            ``(frames - 1, 8)``. None: flicker is not measured.
        mask: where the motion can be trusted, ``(frames - 1, height, width)``. None: everywhere.
        cuts: indices of the frames that start a new shot, as from `io.video.find_cuts`.

    Raises:
        ValueError: if the clip has fewer than 2 frames, or another argument does not fit it.

    Example:
        >>> import numpy as np, keras_temporal_reg as ktr
        >>> clip = np.zeros((4, 16, 16, 3), "float32")
        >>> static = np.zeros((3, 16, 16, 2), "float32")
        >>> callback = ktr.callbacks.TemporalStability(clip, every=2, motion=static)
    """

    def __init__(
        self,
        clip: Any,
        reference: Any = None,
        every: int = 1,
        batch_size: int = 8,
        sigma: float = 2.0,
        motion: Any = None,
        mask: Any = None,
        cuts: Sequence[int] = (),
    ) -> None:
        super().__init__()
        self.clip = np.asarray(clip)
        self.reference = self.clip if reference is None else np.asarray(reference)
        self.every = validation.whole_number("every", every, 1)
        self.batch_size = validation.whole_number("batch_size", batch_size, 1)
        self.sigma = validation.positive("sigma", sigma)
        self.motion, self.mask, self.cuts = motion, mask, tuple(cuts)
        for name, frames in (("clip", self.clip), ("reference", self.reference)):
            if frames.ndim != 4 or len(frames) < 2:
                raise ValueError(
                    f"{name} must have shape (frames, height, width, channels) with at least 2 "
                    f"frames. Received: {frames.shape}"
                )
        if len(self.clip) != len(self.reference):
            raise ValueError(
                f"reference must have the {len(self.clip)} frames of clip. "
                f"Received: {len(self.reference)}"
            )
        self._check_motion()

    def _check_motion(self) -> None:
        frames, height, width, _ = self.reference.shape
        flow, transforms = (frames - 1, height, width, 2), (frames - 1, 8)
        if self.motion is not None and np.shape(self.motion) not in (flow, transforms):
            raise ValueError(
                f"motion must have shape {flow} or {transforms}, to lead from each frame of the "
                f"reference to the next. Received: {np.shape(self.motion)}"
            )
        if self.mask is not None and self.motion is None:
            raise ValueError("mask must come with motion. Received: a mask only")
        if self.mask is not None and np.shape(self.mask) != flow[:3]:
            raise ValueError(
                f"mask must have shape {flow[:3]}, one value per pixel of the motion. "
                f"Received: {np.shape(self.mask)}"
            )
        indices = range(1, frames)
        wrong = [cut for cut in self.cuts if cut not in indices]
        if wrong:
            raise ValueError(
                f"cuts must be indices of frames, from 1 to {frames - 1}. Received: {wrong}"
            )

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        if (epoch + 1) % self.every:
            return
        batches = (
            self.clip[start : start + self.batch_size]
            for start in range(0, len(self.clip), self.batch_size)
        )
        result = np.concatenate([self._images_of(batch) for batch in batches])
        measures = metrics.stability(
            self.reference, result, self.sigma, self.motion, self.mask, self.cuts
        )
        if logs is not None:
            logs.update({f"stability_{key}": value for key, value in measures.items()})

    def _images_of(self, batch: np.ndarray) -> np.ndarray:
        """What the model makes of a batch: of several outputs, the one that is regularized."""
        found = self.model.predict_on_batch(batch)
        output = getattr(self.model, "regularized_output", None)
        names = base_model.output_names(self.model)
        return outputs.part(found, outputs.key_of("the model's outputs", found, output, names))


class NonFiniteError(ValueError):
    """A loss or gradient that is NaN or infinite.

    Attributes:
        quantity: ``"loss"`` or ``"gradient"``.
        batch: the batch in its epoch, counted from 0.
        epoch: the epoch, counted from 0.
    """

    def __init__(self, quantity: str, batch: int, epoch: int) -> None:
        super().__init__(
            f"the {quantity} of batch {batch} in epoch {epoch} is NaN or infinite; the weights "
            "are as they were before that batch"
        )
        self.quantity = quantity
        self.batch = batch
        self.epoch = epoch


class CheckNumerics(keras.callbacks.Callback):
    """Stops at the first batch whose loss or gradient is NaN or infinite, and undoes its step.

    The weights and the optimizer then have the values that they had before that batch. They are
    copied before each batch, which takes as much memory again. Works under XLA.
    `data.check_numerics` tells whether the batch itself held NaN or infinity.

    Under ``mixed_float16`` Keras itself skips steps with non-finite gradients; these are not
    reported. With `steps_per_execution`, all steps of an execution count as one.

    Raises:
        NonFiniteError: in training, a ValueError with the batch and the epoch, counted from 0.

    Example:
        >>> import numpy as np, keras_temporal_reg as ktr
        >>> from tensorflow import keras
        >>> model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Conv2D(1, 3)])
        >>> model.compile("sgd", "mse")
        >>> x, y = np.full((2, 8, 8, 1), np.nan), np.zeros((2, 6, 6, 1))
        >>> model.fit(x, y, verbose=0, callbacks=[ktr.callbacks.CheckNumerics()])
        Traceback (most recent call last):
        ...
        keras_temporal_reg.callbacks.NonFiniteError: the loss of batch 0 in epoch 0 is NaN ...
    """

    def __init__(self) -> None:
        super().__init__()
        self._epoch = 0
        self._before: list[tf.Tensor] = []

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        # Variables that the first step would create cannot be restored.
        if not getattr(self.model.optimizer, "built", False):
            self.model.optimizer.build(self.model.trainable_variables)

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self._epoch = epoch

    def on_train_batch_begin(self, batch: int, logs: dict[str, float] | None = None) -> None:
        self._before = [tf.identity(tf.convert_to_tensor(v)) for v in self._variables()]

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        if not math.isfinite((logs or {}).get("loss", 0.0)):
            quantity = "loss"
        elif not all(
            tf.reduce_all(tf.math.is_finite(tf.convert_to_tensor(v)))
            for v in self.model.trainable_variables
        ):
            quantity = "gradient"
        else:
            return
        for variable, value in zip(self._variables(), self._before):
            variable.assign(value)
        raise NonFiniteError(quantity, batch, self._epoch)

    def _variables(self) -> list[Any]:
        return [*self.model.variables, *self.model.optimizer.variables]
