"""Tests of metrics.Unpaired: a metric of paired data is that of the plain samples."""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

import keras_temporal_reg as ktr
from keras_temporal_reg import metrics
from keras_temporal_reg.data import _pairing as pairing


def conv_model(loss, metric, weighted=False, **kwargs):
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [keras.Input((16, 16, 3)), keras.layers.Conv2D(2, 3, padding="same", use_bias=False)]
    )
    name = "weighted_metrics" if weighted else "metrics"
    model.compile(keras.optimizers.SGD(0.0), loss, **{name: [metric]}, **kwargs)
    return model


def image_data(sample_weight=False):
    rng = np.random.default_rng(0)
    x = rng.uniform(size=(8, 16, 16, 3)).astype(np.float32)
    y = rng.uniform(size=(8, 16, 16, 2)).astype(np.float32)
    # Of shape (samples, 1, 1): Keras 2 broadcasts no other weight of samples over pixels.
    weight = rng.uniform(size=(8, 1, 1)).astype(np.float32)
    tensors = (x, y, weight) if sample_weight else (x, y)
    return tensors, tf.data.Dataset.from_tensor_slices(tensors).batch(4)


def test_unpaired_metric_sees_the_plain_samples_only():
    (x, y), dataset = image_data()
    loss = ktr.losses.SparseJacobianLoss()
    model = conv_model(loss, metrics.Unpaired("mae", name="mae"))
    true = np.abs(np.asarray(model(x)) - y).mean()
    paired = ktr.data.pair_with_transformed(dataset, ktr.RandomAffine(seed=1))
    history = model.fit(paired, validation_data=dataset, epochs=2, verbose=0).history
    assert history["mae"] == pytest.approx([true] * 2, rel=1e-5)
    assert history["val_mae"] == pytest.approx([true] * 2, rel=1e-5)
    for data in (paired, dataset, paired):  # Keras 3 forgets the channels between these
        assert model.evaluate(data, verbose=0, return_dict=True)["mae"] == pytest.approx(
            true, rel=1e-5
        )


def test_unpaired_metric_takes_sample_weights():
    (x, y, weight), dataset = image_data(sample_weight=True)
    metric = metrics.Unpaired(keras.metrics.MeanSquaredError(name="inner"), name="outer")
    loss = ktr.losses.TransformInvarianceLoss()
    model = conv_model(loss, metric, weighted=True, jit_compile=False)
    of_sample = ((np.asarray(model(x)) - y) ** 2).mean(axis=(1, 2, 3))
    weight = weight.ravel()
    true = (of_sample * weight).sum() / weight.sum()
    paired = ktr.data.pair_with_transformed(dataset, ktr.RandomAffine(seed=1))
    for data in (paired, dataset):
        assert model.evaluate(data, verbose=0, return_dict=True)["outer"] == pytest.approx(
            true, rel=1e-5
        )


@pytest.mark.parametrize("given, right", [(0.25, True), (1.0, False), (0.5, False)])
def test_unpaired_metric_is_nan_where_the_data_were_paired_otherwise(given, right):
    y = tf.random.stateless_uniform((8, 8, 8, 1), (1, 2))
    _, y_true, _ = pairing.pair(y, y, transform=ktr.RandomAffine(), seed=(1, 2), pair_fraction=0.25)
    metric = metrics.Unpaired("mse", pair_fraction=given)
    metric.update_state(y_true, y_true[..., :-1] + 2.0)
    assert float(metric.result()) == pytest.approx(4.0) if right else np.isnan(metric.result())


def test_unpaired_metric_resets():
    metric = metrics.Unpaired("mse")
    metric.update_state(tf.ones((2, 4, 8, 1)), tf.zeros((2, 4, 8, 1)))
    metric.reset_state()
    metric.update_state(tf.ones((2, 4, 8, 1)), tf.ones((2, 4, 8, 1)))
    assert float(metric.result()) == 0.0


def test_unpaired_metric_survives_its_config():
    metric = metrics.Unpaired(keras.metrics.RootMeanSquaredError(name="rms"), name="mine")
    copy = keras.utils.deserialize_keras_object(keras.utils.serialize_keras_object(metric))
    assert isinstance(copy, metrics.Unpaired)
    assert (copy.name, copy.metric.name) == ("mine", "rms")
    assert isinstance(copy.metric, keras.metrics.RootMeanSquaredError)
    for each in (metric, copy):
        each.update_state(tf.fill((2, 4, 8, 1), 3.0), tf.zeros((2, 4, 8, 1)))
        assert float(each.result()) == pytest.approx(3.0)


def test_unpaired_metric_by_name_survives_its_config():
    metric = metrics.Unpaired("mae")
    copy = metrics.Unpaired.from_config(metric.get_config())
    copy.update_state(tf.fill((2, 4, 8, 1), 3.0), tf.zeros((2, 4, 8, 1)))
    assert float(copy.result()) == pytest.approx(3.0)


def test_unpaired_metric_takes_a_function():
    def half(y_true, y_pred):
        return tf.reduce_mean(tf.abs(y_true - y_pred), axis=-1) / 2

    metric = metrics.Unpaired(half)
    assert metric.name == "half"
    metric.update_state(tf.fill((2, 4, 8, 1), 3.0), tf.zeros((2, 4, 8, 1)))
    assert float(metric.result()) == pytest.approx(1.5)


def test_unpaired_metric_rejects_channels_that_fit_neither():
    with pytest.raises(ValueError, match="target must have the channels"):
        metrics.Unpaired("mae").update_state(tf.zeros((2, 4, 8, 3)), tf.zeros((2, 4, 8, 1)))
