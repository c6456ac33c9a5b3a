"""Architectures: what may differ and what may not, and which layer a message names."""

import numpy as np
import pytest
from helpers import models as helpers
from tensorflow import keras

from keras_temporal_reg.finetuning import architectures

layers = keras.layers


def check(first, other):
    architectures.check_same(first, other, names=("models[0]", "models[1]"))


def network(filters=4, activation="relu", dilation=1):
    """A network with a skip; its layers have new automatic names each time."""
    x = keras.Input((None, None, 2))
    h = layers.Conv2D(filters, 3, padding="same", activation=activation)(x)
    h = layers.Conv2D(filters, 3, padding="same", dilation_rate=dilation)(h)
    return keras.Model(x, layers.Conv2D(2, 1)(layers.Concatenate()([x, h])))


def test_a_network_made_twice_has_one_architecture():
    check(network(), network())
    check(nested("relu"), nested("relu"))


def test_automatic_names_training_settings_and_image_sizes_may_differ():
    regularizer = keras.regularizers.L2(0.1)

    def other(size):
        x = keras.Input((size, size, 2), name="images")
        h = layers.Conv2D(4, 3, kernel_regularizer=regularizer, name="relu")(x)
        y = layers.Conv2D(2, 3, kernel_initializer="zeros", trainable=False, name="last")(h)
        return keras.Model(x, y, name=f"network_{size}")

    x = keras.Input((None, None, 2))
    first = keras.Model(x, layers.Conv2D(2, 3)(layers.Conv2D(4, 3)(x)))
    check(first, other(16))
    check(other(16), other(32))


def wired(first, second):
    x = keras.Input((4, 4, 2))
    a = layers.Conv2D(2, 1)(x)
    parts = {"a": a, "b": layers.Conv2D(2, 1)(a)}
    return keras.Model(x, layers.Concatenate()([parts["b"], parts[first], parts[second]]))


def nested(activation):
    inner = keras.Sequential(
        [keras.Input((4, 4, 2)), layers.Conv2D(2, 1, activation=activation, name="deep")],
        name="inner",
    )
    x = keras.Input((4, 4, 2))
    return keras.Model(x, inner(x))


def of_layers(*given):
    return keras.Sequential([keras.Input((8, 8, 2)), *given])


@pytest.mark.parametrize(
    "first, other, words",
    [
        (lambda: network(), lambda: network(filters=5), ["filters 5", "4"]),
        (lambda: network(), lambda: network(activation="tanh"), ["activation 'tanh'", "'relu'"]),
        (lambda: network(), lambda: network(dilation=2), ["dilation_rate"]),
        (lambda: nested("relu"), lambda: nested("tanh"), ["layer inner/deep", "activation"]),
        (lambda: wired("a", "b"), lambda: wired("b", "a"), ["is connected to other layers"]),
        (
            lambda: of_layers(layers.Conv2D(2, 1)),
            lambda: of_layers(layers.SeparableConv2D(2, 1, name="other")),
            ["layer other is a SeparableConv2D", "is a Conv2D"],
        ),
        (
            lambda: of_layers(layers.Conv2D(2, 1)),
            lambda: of_layers(layers.Conv2D(2, 1), layers.Conv2D(2, 1, name="added")),
            ["only one of them has layer added (Conv2D)", "layers, and not"],
        ),
        (
            lambda: keras.Sequential([keras.Input((8, 8, 2)), layers.ReLU()]),
            lambda: keras.Sequential([keras.Input((8, 8, 3), name="rgb"), layers.ReLU()]),
            ["'channels': 3", "'channels': 2"],
        ),
    ],
)
def test_other_architectures_are_refused_by_the_first_layer_that_differs(first, other, words):
    with pytest.raises(ValueError, match=r"same architecture. models\[1\] differs") as caught:
        check(first(), other())
    assert all(word in str(caught.value) for word in words), caught.value


def opaque(filters=2):
    model = helpers.Opaque(filters)
    model(np.zeros((1, 4, 4, 2), np.float32))
    return model


def test_models_without_a_config_are_compared_by_their_variables():
    check(opaque(), opaque())
    with pytest.raises(ValueError, match=r"kernel.* has the shape \(1, 1, 2, 3\)"):
        check(opaque(), opaque(3))
