"""Models of every format and stack load with their weights; the oracle is their own output."""

import inspect
import os
import subprocess
import zipfile

import h5py
import numpy as np
import pytest
import tensorflow as tf
from helpers.models import KERAS_3, NAMES, OWN_FORMATS, ROOT, config_file, network
from tensorflow import keras

import keras_temporal_reg as ktr
from keras_temporal_reg import saved_models
from keras_temporal_reg.saved_models import introspection

STACK = "keras 3" if KERAS_3 else "keras 2" if tf.__version__ < "2.16" else "tf_keras"


PYTHONS = {"keras 2": ROOT / ".venv-addons/bin/python", "keras 3": ROOT / ".venv/bin/python"}


MAKE = f"""
import sys, numpy as np
from tensorflow import keras
{inspect.getsource(network)}
keras.utils.set_random_seed(0)
model, folder = network(), sys.argv[1]
model.save(folder + "/network.keras")
model.save(folder + "/network.h5")
if not hasattr(keras, "ops"):
    model.save(folder + "/network", save_format="tf")
x = np.random.default_rng(0).random((1, 16, 16, 3)).astype("float32")
np.savez(folder + "/example.npz", x=x, y=model.predict(x, verbose=0))
"""


@pytest.fixture(scope="session")
def foreign(tmp_path_factory):
    """A function from the name of a stack to a folder of what it saved."""
    made = {}

    def files_of(stack):
        if stack not in made:
            if not PYTHONS[stack].exists():
                pytest.skip(f"needs {PYTHONS[stack]}")
            folder = tmp_path_factory.mktemp(stack.replace(" ", ""))
            environment = {k: v for k, v in os.environ.items() if k != "TF_USE_LEGACY_KERAS"}
            subprocess.run(
                [PYTHONS[stack], "-c", MAKE, folder],
                check=True,
                capture_output=True,
                timeout=300,
                env={**environment, "CUDA_VISIBLE_DEVICES": "-1"},
            )
            made[stack] = folder
        return made[stack]

    return files_of


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    return network()


@pytest.mark.parametrize("format", OWN_FORMATS)
def test_a_saved_model_comes_back(format, model, tmp_path):
    path = tmp_path / NAMES[format]
    saved_models.save(model, path, format)
    assert os.listdir(tmp_path) == [path.name]
    loaded = saved_models.load(path, for_training=True)
    assert (loaded.format, loaded.path) == (format, path)
    assert [type(a).__name__ for a in loaded.model.layers] == [
        type(a).__name__ for a in model.layers
    ]
    x = np.random.default_rng(0).random((1, 16, 16, 3)).astype(np.float32)
    np.testing.assert_allclose(loaded.model(x), model(x), atol=1e-6)


@pytest.mark.parametrize("format", ["keras", "h5"])
def test_a_model_is_recognized_by_content_and_not_by_suffix(format, model, tmp_path):
    path = tmp_path / "network.model"
    saved_models.save(model, path, format)
    assert saved_models.load(path).format == format
    renamed = path.rename(tmp_path / NAMES["h5" if format == "keras" else "keras"])
    assert saved_models.load(renamed).format == format


def test_a_regularized_model_loads_as_its_base_model(model, tmp_path):
    regularized = ktr.RegularizedModel(model, ktr.RandomAffine(seed=1))
    regularized(np.zeros((1, 16, 16, 3), np.float32))
    formats = ["keras"] if KERAS_3 else ["keras", "savedmodel"]
    for format in formats:
        path = tmp_path / NAMES[format]
        regularized.save(str(path))
        loaded = saved_models.load(path, for_training=True).model
        assert not isinstance(loaded, ktr.RegularizedModel)
        assert loaded.count_params() == model.count_params()
        x = np.random.default_rng(0).random((1, 16, 16, 3)).astype(np.float32)
        np.testing.assert_allclose(loaded(x), model(x), atol=1e-6)


def test_a_model_compiled_with_a_custom_loss_loads(model, tmp_path):
    def loss(y_true, y_pred):
        return tf.reduce_mean(tf.square(y_true - y_pred))

    compiled = keras.models.clone_model(model)
    compiled.compile("adam", loss)
    compiled.save(str(tmp_path / "network.keras"))
    compiled.save(str(tmp_path / "network.h5"))
    for name in ("network.keras", "network.h5"):
        assert saved_models.load(tmp_path / name, for_training=True).model.count_params() > 0


def check_example(loaded, folder):
    with np.load(folder / "example.npz") as example:
        made = loaded.predict(example["x"], verbose=0)
        np.testing.assert_allclose(made, example["y"], atol=1e-5)


@pytest.mark.slow
def test_an_h5_file_of_keras_2_loads(foreign):
    folder = foreign("keras 2")
    loaded = saved_models.load(folder / "network.h5", for_training=True).model
    assert loaded.trainable_variables
    check_example(loaded, folder)


def test_a_savedmodel_of_keras_2_loads_or_runs(foreign):
    folder = foreign("keras 2")
    loaded = saved_models.load(folder / "network", for_training=not KERAS_3).model
    check_example(loaded, folder)
    assert introspection.check_fits(loaded, ktr.tasks.super_resolution, (16, 16)) == 2
    if KERAS_3:
        assert loaded.input_shape == (None, None, None, 3)
        with pytest.raises(
            saved_models.ModelError, match=r"can run and not train.*TF_USE_LEGACY_KERAS=1"
        ):
            saved_models.load(folder / "network", for_training=True)


def test_a_keras_file_of_keras_2(foreign):
    folder = foreign("keras 2")
    if KERAS_3:
        with pytest.raises(
            saved_models.ModelError, match=r"Keras 2\.15.*TF_USE_LEGACY_KERAS=1 ktr"
        ):
            saved_models.load(folder / "network.keras")
    else:
        check_example(saved_models.load(folder / "network.keras").model, folder)


@pytest.mark.slow
def test_files_of_keras_3(foreign):
    folder = foreign("keras 3")
    for name in ("network.keras", "network.h5"):
        if KERAS_3:
            check_example(saved_models.load(folder / name).model, folder)
        else:
            with pytest.raises(
                saved_models.ModelError, match=r"Keras 3\..*without TF_USE_LEGACY_KERAS"
            ):
                saved_models.load(folder / name)


def test_a_savedmodel_of_plain_tensorflow_runs(tmp_path):
    class Doubler(tf.Module):
        def __init__(self):
            self.gain = tf.Variable(2.0)

        @tf.function(input_signature=[tf.TensorSpec((None, None, None, 3))])
        def __call__(self, x):
            return {"made": self.gain * x}

    doubler = Doubler()
    tf.saved_model.save(doubler, str(tmp_path / "m"), {"serving_default": doubler.__call__})
    with pytest.raises(saved_models.ModelError, match="run and not train"):
        saved_models.load(tmp_path / "m", for_training=True)
    model = saved_models.load(tmp_path / "m").model
    x = np.ones((2, 8, 8, 3), np.float32)
    np.testing.assert_array_equal(model(x, training=False), 2.0 * x)
    np.testing.assert_array_equal(model.predict(x, verbose=0), 2.0 * x)
    assert model.output_shape[-1] == 3


def test_a_missing_model_is_named(tmp_path):
    with pytest.raises(saved_models.ModelError, match=r"none\.keras does not exist"):
        saved_models.load(tmp_path / "none.keras")


def test_a_folder_of_other_files_is_refused(tmp_path):
    with pytest.raises(saved_models.ModelError, match=r"without saved_model\.pb"):
        saved_models.load(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "an empty file"),
        (b"hello world", "starts with b'hello wo'"),
        (b"PK\x03\x04 and no more", "broken zip"),
        (b"\x89HDF\r\n\x1a\n and no more", "broken H5"),
    ],
)
@pytest.mark.parametrize("name", ["network.keras", "network.h5"])
def test_an_error_says_what_was_found(content, message, name, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(saved_models.ModelError, match=message):
        saved_models.load(tmp_path / name)


@pytest.mark.parametrize("format", ["keras", "h5"])
def test_a_truncated_file_is_broken(format, model, tmp_path):
    path = tmp_path / NAMES[format]
    saved_models.save(model, path, format)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(saved_models.ModelError, match="broken"):
        saved_models.load(path)


def test_a_broken_savedmodel_is_named(tmp_path):
    (tmp_path / "saved_model.pb").write_bytes(b"\xff\xff\xff")
    with pytest.raises(saved_models.ModelError, match=r"broken saved_model\.pb"):
        saved_models.load(tmp_path)


def test_files_of_weights_only_are_named(model, tmp_path):
    model.save_weights(str(tmp_path / "network.weights.h5"))
    with pytest.raises(saved_models.ModelError, match="holds weights only"):
        saved_models.load(tmp_path / "network.weights.h5")


def test_an_h5_file_of_something_else(tmp_path):
    with h5py.File(tmp_path / "data.h5", "w") as opened:
        opened["images"] = np.zeros(3)
    with pytest.raises(saved_models.ModelError, match="found: images"):
        saved_models.load(tmp_path / "data.h5")


def test_a_zip_file_of_something_else(tmp_path):
    with zipfile.ZipFile(tmp_path / "data.keras", "w") as opened:
        opened.writestr("images", "none")
    with pytest.raises(saved_models.ModelError, match=r"without config\.json"):
        saved_models.load(tmp_path / "data.keras")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "not a JSON object"),
        ({"class_name": "Nothing", "config": {}}, "cannot be loaded"),
        ({}, "cannot be loaded"),
    ],
)
def test_a_config_that_describes_no_model_is_refused(config, message, tmp_path):
    with pytest.raises(saved_models.ModelError, match=message):
        saved_models.load(config_file(tmp_path / "network.keras", config))
