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
# Their tests get the marker `tools`; those of the library get `stacks`. A test of the tools that
# trains, saves or loads a network has `stacks` as well, in its own file.
TOOLS = {"io", "evaluation", "finetuning", "experiments", "fuzz", "test_cli.py"}
PROJECT = {"project"}


@pytest.hookimpl(tryfirst=True)  # before -m selects
def pytest_collection_modifyitems(items):
    for item in items:
        folder = item.path.relative_to(TESTS).parts[0]
        if folder in TOOLS:
            item.add_marker("tools")
        elif folder not in PROJECT:
            item.add_marker("stacks")
        if "chromium" in item.fixturenames:
            item.add_marker("browser")


@pytest.fixture(autouse=True)
def seeded():
    keras.utils.set_random_seed(1)


@pytest.fixture(autouse=True)
def backend():
    """Tests set the image backend as they like; each leaves it as it was."""
    before = ktr.image.get_backend()
    yield
    ktr.image.set_backend(before)
