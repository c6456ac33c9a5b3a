"""A Keras metric of the samples of a paired batch, without their counterparts."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
from tensorflow import keras

from keras_temporal_reg.core import validation
from keras_temporal_reg.data import _paired_target


@keras.utils.register_keras_serializable(package="keras_temporal_reg")
class Unpaired(keras.metrics.Metric):
    """Applies a Keras metric to the samples of a paired data set only.

    Needed if a plain Keras model trains on `data.pair_with_transformed`; `RegularizedModel` does
    this itself. Plain targets, as in validation, pass through unchanged.

    Args:
        metric: a Keras metric, its name, or a function of ``(y_true, y_pred)``.
        name: that of `metric` by default.
        pair_fraction: that of `data.pair_with_transformed`. The metric is NaN if it differs, or if
            a target with one more channel than the output is not paired.
        **kwargs: `dtype`, as for any Keras metric.

    Raises:
        ValueError: if pair_fraction is outside (0, 1].

    Example:
        >>> import keras_temporal_reg as ktr
        >>> from tensorflow import keras
        >>> ktr.metrics.Unpaired(keras.metrics.MeanAbsoluteError(name="mae")).name
        'mae'
    """

    def __init__(
        self, metric: Any, name: str | None = None, pair_fraction: float = 1.0, **kwargs: Any
    ) -> None:
        pair_fraction = validation.fraction("pair_fraction", pair_fraction, "(", "]")
        metric = keras.metrics.get(metric)
        if isinstance(metric, type):
            metric = metric()
        if not isinstance(metric, keras.metrics.Metric):
            metric = keras.metrics.MeanMetricWrapper(metric, name=metric.__name__)
        super().__init__(name=name or metric.name, **kwargs)
        self.metric = metric
        self.pair_fraction = pair_fraction

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        y_true, y_pred = tf.convert_to_tensor(y_true), tf.convert_to_tensor(y_pred)
        fraction = _paired_target.fraction_of(y_true, y_pred, self.pair_fraction)
        y = _paired_target.images_of(y_true, y_pred)
        y, output = (_paired_target.select_samples(t, fraction) for t in (y, y_pred))
        if not isinstance(fraction, tf.Tensor) and fraction:
            rows, samples = (tf.cast(tf.shape(t)[0], tf.float32) for t in (y_true, y))
            # A sample's weight is the rows of the batch over its samples.
            fits = tf.abs(_paired_target.decode(y_true).weight[0] * samples - rows) < 0.5
            fits &= _paired_target.is_intact(y_true, y_pred)
            output = tf.where(fits, output, tf.cast(float("nan"), output.dtype))
        if sample_weight is not None:
            weight = tf.convert_to_tensor(sample_weight)
            sample_weight = _paired_target.select_samples(weight, fraction)
        return self.metric.update_state(y, output, sample_weight)

    def result(self) -> Any:
        return self.metric.result()

    def reset_state(self) -> None:
        self.metric.reset_state()

    def get_config(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "metric": keras.utils.serialize_keras_object(self.metric),
            "pair_fraction": self.pair_fraction,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Unpaired:
        # By way of keras.metrics, as Keras 2 needs it for its .h5 files.
        return cls(**{**config, "metric": keras.metrics.deserialize(config["metric"])})
