"""Tests of keras_temporal_reg.core.base_model: what is refused or warned of at construction."""

import warnings

import pytest
from tensorflow import keras

import keras_temporal_reg as ktr

layers = keras.layers


def sequential(*made, shape=(None, None, 3), of=keras.Sequential):
    return of([keras.Input(shape), *made])


def convolution(**kwargs):
    return layers.Conv2D(3, 3, padding="same", **kwargs)


STEPS = ("train_step", "test_step", "predict_step", "compute_loss", "compute_metrics")


@pytest.mark.parametrize("name", STEPS)
def test_own_step_is_warned_of_by_name(name):
    own = type("Own", (keras.Sequential,), {name: lambda self, *args, **kwargs: None})
    message = rf"its own {name}, which RegularizedModel does not call.*pair_with_transformed"
    with pytest.warns(UserWarning, match=message) as caught:
        ktr.RegularizedModel(sequential(convolution(), of=own))
    assert [w.filename for w in caught if w.category is UserWarning] == [__file__]


def test_model_without_own_steps_is_not_warned_of():
    class Subclassed(keras.Model):
        def call(self, x):
            return x

    inputs = keras.Input((None, None, 3))
    for base in (
        keras.Model(inputs, convolution()(inputs)),
        sequential(convolution()),
        keras.Sequential([convolution()]),
        Subclassed(),
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            ktr.RegularizedModel(base)


def test_regularized_model_as_base_model_is_refused():
    model = ktr.RegularizedModel(sequential(convolution()))
    with pytest.raises(ValueError, match="must be the network itself, not a RegularizedModel"):
        ktr.RegularizedModel(model)


FIRST = {"data_format": "channels_first"}


@pytest.mark.parametrize(
    "base",
    [
        lambda: sequential(convolution(**FIRST), shape=(3, None, None)),
        lambda: sequential(convolution(**FIRST), shape=(3, 32, 32)),
        lambda: sequential(convolution(**FIRST), shape=(31, 64, 64)),
        lambda: sequential(convolution(), layers.Permute((3, 1, 2))),
        lambda: sequential(layers.Permute((2, 3, 1)), convolution(), shape=(3, None, None)),
    ],
    ids=["unknown size", "fixed size", "many channels", "output", "no layer says so"],
)
def test_channels_first_is_refused(base):
    with pytest.raises(ValueError, match=r"channels-last order.*Permute\(\(3, 1, 2\)\).*Received"):
        ktr.RegularizedModel(base())


def test_channels_first_of_a_model_that_declares_no_shapes_is_refused():
    base = keras.Sequential([convolution(**FIRST)])
    with pytest.raises(ValueError, match="Received: layers with data_format="):
        ktr.RegularizedModel(base)


def test_channels_first_as_the_default_of_keras_is_refused():
    keras.backend.set_image_data_format("channels_first")
    try:
        base = sequential(convolution(), shape=(3, 32, 32))
        with pytest.raises(ValueError, match="channels-last order"):
            ktr.RegularizedModel(base)
    finally:
        keras.backend.set_image_data_format("channels_last")


@pytest.mark.parametrize("shape", [(None, None, 3), (32, 32, 3), (16, 16, 16)])
def test_channels_first_inside_of_a_model_is_accepted(shape):
    made = (layers.Permute((3, 1, 2)), convolution(**FIRST), layers.Permute((2, 3, 1)))
    ktr.RegularizedModel(sequential(*made, shape=shape))


def two_outputs(kind):
    inputs = keras.Input((None, None, 3))
    image, label = convolution(name="a")(inputs), layers.GlobalAveragePooling2D(name="b")(inputs)
    made = {"image": image, "label": label} if kind is dict else [image, label]
    return keras.Model(inputs, made)


@pytest.mark.parametrize("kind, names", [(dict, "image, label"), (list, "a, b")])
def test_several_outputs_need_one_to_regularize(kind, names):
    message = rf"base_model must have one output, or output must say .* one of {names}\. Received"
    with pytest.raises(ValueError, match=message):
        ktr.RegularizedModel(two_outputs(kind))


@pytest.mark.parametrize(
    "kind, output, message",
    [
        (list, "label", r"output must say which one .* one of a, b\. Received: output='label'"),
        (dict, "a", r"one of image, label\. Received: output='a'"),
        (list, 2, r"one of a, b\. Received: output=2"),
        (list, "b", r"base_model must return images of rank 4.*Received: output shape \(None, 3\)"),
        (list, True, r"output must be a name, a number or None\. Received: True"),
        (list, 1.0, r"output must be a name, a number or None\. Received: 1\.0"),
    ],
)
def test_output_that_cannot_be_regularized_is_refused(kind, output, message):
    with pytest.raises(ValueError, match=message):
        ktr.RegularizedModel(two_outputs(kind), output=output)


def test_name_that_the_only_output_does_not_have_is_refused():
    with pytest.raises(ValueError, match=r"base_model's only output.*output='other'"):
        ktr.RegularizedModel(sequential(convolution()), output="other")
    ktr.RegularizedModel(sequential(convolution()), output=0)
