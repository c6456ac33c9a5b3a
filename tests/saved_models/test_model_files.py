"""Model files: told apart, refused where they would run code, and saved for Keras alone."""

import inspect
import os
import pathlib
import subprocess
import sys
import zipfile

import h5py
import numpy as np
import pytest
import tensorflow as tf
from helpers.models import KERAS_3, NAMES, OWN_FORMS, ROOT, config_file, network
from tensorflow import keras

import keras_temporal_reg as ktr
from keras_temporal_reg.saved_models import introspection, model_files
from keras_temporal_reg.tasks import _task as tasks

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


# What each stack's own files give.


@pytest.mark.parametrize("form", OWN_FORMS)
def test_a_saved_model_comes_back(form, model, tmp_path):
    path = tmp_path / NAMES[form]
    model_files.save(model, path, form)
    assert os.listdir(tmp_path) == [path.name]
    loaded = model_files.load(path, for_training=True)
    assert (loaded.form, loaded.path) == (form, path)
    assert [type(a).__name__ for a in loaded.model.layers] == [
        type(a).__name__ for a in model.layers
    ]
    x = np.random.default_rng(0).random((1, 16, 16, 3)).astype(np.float32)
    np.testing.assert_allclose(loaded.model(x), model(x), atol=1e-6)


@pytest.mark.parametrize("form", ["keras", "h5"])
def test_the_content_counts_and_not_the_suffix(form, model, tmp_path):
    path = tmp_path / "network.model"
    model_files.save(model, path, form)
    assert model_files.load(path).form == form
    renamed = path.rename(tmp_path / NAMES["h5" if form == "keras" else "keras"])
    assert model_files.load(renamed).form == form


def test_plain_keras_loads_what_was_saved(model, tmp_path):
    x = np.random.default_rng(0).random((1, 16, 16, 3)).astype(np.float32)
    np.savez(tmp_path / "example.npz", x=x, y=model(x))
    paths = [tmp_path / NAMES[form] for form in OWN_FORMS]
    regularized = ktr.RegularizedModel(model)
    for path, form in zip(paths, OWN_FORMS):
        model_files.save(regularized.base_model, path, form)
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


def test_of_a_regularized_model_the_network_comes_back(model, tmp_path):
    regularized = ktr.RegularizedModel(model, ktr.RandomAffine(seed=1))
    regularized(np.zeros((1, 16, 16, 3), np.float32))
    forms = ["keras"] if KERAS_3 else ["keras", "savedmodel"]
    for form in forms:
        path = tmp_path / NAMES[form]
        regularized.save(str(path))
        loaded = model_files.load(path, for_training=True).model
        assert not isinstance(loaded, ktr.RegularizedModel)
        assert loaded.count_params() == model.count_params()
        x = np.random.default_rng(0).random((1, 16, 16, 3)).astype(np.float32)
        np.testing.assert_allclose(loaded(x), model(x), atol=1e-6)


def test_an_own_loss_is_no_reason_to_refuse_a_model(model, tmp_path):
    def loss(y_true, y_pred):
        return tf.reduce_mean(tf.square(y_true - y_pred))

    compiled = keras.models.clone_model(model)
    compiled.compile("adam", loss)
    compiled.save(str(tmp_path / "network.keras"))
    compiled.save(str(tmp_path / "network.h5"))
    for name in ("network.keras", "network.h5"):
        assert model_files.load(tmp_path / name, for_training=True).model.count_params() > 0


# Files of the other stacks.


def check_example(loaded, folder):
    with np.load(folder / "example.npz") as example:
        made = loaded.predict(example["x"], verbose=0)
        np.testing.assert_allclose(made, example["y"], atol=1e-5)


def test_an_h5_file_of_keras_2_loads(foreign):
    folder = foreign("keras 2")
    loaded = model_files.load(folder / "network.h5", for_training=True).model
    assert loaded.trainable_variables
    check_example(loaded, folder)


def test_a_savedmodel_of_keras_2_loads_or_runs(foreign):
    folder = foreign("keras 2")
    loaded = model_files.load(folder / "network", for_training=not KERAS_3).model
    check_example(loaded, folder)
    assert introspection.check_fits(loaded, tasks.super_resolution, (16, 16)) == 2
    if KERAS_3:
        assert loaded.input_shape == (None, None, None, 3)
        with pytest.raises(
            model_files.ModelError, match=r"can run and not train.*TF_USE_LEGACY_KERAS=1"
        ):
            model_files.load(folder / "network", for_training=True)


def test_a_keras_file_of_keras_2(foreign):
    folder = foreign("keras 2")
    if KERAS_3:
        with pytest.raises(model_files.ModelError, match=r"Keras 2\.15.*TF_USE_LEGACY_KERAS=1 ktr"):
            model_files.load(folder / "network.keras")
    else:
        check_example(model_files.load(folder / "network.keras").model, folder)


def test_files_of_keras_3(foreign):
    folder = foreign("keras 3")
    for name in ("network.keras", "network.h5"):
        if KERAS_3:
            check_example(model_files.load(folder / name).model, folder)
        else:
            with pytest.raises(
                model_files.ModelError, match=r"Keras 3\..*without TF_USE_LEGACY_KERAS"
            ):
                model_files.load(folder / name)


# Code.


@pytest.fixture
def marker(tmp_path, monkeypatch):
    """A file that is there when the body of the Lambda layer of `with_lambda` ran."""
    monkeypatch.setenv("KTR_TEST_MARKER", str(tmp_path / "it ran"))
    return tmp_path / "it ran"


def with_lambda():
    def body(x):
        return (open(__import__("os").environ["KTR_TEST_MARKER"], "w").close(), x * 2.0)[1]

    body.__name__ = "<lambda>"  # which is what Keras goes by
    x = keras.Input((8, 8, 3))
    return keras.Model(x, keras.layers.Lambda(body, output_shape=(8, 8, 3))(x))


@pytest.mark.parametrize("form", OWN_FORMS)
def test_a_lambda_layer_runs_with_consent_only(form, tmp_path, marker):
    path = tmp_path / NAMES[form]
    options = {"save_format": "tf"} if form == "savedmodel" else {}
    with_lambda().save(str(path), **options)
    marker.unlink(missing_ok=True)
    with pytest.raises(model_files.ModelError, match=r"holds a Lambda layer.*--allow-code"):
        model_files.load(path)
    assert not marker.exists()
    loaded = model_files.load(path, allow_code=True).model
    loaded(np.ones((1, 8, 8, 3), np.float32))
    assert marker.exists()


def test_a_lambda_layer_within_another_model_is_found(tmp_path, marker):
    x = keras.Input((8, 8, 3))
    outer = keras.Model(x, with_lambda()(x))
    path = tmp_path / "network.h5"
    outer.save(str(path))
    marker.unlink(missing_ok=True)
    with pytest.raises(model_files.ModelError, match="a Lambda layer"):
        model_files.load(path)
    assert not marker.exists()


ATTACKS = {
    "module": ({"module": "os", "class_name": "function", "config": "system"}, r"os\.system"),
    "class": ({"module": "shutil", "class_name": "rmtree", "config": {}}, "module shutil"),
    "registered": ({"class_name": "Evil>Layer", "config": {}}, "package Evil"),
    "registered name": (
        {"module": None, "class_name": "Layer", "registered_name": "Evil>Layer"},
        "package Evil",
    ),
    "download": (
        {"module": "keras.utils", "class_name": "function", "config": "get_file"},
        "get_file",
    ),
    "builtin": ({"module": "builtins", "class_name": "function", "config": "eval"}, "eval"),
    "reached by a dot": (
        {"module": "keras.src.engine.training", "class_name": "os.system", "config": {}},
        "module keras",
    ),
    "function by a dot": (
        {"module": "keras.layers", "class_name": "function", "config": "os.system"},
        r"os\.system",
    ),
    "type": (
        {"class_name": "__typespec__", "spec_name": "os.system", "module": "tensorflow"},
        r"type os\.system",
    ),
    "tensorflow": (
        {"module": "tensorflow.io", "class_name": "function", "config": "write_file"},
        "write_file",
    ),
    "operation": (
        {"class_name": "TFOpLambda", "config": {"function": "io.write_file"}},
        r"tf\.io\.write_file",
    ),
    "v1 operation": (
        {"class_name": "TFOpLambda", "config": {"function": "compat.v1.py_func"}},
        "py_func",
    ),
    "lower case": ({"class_name": "lambda", "config": {}}, "a Lambda layer"),
    "nested file": ({"module": "keras.layers", "class_name": "TFSMLayer"}, "TFSMLayer"),
}


@pytest.mark.parametrize(("entry", "found"), ATTACKS.values(), ids=ATTACKS)
def test_what_could_run_code_is_refused(entry, found, tmp_path):
    config = {"class_name": "Functional", "config": {"layers": [{"config": {"activation": entry}}]}}
    path = config_file(tmp_path / "network.keras", config)
    with pytest.raises(model_files.ModelError, match=f"holds.*{found}.*run code.*--allow-code"):
        model_files.load(path)


@pytest.mark.skipif(KERAS_3, reason="networks of Keras 3 hold no TensorFlow functions")
def test_tensorflow_functions_in_a_network_are_none(tmp_path):
    x = keras.Input((None, None, 3))
    h = keras.layers.Conv2D(3, 1, activation=tf.nn.relu)(x)
    y = tf.clip_by_value(tf.image.resize(h, (8, 8)) * 2.0 + h[:, :8, :8], 0.0, 1.0)
    model = keras.Model(x, y)
    for form in OWN_FORMS:
        path = tmp_path / NAMES[form]
        model_files.save(model, path, form)
        assert model_files.load(path, for_training=True).form == form


@pytest.mark.parametrize("form", OWN_FORMS)
def test_a_layer_registered_by_others_needs_consent(form, tmp_path):
    @keras.utils.register_keras_serializable(package="somebody")
    class Own(keras.layers.Layer):
        def call(self, inputs):
            return inputs

    x = keras.Input((8, 8, 3))
    path = tmp_path / NAMES[form]
    model_files.save(keras.Model(x, Own()(x)), path, form)
    with pytest.raises(model_files.ModelError, match="holds an object of the package somebody"):
        model_files.load(path)
    assert model_files.load(path, allow_code=True).form == form


def test_a_graph_that_reads_files_needs_consent(tmp_path):
    class Reader(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec((None, None, None, 3))])
        def __call__(self, x):
            return x + tf.cast(tf.strings.length(tf.io.read_file("/etc/hostname")), tf.float32)

    reader = Reader()
    tf.saved_model.save(reader, str(tmp_path / "m"), {"serving_default": reader.__call__})
    with pytest.raises(model_files.ModelError, match="holds the operations ReadFile"):
        model_files.load(tmp_path / "m")
    assert model_files.load(tmp_path / "m", allow_code=True).form == "savedmodel"


# SavedModels that Keras did not make.


def test_a_savedmodel_of_plain_tensorflow_runs(tmp_path):
    class Doubler(tf.Module):
        def __init__(self):
            self.gain = tf.Variable(2.0)

        @tf.function(input_signature=[tf.TensorSpec((None, None, None, 3))])
        def __call__(self, x):
            return {"made": self.gain * x}

    doubler = Doubler()
    tf.saved_model.save(doubler, str(tmp_path / "m"), {"serving_default": doubler.__call__})
    with pytest.raises(model_files.ModelError, match="run and not train"):
        model_files.load(tmp_path / "m", for_training=True)
    model = model_files.load(tmp_path / "m").model
    x = np.ones((2, 8, 8, 3), np.float32)
    np.testing.assert_array_equal(model(x, training=False), 2.0 * x)
    np.testing.assert_array_equal(model.predict(x, verbose=0), 2.0 * x)
    assert model.output_shape[-1] == 3


# Broken files.


def test_a_missing_model_is_named(tmp_path):
    with pytest.raises(model_files.ModelError, match=r"none\.keras does not exist"):
        model_files.load(tmp_path / "none.keras")


def test_a_folder_of_anything_is_no_model(tmp_path):
    with pytest.raises(model_files.ModelError, match=r"without saved_model\.pb"):
        model_files.load(tmp_path)


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
def test_what_was_found_is_said(content, message, name, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(model_files.ModelError, match=message):
        model_files.load(tmp_path / name)


@pytest.mark.parametrize("form", ["keras", "h5"])
def test_a_truncated_file_is_broken(form, model, tmp_path):
    path = tmp_path / NAMES[form]
    model_files.save(model, path, form)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(model_files.ModelError, match="broken"):
        model_files.load(path)


def test_a_broken_savedmodel_is_named(tmp_path):
    (tmp_path / "saved_model.pb").write_bytes(b"\xff\xff\xff")
    with pytest.raises(model_files.ModelError, match=r"broken saved_model\.pb"):
        model_files.load(tmp_path)


def test_files_of_weights_only_are_told(model, tmp_path):
    model.save_weights(str(tmp_path / "network.weights.h5"))
    with pytest.raises(model_files.ModelError, match="holds weights only"):
        model_files.load(tmp_path / "network.weights.h5")


def test_an_h5_file_of_something_else(tmp_path):
    with h5py.File(tmp_path / "data.h5", "w") as opened:
        opened["pictures"] = np.zeros(3)
    with pytest.raises(model_files.ModelError, match="found: pictures"):
        model_files.load(tmp_path / "data.h5")


def test_a_zip_file_of_something_else(tmp_path):
    with zipfile.ZipFile(tmp_path / "data.keras", "w") as opened:
        opened.writestr("pictures", "none")
    with pytest.raises(model_files.ModelError, match=r"without config\.json"):
        model_files.load(tmp_path / "data.keras")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("{", "no JSON"),
        ("[" * 100_000, "no JSON"),
        ("[]", "describes no model"),
        ({"class_name": "Nothing", "config": {}}, "cannot be loaded"),
        ({}, "cannot be loaded"),
    ],
)
def test_a_config_of_nonsense(config, message, tmp_path):
    with pytest.raises(model_files.ModelError, match=message):
        model_files.load(config_file(tmp_path / "network.keras", config))


def test_a_zip_bomb_is_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(model_files, "MAX_CONFIG_BYTES", 2**20)
    with zipfile.ZipFile(tmp_path / "b.keras", "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("config.json", " " * (2**20 + 1))
    with pytest.raises(model_files.ModelError, match=r"at most 1 MiB of config\.json"):
        model_files.load(tmp_path / "b.keras")


# Saving.


def test_a_failure_leaves_the_earlier_model(model, tmp_path, monkeypatch):
    path = tmp_path / "network.keras"
    model_files.save(model, path, "keras")
    before = path.read_bytes()

    def fail(self, path, **kwargs):
        pathlib.Path(path).write_text("half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(type(model), "save", fail)
    with pytest.raises(OSError, match="No space left"):
        model_files.save(model, path, "keras")
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["network.keras"]


@pytest.mark.skipif(KERAS_3, reason="Keras 3 writes no SavedModel to train")
def test_a_savedmodel_replaces_one_but_nothing_else(model, tmp_path):
    path = tmp_path / "network"
    for _ in range(2):
        model_files.save(model, path, "savedmodel")
    assert os.listdir(tmp_path) == ["network"]
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "one.png").write_text("")
    with pytest.raises(model_files.ModelError, match="holds something else"):
        model_files.save(model, tmp_path / "photos", "savedmodel")
    (tmp_path / "file").write_text("")
    with pytest.raises(model_files.ModelError, match="is a file"):
        model_files.save(model, tmp_path / "file", "savedmodel")


@pytest.mark.skipif(not KERAS_3, reason="Keras 2 writes it")
def test_keras_3_writes_no_savedmodel(model, tmp_path):
    with pytest.raises(model_files.ModelError, match=r"suffix \.keras.*TF_USE_LEGACY_KERAS"):
        model_files.save(model, tmp_path / "network", "savedmodel")


def test_wrong_targets_of_saving(model, tmp_path):
    with pytest.raises(model_files.ModelError, match="form must be one of keras, h5, savedmodel"):
        model_files.save(model, tmp_path / "network", "onnx")
    with pytest.raises(model_files.ModelError, match="is a folder"):
        model_files.save(model, tmp_path, "keras")
