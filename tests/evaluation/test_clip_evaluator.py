"""One pass over a clip, against the metrics on whole arrays, whatever the chunks."""

import math
from fractions import Fraction

import numpy as np
import pytest
from scipy import ndimage
from tensorflow import keras

from keras_temporal_reg import metrics, tasks
from keras_temporal_reg.evaluation import clip_evaluator, clips, optical_flow, previews
from keras_temporal_reg.evaluation.clip_evaluator import INPUT, REFERENCE, ClipEvaluator
from keras_temporal_reg.evaluation.config import EvaluationConfig
from keras_temporal_reg.io import progress, video

layers = keras.layers


def moving(count=19, height=32, width=40, seed=0, speed=(-1.4, -0.6)):
    """A texture that moves, in pixels per frame along x and y.

    By no whole numbers, so that pixels do not come to lie on the edge of the frame, where rounding
    decides whether they count.
    """
    noise = np.random.default_rng(seed).uniform(size=(height + count, width + 2 * count, 3))
    texture = ndimage.gaussian_filter(noise, (2, 2, 0))
    texture = (texture - texture.min()) / np.ptp(texture)
    frames = [
        ndimage.shift(texture, (speed[1] * t, speed[0] * t, 0), order=1)[:height, :width]
        for t in range(count)
    ]
    return np.stack(frames).astype(np.float32)


def blur():
    return keras.Sequential(
        [keras.Input((None, None, 3)), layers.AveragePooling2D(3, strides=1, padding="same")]
    )


def clip_of(pairs, **options):
    """An evaluation clip of frames x and y in memory."""
    x = pairs[0][0]
    return clips.EvaluationClip(
        name="clip",
        size=x.shape[:2],
        rate=Fraction(25),
        count=len(pairs),
        **{"read": lambda note: iter(pairs), "reference": "the truth", **options},
    )


def evaluate(clip, models, shown=None, **settings):
    config = EvaluationConfig(settings.pop("task", tasks.restoration), **settings)
    with progress.bars(shown=False) as start:
        return ClipEvaluator(clip, models, config, shown).run(start)


@pytest.fixture(scope="module")
def pairs():
    target = moving()
    noise = np.random.default_rng(1).normal(0, 0.1, target.shape)
    return [*zip(np.clip(target + noise, 0, 1).astype(np.float32), target)]


def test_measures_are_those_of_the_whole_clip(pairs):
    x, y = (np.stack(part) for part in zip(*pairs))
    result = evaluate(clip_of(pairs), {"blur": blur()})
    assert result.frames == len(pairs) and result.is_complete and result.has_reference
    for name, p in ((INPUT, x), ("blur", blur().predict(x, verbose=0))):
        expected = {**metrics.stability(y, p), "ssim": metrics.ssim(y, p)}
        found = {key: result.measures[name][key] for key in expected}
        assert found == pytest.approx(expected, rel=1e-3)
        assert result.per_frame["psnr"][name] == pytest.approx(
            [metrics.psnr(a, b) for a, b in zip(y, p)], rel=1e-4
        )
        fast = np.sqrt(((metrics.high_pass(p) - metrics.high_pass(y)) ** 2).mean((1, 2, 3)))
        assert result.per_frame["fast_error"][name] == pytest.approx(fast, rel=1e-3)


def squares(frames, flow, mask):
    """Squared change of each frame that the flow does not explain, by SciPy; NaN without trust."""
    height, width = frames.shape[1:3]
    rows, columns = np.mgrid[:height, :width]
    errors = []
    for frame, following, (dx, dy), trust in zip(
        frames[:-1], frames[1:], np.moveaxis(flow, -1, 1), mask
    ):
        places = [rows + dy, columns + dx]
        warped = [
            ndimage.map_coordinates(plane, places, order=1, mode="nearest")
            for plane in np.moveaxis(following, -1, 0)
        ]
        inside = (places[0] >= 0) & (places[0] <= height - 1)
        inside &= (places[1] >= 0) & (places[1] <= width - 1)
        error = ((np.stack(warped, axis=-1) - frame) ** 2).sum(axis=-1)
        errors.append((error * trust * inside).sum() / (trust * inside).sum())
    return np.array(errors)


def flicker(error, *shots):
    """In % of contrast, from the mean squared change and the frames that it is of."""
    contrast = np.concatenate([shot.var(axis=(1, 2)).sum(axis=-1) for shot in shots]).mean()
    return 100 * np.sqrt(error / contrast)


def test_flicker_is_of_the_output_by_the_motion_of_the_reference(pairs):
    truth = np.stack([target for _, target in pairs])
    keras.utils.set_random_seed(0)
    network = keras.Sequential([keras.Input((None, None, 1)), layers.Conv2D(2, 3, padding="same")])
    coded = [tasks.colorization.encode(frame) for frame in truth]
    x, y = (np.stack(part) for part in zip(*coded))
    result = evaluate(clip_of(coded), {"net": network}, task=tasks.colorization)
    motion = optical_flow.of_clip(tasks.colorization.decode(x, y))
    for name, output in (("net", network.predict(x, verbose=0)), (REFERENCE, y)):
        errors = squares(output, *motion)
        assert result.measures[name]["flicker"] == pytest.approx(
            flicker(errors.mean(), output), rel=2e-3
        )
        found = result.per_frame["flicker"][name]
        assert math.isnan(found[0])
        assert found[1:] == pytest.approx(flicker(errors, output), rel=2e-3)
        errors = squares(tasks.colorization.decode(x, output), *motion)
        assert result.measures[name]["warping_error"] == pytest.approx(errors.mean(), rel=2e-3)
    assert math.isnan(result.measures[INPUT]["flicker"])  # grey has no contrast
    assert math.isnan(result.measures[REFERENCE]["psnr"])


@pytest.mark.slow
def test_two_shots_have_the_measures_of_each(pairs, monkeypatch):
    """Weighted by their numbers of frames; flicker and warping error by their pairs."""
    monkeypatch.setattr(clip_evaluator, "TOF_PAIRS", 100)  # all of them, in each clip
    other = moving(11, seed=5)
    noise = np.random.default_rng(6).normal(0, 0.05, other.shape)
    other = [*zip(np.clip(other + noise, 0, 1).astype(np.float32), other)]
    model = blur()
    whole = evaluate(clip_of([*pairs, *other]), {"blur": model})
    assert whole.notes == (
        f"1 cut, at frame {len(pairs) + 1}; frames are not compared across a cut.",
    )
    shots = [np.stack([x for x, _ in part]) for part in (pairs, other)]
    truths = [np.stack([y for _, y in part]) for part in (pairs, other)]
    blurred = [model.predict(x, verbose=0) for x in shots]
    errors = np.concatenate([squares(p, *optical_flow.of_clip(v)) for p, v in zip(blurred, truths)])
    found = whole.measures["blur"]
    assert found["flicker"] == pytest.approx(flicker(errors.mean(), *blurred), rel=2e-3)
    assert found["warping_error"] == pytest.approx(errors.mean(), rel=2e-3)
    assert math.isnan(whole.per_frame["flicker"]["blur"][len(pairs)])
    energies = [
        [np.square(metrics.high_pass(u)).sum() for u in (v, p, p - v)]
        for v, p in zip(truths, blurred)
    ]
    of_v, of_p, of_error = np.sum(energies, axis=0)
    assert found["temporal_error"] == pytest.approx(np.sqrt(of_error / of_v), rel=1e-3)
    assert found["smoothness"] == pytest.approx(np.sqrt(of_v / of_p), rel=1e-3)
    apart = [evaluate(clip_of(part), {"blur": model}).measures["blur"] for part in (pairs, other)]
    weights = [len(part) - 1 for part in (pairs, other)]
    expected = np.average([m["flow_difference"] for m in apart], weights=weights)
    assert found["flow_difference"] == pytest.approx(expected, rel=1e-4)


@pytest.mark.slow
def test_one_cut_changes_a_measure_by_no_more_than_its_share_of_frames():
    truth = moving(60)
    noise = np.random.default_rng(1).normal(0, 0.05, truth.shape)
    result = np.clip(truth + noise, 0, 1).astype(np.float32)
    model = blur()
    mirrored = [*zip(result, truth)]
    mirrored[30:] = [(x[:, ::-1], y[:, ::-1]) for x, y in mirrored[30:]]
    whole = evaluate(clip_of([*zip(result, truth)]), {"blur": model})
    cut = evaluate(clip_of(mirrored), {"blur": model})
    blind = evaluate(clip_of(mirrored), {"blur": model}, find_cuts=False)
    assert whole.notes == blind.notes == () and "1 cut, at frame 31;" in cut.notes[0]
    assert cut.measures["blur"] == pytest.approx(whole.measures["blur"], rel=2 / 60)
    for key in ("flicker", "warping_error"):
        assert blind.measures["blur"][key] != pytest.approx(whole.measures["blur"][key], rel=0.04)


def test_a_clip_of_cuts_only_has_no_flicker():
    frames = [moving(1, seed=seed)[0] for seed in range(9)]
    result = evaluate(clip_of([(frame, frame) for frame in frames]), {"blur": blur()})
    assert "no two neighbours are compared: flicker cannot be measured" in result.notes[-1]
    for key in ("flicker", "warping_error", "flow_difference"):
        assert math.isnan(result.measures["blur"][key])
    assert result.measures["blur"]["psnr"] > 10


def test_of_many_cuts_the_note_names_some():
    describe = clip_evaluator._describe_cuts
    assert describe([30, 76], 100).startswith("2 cuts, at frames 31 and 77;")
    assert describe([*range(1, 9)], 100).startswith("8 cuts, at frames 2, 3, 4, 5, 6 and 3 more;")


@pytest.mark.slow
def test_pairs_that_were_not_sampled_have_no_flicker(pairs, monkeypatch):
    monkeypatch.setattr(clip_evaluator, "FLOW_PAIRS", 5)
    sampled = evaluate(clip_of(pairs), {"blur": blur()})
    monkeypatch.undo()
    every = evaluate(clip_of(pairs), {"blur": blur()}).per_frame["flicker"]["blur"]
    found = np.array(sampled.per_frame["flicker"]["blur"])
    assert np.flatnonzero(~np.isnan(found)).tolist() == [4, 8, 12, 16]
    assert found[4::4] == pytest.approx(every[4::4], rel=1e-5)


@pytest.mark.slow
def test_the_flow_of_results_is_estimated_at_fewer_pairs(pairs, monkeypatch):
    estimate, found = optical_flow.estimate, []

    def counted(frame, following, method="dis"):
        found.append(method)
        return estimate(frame, following, method)

    monkeypatch.setattr(optical_flow, "estimate", counted)
    monkeypatch.setattr(clip_evaluator, "TOF_PAIRS", 5)
    measures = evaluate(clip_of(pairs), {"blur": blur()}).measures
    # Forward and backward at each of 18 pairs; at each fourth, that of the scene and two results.
    assert found.count("dis") == 2 * 18 and found.count("farneback") == 3 * 4
    assert measures["blur"]["flow_difference"] > 0


def test_known_motion_is_used_as_it_is():
    y = moving(speed=(-1, 0))
    # The texture moves one column to the left per frame.
    motion = np.tile(np.float64([1, 0, -1, 0, 1, 0, 0, 0]), (len(y) - 1, 1))
    same = keras.Sequential([keras.Input((None, None, 3)), layers.Rescaling(1.0)])
    clip = clip_of([(frame, frame) for frame in y], motion=motion)
    measures = evaluate(clip, {"same": same}).measures
    assert measures["same"]["warping_error"] < 1e-8 and measures["same"]["flicker"] < 0.05
    assert measures[REFERENCE]["flicker"] < 0.05


def test_a_clip_that_breaks_off_keeps_the_frames_before(pairs):
    def broken(note):
        yield from pairs[:11]
        raise video.BrokenClip("clip x breaks off after 11 frames", 11)

    clip = clip_of(pairs, read=broken, notes=("A note.",))
    result = evaluate(clip, {"blur": blur()})
    assert not result.is_complete and result.frames == 11
    assert result.notes[0] == "A note." and result.notes[-1].startswith("Clip x breaks off")


def test_what_reading_shows_becomes_a_note(pairs):
    def read(note):
        yield from pairs[:3]
        note("Read to the end.")

    assert "Read to the end." in evaluate(clip_of(pairs, read=read), {"blur": blur()}).notes


def test_one_frame_is_refused(pairs):
    with pytest.raises(video.ClipError, match=r"at least 2 frames\. Received: 1"):
        evaluate(clip_of(pairs[:1]), {"blur": blur()})


def test_tiles_give_a_note_and_the_same_measures():
    y = moving(4, 150, 220)
    clip = clip_of([(1.0 - frame, frame) for frame in y])
    whole = evaluate(clip, {"blur": blur()}, flow_method="none")
    tiled = evaluate(clip, {"blur": blur()}, flow_method="none", memory=0.5)
    assert whole.notes == () and "tiles of" in tiled.notes[0]
    assert tiled.measures["blur"]["psnr"] == pytest.approx(whole.measures["blur"]["psnr"], rel=0.02)


def test_without_a_reference_the_baseline_is_the_reference(pairs):
    x = np.stack([frame for frame, _ in pairs])
    clip = clip_of([(frame, None) for frame in x], reference=clips.NO_REFERENCE)
    result = evaluate(clip, {"blur": blur()})
    assert not result.has_reference
    assert np.isnan(result.measures[INPUT]["psnr"]) and "input" not in result.per_frame["psnr"]
    assert REFERENCE not in result.measures
    # The input's own flow explains part of its change.
    motion = optical_flow.of_clip(x)
    for name, output in ((INPUT, x), ("blur", blur().predict(x, verbose=0))):
        expected = flicker(squares(output, *motion).mean(), output)
        assert result.measures[name]["flicker"] == pytest.approx(expected, rel=2e-3)
    expected = metrics.stability(x, blur().predict(x, verbose=0))["smoothness"]
    assert result.measures["blur"]["smoothness"] == pytest.approx(expected, rel=1e-3)


def depth():
    return keras.Sequential(
        [keras.Input((None, None, 3)), layers.Conv2D(1, 3, padding="same", activation="softplus")]
    )


@pytest.mark.parametrize("input_range", [(0.0, 1.0), (-2.0, 3.0)])
def test_where_the_baseline_shows_nothing_the_motion_is_that_of_the_input(input_range):
    """Depth from RGB, of which a constant is the baseline."""
    low, high = input_range
    task = tasks.Task(
        "depth",
        lambda rgb: (low + (high - low) * rgb, rgb[..., :1]),
        lambda x, prediction: np.repeat(prediction.clip(0, 1), 3, axis=-1),
        baseline=lambda x: np.zeros_like(x[..., :1]),
        baseline_name="zero",
    )
    frames, model = moving(), depth()
    x = task.input(frames)
    clip = clip_of([(frame, None) for frame in x], reference=clips.NO_REFERENCE)
    found = evaluate(clip, {"depth": model}, task=task)
    pictures = frames.mean(axis=-1, keepdims=True).repeat(3, axis=-1)
    motion, mask = optical_flow.of_clip(np.round(255 * pictures).astype(np.uint8))
    expected = metrics.flicker(model.predict(x, verbose=0), motion, mask)
    still = metrics.flicker(model.predict(x, verbose=0), None)
    assert found.measures["depth"]["flicker"] == pytest.approx(expected, rel=0.05)
    assert abs(still - expected) > 0.1 * expected


def test_previews_are_given_all_results_and_maps(pairs, tmp_path):
    with previews.Previews(tmp_path / "new", Fraction(25)) as shown:
        evaluate(clip_of(pairs), {"blur": blur()}, shown)
    assert shown.names == ["input", "blur", "reference"]
    assert {*shown.flicker_maps} == {"input", "blur", "reference"}
    assert all(shown.video(name).is_file() for name in shown.names)


def test_without_motion_the_maps_are_of_fast_errors(pairs, tmp_path):
    x, y = (np.stack(part) for part in zip(*pairs))
    with previews.Previews(tmp_path / "new", Fraction(25)) as shown:
        evaluate(clip_of(pairs), {"blur": blur()}, shown, flow_method="none")
    expected = np.sqrt((metrics.high_pass(x - y) ** 2).mean(axis=(0, 3)))
    np.testing.assert_allclose(shown.flicker_maps["input"], expected, rtol=1e-3)
    assert {*shown.flicker_maps} == {"input", "blur"}


def test_a_model_that_fails_to_run_is_named(pairs):
    grey = keras.Sequential([keras.Input((None, None, 1)), layers.Rescaling(1.0)])
    with pytest.raises(ValueError, match=r"model grey cannot run on clip: .*images of 3 channels"):
        evaluate(clip_of(pairs), {"grey": grey})
