"""Watch stability while training."""

from __future__ import annotations

from typing import Any

import numpy as np
from tensorflow import keras

from keras_temporal_reg import checks, metrics


class TemporalStability(keras.callbacks.Callback):
    """Logs the stability measures of a clip after an epoch, among Keras's own logs.

    The keys are those of `metrics.Stability` behind ``stability_``, for instance
    ``stability_temporal_error``; callbacks that stand later in the list (EarlyStopping with
    ``monitor="stability_temporal_error"``, TensorBoard, ...) and the history see them.

    Args:
        clip: inputs of the model in the order of a video,
            ``(frames, height, width, channels)``, at least 2 frames.
        reference: what the model should return for them, ``(frames, height, width,
            channels)``. None: the clip itself, for models that return what they are given
            in better quality.
        every: number of epochs from one measurement to the next.
        batch_size: frames that the model is given at once.
        sigma: of the temporal Gaussian, in frames.

    Raises:
        ValueError: if the clip has no frames to compare, or the reference does not fit it.

    Example:
        >>> import numpy as np, keras_temporal_reg as ktr
        >>> clip = np.zeros((4, 16, 16, 3), "float32")
        >>> callback = ktr.callbacks.TemporalStability(clip, every=2)
    """

    def __init__(
        self,
        clip: Any,
        reference: Any = None,
        every: int = 1,
        batch_size: int = 8,
        sigma: float = 2.0,
    ) -> None:
        super().__init__()
        self.clip = np.asarray(clip)
        self.reference = self.clip if reference is None else np.asarray(reference)
        self.every = checks.whole_number("every", every, 1)
        self.batch_size = checks.whole_number("batch_size", batch_size, 1)
        self.stability = metrics.Stability(sigma)
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

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        if (epoch + 1) % self.every:
            return
        self.stability.reset_state()
        for start in range(0, len(self.clip), self.batch_size):
            frames = slice(start, start + self.batch_size)
            result = self.model.predict_on_batch(self.clip[frames])
            self.stability.update_state(self.reference[frames], np.asarray(result, np.float64))
        if logs is not None:
            logs.update({f"stability_{k}": v for k, v in self.stability.result().items()})
