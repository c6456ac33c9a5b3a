"""`evaluate`: numbers equal to those of the metrics, and a verdict by the rule."""

import dataclasses
import json
import math
import re
from fractions import Fraction

import numpy as np
import pytest
from scipy import ndimage
from tensorflow import keras

import keras_temporal_reg as ktr
from keras_temporal_reg import metrics
from keras_temporal_reg.evaluation import api as evaluation
from keras_temporal_reg.evaluation import clip_evaluator
from keras_temporal_reg.evaluation.clips import STILL_FRAMES
from keras_temporal_reg.io import image_files, video

layers = keras.layers
HEIGHT, WIDTH, COUNT = 40, 56, 14


def moving(count=COUNT, height=HEIGHT, width=WIDTH):
    """Frames ``(count, height, width, 3)`` in [0, 1] of a texture that moves."""
    noise = np.random.default_rng(0).uniform(size=(height, width + count, 3))
    texture = ndimage.gaussian_filter(noise, (2, 2, 0))
    texture = (texture - texture.min()) / np.ptp(texture)
    return np.stack([texture[:, t : t + width] for t in range(count)]).astype(np.float32)


def as_folder(path, frames):
    path.mkdir()
    for t, frame in enumerate(frames):
        image_files.write(path / f"f{t:02d}.png", frame)
    return path


def noisy(frames, deviation=0.1):
    noise = np.random.default_rng(1).normal(0, deviation, frames.shape)
    return np.clip(frames + noise, 0, 1).astype(np.float32)


@pytest.fixture(scope="module")
def noisy_clip(tmp_path_factory):
    """A noisy clip and what it should be, as PNG, so that both are known to the bit."""
    folder = tmp_path_factory.mktemp("clip")
    clip = as_folder(folder / "clip", noisy(moving()))
    return clip, as_folder(folder / "truth", moving())


def identity():
    return keras.Sequential([keras.Input((None, None, 3)), layers.Rescaling(1.0)])


def blur():
    return keras.Sequential(
        [keras.Input((None, None, 3)), layers.AveragePooling2D(3, strides=1, padding="same")]
    )


def fade():
    return keras.Sequential([keras.Input((None, None, 3)), layers.Rescaling(0.5, 0.25)])


def run(models, clips, output=None, **options):
    return ktr.evaluate(models, clips, output, show_progress=False, **options)


def test_measures_are_those_of_the_metrics(noisy_clip):
    clip, truth = noisy_clip
    result = run({"blurred": blur()}, [clip], references=[truth])
    (measured,) = result.clips
    x, v = (video.read(path).frames / np.float32(255) for path in (clip, truth))
    for name, p in (("input", x), ("blurred", blur().predict(x, verbose=0))):
        expected = metrics.stability(v, p)
        expected["ssim"] = metrics.ssim(v, p)
        for key, value in expected.items():
            assert measured.measures[name][key] == pytest.approx(value, rel=1e-3, abs=1e-5), key
    assert measured.frames == COUNT and measured.size == (HEIGHT, WIDTH)
    for key in ("flicker", "fast_error", "psnr"):
        assert len(measured.per_frame[key]["blurred"]) == COUNT
    per_frame = [metrics.psnr(a, b) for a, b in zip(v, x)]
    assert measured.per_frame["psnr"]["input"] == pytest.approx(per_frame, rel=1e-4)
    assert result.mean["input"] == measured.measures["input"]


def test_flow_measures_see_noise_and_motion(noisy_clip):
    clip, truth = noisy_clip
    result = run({"same": identity(), "blurred": blur()}, [clip], references=[truth])
    mean = result.mean
    assert mean["input"]["warping_error"] == pytest.approx(mean["same"]["warping_error"], rel=1e-4)
    # Noise of two frames, three channels, without a root: about 6 times its variance at most.
    assert 0.01 < mean["same"]["warping_error"] < 6 * 0.1**2
    assert mean["blurred"]["warping_error"] < 0.5 * mean["same"]["warping_error"]
    assert mean["blurred"]["flow_difference"] < mean["same"]["flow_difference"]
    # The flow of the reference, which has no noise, explains all of its own change.
    assert mean["reference"]["flicker"] < 0.2 * mean["blurred"]["flicker"]
    assert mean["blurred"]["flicker"] < mean["same"]["flicker"]
    variance = moving().var(axis=(1, 2)).sum(axis=-1).mean()
    # Noise of two frames and three channels, some of it clipped or averaged by interpolation.
    assert 0.5 < mean["same"]["flicker"] / (100 * math.sqrt(6 * 0.1**2 / variance)) < 1.0


def test_without_flow_there_are_no_flow_measures(noisy_clip):
    result = run({"same": identity()}, [noisy_clip[0]], flow_method="none")
    assert math.isnan(result.mean["same"]["flicker"])
    assert math.isnan(result.mean["same"]["warping_error"])
    assert math.isnan(result.mean["same"]["flow_difference"])


def test_without_a_reference_the_first_model_serves(noisy_clip):
    clip = noisy_clip[0]
    result = run({"before": identity(), "after": blur()}, [clip])
    assert result.clips[0].reference == "the results of before, since no reference was given"
    assert result.excess_removed is None and "reference" not in result.mean
    assert math.isnan(result.mean["input"]["psnr"]) and math.isnan(result.mean["before"]["psnr"])
    assert result.mean["input"]["flicker"] == pytest.approx(result.mean["before"]["flicker"])
    # The clip is its own original here: with it as the reference, the same is found.
    expected = run({"before": identity(), "after": blur()}, [clip], references=[clip])
    for key in ("flicker", "error", "psnr", "ssim", "contrast_ratio", "structure"):
        assert result.mean["after"][key] == pytest.approx(expected.mean["after"][key], rel=1e-5)
    assert math.isnan(result.mean["after"]["temporal_error"])
    pair = (result.mean["before"], result.mean["after"])
    assert result.verdict == metrics.verdict_without_reference(*pair, [pair])


def test_without_a_reference_one_model_is_not_judged(noisy_clip):
    result = run({"before": identity()}, [noisy_clip[0]])
    assert result.verdict is None and result.outcome is None
    assert result.summary.startswith("NOT JUDGED, since no reference was given")


def test_fading_is_no_gain(noisy_clip):
    """Of a faded clip, change and contrast are halved alike."""
    clip, truth = noisy_clip
    result = run({"before": identity(), "after": fade()}, [clip], references=[truth])
    assert result.mean["after"]["smoothness"] > 1.9 * result.mean["before"]["smoothness"]
    assert result.mean["after"]["flicker"] == pytest.approx(
        result.mean["before"]["flicker"], rel=1e-3
    )
    assert result.outcome is not metrics.Outcome.STABILIZED


def test_the_verdict_is_that_of_the_rule(noisy_clip):
    clip, truth = noisy_clip
    result = run({"before": identity(), "after": blur()}, [clip], references=[truth])
    expected = metrics.verdict(
        result.mean["before"], result.mean["after"], result.mean["input"]["psnr"]
    )
    assert result.verdict == expected and result.outcome is expected.outcome
    before, after, floor = (
        result.mean[name]["flicker"] for name in ("before", "after", "reference")
    )
    removed = (before - after) / (before - floor)
    assert result.excess_removed == pytest.approx(removed)
    assert result.summary == (
        f"{expected.sentence} It removes {100 * removed:.0f} % of the flicker that the reference "
        f"does not have. {expected.next_step}"
    )
    with pytest.warns(DeprecationWarning, match="verdict.outcome"):
        assert result.counts_as_stabilized is expected.is_stabilized


def test_the_baseline_is_never_marked_as_the_best(noisy_clip, tmp_path):
    keras.utils.set_random_seed(0)
    network = keras.Sequential([keras.Input((None, None, 1)), layers.Conv2D(2, 3, padding="same")])
    result = run({"net": network}, [noisy_clip[1]], tmp_path, task="colorization")
    assert result.mean["input"]["temporal_error"] < result.mean["net"]["temporal_error"]
    page = result.report.read_text()
    row = next(r for r in page.split("</tr>") if "input (grey)" in r)
    assert "<td>" in row
    assert "<strong>" not in row


def test_a_clip_of_which_the_input_is_made_is_its_own_reference(noisy_clip):
    keras.utils.set_random_seed(0)
    network = keras.Sequential([keras.Input((None, None, 1)), layers.Conv2D(2, 3, padding="same")])
    result = run({"net": network}, [noisy_clip[1]], task="colorization")
    x, y = ktr.tasks.colorization.encode(video.read(noisy_clip[1]).frames / np.float32(255))
    expected = metrics.stability(y, network.predict(x, verbose=0))
    assert result.mean["net"]["temporal_error"] == pytest.approx(
        expected["temporal_error"], rel=1e-3
    )
    assert result.mean["input"]["temporal_error"] == pytest.approx(1.0)  # grey


def test_a_grey_clip_has_no_colours_to_measure(tmp_path):
    grey = np.repeat(moving(5).mean(axis=-1, keepdims=True), 3, axis=-1)
    keras.utils.set_random_seed(0)
    network = keras.Sequential([keras.Input((None, None, 1)), layers.Conv2D(2, 3, padding="same")])
    result = run({"net": network}, [as_folder(tmp_path / "grey", grey)], task="colorization")
    assert "grey, is already right" in " ".join(result.clips[0].notes)


@pytest.mark.slow
def test_a_still_has_exact_motion(tmp_path):
    noise = np.random.default_rng(0).uniform(size=(90, 120, 3))
    image_files.write(tmp_path / "still.png", ndimage.gaussian_filter(noise, (3, 3, 0)))
    result = run({"same": identity()}, [], stills=[tmp_path / "still.png"])
    (measured,) = result.clips
    assert measured.frames == STILL_FRAMES
    assert "known exactly" in measured.notes[0] and "exact" in result.settings["flow"]
    assert measured.measures["same"]["warping_error"] < 1e-4
    doubling = keras.Sequential([keras.Input((None, None, 3)), layers.UpSampling2D(2)])
    result = run({"x2": doubling}, [], stills=[tmp_path / "still.png"], task="super-resolution")
    assert result.mean["x2"]["psnr"] == pytest.approx(result.mean["input"]["psnr"], abs=1e-3)
    assert result.mean["x2"]["warping_error"] < 1e-3


@pytest.mark.slow
def test_cuts_are_found_in_the_reference_and_named(tmp_path):
    truth = np.concatenate([moving(7), 1.0 - moving(7)[:, ::-1]])
    clips = [as_folder(tmp_path / "clip", noisy(truth)), as_folder(tmp_path / "truth", truth)]
    found = run({"same": identity()}, clips[:1], references=clips[1:])
    assert "1 cut, at frame 8; frames are not compared across a cut." in found.clips[0].notes
    blind = run({"same": identity()}, clips[:1], references=clips[1:], find_cuts=False)
    assert blind.clips[0].notes == () and blind.settings["find_cuts"] is False
    assert found.mean["reference"]["flicker"] < 0.5 * blind.mean["reference"]["flicker"]


def test_the_result_is_printed_with_the_floor_and_what_to_do_next(noisy_clip, capsys):
    clip, truth = noisy_clip
    result = run({"before": identity(), "after": blur()}, [clip], references=[truth])
    evaluation.show(result)
    printed = " ".join(capsys.readouterr().out.split())
    assert result.verdict.next_step in printed
    assert result.outcome.name.replace("_", " ") in printed
    assert re.search(r"│ reference │ +" + f"{result.mean['reference']['flicker']:.2f} │", printed)


def test_long_clips_have_flow_estimated_at_some_pairs(noisy_clip, monkeypatch):
    monkeypatch.setattr(clip_evaluator, "FLOW_PAIRS", 5)
    result = run({"same": identity()}, [noisy_clip[0]], references=[noisy_clip[1]])
    assert "one pair of neighbours in 3" in " ".join(result.clips[0].notes)
    assert result.mean["same"]["warping_error"] > 0


def test_a_broken_clip_keeps_what_came_before(tmp_path):
    clip = as_folder(tmp_path / "Clip", moving(9))
    (clip / "f06.png").write_bytes(b"gone")
    result = run({"same": identity()}, [clip])
    assert not result.is_complete
    assert result.clips[0].frames == 6
    assert "breaks off after 6 frames" in " ".join(result.clips[0].notes)
    assert str(clip) in result.clips[0].notes[-1]  # its letters as they are
    (clip / "f01.png").write_bytes(b"gone")
    with pytest.raises(video.BrokenClip, match="after 1 frames"):
        run({"same": identity()}, [clip])


def test_different_lengths_give_a_note(noisy_clip, tmp_path):
    shorter = as_folder(tmp_path / "shorter", moving(9))
    result = run({"same": identity()}, [noisy_clip[0]], references=[shorter])
    assert result.clips[0].frames == 9
    assert "different lengths" in " ".join(result.clips[0].notes)


def test_a_reference_of_another_size_is_refused(noisy_clip, tmp_path):
    other = as_folder(tmp_path / "other", moving(3, 20, 28))
    with pytest.raises(ValueError, match=r"must have frames of 56 x 40.*Received: 28 x 20"):
        run({"same": identity()}, [noisy_clip[0]], references=[other])


def test_each_model_has_its_own_range_where_none_is_given(noisy_clip):
    def of_bytes():
        same = layers.DepthwiseConv2D(1, depthwise_initializer="ones")
        return keras.Sequential([keras.Input((None, None, 3)), layers.Rescaling(1 / 255), same])

    clip, truth = noisy_clip
    models = {"bytes": of_bytes(), "unit": identity()}
    result = run(models, [clip], references=[truth], flow_method="none")
    found = {"bytes": [0.0, 255.0, 0.0, 1.0], "unit": [0.0, 1.0]}
    assert result.settings["value_range"] == found
    assert result.mean["bytes"]["psnr"] == pytest.approx(result.mean["unit"]["psnr"], rel=1e-4)
    (note,) = result.clips[0].notes
    assert note.startswith("bytes: Value range: 0..255 in, 0..1 out")
    shared = run({"bytes": models["bytes"]}, [clip], flow_method="none", value_range=(0, 1))
    assert shared.settings["value_range"] == [0, 1] and not shared.clips[0].notes


def test_the_old_name_of_the_value_range_is_deprecated(noisy_clip):
    scaled = keras.Sequential([keras.Input((None, None, 3)), layers.Rescaling(1.0)])
    options = {"references": [noisy_clip[1]], "flow_method": "none"}
    with pytest.warns(DeprecationWarning, match="value_range"):
        result = run({"m": scaled}, [noisy_clip[0]], values=(0.0, 255.0), **options)
    assert result.settings["value_range"] == [0.0, 255.0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"value_range": (1.0, 1.0)}, r"value_range must be two finite numbers.*Received: 1, 1"),
        ({"memory": 0}, "memory must be a number above 0"),
        ({"sigma": -1.0}, "sigma must be a number above 0"),
        ({"models": {}}, "models must hold at least one model"),
        ({"clips": []}, "clips or stills must hold something"),
        ({"references": ["a", "b"]}, "one for each of the 1 clips. Received: 2"),
        ({"flow_method": "magic"}, "flow_method must be one of dis, farneback, none"),
        ({"task": "magic"}, "task must be one of"),
    ],
)
def test_wrong_use_is_refused(noisy_clip, options, message):
    given = {"models": {"same": identity()}, "clips": [noisy_clip[0]], **options}
    with pytest.raises(ValueError, match=message):
        run(given.pop("models"), given.pop("clips"), **given)


def test_a_network_that_does_not_fit_the_task_is_named(noisy_clip):
    doubling = keras.Sequential([keras.Input((None, None, 3)), layers.UpSampling2D(2)])
    with pytest.raises(ValueError, match=r"model x2 returns 2 times the size.*super-resolution"):
        run({"x2": doubling}, [noisy_clip[0]])
    grey = keras.Sequential([keras.Input((None, None, 3)), layers.Conv2D(1, 1)])
    with pytest.raises(ValueError, match="model grey must return 3 channels"):
        run({"grey": grey}, [noisy_clip[0]])


@pytest.mark.slow
def test_models_of_one_name_get_folders_in_their_names(tmp_path, noisy_clip):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        identity().save(tmp_path / name / "model.keras")
    paths = [tmp_path / name / "model.keras" for name in ("a", "b")]
    result = run(paths, [noisy_clip[0]])
    assert [*result.mean] == ["input", "model", "b/model"]


def test_a_point_in_a_folders_name_is_kept():
    named = evaluation._named_paths(["/models/s_0", "/models/s_0.5", "/models/b.keras"])
    assert [*named] == ["s_0", "s_0.5", "b"]


def test_a_folder_of_results_is_written(tmp_path, noisy_clip):
    clip, truth = noisy_clip
    output = tmp_path / "new" / "out"
    result = run(
        {"before": identity(), "after": blur()},
        [clip],
        output,
        references=[truth],
        command="ktr evaluate <these>",
    )
    assert sorted(p.name for p in output.iterdir()) == ["evaluation.json", "report.html"]
    assert result.report == output / "report.html"
    stored = json.loads((output / "evaluation.json").read_text())
    assert {*stored} == {field.name for field in dataclasses.fields(result)}
    assert stored["mean"]["after"]["psnr"] == pytest.approx(result.mean["after"]["psnr"])
    assert stored["outcome"] == stored["verdict"]["outcome"] == result.outcome.value
    assert stored["excess_removed"] == pytest.approx(result.excess_removed)
    assert stored["mean"]["reference"]["psnr"] is None
    assert stored["mean"]["reference"]["flicker"] == pytest.approx(
        result.mean["reference"]["flicker"]
    )
    page = result.report.read_text()
    assert result.verdict.next_step in page
    assert "ktr evaluate &lt;these&gt;" in page
    assert result.summary.split(":")[0] in page
    for measure in metrics.MEASURES.values():
        assert measure.title in page and measure.unit in page


def test_memory_does_not_grow_with_the_clip(tmp_path, noisy_clip):
    """What is kept of a frame is a few numbers; see docs/reliability.md for long clips."""
    clip = tmp_path / "long.mp4"
    frames = (255 * moving(60)).astype(np.uint8)
    video.write(clip, frames, Fraction(25))
    result = run({"same": identity()}, [clip], flow_method="none")
    assert result.clips[0].frames == 60
    # The chunks of one clip are measured in order: the last frames count like the first.
    assert len(result.clips[0].per_frame["psnr"]["same"]) == 60
