"""H5 files of Keras 2 on Keras 3; the oracle is the output of the same model in tf_keras."""

import copy

import numpy as np
import pytest
from helpers.models import KERAS_3

from keras_temporal_reg import saved_models
from keras_temporal_reg.saved_models import _keras_2

if not KERAS_3:
    pytest.skip("Keras 2 reads its own files", allow_module_level=True)
tf_keras = pytest.importorskip("tf_keras")
layers = tf_keras.layers

LAYERS = {
    "transposed convolution": lambda: layers.Conv2DTranspose(3, 4, strides=2, padding="same"),
    "depthwise convolution": lambda: layers.DepthwiseConv2D(3, padding="same", depth_multiplier=2),
    "separable convolution": lambda: layers.SeparableConv2D(4, 3, padding="same"),
    "grouped convolution": lambda: layers.Conv2D(4, 3, groups=2),
    "normalization": lambda: layers.BatchNormalization(axis=[3]),
    "flips": lambda: layers.RandomFlip(),
    "dropout": lambda: layers.SpatialDropout2D(0.5),
    "mixed precision": lambda: layers.Conv2D(3, 3, dtype="mixed_float16"),
    "stacked": lambda: tf_keras.Sequential(
        [layers.Conv2DTranspose(4, 3), layers.DepthwiseConv2D(3), layers.ReLU(6.0)]
    ),
}


def saved(model, path, channels):
    """Save a model with random weights; returns an input and its output."""
    rng = np.random.default_rng(0)
    model.set_weights([rng.uniform(0.05, 0.5, w.shape) for w in model.get_weights()])
    model.save(path, include_optimizer=False)
    x = rng.random((2, 16, 16, channels)).astype(np.float32)
    return x, np.asarray(model(x, training=False), np.float32), model.get_weights()


@pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)
def test_old_layers_load_and_compute_the_same(layer, tmp_path):
    x = tf_keras.Input((16, 16, 4))
    model = tf_keras.Model(x, layer()(layers.Conv2D(4, 1)(x)))
    given, expected, _ = saved(model, tmp_path / "old.h5", 4)
    loaded = saved_models.load(tmp_path / "old.h5", for_training=True).model
    np.testing.assert_allclose(loaded(given, training=False), expected, rtol=1e-3, atol=1e-5)


def pix2pix():
    """The generator of TensorFlow's tutorial, smaller: blocks are models within the model."""

    def down(filters):
        convolution = layers.Conv2D(filters, 4, strides=2, padding="same", use_bias=False)
        return tf_keras.Sequential([convolution, layers.BatchNormalization(), layers.LeakyReLU()])

    def up(filters):
        convolution = layers.Conv2DTranspose(filters, 4, strides=2, padding="same", use_bias=False)
        return tf_keras.Sequential(
            [convolution, layers.BatchNormalization(), layers.Dropout(0.5), layers.ReLU()]
        )

    x = tf_keras.Input((16, 16, 3))
    first = down(4)(x)
    second = down(8)(first)
    joined = layers.Concatenate()([up(4)(second), first])
    last = layers.Conv2DTranspose(3, 4, strides=2, padding="same", activation="tanh")
    return tf_keras.Model(x, last(joined))


def test_an_old_pix2pix_loads_with_its_weights_and_is_saved_again(tmp_path):
    given, expected, weights = saved(pix2pix(), tmp_path / "old.hdf5", 3)
    before = (tmp_path / "old.hdf5").read_bytes()
    loaded = saved_models.load(tmp_path / "old.hdf5", for_training=True).model
    for new, old in zip(loaded.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(new, old)
    np.testing.assert_allclose(loaded(given, training=False), expected, atol=1e-5)
    saved_models.save(loaded, tmp_path / "new.keras", "keras")
    again = saved_models.load(tmp_path / "new.keras").model
    np.testing.assert_allclose(again(given, training=False), expected, atol=1e-5)
    assert (tmp_path / "old.hdf5").read_bytes() == before


def test_what_changes_the_result_is_not_left_out():
    def config(**options):
        layer = {"class_name": "DepthwiseConv2D", "config": {"name": "a", **options}}
        return {"class_name": "Sequential", "config": {"name": "m", "layers": [layer]}}

    given = config(groups=1, filters=3)
    before = copy.deepcopy(given)
    assert _keras_2.rewritten(given) == config(filters=3) and given == before
    assert _keras_2.rewritten(config(groups=2)) is None
    assert _keras_2.rewritten(config()) is None


def test_a_layer_that_keras_3_has_no_more_is_named(tmp_path):
    x = tf_keras.Input((16, 16, 3))
    saved(tf_keras.Model(x, layers.Conv2D(3, 1)(x) + 1.0), tmp_path / "old.h5", 3)
    message = r"saved by Keras 2.*\(Unknown layer: 'TFOpLambda'\).*TF_USE_LEGACY_KERAS=1"
    with pytest.raises(saved_models.ModelError, match=message):
        saved_models.load(tmp_path / "old.h5")
