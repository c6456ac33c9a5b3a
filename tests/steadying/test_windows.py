"""Crops of networks that look at a neighbourhood; whole frames of those that look at all."""

import numpy as np
import pytest
from helpers.footage import flickering, moving
from tensorflow import keras

from keras_temporal_reg.data._crops import CropShape
from keras_temporal_reg.steadying import windows

layers = keras.layers


@pytest.fixture(scope="module")
def frames():
    return moving(3, 160, 224)


def with_global_branch():
    x = keras.Input((None, None, 3))
    h = layers.Conv2D(4, 3, padding="same", activation="relu")(x)
    pooled = layers.GlobalAveragePooling2D(keepdims=True)(
        layers.Conv2D(3, 1, kernel_initializer="ones")(x)
    )
    return keras.Model(x, layers.Add()([layers.Conv2D(3, 1)(h), layers.Rescaling(9.0)(pooled)]))


def test_a_local_network_is_trained_on_the_smallest_crops(frames):
    window = windows.choose(flickering(), frames, 1)
    assert window.shape == CropShape(64, 64) and not window.is_whole
    assert "Crops of 64 x 64" in window.reason and "0 % of contrast" in window.reason


def test_a_network_with_a_global_branch_is_trained_on_whole_frames(frames):
    window = windows.choose(with_global_branch(), frames, 1)
    assert window.shape == CropShape(160, 224) and window.is_whole
    assert window.reason.startswith("Whole frames, since what the network makes of a crop differs")


def test_small_frames_are_trained_on_whole():
    window = windows.choose(flickering(), moving(2, 48, 64), 1)
    assert window.shape == CropShape(48, 64) and window.is_whole


def test_sizes_fit_the_poolings_of_the_network():
    x = keras.Input((None, None, 3))
    h = layers.MaxPooling2D(8)(x)
    model = keras.Model(x, layers.Concatenate()([layers.UpSampling2D(8)(h), x]))
    model = keras.Model(x, layers.Conv2D(3, 1)(model.output))
    assert windows.choose(model, moving(2, 50, 61), 1).shape == CropShape(48, 56)


def test_a_fixed_size_is_taken(frames):
    model = keras.Sequential([keras.Input((32, 48, 3)), layers.Conv2D(3, 3, padding="same")])
    assert windows.choose(model, frames, 1).shape == CropShape(32, 48)


def test_a_given_crop_is_taken(frames):
    assert windows.choose(with_global_branch(), frames, 1, crop=32).shape == CropShape(32, 32)


def test_samples_are_spread_evenly():
    assert windows.sample_frames(np.arange(9)[:, np.newaxis])[:, 0].tolist() == [0, 4, 8]
