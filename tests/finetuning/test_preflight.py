"""What is checked before a fine-tuning starts."""

import importlib.util
import os

import pytest
from tensorflow import keras

from keras_temporal_reg import saved_models
from keras_temporal_reg.finetuning import preflight
from keras_temporal_reg.finetuning.config import SEARCH_PACKAGES, FinetuneConfig


def without(monkeypatch, *names):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name in names else find(name)
    )


def network(trainable=True):
    layer = keras.layers.Conv2D(3, 3, padding="same", trainable=trainable)
    return keras.Sequential([keras.Input((None, None, 3)), layer])


@pytest.mark.parametrize("name", SEARCH_PACKAGES)
def test_a_strength_needs_the_extra(name, monkeypatch):
    preflight.check_packages(FinetuneConfig(strength=0.5))
    without(monkeypatch, name)
    message = rf"strength 0\.5 needs {name}: pip install keras-temporal-reg\[video\]"
    with pytest.raises(ImportError, match=message):
        preflight.check_packages(FinetuneConfig(strength=0.5))
    for config in (FinetuneConfig(), FinetuneConfig(alpha=0.5)):
        preflight.check_packages(config)  # which train one network


def test_logs_need_tensorboard(monkeypatch):
    without(monkeypatch, "tensorboard")
    with pytest.raises(ImportError, match="logs need pip install tensorboard"):
        preflight.check_packages(FinetuneConfig(alpha=0.5, logs="logs"))
    preflight.check_packages(FinetuneConfig(alpha=0.5))


def test_the_output_is_another_file_that_can_be_written(tmp_path):
    model = tmp_path / "a.keras"
    model.write_bytes(b"")
    preflight.check_output(model, tmp_path / "b.keras", "keras")
    for output in (model, tmp_path / "x" / ".." / "a.keras", model / "b.keras"):
        with pytest.raises(ValueError, match="output must be another file than model"):
            preflight.check_output(model, output, "keras")
    (tmp_path / "taken").write_text("")
    with pytest.raises(OSError, match=r"output folder .*taken cannot be written"):
        preflight.check_output(model, tmp_path / "taken" / "b.keras", "keras")


def test_a_model_is_saved_and_loaded_on_trial_without_a_trace(tmp_path, monkeypatch):
    preflight.check_model(network(), tmp_path / "b.keras", "keras")
    assert os.listdir(tmp_path) == []
    with pytest.raises(ValueError, match="weights to train"):
        preflight.check_model(network(trainable=False), tmp_path / "b.keras", "keras")

    def fail(*arguments):
        raise NotImplementedError("no such layer")

    monkeypatch.setattr(saved_models, "save", fail)
    with pytest.raises(saved_models.ModelError, match=r"in the format h5 \(no such layer\)"):
        preflight.check_model(network(), tmp_path / "b.h5", "h5")
    assert os.listdir(tmp_path) == []
