"""Fine-tuning saved models: every form, every way in which a run can end."""

import dataclasses
import hashlib
import importlib.util
import inspect
import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from helpers import footage
from helpers.models import KERAS_3, NAMES, OWN_FORMATS, ROOT, network
from tensorflow import keras

import keras_temporal_reg as ktr
import keras_temporal_reg.finetuning.result as result_module
from keras_temporal_reg import metrics, saved_models, tasks
from keras_temporal_reg.data import _crops as crops
from keras_temporal_reg.experiments import scenes
from keras_temporal_reg.finetuning import (
    schedule,
    strength_search,
    training,
    validation_clips,
)
from keras_temporal_reg.finetuning.api import finetune
from keras_temporal_reg.finetuning.checkpoints import Checkpoint, RunFolder
from keras_temporal_reg.finetuning.config import SEARCH_PACKAGES
from keras_temporal_reg.io import atomic, image_files
from keras_temporal_reg.metrics import _warping
from keras_temporal_reg.saved_models import introspection

KERAS_2 = ROOT / ".venv-addons/bin/python"
QUICK = {"steps": 2, "batch_size": 2, "crop": 16, "show_progress": False, "alpha": 0.8}


MAKE = f"""
import sys
from tensorflow import keras
{inspect.getsource(network)}
model = network()
model.save(sys.argv[1] + "/network.h5")
model.save(sys.argv[1] + "/network", save_format="tf")
"""


def write_image(path, height=64, width=64, seed=0, knots=5):
    """Write a smooth random image."""
    rng = np.random.default_rng(seed)
    coarse = tf.constant(rng.random((1, knots, knots, 3)), tf.float32)
    image_files.write(path, tf.image.resize(coarse, (height, width))[0].numpy())
    return path


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    for number in range(6):
        write_image(folder / f"{number}.png", 64, 64 + 4 * number, number)
    return folder


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A folder with a network of a 2x head in each form that this stack writes."""
    folder = tmp_path_factory.mktemp("models")
    keras.utils.set_random_seed(0)
    model = network()
    for form in OWN_FORMATS:
        saved_models.save(model, folder / NAMES[form], form)
    return folder


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """A network whose output has the size of its input."""
    keras.utils.set_random_seed(0)
    path = tmp_path_factory.mktemp("plain") / "plain.keras"
    saved_models.save(network(scale=1), path, "keras")
    return path


def digest(path):
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    return hashlib.sha256(b"".join(p.read_bytes() for p in files)).hexdigest()


def weights(path):
    return saved_models.load(path).model.get_weights()


def same(a, b, atol=0.0):
    return len(a) == len(b) and all(np.allclose(u, v, rtol=0, atol=atol) for u, v in zip(a, b))


def super_resolve(model, output, photos, **options):
    return finetune(model, output, photos, task="super-resolution", **{**QUICK, **options})


# Forms.


def check_tuned(before, after, photos):
    original = digest(before)
    result = super_resolve(before, after, photos)
    assert digest(before) == original
    assert result.output == after
    assert os.listdir(after.parent) == [after.name]
    old, new = saved_models.load(before).model, saved_models.load(after, for_training=True).model
    assert json.dumps(new.get_config(), default=str) == json.dumps(old.get_config(), default=str)
    assert not same(old.get_weights(), new.get_weights())
    # The moving mean and variance of batch normalization went along.
    assert not same(old.get_weights()[4:6], new.get_weights()[4:6])
    return result


@pytest.mark.slow
def test_models_of_this_stack_are_fine_tuned_for_plain_keras(models, photos, tmp_path):
    paths = []
    for form in OWN_FORMATS:
        (tmp_path / form).mkdir()
        after = tmp_path / form / ("tuned" + pathlib.Path(NAMES[form]).suffix)
        result = check_tuned(models / NAMES[form], after, photos)
        assert saved_models.format_of(after) == form
        assert (result.steps, result.pictures, result.validation_pictures) == (2, 5, 1)
        assert len(result.loss) == len(result.val_loss) == 2
        assert result.skipped == [] and result.seconds > 0
        assert result.versions["tensorflow"] == tf.__version__
        paths.append(after)
    script = """
import sys
sys.modules["keras_temporal_reg"] = None
import numpy as np
from tensorflow import keras
for path in sys.argv[1:]:
    assert keras.models.load_model(path)(np.zeros((1, 16, 16, 3))).shape[1] == 32
print("loaded", len(sys.argv[1:]))
"""
    done = subprocess.run(
        [sys.executable, "-c", script, *paths],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1"},
    )
    assert done.stdout.strip().endswith(f"loaded {len(paths)}"), done.stderr[-3000:]


@pytest.fixture(scope="module")
def of_keras_2(tmp_path_factory):
    if not KERAS_2.exists():
        pytest.skip(f"needs {KERAS_2}")
    folder = tmp_path_factory.mktemp("keras2")
    environment = {k: v for k, v in os.environ.items() if k != "TF_USE_LEGACY_KERAS"}
    subprocess.run(
        [KERAS_2, "-c", MAKE, folder],
        check=True,
        capture_output=True,
        timeout=300,
        env={**environment, "CUDA_VISIBLE_DEVICES": "-1"},
    )
    return folder


@pytest.mark.slow
def test_an_h5_file_of_keras_2_is_fine_tuned(of_keras_2, photos, tmp_path):
    check_tuned(of_keras_2 / "network.h5", tmp_path / "tuned.h5", photos)


def test_a_savedmodel_of_keras_2_is_fine_tuned_or_refused(of_keras_2, photos, tmp_path):
    if KERAS_3:
        with pytest.raises(saved_models.ModelError, match=r"TF_USE_LEGACY_KERAS=1 ktr"):
            super_resolve(of_keras_2 / "network", tmp_path / "tuned.keras", photos)
    else:
        check_tuned(of_keras_2 / "network", tmp_path / "tuned", photos)


@pytest.mark.slow
def test_the_suffix_asks_for_another_form(models, photos, tmp_path):
    result = super_resolve(models / "network.h5", tmp_path / "tuned.keras", photos, steps=1)
    assert saved_models.format_of(result.output) == "keras"


# What is trained.


@pytest.mark.slow
def test_training_goes_down_on_held_out_images(models, photos, tmp_path):
    result = super_resolve(
        models / "network.keras", tmp_path / "t.keras", photos, steps=30, learning_rate=1e-2
    )
    assert result.val_loss[-1] < 0.8 * result.val_loss[0]


@pytest.mark.slow
def test_the_same_seed_gives_the_same_weights(models, photos, tmp_path):
    made = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        path = tmp_path / f"{name}.keras"
        super_resolve(models / "network.keras", path, photos, seed=seed, steps=2)
        made.append(weights(path))
    assert same(made[0], made[1], atol=1e-7)
    assert not same(made[0], made[2])


@pytest.mark.slow
def test_with_alpha_0_it_is_training_by_keras_alone(photos, tmp_path):
    # Without batch normalization, which sees the counterparts too.
    x = keras.Input((None, None, 3))
    h = keras.layers.Conv2D(4, 3, padding="same", activation="relu")(x)
    y = keras.layers.Conv2DTranspose(3, 2, strides=2)(h)
    saved_models.save(keras.Model(x, y), tmp_path / "network.keras", "keras")
    super_resolve(
        tmp_path / "network.keras", tmp_path / "t.keras", photos, alpha=0.0, learning_rate=1e-2
    )

    base = saved_models.load(tmp_path / "network.keras").model
    task, shape = tasks.super_resolution, crops.CropShape(16, 16, 2)
    paths = image_files.list_images(photos)
    learned = [(None, image_files.read(paths[n])) for n in np.random.default_rng(0).permutation(6)]
    samples = crops.from_arrays(learned[1:], shape)
    batches = crops.batches(
        samples,
        crops.by_step(5, 2, seed=0, start=0, stop=2),
        flips=True,
        make_input=task.make_input,
    )
    schedule.compile_for(base, "mse", 1e-2, 2)
    base.fit(batches, shuffle=False, verbose=0)
    assert same(base.get_weights(), weights(tmp_path / "t.keras"), atol=1e-5)
    assert not same(base.get_weights(), weights(tmp_path / "network.keras"), atol=1e-3)


def test_pairs_of_images_train_a_restoration(plain, tmp_path):
    for number in range(4):
        write_image(tmp_path / f"in{number}.png", 40, 40, number)
    (tmp_path / "x").mkdir()
    (tmp_path / "y").mkdir()
    for number in range(4):
        write_image(tmp_path / "x" / f"{number}.png", 40, 48, number)
        write_image(tmp_path / "y" / f"{number}.bmp", 40, 48, number + 10)
    result = finetune(plain, tmp_path / "t.keras", tmp_path / "x", tmp_path / "y", **QUICK)
    assert (result.task, result.pictures, result.validation_pictures) == ("restoration", 3, 1)


@pytest.mark.slow
def test_pairs_may_differ_by_the_scale_of_the_model(models, tmp_path):
    for folder, size in (("x", 32), ("y", 64)):
        (tmp_path / folder).mkdir()
        for number in range(3):
            write_image(tmp_path / folder / f"{number}.png", size, size, number)
    result = finetune(
        models / "network.keras", tmp_path / "t.keras", tmp_path / "x", tmp_path / "y", **QUICK
    )
    assert result.pictures == 2
    with pytest.raises(
        image_files.ImageError, match=r"2 times .* 64 x 64 .* 32 x 32, from .*0\.png"
    ):
        finetune(
            models / "network.keras", tmp_path / "u.keras", tmp_path / "y", tmp_path / "x", **QUICK
        )


def test_the_value_range_is_found_where_it_is_not_given(photos, tmp_path):
    """A network that returns its input, of 0 to 255, has no reconstruction loss to lose."""
    body = [keras.layers.Rescaling(1 / 255), keras.layers.Conv2D(3, 1)]
    model = keras.Sequential([keras.Input((None, None, 3)), *body])
    model.set_weights([np.eye(3)[np.newaxis, np.newaxis], np.zeros(3)])
    model.save(tmp_path / "bytes.keras")
    options = {**QUICK, "task": "restoration", "learning_rate": 1e-9}
    result = finetune(tmp_path / "bytes.keras", tmp_path / "t.keras", photos, photos, **options)
    assert result.val_loss[0] < 1e-6
    (note,) = result.notes
    assert note.startswith("Value range: 0..255 in, 0..1 out (the network begins with Rescaling")


@pytest.mark.slow
@pytest.mark.parametrize("method", ["sparse-jacobian", "transform-invariance"])
def test_other_settings_train_too(method, plain, photos, tmp_path):
    options = {
        "task": "denoising",
        "method": method,
        "alpha": 0.5,
        "transform": ktr.RandomAffine(translation=1.0),
        "contrast": 0.1,
        "pair_fraction": 0.5,
        "reconstruction": "mae",
        "validation": 0.4,
        "value_range": (0.0, 255.0),
    }
    result = finetune(plain, tmp_path / "t.keras", photos, **{**QUICK, **options})
    assert (result.method, result.validation_pictures) == (method, 2)
    assert result.val_loss[0] > 1.0  # of values up to 255


@pytest.mark.slow
def test_an_own_task(plain, photos, tmp_path):
    negatives = tasks.Task(
        "negatives",
        lambda rgb: (rgb, 1.0 - rgb),
        lambda x, p: p,
        lambda x: x,
        "the input itself",
    )
    result = finetune(plain, tmp_path / "t.keras", photos, task=negatives, **QUICK)
    assert result.task == "negatives"


@pytest.mark.slow
def test_a_model_of_a_fixed_size_is_given_that(photos, tmp_path):
    x = keras.Input((24, 32, 3))
    path = tmp_path / "fixed.keras"
    saved_models.save(keras.Model(x, keras.layers.Conv2D(3, 3, padding="same")(x)), path, "keras")
    options = {"task": "denoising", **QUICK}
    with pytest.raises(ValueError, match=r"crop must be the size .* 24 x 32"):
        finetune(path, tmp_path / "t.keras", photos, **options)
    finetune(path, tmp_path / "t.keras", photos, **{**options, "crop": None})
    assert introspection.fixed_size(saved_models.load(tmp_path / "t.keras").model) == (24, 32)


# Images.


@pytest.mark.slow
def test_what_cannot_be_used_is_skipped_and_listed(plain, tmp_path):
    from PIL import Image

    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(3):
        write_image(folder / f"{number}.png", 32, 32, number)
    grey = np.tile(np.arange(32, dtype=np.uint8), (32, 1))
    Image.fromarray(grey).save(folder / "grey.png")
    alpha = np.dstack([grey, grey, grey, grey])
    Image.fromarray(alpha, "RGBA").save(folder / "alpha.png")
    (folder / "broken.png").write_bytes(b"\x89PNG and no more")
    (folder / "notes.txt").write_text("no image")
    write_image(folder / "small.png", 8, 32)
    result = finetune(plain, tmp_path / "t.keras", folder, task="denoising", **QUICK)
    assert result.pictures + result.validation_pictures == 5
    assert len(result.skipped) == 2
    assert result.skipped[0].startswith("broken.png: image ")
    assert result.skipped[1] == "small.png: 8 x 32 pixels, smaller than the crop of 16 x 16"


def test_too_few_images_say_why(plain, tmp_path):
    write_image(tmp_path / "one.png", 32, 32)
    write_image(tmp_path / "small.png", 8, 8)
    with pytest.raises(image_files.ImageError, match=r"(?s)Received: 1 of 2.*small\.png: 8 x 8"):
        finetune(plain, tmp_path / "t.keras", tmp_path, task="denoising", **QUICK)
    assert sorted(os.listdir(tmp_path)) == ["one.png", "small.png"]


def test_names_that_do_not_match_are_listed(plain, tmp_path):
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
    for number in range(8):
        write_image(tmp_path / "x" / f"{number}.png", 32, 32)
    write_image(tmp_path / "y" / "0.png", 32, 32)
    message = r"y lacks 7: 1, 2, 3, 4, 5, \.\.\."
    with pytest.raises(image_files.ImageError, match=message):
        finetune(plain, tmp_path / "t.keras", tmp_path / "x", tmp_path / "y", **QUICK)


def test_restoration_needs_targets(plain, photos, tmp_path):
    with pytest.raises(ValueError, match=r"task restoration .* needs .* --targets"):
        finetune(plain, tmp_path / "t.keras", photos, **QUICK)


def test_a_missing_folder_is_named(plain, tmp_path):
    with pytest.raises(image_files.ImageError, match="none does not exist"):
        finetune(plain, tmp_path / "t.keras", tmp_path / "none", task="denoising", **QUICK)


# Models and arguments that do not fit.


def test_a_model_for_another_task_is_refused(plain, models, photos, tmp_path):
    with pytest.raises(
        saved_models.ModelError, match="takes 3 channels, inputs of the task colorization have 1"
    ):
        finetune(plain, tmp_path / "t.keras", photos, task="colorization", **QUICK)
    with pytest.raises(
        saved_models.ModelError, match=r"2 times .* the task denoising wants 1 times"
    ):
        finetune(models / "network.keras", tmp_path / "t.keras", photos, task="denoising", **QUICK)


def test_a_model_without_weights_to_train_is_refused(photos, tmp_path):
    x = keras.Input((None, None, 3))
    saved_models.save(keras.Model(x, keras.layers.ReLU()(x)), tmp_path / "n.keras", "keras")
    with pytest.raises(ValueError, match="weights to train"):
        finetune(tmp_path / "n.keras", tmp_path / "t.keras", photos, task="denoising", **QUICK)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"alpha": 1.0}, ValueError, "alpha must be"),
        ({"strength": 0.5}, ValueError, "strength and alpha exclude each other"),
        ({"task": "magic"}, ValueError, "task must be one of"),
        ({"reconstruction": "magic"}, ValueError, "reconstruction must be"),
        (
            {"stepz": 3},
            TypeError,
            "no option stepz. Accepted: task, strength, members, .*, alpha, .*, steps, ",
        ),
    ],
)
def test_wrong_arguments_are_named(options, error, message, plain, photos, tmp_path):
    with pytest.raises(error, match=message):
        finetune(plain, tmp_path / "t.keras", photos, **{"task": "denoising", **QUICK, **options})
    assert os.listdir(tmp_path) == []


def test_the_old_name_of_the_value_range_works_with_a_warning(photos, tmp_path):
    with pytest.warns(DeprecationWarning, match=r"finetune\(values=...\) .* value_range="):
        with pytest.raises(saved_models.ModelError, match=r"none\.keras does not exist"):
            finetune(tmp_path / "none.keras", tmp_path / "t.keras", photos, values=(0, 255))


def test_the_output_must_be_another_file(plain, photos, tmp_path):
    link = tmp_path / "link.keras"
    link.symlink_to(plain)
    for output in (plain, link):
        with pytest.raises(ValueError, match="output must be another file than model"):
            finetune(plain, output, photos, task="denoising", **QUICK)


def test_an_output_that_cannot_be_written_is_named(plain, photos, tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(OSError, match=r"output folder .*taken cannot be written"):
        finetune(plain, tmp_path / "taken" / "t.keras", photos, task="denoising", **QUICK)
    (tmp_path / "t.keras").mkdir()
    with pytest.raises(saved_models.ModelError, match="is a folder"):
        finetune(plain, tmp_path / "t.keras", photos, task="denoising", **QUICK)


# How a run can end.


class Interrupt:
    """Stands in for a Ctrl-C in the middle of the part after so many."""

    def __init__(self, monkeypatch, parts):
        write, self.calls = RunFolder.write, 0

        def written(*arguments):
            write(*arguments)
            self.calls += 1
            if self.calls == parts:
                raise KeyboardInterrupt

        monkeypatch.setattr(RunFolder, "write", written)


@pytest.mark.slow
def test_a_resumed_run_gives_the_weights_of_an_undisturbed_one(
    models, photos, tmp_path, monkeypatch
):
    source = models / "network.keras"
    whole = super_resolve(source, tmp_path / "whole.keras", photos, steps=3)
    output = tmp_path / "resumed.keras"
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        Interrupt(patch, 2)
        super_resolve(source, output, photos, steps=3)
    assert sorted(os.listdir(tmp_path)) == [".resumed.keras.training", "whole.keras"]
    resumed = super_resolve(source, output, photos, steps=3)
    assert same(weights(output), weights(tmp_path / "whole.keras"), atol=1e-6)
    np.testing.assert_allclose(resumed.loss, whole.loss, atol=1e-6)
    np.testing.assert_allclose(resumed.val_loss, whole.val_loss, atol=1e-6)
    assert (resumed.steps, len(resumed.loss)) == (3, 3)
    assert sorted(os.listdir(tmp_path)) == ["resumed.keras", "whole.keras"]


@pytest.mark.slow
def test_an_interrupted_run_of_other_settings_is_not_resumed(plain, photos, tmp_path, monkeypatch):
    output = tmp_path / "t.keras"
    options = {"task": "denoising", **QUICK}
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        Interrupt(patch, 1)
        finetune(plain, output, photos, **options)
    options["alpha"] = 0.5
    with pytest.raises(ValueError, match=r"other settings \(alpha 0.8 -> 0.5\).*--restart"):
        finetune(plain, output, photos, **options)
    result = finetune(plain, output, photos, resume=False, **options)
    assert (result.alpha, result.steps) == (0.5, 2)
    assert os.listdir(tmp_path) == ["t.keras"]


def test_a_broken_checkpoint_is_named(plain, photos, tmp_path):
    (tmp_path / ".t.keras.training").mkdir()
    (tmp_path / ".t.keras.training" / "state.npz").write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(ValueError, match=r"cannot be read .*--restart"):
        finetune(plain, tmp_path / "t.keras", photos, task="denoising", **QUICK)


@pytest.mark.slow
def test_early_stopping_stops_early(plain, photos, tmp_path):
    options = {**QUICK, "task": "denoising", "steps": 6, "learning_rate": 0.5}
    result = finetune(plain, tmp_path / "t.keras", photos, early_stopping=1, **options)
    assert result.steps == len(result.val_loss) == len(result.loss) < 6
    assert np.argmin(result.val_loss) == len(result.val_loss) - 2


def test_a_loss_that_is_not_finite_writes_nothing(plain, photos, tmp_path):
    with pytest.raises(
        ValueError, match=r"loss is NaN or infinite after 2 steps, .* lower learning_rate"
    ):
        finetune(
            plain,
            tmp_path / "t.keras",
            photos,
            **{**QUICK, "task": "denoising", "learning_rate": 1e30},
        )
    assert os.listdir(tmp_path) == []


def test_two_runs_into_one_output_are_refused(plain, photos, tmp_path):
    output = tmp_path / "t.keras"
    with atomic.locked(output):
        with pytest.raises(FileExistsError, match=r"another run is writing .*t\.keras"):
            finetune(plain, output, photos, task="denoising", **QUICK)
        assert os.listdir(tmp_path) == [".t.keras.write-lock"]
    assert os.listdir(tmp_path) == []


def test_a_form_that_cannot_hold_the_model_is_found_before_training(
    plain, photos, tmp_path, monkeypatch
):
    def fail(*arguments):
        raise NotImplementedError("no such layer in this form")

    monkeypatch.setattr(saved_models, "save", fail)
    with pytest.raises(saved_models.ModelError, match="cannot hold this model in the format h5"):
        finetune(plain, tmp_path / "t.h5", photos, task="denoising", **QUICK)


@pytest.mark.skipif(not KERAS_3, reason="H5 files of Keras 2 hold such models")
def test_a_form_that_does_not_come_back_is_found_before_training(photos, tmp_path):
    x = keras.Input((None, None, 3))
    y = keras.ops.clip(keras.layers.Conv2D(3, 3, padding="same")(x), 0.0, 1.0)
    saved_models.save(keras.Model(x, y), tmp_path / "network.keras", "keras")
    with pytest.raises(
        saved_models.ModelError, match=r"cannot hold this model in the format h5.*Clip"
    ):
        finetune(tmp_path / "network.keras", tmp_path / "t.h5", photos, task="denoising", **QUICK)
    assert os.listdir(tmp_path) == ["network.keras"]


@pytest.mark.slow
def test_logs_on_request(plain, photos, tmp_path):
    options = {**QUICK, "task": "denoising", "logs": tmp_path / "logs"}
    if importlib.util.find_spec("tensorboard") is None:
        with pytest.raises(ImportError, match="logs need pip install tensorboard"):
            finetune(plain, tmp_path / "t.keras", photos, **options)
    else:
        finetune(plain, tmp_path / "t.keras", photos, **options)
        assert {p.name for p in (tmp_path / "logs").iterdir()} == {"train", "validation"}


@pytest.mark.slow
def test_a_bar_on_request(plain, photos, tmp_path, capsys):
    options = {**QUICK, "show_progress": True, "task": "denoising"}
    finetune(plain, tmp_path / "t.keras", photos, **options)
    captured = capsys.readouterr()
    # In lines, since standard error is no terminal here.
    assert "sparse-jacobian: 100 % (2 of 2) loss 0." in captured.err and captured.out == ""


# A blend.

MEMBERS = ("plain", "sparse-jacobian")
NO_ALPHA = {name: value for name, value in QUICK.items() if name != "alpha"}
BLEND = {**NO_ALPHA, "task": "denoising", "members": MEMBERS, "validation": 0.4}


@pytest.fixture(autouse=True)
def little_to_evaluate(monkeypatch):
    monkeypatch.setattr(validation_clips, "STILLS", 1)
    monkeypatch.setattr(validation_clips, "STILL_FRAMES", 3)
    monkeypatch.setattr(_warping, "_COMPILED_PIXELS", 1)  # one size is measured often


def averaging(center):
    """Weights of `small` for so much of a pixel and, for the rest, of its neighborhood."""
    kernel = np.concatenate([center * np.eye(3), (1.0 - center) * np.eye(3)])
    return [np.float32(kernel[np.newaxis, np.newaxis]), np.zeros(3, np.float32)]


def small(center, size=None):
    x = keras.Input((*(size or (None, None)), 3))
    # Unlike that of a convolution, its border is not darkened.
    mean = keras.layers.AveragePooling2D(3, 1, padding="same")(x)
    layer = keras.layers.Conv2D(3, 1)
    model = keras.Model(x, layer(keras.layers.Concatenate()([x, mean])))
    layer.set_weights(averaging(center))
    return model


@pytest.fixture(scope="module")
def denoiser(tmp_path_factory):
    """A network that takes away some of the noise; `averaging` with less in the center, more."""
    path = tmp_path_factory.mktemp("denoiser") / "denoiser.keras"
    saved_models.save(small(0.7), path, "keras")
    return path


@pytest.fixture(scope="module")
def smooth(tmp_path_factory):
    """Images that averaging changes little."""
    folder = tmp_path_factory.mktemp("smooth")
    for number in range(4):
        write_image(folder / f"{number}.png", 48, 48, number, knots=2)
    return folder


CENTERS = {"plain": 0.5, "sparse-jacobian": 0.3, "transform-invariance": 0.2}


@pytest.fixture
def hand_made(monkeypatch):
    """Training sets the weights of a member to `averaging` by `CENTERS`; names of those trained."""
    trained = []

    def train(network, batches, steps, *, run, **options):
        trained.append(run.path.name)
        if len(network.base_model.get_weights()) == 2:
            network.base_model.set_weights(averaging(CENTERS[run.path.name]))
        return training.History(steps, [0.2, 0.1], [0.4, 0.3], 2.0)

    monkeypatch.setattr(training, "train", train)
    return trained


@pytest.fixture
def clips_seen(monkeypatch):
    """The validation clips of searches, which find nothing but the original."""
    seen = []

    def search(network, values, clips, baseline_psnr, **options):
        seen.append((clips, baseline_psnr, options))
        return a_choice()

    monkeypatch.setattr(strength_search, "search", search)
    return seen


def a_choice():
    measures = {"flicker": 9.0, "psnr": 30.0}
    trial = strength_search.Trial({"original": 1.0}, measures, "no_gain", "NO GAIN: x 1.00.")
    return strength_search.Choice(
        {"original": 1.0}, None, 0.0, "The reason.", (trial,), "plain", 2.0, 20.0, 0.5
    )


def test_by_default_the_steadiest_blend_is_saved_with_a_plot(denoiser, smooth, tmp_path, hand_made):
    output = tmp_path / "t.keras"
    options = {**NO_ALPHA, "task": "denoising", "validation": 0.4, "keep_members": True}
    result = finetune(denoiser, output, smooth, **options)
    assert hand_made == ["plain", "sparse-jacobian", "transform-invariance"]
    assert sorted(os.listdir(tmp_path)) == ["t.keras", "t.members", "t.strength.png"]
    assert result.plot.read_bytes()[:4] == b"\x89PNG"
    assert result.members == tmp_path / "t.members"
    assert sorted(os.listdir(result.members)) == [f"{name}.keras" for name in sorted(CENTERS)]
    choice = result.choice
    assert (result.method, result.alpha, choice.strength) == ("blend", choice.alpha, None)
    assert (result.steps, result.seconds) == (6, 6.0) and [*result.trainings] == hand_made
    stabilized = [t for t in choice.trials if t.outcome == metrics.Outcome.STABILIZED.value]
    best = min(stabilized, key=lambda trial: trial.measures["flicker"])
    assert choice.weights == best.weights and choice.compared_with == "plain"
    # What was saved is the blend of what was kept.
    paths = [denoiser, *(result.members / f"{name}.keras" for name in CENTERS)]
    shares = [choice.weights.get(name, 0.0) for name in ("original", *CENTERS)]
    x = np.random.default_rng(0).random((1, 16, 16, 3)).astype(np.float32)
    saved, blended = saved_models.load(output).model, ktr.blend(paths, shares)
    np.testing.assert_array_equal(saved(x), blended(x))
    center = sum(share * c for share, c in zip(shares, (0.7, *CENTERS.values())))
    np.testing.assert_allclose(saved.get_weights()[0], averaging(center)[0], atol=1e-6)


def test_strength_0_saves_the_original(denoiser, smooth, tmp_path, hand_made):
    result = finetune(denoiser, tmp_path / "t.keras", smooth, **BLEND, strength=0)
    assert result.choice.weights == {"original": 1.0}
    assert same(weights(tmp_path / "t.keras"), weights(denoiser))
    assert result.members is None


@pytest.mark.slow
def test_where_no_blend_is_stabilized_what_was_trained_is_kept_for_a_number(
    plain, smooth, tmp_path, monkeypatch
):
    output, options = tmp_path / "t.keras", {**BLEND, "steps": 1}
    message = (
        r"strength 'auto' found no blend, so no model was written.*NOT APPLICABLE: .*"
        r"t\.strength\.png.*strength 0\.5"
    )
    with pytest.raises(ValueError, match=message):
        finetune(plain, output, smooth, **options)
    assert sorted(os.listdir(tmp_path)) == [".t.keras.training", "t.strength.png"]
    assert sorted(os.listdir(tmp_path / ".t.keras.training")) == sorted(MEMBERS)

    def fail(*arguments, **options):
        raise AssertionError("trained again")

    monkeypatch.setattr(keras.Model, "fit", fail)
    # Whether an untrained network is the steadiest of all is a matter of chance.
    monkeypatch.setattr(strength_search, "_at_strength", lambda *given: (0.0, 0.25, 0.75))
    with pytest.raises(ValueError, match=r"other settings \(alpha None -> 0\.5\).*--restart"):
        finetune(plain, output, smooth, **{**options, "alpha": 0.5})
    options |= {"strength": 0.5, "keep_members": True}
    result = finetune(plain, output, smooth, **options)
    assert sorted(os.listdir(tmp_path)) == ["t.keras", "t.members", "t.strength.png"]
    assert (result.choice.strength, result.steps) == (0.5, 2)
    assert result.choice.weights == dict(zip(MEMBERS, (0.25, 0.75)))
    values = [weights(tmp_path / "t.members" / f"{name}.keras") for name in MEMBERS]
    is_statistic = [
        "moving" in getattr(weight, "path", weight.name)
        for weight in saved_models.load(plain).model.weights
    ]
    assert sum(is_statistic) == 2
    for found, statistic, *parts in zip(weights(output), is_statistic, *values, strict=True):
        average = sum(share * part.astype(float) for share, part in zip((0.25, 0.75), parts))
        if not statistic:  # those are estimated anew
            np.testing.assert_allclose(found, average, atol=1e-6)


def without_time(choice):
    return dataclasses.replace(choice, seconds=0.0)


@pytest.mark.slow
def test_interrupted_anywhere_the_result_is_the_same(plain, smooth, tmp_path, monkeypatch):
    options = {**BLEND, "strength": 0.7}
    # Whether an untrained network is the steadiest of all is a matter of chance.
    monkeypatch.setattr(strength_search, "_at_strength", lambda *given: (0.2, 0.3, 0.5))
    whole = finetune(plain, tmp_path / "whole.keras", smooth, **options)
    output = tmp_path / "t.keras"
    # In the first member, after it, in the second, after it.
    for parts in (1, 1, 1, 1):
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            Interrupt(patch, parts)
            finetune(plain, output, smooth, **options)
    evaluate, calls = strength_search._Blends.evaluate, []

    def interrupt(*arguments, **options):
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return evaluate(*arguments, **options)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(strength_search._Blends, "evaluate", interrupt)
        finetune(plain, output, smooth, **options)
    assert ".t.keras.training" in os.listdir(tmp_path) and not output.exists()
    resumed = finetune(plain, output, smooth, **options)
    tolerance = 0.0 if KERAS_3 else 1e-6
    assert same(weights(output), weights(tmp_path / "whole.keras"), atol=tolerance)
    if KERAS_3:
        assert without_time(resumed.choice) == without_time(whole.choice)
    assert resumed.alpha == pytest.approx(0.5 * 0.9)
    assert not same(weights(output), weights(plain), atol=1e-6)
    assert not (tmp_path / ".t.keras.training").exists()


def test_alpha_auto_is_strength_auto_with_a_warning(denoiser, smooth, tmp_path, hand_made):
    with pytest.warns(DeprecationWarning, match=r"alpha 'auto' .* strength 'auto'"):
        result = finetune(denoiser, tmp_path / "t.keras", smooth, **{**BLEND, "alpha": "auto"})
    assert result.choice.strength is None and result.choice.chosen is not None


def test_without_the_extra_one_network_is_trained(
    denoiser, smooth, tmp_path, monkeypatch, hand_made
):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name in SEARCH_PACKAGES else find(name)
    )
    monkeypatch.setitem(CENTERS, ".t.keras.training", 0.4)
    result = finetune(denoiser, tmp_path / "t.keras", smooth, task="denoising", **NO_ALPHA)
    assert hand_made == [".t.keras.training"]
    assert (result.alpha, result.method) == (0.8, "sparse-jacobian")
    assert (result.choice, result.plot, result.members) == (None, None, None)
    with pytest.raises(
        ImportError, match=r"strength 0\.5 needs cv2, .*keras-temporal-reg\[video\]"
    ):
        finetune(denoiser, tmp_path / "u.keras", smooth, **BLEND, strength=0.5)
    assert sorted(os.listdir(tmp_path)) == ["t.keras"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"strength": 1.5}, r"strength must be a number in \[0, 1\] or 'auto'. Received: 1\.5"),
        ({"members": ("plain",)}, "members must be some of plain, "),
        ({"alpha": 0.5, "strength": 0.5}, "strength and alpha exclude each other"),
        ({"validation": 0.0}, "strength auto needs a validation above 0 or a clip, .*; alpha"),
        ({"clip": "none.mp4"}, r"none\.mp4 does not exist"),
    ],
)
def test_wrong_arguments_of_a_blend_are_named_before_training(
    options, message, denoiser, smooth, tmp_path, hand_made
):
    output = tmp_path / "t.keras"
    options = {**BLEND, "task": "colorization" if "clip" in options else "denoising", **options}
    model = denoiser
    if "clip" in options:
        model = tmp_path / "colorizer.keras"
        x = keras.Input((None, None, 1))
        saved_models.save(keras.Model(x, keras.layers.Conv2D(2, 1)(x)), model, "keras")
    with pytest.raises(ValueError, match=message):
        finetune(model, output, smooth, **options)
    assert hand_made == [] and {*os.listdir(tmp_path)} <= {"colorizer.keras"}


def test_a_loss_that_is_not_finite_leaves_no_member(denoiser, smooth, tmp_path):
    options = {**BLEND, "learning_rate": 1e30}
    with pytest.raises(
        ValueError, match=r"loss is NaN or infinite after 2 steps, .* learning_rate"
    ):
        finetune(denoiser, tmp_path / "t.keras", smooth, **options)
    assert os.listdir(tmp_path) == []


def test_a_run_of_one_network_is_not_taken_for_a_blend(
    denoiser, smooth, tmp_path, monkeypatch, hand_made
):
    settings = {}

    def train(network, batches, steps, *, run, **options):
        run.write(Checkpoint({}, [], []))
        settings.update(run.settings)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(training, "train", train)
        finetune(denoiser, tmp_path / "t.keras", smooth, **{**BLEND, "alpha": 0.5})
    assert settings["alpha"] == 0.5
    with pytest.raises(ValueError, match=r"other settings \(alpha 0\.5 -> None\).*--restart"):
        finetune(denoiser, tmp_path / "t.keras", smooth, **BLEND)
    assert hand_made == []
    finetune(denoiser, tmp_path / "t.keras", smooth, **BLEND, resume=False)
    assert hand_made == [*MEMBERS]


# What a blend is chosen on.


def test_a_blend_for_denoising_in_values_up_to_255(
    denoiser, photos, tmp_path, hand_made, clips_seen
):
    options = {**BLEND, "value_range": (0.0, 255.0)}
    finetune(denoiser, tmp_path / "t.keras", photos, **options)
    ((clips, baseline_psnr, options),) = clips_seen
    assert len(clips) == validation_clips.STILLS == 1
    for x, y, *_ in clips:
        assert x.shape == y.shape and (x - y).std() == pytest.approx(0.05 * 255, rel=0.05)
    # The noise is the error of the baseline.
    assert baseline_psnr == pytest.approx(-20 * np.log10(0.05), abs=0.5)
    assert options["value_range"] == 255.0 and options["batches"] is None


def test_a_blend_for_super_resolution(models, photos, tmp_path, hand_made, clips_seen):
    options = {**BLEND, "task": "super-resolution"}
    finetune(models / "network.keras", tmp_path / "t.keras", photos, **options)
    ((((x, y, *_),), _, options),) = clips_seen
    means = y.reshape(len(y), x.shape[1], 2, x.shape[2], 2, 3).mean(axis=(2, 4))
    np.testing.assert_allclose(x, means, atol=1e-5)
    (batch, *_) = options["batches"]  # for the statistics of batch normalization
    assert batch.shape == (2, 16, 16, 3)


def test_a_blend_for_hdr(denoiser, tmp_path, hand_made, clips_seen):
    (tmp_path / "light").mkdir()
    for number in range(4):
        image_files.write(tmp_path / "light" / f"{number}.exr", scenes.scene(number, 48, 64))
    finetune(denoiser, tmp_path / "t.keras", tmp_path / "light", **{**BLEND, "task": "hdr"})
    ((((x, y, *_),), _, _),) = clips_seen
    assert 0.0 <= x.min() and x.max() <= 1.0
    assert y.min() < -1.0 and x.shape == y.shape  # a logarithm


def test_a_blend_for_pairs_of_images_that_differ_by_a_scale(
    models, tmp_path, hand_made, clips_seen
):
    for folder, size in (("x", 32), ("y", 64)):
        (tmp_path / folder).mkdir()
        for number in range(4):
            write_image(tmp_path / folder / f"{number}.png", size, size, number)
    options = {**BLEND, "task": "restoration"}
    folders = tmp_path / "x", tmp_path / "y"
    finetune(models / "network.keras", tmp_path / "t.keras", *folders, **options)
    ((((x, y, *_),), baseline_psnr, _),) = clips_seen
    assert (x.shape[1:], y.shape[1:]) == ((24, 24, 3), (48, 48, 3))
    # x is the same picture, smaller, and moves along.
    assert np.abs(x - y[:, ::2, ::2]).max() < 0.1
    assert baseline_psnr > 25.0


@pytest.mark.slow
def test_a_blend_for_a_model_of_a_fixed_size(photos, tmp_path, hand_made):
    saved_models.save(small(0.7, (24, 32)), tmp_path / "n.keras", "keras")
    options = {**BLEND, "crop": None, "strength": 1.0}
    result = finetune(tmp_path / "n.keras", tmp_path / "t.keras", photos, **options)
    assert introspection.fixed_size(saved_models.load(result.output).model) == (24, 32)
    assert result.choice.weights == {"sparse-jacobian": 1.0}


def test_images_too_small_for_a_camera_are_listed(denoiser, tmp_path, hand_made, clips_seen):
    (tmp_path / "p").mkdir()
    order = np.random.default_rng(0).permutation(4)
    for place, number in enumerate(order):
        side = 18 if place == 0 else 32
        write_image(tmp_path / "p" / f"{number}.png", side, side)
    options = {**BLEND, "validation": 0.5}
    result = finetune(denoiser, tmp_path / "t.keras", tmp_path / "p", **options)
    (reason,) = result.skipped
    assert reason.startswith(f"{order[0]}.png: not used to choose the strength, since a camera")
    assert (len(clips_seen), result.validation_pictures) == (1, 2)


def a_clip(folder, count, height, width):
    folder.mkdir()
    for number in range(count):
        write_image(folder / f"{number}.png", height, width, seed=7)
    return folder


@pytest.mark.slow
def test_a_blend_on_a_clip_and_its_reference(models, photos, tmp_path, hand_made, clips_seen):
    clip = a_clip(tmp_path / "clip", 3, 40, 180)
    truth = a_clip(tmp_path / "truth", 3, 80, 360)
    options = {**BLEND, "task": "super-resolution", "clip": clip, "reference": truth}
    options |= {"validation": 0.0}
    finetune(models / "network.keras", tmp_path / "t.keras", photos, **options)
    ((((x, y, *_),), _, _),) = clips_seen
    np.testing.assert_array_equal(x[2], image_files.read(clip / "2.png")[:, 50:130])
    np.testing.assert_array_equal(y[2], image_files.read(truth / "2.png")[:, 100:260])


def test_clips_that_do_not_fit_are_named_before_training(denoiser, photos, tmp_path, hand_made):
    clip, other = (a_clip(tmp_path / n, 3, 20, w) for n, w in (("clip", 20), ("other", 24)))
    one = a_clip(tmp_path / "one", 1, 20, 20)
    for options, message in (
        ({"clip": clip}, "task denoising does not make its input from it: --reference"),
        ({"clip": clip, "reference": other}, "other must have frames of 20 x 20"),
        ({"clip": one, "reference": one}, "one must have at least 2 frames. Received: 1"),
    ):
        with pytest.raises(ValueError, match=message):
            finetune(denoiser, tmp_path / "t.keras", photos, **BLEND, **options)
    assert hand_made == []
    assert sorted(os.listdir(tmp_path)) == ["clip", "one", "other"]


def test_what_was_done_is_shown(tmp_path, capsys):
    result = result_module.FineTuned(
        output=tmp_path / "t.keras",
        choice=a_choice(),
        plot=tmp_path / "t.strength.png",
        method="blend",
        alpha=0.0,
        task="colorization",
        steps=4,
        pictures=7,
        validation_pictures=1,
        skipped=["a.png: too small"],
        trainings={"plain": training.History(4, [0.2, 0.1], [0.4, 0.3], 5.0)},
        members=tmp_path / "t.members",
        seconds=5.0,
        versions={},
    )
    assert (result.loss, result.val_loss) == ([0.2, 0.1], [0.4, 0.3])
    result_module.show(result)
    shown = capsys.readouterr().out
    assert "Fine-tuned for colorization, plain: 4 steps on 7 images, 5 s." in shown
    assert "0.40000 after the first part, 0.30000 after the last" in shown
    assert "10 % of the time of the fine-tunings: The reason." in shown
    for line in (
        f"Blends: {result.plot}",
        f"Members: {result.members}",
        "Skipped: a.png: too small",
    ):
        assert line in shown.splitlines()


@pytest.mark.slow
def test_a_model_can_be_its_own_teacher_on_a_folder_of_images(photos, tmp_path):
    """The members are steadier than the original and near its results; nothing else is given."""
    saved_models.save(footage.flickering(), tmp_path / "network.keras", "keras")
    result = finetune(
        tmp_path / "network.keras",
        tmp_path / "steady.keras",
        photos,
        "self",
        steps=40,
        batch_size=4,
        crop=32,
        learning_rate=2e-3,
        contrast=1.0,
        validation=0.4,
        show_progress=False,
    )
    assert [*result.trainings] == ["sparse-jacobian", "transform-invariance"]
    assert result.choice.compared_with == "original" and result.choice.chosen is not None
    start = next(t for t in result.choice.trials if [*t.weights] == ["original"])
    assert start.measures["error"] == pytest.approx(0.0, abs=1e-3)
    assert result.choice.chosen.measures["flicker"] < 0.95 * start.measures["flicker"]
    with pytest.raises(ValueError, match="clip cannot be used with targets 'self'"):
        finetune(
            tmp_path / "network.keras",
            tmp_path / "other.keras",
            photos,
            "self",
            clip=photos,
            strength=0.5,
            **{**QUICK, "alpha": None},
        )
