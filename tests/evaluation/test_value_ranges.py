"""The values of a network that stand for black and white: told by layers, or tried on an image."""

import numpy as np
import pytest
from helpers.footage import flickering, moving
from tensorflow import keras

from keras_temporal_reg import tasks
from keras_temporal_reg.evaluation import value_ranges

layers = keras.layers


@pytest.fixture(scope="module")
def image():
    return moving(1)[0]


def identity(**options):
    def eye(shape, dtype=None):
        kernel = np.zeros(shape, np.float32)
        kernel[1, 1] = np.eye(*shape[2:])
        return kernel

    return layers.Conv2D(3, 3, padding="same", kernel_initializer=eye, **options)


def network(*body, **options):
    return keras.Sequential([keras.Input((None, None, 3), **options), *body])


def divided():
    x = keras.Input((None, None, 3))
    return keras.Model(x, identity()(x / 127.5 - 1.0))


def nested():
    x = keras.Input((None, None, 3))
    return keras.Model(x, network(layers.Rescaling(1 / 255), identity())(x))


def residual():
    x = keras.Input((None, None, 3))
    scaled = layers.Rescaling(1 / 255)(x)
    return keras.Model(x, layers.Add()([scaled, layers.Conv2D(3, 3, padding="same")(scaled)]))


def normalized(scale):
    return layers.Normalization(
        mean=[0.49 * scale, 0.46 * scale, 0.41 * scale], variance=[(0.23 * scale) ** 2] * 3
    )


BEGINNINGS = {
    "rescaling": (lambda: network(layers.Rescaling(1 / 255), identity()), 255),
    "to -1..1": (lambda: network(layers.Rescaling(1 / 127.5, -1.0), identity()), 255),
    "16 bits": (lambda: network(layers.Rescaling(1 / 65535), identity()), 65535),
    "normalization of bytes": (lambda: network(normalized(255), identity()), 255),
    "normalization of 0..1": (lambda: network(normalized(1), identity()), 1),
    "both": (lambda: network(layers.Rescaling(1 / 255), normalized(1), identity()), 255),
    "subtracted mean": (lambda: network(layers.Rescaling(1.0, -117.0), identity()), 255),
    "arithmetic": (divided, 255),
    "a model within": (nested, 255),
    "a residual": (residual, 255),
    "0..1 to -1..1": (lambda: network(layers.Rescaling(2.0, -1.0), identity()), 1),
    "padding": (
        lambda: network(layers.ZeroPadding2D(1), layers.Rescaling(1 / 255), layers.Conv2D(3, 3)),
        255,
    ),
    "a fixed size": (
        lambda: keras.Sequential([keras.Input((64, 64, 3)), layers.Rescaling(1 / 255), identity()]),
        255,
    ),
}


@pytest.mark.parametrize(("make", "white"), BEGINNINGS.values(), ids=BEGINNINGS)
def test_what_comes_before_the_weights_tells_the_range(make, white):
    inputs, reason = value_ranges.told_by_input(make())
    assert inputs == (0.0, white) and f"maps 0..{white} to" in reason


@pytest.mark.parametrize("scale", [0.1, 30.0, -1 / 255])
def test_an_odd_scale_tells_nothing(scale):
    assert value_ranges.told_by_input(network(layers.Rescaling(scale), identity())) is None


def test_the_note_names_the_layer_and_both_ranges(image):
    found = value_ranges.find(
        network(layers.Rescaling(1 / 255), identity(activation="sigmoid")),
        tasks.restoration,
        image,
    )
    assert found.describe() == (
        "Value range: 0..255 in, 0..1 out (the network begins with Rescaling, which maps 0..255 to "
        "0..1, outputs by its results); --value-range (value_range) sets another."
    )


class Float(layers.Layer):
    def call(self, x):
        return keras.backend.cast(x, "float32")


def test_integers_are_bytes(image):
    found = value_ranges.find(
        network(Float(), layers.Rescaling(1 / 255), identity(), dtype="uint8"),
        tasks.restoration,
        image,
    )
    assert found.values == (0.0, 255.0, 0.0, 1.0) and "uint8" in found.reason


def test_what_is_given_is_taken(image):
    model = network(layers.Rescaling(1 / 255), identity())
    assert value_ranges.find(model, tasks.restoration, image, given=(0, 1)).values == (0.0, 1.0)


def test_nothing_told_is_0_to_1(image):
    found = value_ranges.find(flickering(), tasks.restoration, image)
    assert found == value_ranges.DEFAULT and found.notes == ()


def test_a_range_is_tried_only_where_0_to_1_fails(image):
    biased = identity(bias_initializer=keras.initializers.Constant(3.0))
    found = value_ranges.find(network(biased), tasks.restoration, image)
    assert found.values == (0.0, 255.0) and "near its input" in found.reason


def test_tanh_is_of_pictures_from_minus_1_to_1(image):
    ends = network(identity(activation="tanh"))
    assert value_ranges.find(ends, tasks.restoration, image).values == (-1.0, 1.0)


def test_tanh_says_nothing_where_targets_are_no_pictures(image):
    chroma = layers.Conv2D(2, 3, padding="same", activation="tanh")
    model = keras.Sequential([keras.Input((None, None, 1)), chroma])
    luma = tasks.colorization.input(image)
    assert value_ranges.find(model, tasks.colorization, luma).values == (0.0, 1.0)


def test_light_without_a_bound_is_not_bytes(image):
    bright = network(identity(bias_initializer=keras.initializers.Constant(40.0)))
    assert value_ranges.find(bright, tasks.hdr, image).values == (0.0, 1.0)


def test_results_that_are_all_black_are_warned_of(image):
    """A network for 0 to 255 that does not look like one."""
    dark = network(identity(bias_initializer=keras.initializers.Constant(-2.0), activation="relu"))
    found = value_ranges.find(dark, tasks.restoration, image, given=None)
    assert found.values == (0.0, 255.0)  # tried
    black = network(identity(kernel_regularizer=None, activation="relu"))
    black.set_weights([-weights for weights in black.get_weights()])
    found = value_ranges.find(black, tasks.restoration, image)
    (warning,) = found.notes
    assert warning.startswith("WARNING: 100 % of the network's results are black")
    # Of a black image, black results are right.
    assert not value_ranges.find(black, tasks.restoration, 0.0 * image).notes


def test_results_worse_than_one_color_are_warned_of_where_the_target_is_known(image):
    x = keras.Input((None, None, 3))
    inverted = keras.Model(x, layers.Rescaling(-1.0, 1.0)(identity()(x)))
    assert not value_ranges.find(inverted, tasks.restoration, image).notes
    assert not value_ranges.find(inverted, tasks.restoration, image, 1.0 - image).notes
    (warning,) = value_ranges.find(inverted, tasks.restoration, image, image).notes
    assert "further from the targets than one even colour" in warning


def test_a_model_that_does_not_fit_is_left_to_the_caller(image):
    wrong = keras.Sequential([keras.Input((None, None, 5)), layers.Conv2D(5, 1)])
    assert value_ranges.find(wrong, tasks.restoration, image) == value_ranges.DEFAULT
