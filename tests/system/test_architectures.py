"""Kinds of networks of public examples, through `steady`, `finetune` and `evaluate`."""

import numpy as np
import pytest
from helpers import architectures
from helpers.footage import moving, write_folder
from tensorflow import keras

import keras_temporal_reg as ktr
from keras_temporal_reg import saved_models
from keras_temporal_reg.steadying import inferred_task

pytestmark = pytest.mark.tools
METHOD = "transform-invariance"
# Two of them have a class of their own.
OPTIONS = {"allow_code": True, "learning_rate": 2e-3, "show_progress": False}
EACH = pytest.mark.parametrize("make", architectures.ALL, ids=lambda make: make.__name__)
# What is found out of each: of what to what, and the values of black and white.
TAKEN = {
    "sub_pixel_super_resolution": ("RGB to RGB of 2 times the size", (0.0, 1.0)),
    "residual_super_resolution": ("RGB to RGB of 2 times the size", (0.0, 1.0)),
    "unet_segmentation": ("RGB to 5 channels", (0.0, 1.0)),
    "depth_estimation": ("RGB to one channel", (0.0, 1.0)),
    "pix2pix_generator": ("RGB to RGB", (-1.0, 1.0)),
}


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp("clips") / "moving", moving(8, *architectures.SIZE))


def saved(make, folder):
    keras.utils.set_random_seed(3)
    model = make()
    for variable in model.trainable_variables:  # enough that results are no constant
        variable.assign(2.0 * variable)
    saved_models.save(model, folder / "network.keras", "keras")
    return folder / "network.keras"


def assert_plain_keras_loads(path, original, is_changed=True):
    """The same architecture, with or without other weights."""
    loaded, before = keras.models.load_model(path), keras.models.load_model(original)
    assert type(loaded) is type(before)
    assert [layer.name for layer in loaded.layers] == [layer.name for layer in before.layers]
    pairs = [*zip(loaded.get_weights(), before.get_weights())]
    assert all(np.isfinite(a).all() for a, _ in pairs)
    assert any((a != b).any() for a, b in pairs) == is_changed


@EACH
def test_what_it_takes_is_found_out(make):
    frame = np.round(255 * moving(1, *architectures.SIZE)[0]).astype(np.uint8)
    found = inferred_task.infer(make(), frame)
    taken, value_range = TAKEN.get(make.__name__, ("RGB to RGB", (0.0, 1.0)))
    assert f"taken as {taken}, with values" in found.description
    assert found.value_range == value_range
    assert found.task.has_contrast == (make is not architectures.unet_segmentation)


@pytest.mark.slow
@EACH
def test_it_is_steadied_and_evaluated(make, clip, tmp_path):
    path, output = saved(make, tmp_path), tmp_path / "steady.keras"
    result = ktr.steady(path, clip, output, steps=20, strength=1, method=METHOD, **OPTIONS)
    # Of weights that were drawn at random, the original can be the steadiest.
    assert_plain_keras_loads(output, path, is_changed=[*result.choice.weights] != ["original"])
    before, after = (result.evaluation.mean[name] for name in ("original", "steadied"))
    assert after["flicker"] <= 1.001 * before["flicker"]
    assert result.evaluation.verdict is not None and result.report.is_file()


@pytest.mark.slow
@EACH
def test_it_is_fine_tuned_on_its_own_results(make, clip, tmp_path):
    path, output = saved(make, tmp_path), tmp_path / "tuned.keras"
    crop = None if make is architectures.window_attention else 32
    result = ktr.finetune(
        path, output, clip, "self", alpha=0.5, steps=4, batch_size=2, crop=crop, **OPTIONS
    )
    assert result.steps == 4
    assert_plain_keras_loads(output, path)
