"""Shared by all tests: a quiet TensorFlow, seeds, repeatable hypothesis, the backend put back."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import hypothesis
import pytest
from tensorflow import keras

import keras_temporal_reg as ktr

pytest_plugins = ["helpers.browser", "helpers.clips"]

hypothesis.settings.register_profile("ktr", max_examples=30, deadline=None, derandomize=True)
hypothesis.settings.register_profile("soak", max_examples=1000, deadline=None)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ktr"))


@pytest.fixture(autouse=True)
def seeded():
    keras.utils.set_random_seed(1)


@pytest.fixture(autouse=True)
def backend():
    """The image backend of before comes back after every test; tests set it as they like."""
    before = ktr.image.get_backend()
    yield
    ktr.image.set_backend(before)
