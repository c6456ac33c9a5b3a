"""Models with layers and functions of the user's own."""

import numpy as np
import pytest
from helpers.models import KERAS_3
from tensorflow import keras

from keras_temporal_reg import saved_models

SOURCE = """
from tensorflow import keras

import my_{name}_helper

class Scale_{name}(keras.layers.Layer):
    def __init__(self, gain=2.0, **options):
        super().__init__(**options)
        self.gain = gain

    def call(self, x):
        return x * self.gain

    def get_config(self):
        return {{**super().get_config(), "gain": self.gain}}

def halved_{name}(x):
    return my_{name}_helper.HALF * x
"""


@pytest.fixture
def written(tmp_path, request):
    """A function of a module name: writes its file, with a helper beside it."""

    def write(name):
        (tmp_path / f"my_{name}_helper.py").write_text("HALF = 0.5\n")
        (tmp_path / f"my_{name}.py").write_text(SOURCE.format(name=name))
        return tmp_path / f"my_{name}.py"

    return write


def own_objects(path, name):
    """The objects of the file as a user's own script has them."""
    space = {"__name__": path.stem}
    source = (
        path.read_text()
        .replace(f"import my_{name}_helper", "")
        .replace(f"my_{name}_helper.HALF", "0.5")
    )
    exec(source, space)
    return space[f"Scale_{name}"], space[f"halved_{name}"]


@pytest.mark.parametrize("format", ["keras", "h5"])
def test_a_file_defines_what_a_model_holds(format, written, tmp_path):
    name = f"objects_{format}"
    scale, halved = own_objects(written(name), name)
    if format == "h5" and not KERAS_3:
        halved = None  # Keras 2 writes functions to H5 files that it cannot read again
    layer = keras.layers.Conv2D(3, 1, activation=halved)
    model = keras.Sequential([keras.Input((8, 8, 3)), layer, scale(0.7)])
    path = tmp_path / f"model.{format}"
    saved_models.save(model, path, format)
    x = np.random.default_rng(0).random((1, 8, 8, 3)).astype(np.float32)
    with pytest.raises(saved_models.ModelError, match=rf"Scale_{name}.*--custom-objects FILE"):
        saved_models.load(path, allow_code=True)
    for given in (tmp_path / f"my_{name}.py", {f"Scale_{name}": scale, f"halved_{name}": halved}):
        loaded = saved_models.load(path, allow_code=True, custom_objects=given).model
        np.testing.assert_allclose(loaded(x), model(x), atol=1e-6)


def test_consent_is_asked_before_the_file_is_run(written, tmp_path):
    path = written("consent")
    path.write_text("raise SystemExit('it ran')")
    with pytest.raises(saved_models.ModelError, match=r"allow it with --allow-code .*Received: "):
        saved_models.load(tmp_path / "none.keras", custom_objects=path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "must be a Python file that exists"),
        ("import missing_module", r"cannot be imported \(ModuleNotFoundError"),
        ("def f(:", r"cannot be imported \(SyntaxError"),
        ("from tensorflow import keras\nGAIN = 2", "must be classes or functions. Received: none"),
    ],
)
def test_files_without_objects_are_refused(content, message, tmp_path):
    path = tmp_path / "odd_objects.py"
    if content is not None:
        path.write_text(content)
    with pytest.raises(saved_models.ModelError, match=message):
        saved_models.load(tmp_path / "m.keras", allow_code=True, custom_objects=path)


def test_a_model_without_a_class_is_told_which(tmp_path):
    class Nowhere(keras.layers.Layer):
        def call(self, x):
            return x

    model = keras.Sequential([keras.Input((8, 8, 3)), Nowhere()])
    saved_models.save(model, tmp_path / "m.h5", "h5")
    with pytest.raises(
        saved_models.ModelError, match=r"m\.h5 cannot .* holds Nowhere, which neither"
    ):
        saved_models.load(tmp_path / "m.h5")


def test_the_consent_for_an_own_layer_names_the_file_too(tmp_path):
    @keras.utils.register_keras_serializable(package="somebody_else")
    class Own(keras.layers.Layer):
        def call(self, x):
            return x

    saved_models.save(
        keras.Sequential([keras.Input((8, 8, 3)), Own()]), tmp_path / "m.keras", "keras"
    )
    with pytest.raises(saved_models.ModelError, match=r"--allow-code .*--custom-objects FILE\.py"):
        saved_models.load(tmp_path / "m.keras")


@pytest.mark.skipif(not KERAS_3, reason="Keras 2 trains the SavedModels that it wrote")
def test_no_stack_is_named_that_cannot_train_it_either(tmp_path):
    layer = keras.layers.Conv2D(3, 1)
    keras.Sequential([keras.Input((8, 8, 3)), layer]).export(str(tmp_path / "m"), verbose=False)
    with pytest.raises(saved_models.ModelError, match="run and not trained") as refused:
        saved_models.load(tmp_path / "m", for_training=True)
    assert "TF_USE_LEGACY_KERAS" not in str(refused.value)
