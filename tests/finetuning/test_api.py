"""Fine-tuning saved models: every form, every way in which a run can end."""

import functools
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
from helpers.models import KERAS_3, NAMES, OWN_FORMATS, ROOT, network
from tensorflow import keras

import keras_temporal_reg as ktr
import keras_temporal_reg.finetuning.api as module
from keras_temporal_reg import losses, metrics, saved_models, tasks
from keras_temporal_reg.data import _crops as crops
from keras_temporal_reg.experiments import scenes
from keras_temporal_reg.finetuning import (
    schedule,
    strength_search,
    training,
    validation_clips,
)
from keras_temporal_reg.finetuning.api import finetune
from keras_temporal_reg.finetuning.checkpoints import RunFolder
from keras_temporal_reg.finetuning.config import DEFAULT_CONTRAST
from keras_temporal_reg.io import atomic, image_files
from keras_temporal_reg.saved_models import introspection

KERAS_2 = ROOT / ".venv-addons/bin/python"
QUICK = {"steps": 2, "batch_size": 2, "crop": 16, "show_progress": False}


MAKE = f"""
import sys
from tensorflow import keras
{inspect.getsource(network)}
model = network()
model.save(sys.argv[1] + "/network.h5")
model.save(sys.argv[1] + "/network", save_format="tf")
"""


def write_image(path, height=64, width=64, seed=0):
    """Write a smooth random image."""
    rng = np.random.default_rng(seed)
    coarse = tf.constant(rng.random((1, 5, 5, 3)), tf.float32)
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


def test_the_suffix_asks_for_another_form(models, photos, tmp_path):
    result = super_resolve(models / "network.h5", tmp_path / "tuned.keras", photos, steps=1)
    assert saved_models.format_of(result.output) == "keras"
    assert saved_models.format_for(tmp_path / "tuned.v2", "h5") == "h5"


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


@pytest.mark.slow
@pytest.mark.parametrize("method", ["sparse-jacobian", "transform-invariance"])
def test_other_settings_train_too(method, plain, photos, tmp_path):
    result = finetune(
        plain,
        tmp_path / "t.keras",
        photos,
        task="denoising",
        method=method,
        alpha=0.5,
        transform=ktr.RandomAffine(translation=1.0),
        contrast=0.1,
        pair_fraction=0.5,
        reconstruction="mae",
        validation=0.4,
        value_range=(0.0, 255.0),
        **QUICK,
    )
    assert (result.method, result.validation_pictures) == (method, 2)
    assert result.val_loss[0] > 1.0  # of values up to 255


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
        ({"task": "magic"}, ValueError, "task must be one of"),
        ({"reconstruction": "magic"}, ValueError, "reconstruction must be"),
        ({"stepz": 3}, TypeError, "no option stepz. Accepted: task, method, alpha, .*, steps, "),
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
    with pytest.raises(ValueError, match=r"other settings \(alpha 0.8 -> 0.5\).*--restart"):
        finetune(plain, output, photos, alpha=0.5, **options)
    result = finetune(plain, output, photos, alpha=0.5, resume=False, **options)
    assert (result.alpha, result.steps) == (0.5, 2)
    assert os.listdir(tmp_path) == ["t.keras"]


def test_a_broken_checkpoint_is_named(plain, photos, tmp_path):
    (tmp_path / ".t.keras.training").mkdir()
    (tmp_path / ".t.keras.training" / "state.npz").write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(ValueError, match=r"cannot be read .*--restart"):
        finetune(plain, tmp_path / "t.keras", photos, task="denoising", **QUICK)


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


def test_logs_on_request(plain, photos, tmp_path):
    options = {**QUICK, "task": "denoising", "logs": tmp_path / "logs"}
    if importlib.util.find_spec("tensorboard") is None:
        with pytest.raises(ImportError, match="logs need pip install tensorboard"):
            finetune(plain, tmp_path / "t.keras", photos, **options)
    else:
        finetune(plain, tmp_path / "t.keras", photos, **options)
        assert {p.name for p in (tmp_path / "logs").iterdir()} == {"train", "validation"}


def test_a_bar_on_request(plain, photos, tmp_path, capsys):
    options = {**QUICK, "show_progress": True, "task": "denoising"}
    finetune(plain, tmp_path / "t.keras", photos, **options)
    captured = capsys.readouterr()
    assert "2/2" in captured.err and "loss 0." in captured.err and captured.out == ""


# Alpha chosen.


@pytest.fixture(scope="module")
def tinted(tmp_path_factory):
    """Pictures whose colours are a linear function of their lightness."""
    folder = tmp_path_factory.mktemp("tinted")
    for number in range(8):
        coarse = tf.constant(np.random.default_rng(number).random((1, 5, 5, 1)), tf.float32)
        luma = 0.2 + 0.6 * tf.image.resize(coarse, (64, 64 + 4 * number))[0].numpy()
        colours = np.concatenate([0.3 * (luma - 0.5), 0.2 * (0.5 - luma)], -1)
        rgb = tasks.colorization.decode(luma, colours)
        image_files.write(folder / f"{number}.png", rgb)
    return folder


@pytest.fixture(scope="module")
def colorizer(tmp_path_factory):
    """A network that makes everything grey, and can learn those colours."""
    path = tmp_path_factory.mktemp("colorizer") / "grey.keras"
    x = keras.Input((None, None, 1))
    y = keras.layers.Conv2D(2, 1, kernel_initializer="zeros")(x)
    saved_models.save(keras.Model(x, y), path, "keras")
    return path


CHOOSING = {**QUICK, "task": "colorization", "alpha": "auto", "learning_rate": 3e-2}
ENOUGH = 80  # steps, to beat grey by far


def a_choice(alpha=0.7):
    measures = dict.fromkeys(("temporal_error", "psnr"), 1.0)
    plain = strength_search.Trial(0.0, measures, False, "")
    tried = strength_search.Trial(alpha or 0.3, measures, bool(alpha), "TRADE OFF: PSNR fell.")
    return strength_search.Choice(alpha, "The reason.", plain, (tried,), 20.0, 2.5)


@pytest.fixture
def choosers(monkeypatch):
    """Calls of `choose_alpha`, which chooses 0.7 without a trial."""
    calls = []

    def choose(*arguments, **options):
        calls.append((arguments, options))
        return a_choice()

    monkeypatch.setattr(strength_search, "choose_alpha", choose)
    return calls


@pytest.mark.slow
def test_auto_is_choose_alpha_and_then_fine_tuning_with_what_it_chose(colorizer, tinted, tmp_path):
    options = {**CHOOSING, "steps": ENOUGH, "validation": 0.3}
    result = finetune(colorizer, tmp_path / "t.keras", tinted, **options)
    assert sorted(os.listdir(tmp_path)) == ["t.alpha.png", "t.keras"]

    order = np.random.default_rng(0).permutation(8)
    samples = [tasks.colorization.encode(image_files.read(tinted / f"{n}.png")) for n in order]
    source = crops.from_arrays(samples[2:], crops.CropShape(16, 16))
    batches = crops.batches(source, crops.by_step(6, 2, 0, 0, ENOUGH), flips=True)
    alone = ktr.choose_alpha(
        saved_models.load(colorizer).model,
        batches,
        stills=samples[:2],
        steps=ENOUGH,
        learning_rate=3e-2,
        baseline=tasks.colorization.baseline,
        loss=functools.partial(losses.SparseJacobianLoss, contrast=DEFAULT_CONTRAST),
    )
    assert result.alpha == result.choice.alpha == alone.alpha > 0
    assert result.choice.cost == alone.cost <= 3.0
    for trial, other in zip(result.choice.tried, alone.tried):
        assert (trial.alpha, trial.stabilized) == (other.alpha, other.stabilized)
        assert trial.measures == pytest.approx(other.measures, rel=1e-3)

    given = finetune(colorizer, tmp_path / "u.keras", tinted, **{**options, "alpha": alone.alpha})
    assert (given.choice, given.plot) == (None, None)
    assert same(weights(tmp_path / "t.keras"), weights(tmp_path / "u.keras"), atol=1e-6)
    # The regularizer that was chosen is not without effect.
    finetune(colorizer, tmp_path / "v.keras", tinted, **{**options, "alpha": 0.0})
    assert not same(weights(tmp_path / "t.keras"), weights(tmp_path / "v.keras"), atol=1e-3)


@pytest.mark.slow
def test_where_no_alpha_stabilizes_no_model_is_written(colorizer, tinted, tmp_path, monkeypatch):
    monkeypatch.setattr(strength_search, "MAX_TRIALS", 1)
    message = r"found none, .*NOT APPLICABLE: .*t\.alpha\.png.*alpha a number"
    with pytest.raises(ValueError, match=message):
        finetune(colorizer, tmp_path / "t.keras", tinted, **CHOOSING)
    assert os.listdir(tmp_path) == ["t.alpha.png"]
    assert (tmp_path / "t.alpha.png").read_bytes()[:4] == b"\x89PNG"
    # As it says: with a number it goes on.
    result = finetune(colorizer, tmp_path / "t.keras", tinted, **{**CHOOSING, "alpha": 0.5})
    assert result.alpha == 0.5


def chosen_for(monkeypatch, *arguments, trains=False, **options):
    """Fine-tune with one real trial, which stabilizes; the result and its validation clips."""
    measured = {}
    gather = validation_clips.gather

    def seen(*given):
        measured["clips"] = gather(*given)
        return measured["clips"]

    monkeypatch.setattr(validation_clips, "gather", seen)
    monkeypatch.setattr(strength_search, "MAX_TRIALS", 1)
    if not trains:
        monkeypatch.setattr(training, "train", lambda *given, **named: training.History())
    verdict = metrics.Verdict(metrics.Outcome.STABILIZED, ("for a test",), {})
    monkeypatch.setattr(metrics, "verdict", lambda *given: verdict)
    options = {**QUICK, "alpha": "auto", "validation": 0.4, **options}
    result = finetune(*arguments, **options)
    assert result.alpha == 0.8 and np.isfinite(result.choice.plain.measures["psnr"])
    return result, measured["clips"]


@pytest.mark.slow
def test_auto_for_denoising_in_values_up_to_255(plain, photos, tmp_path, monkeypatch):
    result, clips = chosen_for(
        monkeypatch,
        plain,
        tmp_path / "t.keras",
        photos,
        task="denoising",
        value_range=(0.0, 255.0),
        trains=True,
    )
    assert len(clips) == 2
    for x, y in clips:
        assert x.shape == y.shape and (x - y).std() == pytest.approx(0.05 * 255, rel=0.05)
    # The noise is the trivial predictor's error.
    assert result.choice.baseline_psnr == pytest.approx(-20 * np.log10(0.05), abs=0.5)


def test_auto_for_super_resolution(models, photos, tmp_path, monkeypatch):
    _, clips = chosen_for(
        monkeypatch, models / "network.keras", tmp_path / "t.keras", photos, task="super-resolution"
    )
    for x, y in clips:
        means = y.reshape(len(y), x.shape[1], 2, x.shape[2], 2, 3).mean(axis=(2, 4))
        np.testing.assert_allclose(x, means, atol=1e-5)


def test_auto_for_hdr(plain, tmp_path, monkeypatch):
    (tmp_path / "light").mkdir()
    for number in range(4):
        image_files.write(tmp_path / "light" / f"{number}.exr", scenes.scene(number, 48, 64))
    _, clips = chosen_for(monkeypatch, plain, tmp_path / "t.keras", tmp_path / "light", task="hdr")
    for x, y in clips:
        assert 0.0 <= x.min() and x.max() <= 1.0
        assert y.min() < -1.0 and x.shape == y.shape  # a logarithm


def test_auto_for_pairs_of_images_that_differ_by_a_scale(models, tmp_path, monkeypatch):
    for folder, size in (("x", 32), ("y", 64)):
        (tmp_path / folder).mkdir()
        for number in range(4):
            write_image(tmp_path / folder / f"{number}.png", size, size, number)
    result, clips = chosen_for(
        monkeypatch, models / "network.keras", tmp_path / "t.keras", tmp_path / "x", tmp_path / "y"
    )
    ((x, y), (_, _)) = clips
    assert (x.shape[1:], y.shape[1:]) == ((24, 24, 3), (48, 48, 3))
    # x is the same picture, smaller, and moves along.
    assert np.abs(x - y[:, ::2, ::2]).max() < 0.1
    assert result.choice.baseline_psnr > 25.0


def test_auto_for_a_model_of_a_fixed_size(photos, tmp_path, monkeypatch):
    x = keras.Input((24, 32, 3))
    saved_models.save(
        keras.Model(x, keras.layers.Conv2D(3, 3, padding="same")(x)), tmp_path / "n.keras", "keras"
    )
    chosen_for(
        monkeypatch,
        tmp_path / "n.keras",
        tmp_path / "t.keras",
        photos,
        task="denoising",
        crop=None,
    )


def test_what_auto_chooses_with(colorizer, tinted, tmp_path, choosers):
    transform = ktr.RandomAffine(translation=1.0, seed=5)
    finetune(
        colorizer,
        tmp_path / "t.keras",
        tinted,
        **CHOOSING,
        method="transform-invariance",
        contrast=0.2,
        reconstruction="mae",
        transform=transform,
        pair_fraction=0.5,
        seed=3,
        validation=0.8,
    )
    (((_, batches, *_), options),) = choosers
    loss = options["loss"](alpha=0.25)
    assert isinstance(loss, losses.TransformInvarianceLoss)
    expected = losses.TransformInvarianceLoss(
        0.25, reconstruction="mae", contrast=0.2, name=loss.name
    )
    assert loss.get_config() == expected.get_config()
    assert options["transform"] is transform
    assert options["baseline"] is tasks.colorization.baseline
    assert [options[name] for name in ("steps", "seed", "pair_fraction", "value_range")] == [
        2,
        3,
        0.5,
        1.0,
    ]
    assert (options["learning_rate"], options["make_input"]) == (3e-2, None)
    assert len(options["stills"]) == validation_clips.STILLS  # of 6
    x, y = next(iter(batches))
    assert (x.shape, y.shape) == ((2, 16, 16, 1), (2, 16, 16, 2))


@pytest.mark.slow
def test_images_too_small_for_a_camera_are_listed(plain, tmp_path, choosers):
    (tmp_path / "p").mkdir()
    order = np.random.default_rng(0).permutation(4)
    for place, number in enumerate(order):
        side = 18 if place == 0 else 32
        write_image(tmp_path / "p" / f"{number}.png", side, side)
    options = {**QUICK, "task": "denoising", "alpha": "auto", "validation": 0.5}
    result = finetune(plain, tmp_path / "t.keras", tmp_path / "p", **options)
    (reason,) = result.skipped
    assert reason.startswith(f"{order[0]}.png: not used to choose alpha, since a camera over 18")
    assert (len(choosers), result.validation_pictures) == (1, 2)


# A clip to choose on.


def a_clip(folder, count, height, width):
    folder.mkdir()
    for number in range(count):
        write_image(folder / f"{number}.png", height, width, number)
    return folder


def test_auto_on_a_clip_takes_the_middle_of_its_first_frames(colorizer, tinted, tmp_path, choosers):
    clip = a_clip(tmp_path / "clip", 52, 20, 300)
    options = {**CHOOSING, "value_range": (-1.0, 1.0), "validation": 0.0}
    finetune(colorizer, tmp_path / "t.keras", tinted, clip=clip, **options)
    (((_, _, clip_given, reference_given), options),) = choosers
    assert options["stills"] == () and options["value_range"] == 2.0
    frames = np.stack([image_files.read(clip / f"{n}.png") for n in range(50)])[:, :, 22:278]
    x, y = tasks.colorization.encode(frames)
    np.testing.assert_allclose(clip_given, 2 * x - 1, atol=1e-6)
    np.testing.assert_allclose(reference_given, 2 * y - 1, atol=1e-6)


def test_auto_on_a_clip_and_its_reference(models, photos, tmp_path, monkeypatch):
    clip = a_clip(tmp_path / "clip", 5, 40, 160)
    truth = a_clip(tmp_path / "truth", 5, 80, 320)
    _, ((x, y),) = chosen_for(
        monkeypatch,
        models / "network.keras",
        tmp_path / "t.keras",
        photos,
        task="super-resolution",
        clip=clip,
        reference=truth,
    )
    np.testing.assert_array_equal(x[2], image_files.read(clip / "2.png")[:, 16:144])
    np.testing.assert_array_equal(y[2], image_files.read(truth / "2.png")[:, 32:288])


def test_a_clip_that_needs_a_reference_says_so(plain, photos, tmp_path, choosers):
    clip = a_clip(tmp_path / "clip", 3, 20, 20)
    for task, targets in (("denoising", None), ("restoration", photos)):
        with pytest.raises(
            ValueError, match=rf"task {task} does not make its input from it: --reference"
        ):
            finetune(
                plain,
                tmp_path / "t.keras",
                photos,
                targets,
                task=task,
                alpha="auto",
                clip=clip,
                **QUICK,
            )
    assert choosers == [] and os.listdir(tmp_path) == ["clip"]


def test_a_missing_clip_is_named(colorizer, tinted, tmp_path, choosers):
    with pytest.raises(ValueError, match=r"none\.mp4 does not exist"):
        finetune(colorizer, tmp_path / "t.keras", tinted, **CHOOSING, clip="none.mp4")
    assert os.listdir(tmp_path) == [] and choosers == []


def test_auto_without_matplotlib_names_the_extra(colorizer, tinted, tmp_path, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "matplotlib" else find(name)
    )
    with pytest.raises(ImportError, match=r"keras-temporal-reg\[demo\]"):
        finetune(colorizer, tmp_path / "t.keras", tinted, **CHOOSING)
    assert os.listdir(tmp_path) == []


# An interrupted run with a choice.


@pytest.fixture
def interrupted(colorizer, tinted, tmp_path, monkeypatch, choosers):
    """The settings of a run that was interrupted when it had chosen alpha, and its output."""

    def stop(*arguments):
        raise KeyboardInterrupt

    output = tmp_path / "t.keras"
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(module, "_train", stop)
        finetune(colorizer, output, tinted, **CHOOSING)
    assert sorted(os.listdir(tmp_path)) == [".t.keras.training", "t.alpha.png"]
    return functools.partial(finetune, colorizer, output, tinted)


@pytest.mark.slow
def test_a_resumed_run_does_not_choose_again(
    interrupted, colorizer, tinted, tmp_path, choosers, monkeypatch
):
    kept = json.loads((tmp_path / ".t.keras.training" / "choice.json").read_text())
    assert kept["choice"]["alpha"] == 0.7 and kept["settings"]["learning_rate"] == 3e-2
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        Interrupt(patch, 1)
        interrupted(**CHOOSING)
    (tmp_path / "t.alpha.png").unlink()
    result = interrupted(**CHOOSING)
    assert len(choosers) == 1
    assert (result.alpha, result.choice) == (0.7, a_choice())
    assert sorted(os.listdir(tmp_path)) == ["t.alpha.png", "t.keras"]
    finetune(colorizer, tmp_path / "u.keras", tinted, **{**CHOOSING, "alpha": 0.7})
    assert same(weights(tmp_path / "t.keras"), weights(tmp_path / "u.keras"), atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"learning_rate": 1e-2}, r"learning_rate 0.03 -> 0.01"),
        ({"alpha": 0.7}, r"alpha auto -> 0.7"),
        ({"clip": "clip"}, r"clip None -> .*clip"),
    ],
)
def test_a_choice_for_other_settings_is_refused(interrupted, change, named, choosers):
    with pytest.raises(ValueError, match=rf"other settings \({named}\).*--restart"):
        interrupted(**{**CHOOSING, **change})
    assert len(choosers) == 1


def test_a_restart_chooses_anew(interrupted, choosers):
    interrupted(**CHOOSING, resume=False)
    assert len(choosers) == 2


def test_a_broken_choice_is_named(interrupted, tmp_path, choosers):
    (tmp_path / ".t.keras.training" / "choice.json").write_text('{"choice": {}')
    with pytest.raises(ValueError, match=r"cannot be read .*--restart"):
        interrupted(**CHOOSING)


def test_a_run_that_began_with_a_number_is_refused_before_a_choice(
    colorizer, tinted, tmp_path, monkeypatch, choosers
):
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        Interrupt(patch, 1)
        finetune(colorizer, tmp_path / "t.keras", tinted, **{**CHOOSING, "alpha": 0.5})
    with pytest.raises(ValueError, match=r"other settings \(alpha 0.5 -> auto\)"):
        finetune(colorizer, tmp_path / "t.keras", tinted, **CHOOSING)
    assert choosers == []


def test_the_choice_is_shown(tmp_path, capsys):
    result = module.FineTuned(
        output=tmp_path / "t.keras",
        method="sparse-jacobian",
        alpha=0.7,
        choice=a_choice(),
        plot=tmp_path / "t.alpha.png",
        task="colorization",
        steps=2,
        pictures=7,
        validation_pictures=1,
        skipped=["a.png: too small"],
        loss=[0.2, 0.1],
        val_loss=[0.4, 0.3],
        seconds=3.0,
        versions={},
    )
    module.show(result)
    shown = capsys.readouterr().out
    assert "Alpha 0.7 was chosen" in shown and "2.50 times" in shown and "The reason." in shown
    assert str(tmp_path / "t.alpha.png") in shown and "Skipped: a.png: too small" in shown
    assert "2 steps on 7 images" in shown and "0.40000 after the first part" in shown
