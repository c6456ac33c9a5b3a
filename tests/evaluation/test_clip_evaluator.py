"""One pass over a clip, against the metrics on whole arrays, whatever the chunks."""

from fractions import Fraction

import numpy as np
import pytest
from scipy import ndimage
from tensorflow import keras

from keras_temporal_reg import metrics, tasks
from keras_temporal_reg.evaluation import clips, previews
from keras_temporal_reg.evaluation.clip_evaluator import INPUT, ClipEvaluator
from keras_temporal_reg.evaluation.config import EvaluationConfig
from keras_temporal_reg.io import progress, video

layers = keras.layers


def moving(count=19, height=32, width=40):
    noise = np.random.default_rng(0).uniform(size=(height, width + count, 3))
    texture = ndimage.gaussian_filter(noise, (2, 2, 0))
    texture = (texture - texture.min()) / np.ptp(texture)
    return np.stack([texture[:, t : t + width] for t in range(count)]).astype(np.float32)


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
        flicker = np.sqrt(((metrics.high_pass(p) - metrics.high_pass(y)) ** 2).mean((1, 2, 3)))
        assert result.per_frame["flicker"][name] == pytest.approx(flicker, rel=1e-3)


def test_known_motion_is_used_as_it_is(pairs):
    y = np.stack([target for _, target in pairs])
    # The texture moves one column to the left per frame.
    motion = np.tile(np.float64([1, 0, -1, 0, 1, 0, 0, 0]), (len(pairs) - 1, 1))
    same = keras.Sequential([keras.Input((None, None, 3)), layers.Rescaling(1.0)])
    clip = clip_of([(frame, frame) for frame in y], motion=motion)
    assert evaluate(clip, {"same": same}).measures["same"]["warping_error"] < 1e-8


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
    expected = metrics.stability(x, blur().predict(x, verbose=0))["smoothness"]
    assert result.measures["blur"]["smoothness"] == pytest.approx(expected, rel=1e-3)


def test_previews_are_given_all_results_and_maps(pairs, tmp_path):
    with previews.Previews(tmp_path / "new", Fraction(25)) as shown:
        evaluate(clip_of(pairs), {"blur": blur()}, shown)
    assert shown.names == ["input", "blur", "reference"]
    assert {*shown.flicker_maps} == {"input", "blur"}
    assert all(shown.video(name).is_file() for name in shown.names)


def test_a_model_that_fails_to_run_is_named(pairs):
    grey = keras.Sequential([keras.Input((None, None, 1)), layers.Rescaling(1.0)])
    with pytest.raises(ValueError, match=r"model grey cannot run on clip: .*images of 3 channels"):
        evaluate(clip_of(pairs), {"grey": grey})
