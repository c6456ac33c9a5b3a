"""Models are saved atomically, and Keras loads them without this package."""

import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from helpers.models import KERAS_3, NAMES, OWN_FORMATS, network
from tensorflow import keras

import keras_temporal_reg as ktr
from keras_temporal_reg import saved_models


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    return network()


@pytest.mark.slow
def test_plain_keras_loads_what_was_saved(model, tmp_path):
    x = np.random.default_rng(0).random((1, 16, 16, 3)).astype(np.float32)
    np.savez(tmp_path / "example.npz", x=x, y=model(x))
    paths = [tmp_path / NAMES[format] for format in OWN_FORMATS]
    regularized = ktr.RegularizedModel(model)
    for path, format in zip(paths, OWN_FORMATS):
        saved_models.save(regularized.base_model, path, format)
    script = """
import sys
sys.modules["keras_temporal_reg"] = None
import numpy as np
from tensorflow import keras
example = np.load(sys.argv[1])
for path in sys.argv[2:]:
    made = keras.models.load_model(path).predict(example["x"], verbose=0)
    np.testing.assert_allclose(made, example["y"], atol=1e-5)
print("loaded", len(sys.argv[2:]))
"""
    done = subprocess.run(
        [sys.executable, "-c", script, tmp_path / "example.npz", *paths],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1"},
    )
    assert done.stdout.strip().endswith(f"loaded {len(paths)}"), done.stderr[-3000:]


def test_a_failure_leaves_the_earlier_model(model, tmp_path, monkeypatch):
    path = tmp_path / "network.keras"
    saved_models.save(model, path, "keras")
    before = path.read_bytes()

    def fail(self, path, **kwargs):
        pathlib.Path(path).write_text("half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(type(model), "save", fail)
    with pytest.raises(OSError, match="No space left"):
        saved_models.save(model, path, "keras")
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["network.keras"]


@pytest.mark.skipif(KERAS_3, reason="Keras 3 writes no SavedModel to train")
def test_a_savedmodel_replaces_one_but_nothing_else(model, tmp_path):
    path = tmp_path / "network"
    for _ in range(2):
        saved_models.save(model, path, "savedmodel")
    assert os.listdir(tmp_path) == ["network"]
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "one.png").write_text("")
    with pytest.raises(saved_models.ModelError, match="holds something else"):
        saved_models.save(model, tmp_path / "photos", "savedmodel")
    (tmp_path / "file").write_text("")
    with pytest.raises(saved_models.ModelError, match="is a file"):
        saved_models.save(model, tmp_path / "file", "savedmodel")


@pytest.mark.skipif(not KERAS_3, reason="Keras 2 writes it")
def test_keras_3_writes_no_savedmodel(model, tmp_path):
    with pytest.raises(saved_models.ModelError, match=r"suffix \.keras.*TF_USE_LEGACY_KERAS"):
        saved_models.save(model, tmp_path / "network", "savedmodel")


def test_wrong_targets_of_saving(model, tmp_path):
    with pytest.raises(
        saved_models.ModelError, match="format must be one of keras, h5, savedmodel"
    ):
        saved_models.save(model, tmp_path / "network", "onnx")
    with pytest.raises(saved_models.ModelError, match="is a folder"):
        saved_models.save(model, tmp_path, "keras")
