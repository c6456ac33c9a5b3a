"""What networks take and return: found from layers, and from results on a frame."""

import numpy as np
import pytest
from helpers.footage import flickering, moving
from tensorflow import keras

from keras_temporal_reg import saved_models, tasks
from keras_temporal_reg.steadying import inferred_task

layers = keras.layers


@pytest.fixture(scope="module")
def frame():
    return np.round(255 * moving(1)[0]).astype(np.uint8)


def network(*body, channels=3, dtype=None):
    return keras.Sequential([keras.Input((None, None, channels), dtype=dtype), *body])


def identity(channels=3, **options):
    def eye(shape, dtype=None):
        kernel = np.zeros(shape, np.float32)
        kernel[1, 1] = np.eye(*shape[2:])
        return kernel

    return layers.Conv2D(channels, 3, padding="same", kernel_initializer=eye, **options)


def test_rgb_in_the_unit_range(frame):
    found = inferred_task.infer(flickering(), frame)
    assert found.value_range == (0.0, 1.0) and found.scale == 1
    assert found.description.startswith("The network was taken as RGB to RGB, with values from 0 ")
    np.testing.assert_allclose(found.inputs(frame[np.newaxis])[0], frame / 255.0, atol=1e-6)


def test_a_rescaling_layer_tells_the_range(frame):
    back = layers.Rescaling(255.0)
    found = inferred_task.infer(network(layers.Rescaling(1 / 255), identity(), back), frame)
    assert found.value_range == (0.0, 255.0) and "Rescaling" in found.description
    np.testing.assert_allclose(found.inputs(frame[np.newaxis])[0], frame, atol=1e-4)


@pytest.mark.parametrize(
    ("body", "value_range"),
    [
        ([layers.Rescaling(1 / 255), identity()], (0, 255, 0, 1)),
        ([identity(), layers.Rescaling(255.0)], (0, 1, 0, 255)),
        ([layers.Rescaling(1 / 127.5, -1.0), identity(activation="tanh")], (0, 255, -1, 1)),
        ([identity(activation="relu"), layers.Rescaling(4.0)], (0, 1)),  # light of 4 is no 255
    ],
)
def test_outputs_can_have_another_range_than_inputs(frame, body, value_range):
    found = inferred_task.infer(network(*body), frame)
    assert found.value_range == value_range
    low, high = value_range[:2]
    expected = low + (high - low) * (frame / 255.0)
    np.testing.assert_allclose(found.inputs(frame[np.newaxis])[0], expected, atol=1e-4)
    said = f", and outputs from {value_range[-2]} to {value_range[-1]}"
    assert (said in found.description) == (len(value_range) == 4)


def test_an_integer_input_tells_the_range(frame):
    class Float(layers.Layer):
        def call(self, x):
            return keras.backend.cast(x, "float32")

    found = inferred_task.infer(network(Float(), identity(), dtype="uint8"), frame)
    assert found.value_range[:2] == (0.0, 255.0) and "integer" in found.description


def test_a_subclassed_model_says_nothing_of_its_inputs(frame):
    class Subclassed(keras.Model):
        def __init__(self):
            super().__init__()
            self.inner = identity()

        def call(self, x):
            return self.inner(x)

    found = inferred_task.infer(Subclassed(), frame)
    assert found.value_range == (0.0, 1.0) and found.task.name == "RGB"


def test_tanh_tells_the_range(frame):
    assert inferred_task.infer(network(identity(activation="tanh")), frame).value_range == (-1, 1)
    activated = network(identity(), layers.Activation("tanh"))
    assert inferred_task.infer(activated, frame).value_range == (-1, 1)


def test_results_tell_the_range(frame):
    """A bias of 3 is a hundredth of the range from 0 to 255, and three times that from 0 to 1."""
    biased = network(identity(bias_initializer=keras.initializers.Constant(3.0)))
    found = inferred_task.infer(biased, frame)
    assert found.value_range == (0.0, 255.0) and "near its input" in found.description


def test_chroma_of_luma(frame):
    found = inferred_task.infer(network(layers.Conv2D(2, 3, padding="same"), channels=1), frame)
    x = found.inputs(frame[np.newaxis])
    np.testing.assert_allclose(x, tasks.colorization.input(frame[np.newaxis] / 255.0), atol=1e-6)
    shown = found.task.decode(x, np.zeros((*x.shape[:-1], 2), np.float32))
    np.testing.assert_allclose(shown, np.repeat(np.clip(x, 0, 1), 3, -1), atol=1e-5)


@pytest.mark.parametrize("channels", [1, 2, 7])
def test_other_channels_have_a_picture(frame, channels):
    found = inferred_task.infer(network(layers.Conv2D(channels, 3, padding="same")), frame)
    x = found.inputs(frame[np.newaxis])
    shown = found.task.decode(x, np.zeros((*x.shape[:-1], channels), np.float32))
    assert shown.shape == x.shape and found.task.baseline(x).shape[-1] == channels


def test_the_scale_is_found(frame):
    found = inferred_task.infer(network(identity(), layers.UpSampling2D(2)), frame)
    assert found.scale == found.task.scale == 2 and "2 times the size" in found.description


def test_what_is_given_is_taken(frame):
    found = inferred_task.infer(flickering(), frame, tasks.denoising, (0.0, 255.0))
    assert found.value_range == (0.0, 255.0) and "task denoising" in found.description
    assert "as given" in found.description
    # The clip is what the network is given, not what noise is added to.
    np.testing.assert_allclose(found.inputs(frame[np.newaxis])[0], frame, atol=1e-3)


def test_networks_that_take_or_return_no_picture_are_refused(frame):
    with pytest.raises(saved_models.ModelError, match=r"RGB or luma.* Received: a model for 5"):
        inferred_task.infer(network(identity(5), channels=5), frame)
    pooled = network(layers.GlobalAveragePooling2D())
    with pytest.raises(saved_models.ModelError, match="output"):
        inferred_task.infer(pooled, frame)
    x = keras.Input((None, None, 3))
    two = keras.Model(x, [identity()(x), identity()(x)])
    with pytest.raises(saved_models.ModelError, match=r"one output. Received: 2"):
        inferred_task.infer(two, frame)
