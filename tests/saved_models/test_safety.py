"""Configs and graphs that could run code are refused; `_safety` has the threat model."""

import ast
import pathlib

import numpy as np
import pytest
import tensorflow as tf
from helpers.models import (
    KERAS_3,
    NAMES,
    OWN_FORMATS,
    config_file,
    functional,
    h5_file,
    trainable,
)
from tensorflow import keras

import keras_temporal_reg as ktr
from keras_temporal_reg import saved_models

PACKAGE = pathlib.Path(ktr.__file__).parent


RUNS_CODE = r"holds .*loading it would run code.*--allow-code"


def that_calls(function, first, **others):
    """A layer of Keras 2 that calls a function of TensorFlow while the model is loaded."""
    return {
        "class_name": "TFOpLambda",
        "name": "call",
        "config": {"name": "call", "function": function},
        "inbound_nodes": [["_CONSTANT_VALUE", -1, first, others]],
    }


def test_a_function_that_writes_files_is_not_called(tmp_path):
    written = tmp_path / "written.png"
    layer = that_calls("keras.utils.save_img", str(written), x=[[[0.0]]])
    path = h5_file(tmp_path / "m.h5", functional(layer))
    with pytest.raises(saved_models.ModelError, match=RUNS_CODE):
        saved_models.load(path)
    assert not written.exists()
    if not KERAS_3:  # where it does so, or this test would prove nothing
        with pytest.raises(saved_models.ModelError, match="cannot be loaded"):
            saved_models.load(path, allow_code=True)
        assert written.exists()


CODE = {
    "writes an image": that_calls("keras.utils.save_img", "x"),
    "loads a model": that_calls("keras.models.load_model", "x"),
    "downloads": that_calls("keras.utils.get_file", "x"),
    "loads a library": that_calls("compat.v1.load_file_system_library", "x"),
    "prints to a file": that_calls("compat.v1.Print", "x"),
    "runs a graph": that_calls("compat.v1.import_graph_def", "x"),
    "writes logs": that_calls("summary.create_file_writer", "x"),
    "writes data": that_calls("data.Dataset.save", "x"),
    "is a method": {
        "class_name": "ClassMethod",
        "config": {"cls_symbol": "io.TFRecordWriter", "method_name": "write"},
    },
    "is an operation": {
        "class_name": "TensorFlowOpLayer",
        "config": {"node_def": {"name": "w", "op": "WriteFile"}},
    },
    "is an unread operation": {"class_name": "TensorFlowOpLayer", "config": {"node_def": "\n\x01"}},
    "reads a file": {"class_name": "StringLookup", "config": {"vocabulary": "/etc/hostname"}},
    "is a function in place of a class": {
        "module": "keras.src.utils.data_utils",
        "class_name": "urlretrieve",
        "config": {},
    },
    "is a function of this package": {
        "module": "keras_temporal_reg.io.image_files",
        "class_name": "function",
        "config": "write",
    },
    "is a Lambda layer": {"class_name": "Lambda", "module": "keras.layers", "config": {}},
}


WRAPPINGS = {
    "alone": lambda entry: entry,
    "in a layer": lambda entry: {
        "module": "keras.layers",
        "class_name": "TimeDistributed",
        "registered_name": None,
        "config": {"layer": entry},
    },
    "in a model in a model": lambda entry: functional(functional(entry)),
    "in a regularized model": lambda entry: {
        "module": "keras_temporal_reg.model",
        "class_name": "RegularizedModel",
        "registered_name": "keras_temporal_reg>RegularizedModel",
        "config": {"base_model": functional(), "perturbation": entry},
    },
    "compiled within": lambda entry: functional(
        {**functional(), "compile_config": {"loss": entry}}
    ),
    "in how it is built": lambda entry: {**functional(), "build_config": {"input_shape": [entry]}},
    "in a list in a list": lambda entry: functional({"inbound_nodes": [[[["x", 0, 0, entry]]]]}),
}


@pytest.mark.parametrize("entry", CODE.values(), ids=CODE)
def test_no_layer_of_a_file_may_do_more_than_compute(entry, tmp_path):
    for make, name in ((config_file, "m.keras"), (h5_file, "m.h5")):
        with pytest.raises(saved_models.ModelError, match=RUNS_CODE):
            saved_models.load(make(tmp_path / name, functional(entry)))


@pytest.mark.parametrize("wrapped", WRAPPINGS.values(), ids=WRAPPINGS)
def test_code_is_found_wherever_it_hides(wrapped, tmp_path):
    entry = {"class_name": "__lambda__", "config": {"value": "4wAAAAAA"}}
    for make, name in ((config_file, "m.keras"), (h5_file, "m.h5")):
        with pytest.raises(saved_models.ModelError, match=RUNS_CODE):
            saved_models.load(make(tmp_path / name, wrapped(entry)))


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
def test_objects_that_could_run_code_are_refused(entry, found, tmp_path):
    config = {"class_name": "Functional", "config": {"layers": [{"config": {"activation": entry}}]}}
    path = config_file(tmp_path / "network.keras", config)
    with pytest.raises(saved_models.ModelError, match=f"holds.*{found}.*run code.*--allow-code"):
        saved_models.load(path)


@pytest.fixture
def marker(tmp_path, monkeypatch):
    """A file that is there when the body of the Lambda layer of `lambda_model` ran."""
    monkeypatch.setenv("KTR_TEST_MARKER", str(tmp_path / "it ran"))
    return tmp_path / "it ran"


def lambda_model():
    def body(x):
        return (open(__import__("os").environ["KTR_TEST_MARKER"], "w").close(), x * 2.0)[1]

    body.__name__ = "<lambda>"  # which is what Keras goes by
    x = keras.Input((8, 8, 3))
    return keras.Model(x, keras.layers.Lambda(body, output_shape=(8, 8, 3))(x))


@pytest.mark.parametrize("format", OWN_FORMATS)
def test_a_lambda_layer_runs_with_consent_only(format, tmp_path, marker):
    path = tmp_path / NAMES[format]
    options = {"save_format": "tf"} if format == "savedmodel" else {}
    lambda_model().save(str(path), **options)
    marker.unlink(missing_ok=True)
    with pytest.raises(saved_models.ModelError, match=r"holds a Lambda layer.*--allow-code"):
        saved_models.load(path)
    assert not marker.exists()
    loaded = saved_models.load(path, allow_code=True).model
    loaded(np.ones((1, 8, 8, 3), np.float32))
    assert marker.exists()


def test_a_lambda_layer_within_another_model_is_found(tmp_path, marker):
    x = keras.Input((8, 8, 3))
    outer = keras.Model(x, lambda_model()(x))
    path = tmp_path / "network.h5"
    outer.save(str(path))
    marker.unlink(missing_ok=True)
    with pytest.raises(saved_models.ModelError, match="a Lambda layer"):
        saved_models.load(path)
    assert not marker.exists()


@pytest.mark.skipif(KERAS_3, reason="networks of Keras 3 hold no TensorFlow functions")
def test_tensorflow_functions_that_compute_are_allowed(tmp_path):
    x = keras.Input((None, None, 3))
    h = keras.layers.Conv2D(3, 1, activation=tf.nn.relu)(x)
    y = tf.clip_by_value(tf.image.resize(h, (8, 8)) * 2.0 + h[:, :8, :8], 0.0, 1.0)
    model = keras.Model(x, y)
    for format in OWN_FORMATS:
        path = tmp_path / NAMES[format]
        saved_models.save(model, path, format)
        assert saved_models.load(path, for_training=True).format == format


@pytest.mark.parametrize("format", OWN_FORMATS)
def test_a_layer_registered_by_others_needs_consent(format, tmp_path):
    @keras.utils.register_keras_serializable(package="somebody")
    class Own(keras.layers.Layer):
        def call(self, inputs):
            return inputs

    x = keras.Input((8, 8, 3))
    path = tmp_path / NAMES[format]
    saved_models.save(keras.Model(x, Own()(x)), path, format)
    with pytest.raises(saved_models.ModelError, match="holds an object of the package somebody"):
        saved_models.load(path)
    assert saved_models.load(path, allow_code=True).format == format


def graph_of(call):
    class Called(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec((None, None, None, 3))])
        def __call__(self, x):
            with tf.control_dependencies([call(x)]):
                return tf.identity(x)

    return Called()


def inner(x):
    """An operation two functions further in."""
    return tf.cond(tf.size(x) > 0, lambda: tf.function(writes)(x), lambda: tf.constant(False))


def writes(x):
    with tf.control_dependencies([tf.io.write_file("/nowhere/file", "text")]):
        return tf.constant(True)


def written_as_checkpoint(x):
    return tf.raw_ops.SaveV2(prefix="/nowhere/x", tensor_names=["x"], shape_and_slices=[""], tensors=[x])  # fmt: skip # noqa: E501


GRAPHS = {
    "WriteFile": writes,
    "WriteFile ": inner,
    "MatchingFiles": lambda x: tf.io.matching_files("/etc/*"),
    "EagerPyFunc": lambda x: tf.py_function(lambda: 1.0, [], tf.float32),
    "PrintV2": lambda x: tf.print(x, output_stream="file:///nowhere/file"),
    "TFRecordDataset": lambda x: tf.data.TFRecordDataset("/nowhere/file").reduce(
        tf.constant(0), lambda a, b: a + 1
    ),
    "SaveV2": written_as_checkpoint,
    "RestoreV2": lambda x: tf.raw_ops.RestoreV2(
        prefix="/nowhere/x", tensor_names=["x"], shape_and_slices=[""], dtypes=[tf.float32]
    )[0],
}


@pytest.mark.parametrize("name", GRAPHS)
def test_a_graph_that_uses_files_or_python_needs_consent(name, tmp_path):
    module = graph_of(GRAPHS[name])
    tf.saved_model.save(module, str(tmp_path / "m"), {"serving_default": module.__call__})
    with pytest.raises(saved_models.ModelError, match=rf"holds the operations .*{name.strip()}"):
        saved_models.load(tmp_path / "m")
    saved_models.load(tmp_path / "m", allow_code=True)


def test_a_graph_with_variables_is_loaded(tmp_path):
    # All of them have operations that save and restore, which nothing calls.
    model = trainable()
    if KERAS_3:
        model.export(str(tmp_path / "m"), verbose=False)
    else:
        model.save(str(tmp_path / "m"), save_format="tf")
    x = np.random.default_rng(0).random((1, 8, 8, 3)).astype(np.float32)
    np.testing.assert_allclose(saved_models.load(tmp_path / "m").model(x), model(x), atol=1e-6)


def test_a_graph_that_reads_files_needs_consent(tmp_path):
    class Reader(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec((None, None, None, 3))])
        def __call__(self, x):
            return x + tf.cast(tf.strings.length(tf.io.read_file("/etc/hostname")), tf.float32)

    reader = Reader()
    tf.saved_model.save(reader, str(tmp_path / "m"), {"serving_default": reader.__call__})
    with pytest.raises(saved_models.ModelError, match="holds the operations ReadFile"):
        saved_models.load(tmp_path / "m")
    assert saved_models.load(tmp_path / "m", allow_code=True).format == "savedmodel"


def test_python_files_beside_a_model_are_not_run(tmp_path, monkeypatch):
    for module in ("h5py", "numpy", "contextlib"):
        (tmp_path / f"{module}.py").write_text("open('ran', 'w')")
    layer = keras.layers.Conv2D(3, 3, padding="same")
    model = keras.Sequential([keras.Input((None, None, 3)), layer])
    saved_models.save(model, tmp_path / "model.h5", "h5")
    monkeypatch.chdir(tmp_path)
    saved_models.load("model.h5")
    assert not (tmp_path / "ran").exists()


def test_the_package_neither_pickles_nor_evaluates_strings():
    suspicious = {"pickle", "marshal", "dill", "cloudpickle", "shelve", "eval", "exec"}
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = set()
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                names = {alias.name.split(".")[0] for alias in node.names}
            if isinstance(node, ast.Call):
                function = node.func
                names |= {getattr(function, "id", ""), getattr(function, "attr", "")}
                assert "allow_pickle" not in [k.arg for k in node.keywords], path
            assert not names & suspicious, (path, node.lineno)
