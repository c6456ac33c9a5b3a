"""A Keras metric of the samples of a paired batch, without their counterparts."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
from tensorflow import keras

from keras_temporal_reg.core import validation
from keras_temporal_reg.data import _pairing as pairing


@keras.utils.register_keras_serializable(package="keras_temporal_reg")
class Unpaired(keras.metrics.Metric):
    """Lets a Keras metric see the plain samples of a paired data set.

    Needed where a plain Keras model trains on `data.pair_with_transformed`; `RegularizedModel`
    does it by itself. Plain targets, as in validation, go through as they are.

    Args:
        metric: a Keras metric, or the name of one.
        name: that of the metric by default.
        pair_fraction: what `data.pair_with_transformed` was given. The metric is NaN where it
            was given something else.

    Raises:
        ValueError: if pair_fraction is outside of (0, 1].

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
        share = pairing.paired_share(y_true, y_pred, self.pair_fraction)
        true = pairing.originals(y_true[..., : pairing.size(y_pred, -1)], share)
        predicted = pairing.originals(y_pred, share)
        if not isinstance(share, tf.Tensor) and share:
            rows = tf.cast(tf.shape(y_true)[0], tf.float32)
            samples = tf.cast(tf.shape(true)[0], tf.float32)
            # Each row notes how many rows the batch has for each of its samples.
            fits = tf.abs(pairing.unpack(y_true).weight[0] * samples - rows) < 0.5
            predicted = tf.where(fits, predicted, tf.cast(float("nan"), predicted.dtype))
        if sample_weight is not None:
            sample_weight = pairing.originals(tf.convert_to_tensor(sample_weight), share)
        return self.metric.update_state(true, predicted, sample_weight)

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
        return cls(**{**config, "metric": keras.utils.deserialize_keras_object(config["metric"])})
