"""What images a model takes and returns, read from its layers or found by running it."""

import pytest
from helpers.models import network
from tensorflow import keras

from keras_temporal_reg import tasks
from keras_temporal_reg.saved_models import ModelError, introspection


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    return network()


def one(x_channels=3, y_channels=3, **options):
    x = keras.Input((None, None, x_channels))
    return keras.Model(x, keras.layers.Conv2D(y_channels, 3, padding="same", **options)(x))


def test_fitting_models_give_their_scale(model):
    assert introspection.check_fits(model, tasks.super_resolution, (16, 24)) == 2
    assert introspection.check_fits(one(1, 2), tasks.colorization, (16, 24)) == 1


@pytest.mark.parametrize(
    ("make", "task", "message"),
    [
        (
            lambda: one(1, 3),
            tasks.restoration,
            "takes 1 channel, inputs of the task restoration have 3",
        ),
        (
            lambda: one(3, 2),
            tasks.colorization,
            "takes 3 channels, inputs of the task colorization have 1",
        ),
        (
            lambda: one(3, 1),
            tasks.restoration,
            "returns 1 channel, targets of the task restoration have 3",
        ),
        (lambda: one(strides=2), tasks.restoration, "8 x 8 for 16 x 16"),
    ],
)
def test_misfits_are_named(make, task, message):
    with pytest.raises(ModelError, match=message):
        introspection.check_fits(make(), task, (16, 16))


def test_several_outputs_are_refused():
    x = keras.Input((None, None, 3))
    h = keras.layers.ReLU()(x)
    with pytest.raises(ModelError, match=r"must have one output\. Received: 2 outputs"):
        introspection.check_fits(keras.Model(x, [h, h + x]), tasks.restoration, (16, 16))
    with pytest.raises(ModelError, match=r"must have one input\. Received: 2 inputs"):
        z = keras.Input((None, None, 3))
        introspection.check_fits(keras.Model([x, z], x + z), tasks.restoration, (16, 16))


def test_what_makes_no_images_is_refused():
    x = keras.Input((16, 16, 3))
    classifier = keras.Model(x, keras.layers.GlobalAveragePooling2D()(x))
    with pytest.raises(ModelError, match=r"images .* as output"):
        introspection.check_fits(classifier, tasks.restoration, (16, 16))


def test_a_size_that_does_not_divide_is_named(model):
    with pytest.raises(ModelError, match="cannot take images of 17 x 17 pixels"):
        introspection.check_fits(model, tasks.super_resolution, (17, 17))


def test_a_model_of_a_fixed_size_says_so(model):
    assert introspection.fixed_size(model) == (None, None)
    x = keras.Input((32, 48, 3))
    assert introspection.fixed_size(keras.Model(x, keras.layers.ReLU()(x))) == (32, 48)


@pytest.mark.parametrize(("strides", "multiple"), [(1, 1), (4, 4)])
def test_image_sizes_are_found_by_trial(strides, multiple):
    x = keras.Input((None, None, 3))
    h = keras.layers.Conv2D(4, 3, strides=strides, padding="same")(x)
    y = keras.layers.Conv2DTranspose(3, 4, strides=2 * strides, padding="same")(h)
    sizes = introspection.image_sizes(keras.Model(x, y), 37, 50, 3)
    assert sizes == introspection.ImageSizes(None, multiple, 2)


def test_image_sizes_of_a_fixed_size_are_that():
    x = keras.Input((32, 48, 3))
    sizes = introspection.image_sizes(keras.Model(x, keras.layers.ReLU()(x)), 100, 100, 3)
    assert sizes == introspection.ImageSizes((32, 48), 1, 1)


def test_a_fixed_batch_size_is_refused():
    introspection.check_any_batch_size(one())
    x = keras.Input((8, 8, 3), batch_size=2)
    with pytest.raises(ModelError, match=r"batches of any size.*\(2, 8, 8, 3\)"):
        introspection.check_any_batch_size(keras.Model(x, keras.layers.ReLU()(x)))
