"""Models saved by version 0.1 load, predict and train (tests/saved_0_1/make.py made them)."""

import pathlib

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

import keras_temporal_reg as ktr

KERAS_3 = hasattr(keras, "ops")
FOLDER = pathlib.Path(__file__).parents[1] / "saved_0_1" / ("keras3" if KERAS_3 else "keras2")
PLAIN_FILES = ["plain.keras"] if KERAS_3 else ["plain.keras", "plain.h5"]


def images(channels):
    """What make.py trained on."""
    shape = (4, 8, 8, channels)
    return np.linspace(0.0, 1.0, int(np.prod(shape)), dtype=np.float32).reshape(shape)


def load(name):
    model = keras.models.load_model(FOLDER / name)
    model.jit_compile = False  # compilation takes seconds
    return model


def assert_predicts_as_before(model, name):
    with np.load(FOLDER / "expected.npz") as expected:
        np.testing.assert_allclose(model.predict(images(1), verbose=0), expected[name], atol=1e-6)


def assert_trains(model, x, y):
    before = [np.array(w) for w in model.get_weights()]
    assert np.isfinite(model.train_on_batch(x, y, return_dict=True)["loss"])
    assert max(np.abs(a - b).max() for a, b in zip(before, model.get_weights())) > 0


def test_regularized_model_loads_predicts_and_trains():
    model = load("regularized.keras")
    assert type(model) is ktr.RegularizedModel
    assert model.pair_fraction == 0.5
    assert model.perturbation.get_config()["stddev"] == 0.01
    assert type(model.transform) is ktr.RandomAffine
    motion = ktr.RandomAffine(translation=1.5, rotation=(0.0, 2.0), fill_mode="nearest", seed=3)
    assert model.transform.get_config() == motion.get_config()
    loss = ktr.losses.TransformInvarianceLoss(
        alpha=0.7,
        reconstruction="mae",
        distance="ssim",
        border=1,
        contrast=0.1,
        name=model.loss.name,
    )
    assert type(model.loss) is type(loss)
    assert model.loss.get_config() == loss.get_config()
    assert_predicts_as_before(model, "regularized")
    assert_trains(model, images(1), images(2))


@pytest.mark.parametrize("name", PLAIN_FILES)
def test_plain_model_with_the_loss_and_the_metric_loads_predicts_and_trains(name):
    model = load(name)
    assert type(model.loss) is ktr.losses.SparseJacobianLoss
    assert model.loss.alpha == 0.6
    assert type(model.loss.distance) is keras.losses.LogCosh
    assert_predicts_as_before(model, "plain")
    dataset = tf.data.Dataset.from_tensors((images(1), images(2)))
    motion = ktr.RandomAffine(seed=0)
    assert_trains(
        model, *next(iter(ktr.data.pair_with_transformed(dataset, motion, pair_fraction=0.5)))
    )
    stored = [m for m in metrics_of(model) if isinstance(m, ktr.metrics.Unpaired)]
    assert [(m.name, m.pair_fraction) for m in stored] == [("mae", 0.5)]
    assert type(stored[0].metric) is keras.metrics.MeanAbsoluteError


def metrics_of(model):
    """The metrics given to compile; Keras 3 keeps them in a metric of its own."""
    if not KERAS_3:
        return model.metrics
    return [inner for m in model.metrics for inner in getattr(m, "metrics", [])]
