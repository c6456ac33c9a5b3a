"""Shared by all tests: markers by folder, a quiet TensorFlow, seeds, the image backend reset."""

import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import hypothesis
import pytest
from tensorflow import keras

import keras_temporal_reg as ktr

pytest_plugins = ["helpers.browser", "helpers.clips", "helpers.memory"]

hypothesis.settings.register_profile("ktr", max_examples=30, deadline=None, derandomize=True)
hypothesis.settings.register_profile("soak", max_examples=1000, deadline=None)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ktr"))

TESTS = pathlib.Path(__file__).parent
# Markers by folder; pyproject.toml explains them. What is not listed tests the library on Keras.
MARKERS = {
    "core": ["stacks"],
    "losses": ["stacks", "keras", "wheel"],
    "metrics": ["stacks"],
    "tasks": ["stacks"],
    "test_image.py": ["stacks"],
    "transforms": ["stacks"],
    "evaluation": ["tools", "stacks"],
    "experiments": ["tools"],
    "finetuning": ["tools", "stacks", "keras"],
    "fuzz": ["tools"],
    "io": ["tools", "stacks"],
    "project": [],
    "steadying": ["tools", "stacks"],
    "system": ["system", "stacks", "keras"],
    "test_cli.py": ["tools", "wheel"],
}


@pytest.hookimpl(tryfirst=True)  # before -m selects
def pytest_collection_modifyitems(items):
    for item in items:
        folder = item.path.relative_to(TESTS).parts[0]
        markers = MARKERS.get(folder, ["stacks", "keras"])
        for marker in [*markers, "browser"] if "chromium" in item.fixturenames else markers:
            item.add_marker(marker)


@pytest.fixture(autouse=True)
def seeded():
    keras.utils.set_random_seed(1)


@pytest.fixture(autouse=True)
def backend():
    """Tests set the image backend as they like; each leaves it as it was."""
    before = ktr.image.get_backend()
    yield
    ktr.image.set_backend(before)
