"""Steadying a saved network on a clip: what is written, resumed, chosen, and refused."""

import json
import math

import numpy as np
import pytest
from helpers.footage import flickering, moving, write_folder
from helpers.models import KERAS_3
from tensorflow import keras

import keras_temporal_reg as ktr
import keras_temporal_reg.steadying.api as module
from keras_temporal_reg import metrics, saved_models
from keras_temporal_reg.evaluation import optical_flow
from keras_temporal_reg.finetuning import training
from keras_temporal_reg.io import video

layers = keras.layers
QUICK = {"steps": 40, "show_progress": False, "learning_rate": 2e-3}


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp("clips") / "moving", moving())


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "network.keras"
    saved_models.save(flickering(), path, "keras")
    return path


@pytest.fixture(scope="module")
def steadied(clip, model, tmp_path_factory):
    """A run with all that it can write, and the folder of its results."""
    folder = tmp_path_factory.mktemp("out")
    other = write_folder(folder / "other", moving(6, seed=5))
    before = model.read_bytes()
    result = ktr.steady(
        model, clip, folder / "steady.keras", folder / "steady.mp4", others=[other], **QUICK
    )
    assert model.read_bytes() == before
    return result, folder


def load(path):
    return saved_models.load(path).model


def results_of(path, frames):
    return np.asarray(load(path)(frames, training=False))


def test_the_clip_flickers_less_and_keeps_its_contrast(steadied, model, clip):
    """By the metrics, on the frames that were written as a clip."""
    result, _ = steadied
    frames = np.round(255 * moving()).astype(np.uint8)
    motion, mask = optical_flow.of_clip(frames)
    before, after = (
        results_of(path, frames / np.float32(255.0)) for path in (model, result.output)
    )
    flickers = [metrics.flicker(each, motion, mask) for each in (before, after)]
    assert flickers[1] < 0.9 * flickers[0]
    assert metrics.contrast_ratio(before, after) == pytest.approx(1.0, abs=0.06)
    assert result.evaluation.outcome is metrics.Outcome.STABILIZED
    clean = [metrics.psnr(frames / np.float32(255.0), each) for each in (before, after)]
    assert clean[1] > clean[0]  # the network adds what flickers to the frames


def test_all_that_is_promised_is_written(steadied, model):
    result, folder = steadied
    assert result.video.is_file() and result.report.is_file() and result.plot.is_file()
    assert {path.name for path in folder.iterdir()} == {
        "other",
        "steady.keras",
        "steady.mp4",
        "steady.others",
        "steady.report",
        "steady.steadied.json",
        "steady.strength.png",
    }
    page = result.report.read_text(encoding="utf-8")
    assert "since no reference was given" in page
    assert [clip.name for clip in result.evaluation.clips] == ["moving"]
    assert [clip.name for clip in result.others.clips] == ["other"]
    assert result.others.report == folder / "steady.others" / "report.html"
    record = json.loads((folder / "steady.steadied.json").read_text())
    assert record["weights"] == dict(result.choice.weights)
    loaded, original = keras.models.load_model(result.output), keras.models.load_model(model)
    assert [layer.name for layer in loaded.layers] == [layer.name for layer in original.layers]
    assert result.steps == 2 * QUICK["steps"] and result.seconds > 0
    assert result.network.startswith("The network was taken as RGB to RGB")


def test_the_blend_is_judged_by_the_results_of_the_original(steadied):
    choice = steadied[0].choice
    assert choice.compared_with == "original" and math.isnan(choice.baseline_psnr)
    start = next(trial for trial in choice.trials if [*trial.weights] == ["original"])
    assert start.measures["error"] == pytest.approx(0.0, abs=1e-3)
    chosen = choice.chosen
    assert chosen.outcome == "stabilized"
    assert chosen.measures["error"] <= 0.75 * 1.5 * start.measures["flicker"]
    assert choice.floor < start.measures["flicker"]


@pytest.mark.slow
def test_an_interrupted_run_gives_the_same_weights(steadied, clip, model, tmp_path, monkeypatch):
    whole, _ = steadied
    output = tmp_path / "steady.keras"
    train, calls = training.train, []

    def interrupted(*args, **options):
        calls.append(0)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return train(*args, **options)

    monkeypatch.setattr(training, "train", interrupted)
    with pytest.raises(KeyboardInterrupt):
        ktr.steady(model, clip, output, **QUICK)
    assert not output.exists() and (tmp_path / ".steady.keras.training").is_dir()
    with pytest.raises(ValueError, match=r"other settings \(seed 0 -> 1\)"):
        ktr.steady(model, clip, output, **QUICK, seed=1)
    # The steps are those that the run began with, whatever time is given now.
    result = ktr.steady(model, clip, output, **{**QUICK, "steps": None}, minutes=0.1)
    assert result.steps == whole.steps
    for a, b in zip(load(result.output).get_weights(), load(whole.output).get_weights()):
        np.testing.assert_array_equal(a, b)
    assert not (tmp_path / ".steady.keras.training").exists()


@pytest.mark.slow
def test_a_strength_of_zero_is_the_original(clip, model, tmp_path):
    result = ktr.steady(model, clip, tmp_path / "same.keras", **{**QUICK, "steps": 2}, strength=0)
    assert dict(result.choice.weights) == {"original": 1.0}
    for a, b in zip(load(result.output).get_weights(), load(model).get_weights()):
        np.testing.assert_array_equal(a, b)


@pytest.mark.slow
def test_where_no_blend_is_steadier_nothing_is_written(clip, model, tmp_path):
    output = tmp_path / "none.keras"
    options = {**QUICK, "steps": 2, "learning_rate": 1e-9, "method": "transform-invariance"}
    with pytest.raises(ValueError, match=r"found no blend, so no model was written.*is kept"):
        ktr.steady(model, clip, output, **options)
    assert not output.exists() and (tmp_path / "none.strength.png").is_file()
    result = ktr.steady(model, clip, output, **options, strength=1)
    assert output.is_file() and result.steps == 2


@pytest.mark.slow
def test_the_time_sets_the_steps(clip, model, tmp_path, capsys):
    options = {**QUICK, "steps": None, "method": "sparse-jacobian", "show_progress": True}
    result = ktr.steady(model, clip, tmp_path / "a.keras", **options, minutes=0.01, strength=1)
    assert result.steps == 50
    printed = capsys.readouterr().err
    assert "1 training of 50 steps" in printed and "steps per second" in printed
    assert "The network was taken as" in printed and "24 frames in 1 shot" in printed


def saved(model, path):
    saved_models.save(model, path, "keras")
    return path


def refused(tmp_path, model, clip, match, error=ValueError, **options):
    output = tmp_path / "out.keras"
    with pytest.raises(error, match=match):
        ktr.steady(model, clip, output, **{**QUICK, **options})
    assert not output.exists() and not [*tmp_path.glob("*.strength.png")]


def test_a_clip_without_flicker_is_left_alone(tmp_path, model):
    still = write_folder(tmp_path / "still", np.repeat(moving(1), 6, axis=0))
    refused(tmp_path, model, still, "nothing to steady in clip .*still, and nothing was written")
    black = write_folder(tmp_path / "black", np.zeros((6, 48, 64, 3), np.float32))
    zero = flickering()
    zero.get_layer("detail").set_weights([np.zeros((3, 3, 8, 3)), np.zeros(3)])
    path = saved(zero, tmp_path / "zero.keras")
    refused(tmp_path, path, black, "nothing to steady.* Received: no contrast")


@pytest.mark.slow
def test_models_that_cannot_be_steadied_are_refused_by_name(tmp_path, clip):
    frozen = flickering()
    frozen.trainable = False
    path = saved(frozen, tmp_path / "frozen.keras")
    refused(tmp_path, path, clip, "must have weights to train")
    x = keras.Input((None, None, 3))
    two = keras.Model(x, [layers.Conv2D(3, 1)(x), layers.Conv2D(3, 1)(x)])
    path = saved(two, tmp_path / "two.keras")
    refused(tmp_path, path, clip, "one output. Received: 2", saved_models.ModelError)
    vector = keras.Model(x, layers.GlobalAveragePooling2D()(layers.Conv2D(3, 1)(x)))
    path = saved(vector, tmp_path / "vector.keras")
    refused(tmp_path, path, clip, "output shape", saved_models.ModelError)


@pytest.mark.slow
def test_a_training_that_diverges_is_stopped(tmp_path, clip, model):
    refused(tmp_path, model, clip, "loss", learning_rate=1e20)


def test_paths_that_cannot_be_used_are_refused(tmp_path, clip, model):
    with pytest.raises(ValueError, match="output must be another file than model"):
        ktr.steady(model, clip, model)
    with pytest.raises(ValueError, match="clip must hold at least one clip"):
        ktr.steady(model, [], tmp_path / "out.keras")
    refused(tmp_path, model, tmp_path / "missing.mp4", "missing.mp4", Exception)


def chroma_of_luma():
    base = flickering(1)
    x = keras.Input((None, None, 1))
    return keras.Model(x, layers.Conv2D(2, 3, padding="same")(base(x)))


def of_255_to_1():
    x = keras.Input((None, None, 3))
    return keras.Model(x, flickering()(layers.Rescaling(1 / 255)(x)))


@pytest.mark.slow
@pytest.mark.parametrize("make", [chroma_of_luma, of_255_to_1])
def test_kinds_of_networks(make, clip, tmp_path):
    path = saved(make(), tmp_path / "network.keras")
    output = tmp_path / "steady.keras"
    result = ktr.steady(
        path, clip, output, tmp_path / "steady.mkv", **{**QUICK, "steps": 20}, strength=1
    )
    shown = np.mean([frame.pixels for frame in video.frames(tmp_path / "steady.mkv")])
    assert shown / 255 == pytest.approx(moving().mean(), abs=0.15)
    before, after = (
        result.evaluation.mean[name]["flicker"] for name in ("original", module.STEADIED)
    )
    assert after < before
    assert (
        keras.models.load_model(output).count_params()
        == keras.models.load_model(path).count_params()
    )


@pytest.mark.skipif(KERAS_3, reason="Keras 3 saves no SavedModel that it loads")
def test_a_saved_model_stays_one(clip, tmp_path):
    saved_models.save(flickering(), tmp_path / "network", "savedmodel")
    options = {**QUICK, "steps": 2, "strength": 1}
    ktr.steady(tmp_path / "network", clip, tmp_path / "steady", **options)
    assert saved_models.format_of(tmp_path / "steady") == "savedmodel"
