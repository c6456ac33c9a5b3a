"""`process`: the output has the frame count, times, size and sound of the input."""

from fractions import Fraction

import numpy as np
import pytest
from helpers import coding
from helpers.clips import ramp
from helpers.footage import write_folder
from tensorflow import keras

import keras_temporal_reg as ktr
from keras_temporal_reg import cli
from keras_temporal_reg.core import free_memory
from keras_temporal_reg.experiments import networks
from keras_temporal_reg.io import image_files, video

layers = keras.layers


def halved_brightness():
    return keras.Sequential([keras.Input((None, None, 3)), layers.Rescaling(0.5)])


def test_the_output_is_the_result_of_the_network_frame_by_frame(tmp_path, clip_with_sound):
    halved_brightness().save(tmp_path / "half.keras")
    result = ktr.process(
        tmp_path / "half.keras", clip_with_sound, tmp_path / "out.mp4", show_progress=False
    )
    assert (result.frames, result.size, result.rate) == (50, (48, 64), 25.0)
    assert result.is_complete and not result.notes
    before_clip, after_clip = video.read(clip_with_sound), video.read(tmp_path / "out.mp4")
    assert after_clip.rate == before_clip.rate
    assert video.info(tmp_path / "out.mp4").has_audio
    assert np.abs(after_clip.frames - before_clip.frames / 2.0).mean() < 3
    before, after = (
        [f.time for f in video.frames(p)] for p in (clip_with_sound, tmp_path / "out.mp4")
    )
    assert [float(t) for t in after] == pytest.approx([float(t) for t in before], abs=1e-4)


def test_odd_sizes_are_kept(tmp_path):
    video.write(tmp_path / "odd.mp4", ramp(47, 63, 12), Fraction(24))
    ktr.process(demo_like(), tmp_path / "odd.mp4", tmp_path / "out.mp4", show_progress=False)
    about = video.info(tmp_path / "out.mp4")
    assert (about.height, about.width, about.frames, about.rate) == (47, 63, 12, 24)


def demo_like():
    """Needs sizes that are multiples of 4."""
    x = keras.Input((None, None, 3))
    h = layers.Conv2D(4, 3, strides=4, padding="same")(x)
    return keras.Model(x, layers.Conv2DTranspose(3, 4, strides=4)(h))


def test_colorization_keeps_the_grey(tmp_path):
    keras.utils.set_random_seed(0)
    video.write(tmp_path / "clip.mp4", ramp(32, 48, 5), Fraction(25))
    ktr.process(
        networks.colorization_unet(4, 1),
        tmp_path / "clip.mp4",
        tmp_path / "out",
        task="colorization",
        show_progress=False,
    )
    grey = np.array([0.299, 0.587, 0.114])
    # PNG is lossless; colours outside of the gamut change the grey too.
    result = video.read(tmp_path / "out").frames @ grey
    given = video.read(tmp_path / "clip.mp4").frames @ grey
    assert np.median(np.abs(result - given)) < 1.0


def test_frames_too_large_for_what_is_free_are_cut_and_a_note_says_so(tmp_path, monkeypatch):
    video.write(tmp_path / "clip.mp4", ramp(96, 160, 3), Fraction(25))
    for free, is_cut in ((1e6, False), (1.0, True)):
        monkeypatch.setattr(free_memory, "free_bytes", lambda free=free: 1e6 * free)
        result = ktr.process(
            demo_like(),
            tmp_path / "clip.mp4",
            tmp_path / "out.mp4",
            value_range=(0.0, 1.0),
            show_progress=False,
        )
        assert any("tiles of" in note for note in result.notes) == is_cut


def test_super_resolution_doubles_the_size(tmp_path):
    video.write(tmp_path / "clip.mp4", ramp(32, 48, 4), Fraction(25))
    doubling = keras.Sequential([keras.Input((None, None, 3)), layers.UpSampling2D(2)])
    result = ktr.process(
        doubling,
        tmp_path / "clip.mp4",
        tmp_path / "out.webm",
        task="super-resolution",
        show_progress=False,
    )
    assert result.size == (64, 96)
    assert video.read(tmp_path / "out.webm").frames.shape == (4, 64, 96, 3)


def test_the_range_of_the_model_is_found_where_it_is_not_given(tmp_path):
    """With 0 to 1, the result of this network is black."""
    halves = keras.initializers.Constant(0.5)
    half = layers.DepthwiseConv2D(1, depthwise_initializer=halves)
    model = keras.Sequential([keras.Input((None, None, 3)), layers.Rescaling(1 / 255), half])
    clip = write_folder(tmp_path / "clip", [frame / 255.0 for frame in ramp(16, 16, 3)])
    result = ktr.process(model, clip, tmp_path / "out", show_progress=False)
    (note,) = result.notes
    assert "Value range: 0..255 in, 0..1 out (the network begins with Rescaling" in note
    before, after = (video.read(path).frames for path in (clip, tmp_path / "out"))
    np.testing.assert_allclose(after, before / 2.0, atol=1.0)
    options = {"value_range": (0.0, 1.0), "show_progress": False}
    given = ktr.process(model, clip, tmp_path / "given", **options)
    assert not given.notes and video.read(tmp_path / "given").frames.max() <= 1


@pytest.mark.parametrize("name", ["value_range", "values"])
def test_values_are_scaled_to_the_range_of_the_model(tmp_path, name):
    video.write(tmp_path / "clip.mp4", ramp(16, 16, 3), Fraction(25))
    brighter = keras.Sequential([keras.Input((None, None, 3)), layers.Rescaling(1.0, 51.0)])
    paths = tmp_path / "clip.mp4", tmp_path / "out"
    options = {name: (0.0, 255.0), "show_progress": False}
    if name == "values":
        with pytest.warns(DeprecationWarning, match="value_range"):
            ktr.process(brighter, *paths, **options)
    else:
        ktr.process(brighter, *paths, **options)
    before, after = (video.read(path).frames for path in paths)
    np.testing.assert_allclose(after, np.minimum(before + 51.0, 255.0), atol=1.0)


def test_the_frames_before_a_break_are_written(tmp_path):
    for t in range(5):
        image_files.write(tmp_path / f"f{t}.png", ramp(16, 16, 5)[t] / 255.0)
    (tmp_path / "f3.png").write_bytes(b"gone")
    result = ktr.process(
        halved_brightness(), tmp_path, tmp_path / "out.mp4", show_progress=False, rate=10
    )
    assert not result.is_complete
    assert result.frames == len(list(video.frames(tmp_path / "out.mp4"))) == 3
    assert "breaks off after 3 frames" in result.notes[-1]


def test_a_failure_leaves_nothing(tmp_path):
    video.write(tmp_path / "clip.mp4", ramp(16, 16, 3), Fraction(25))
    four = keras.Sequential([keras.Input((None, None, 4)), layers.Rescaling(1.0)])
    with pytest.raises(ValueError, match="a model for 4"):
        ktr.process(four, tmp_path / "clip.mp4", tmp_path / "out.mp4", show_progress=False)
    assert [p.name for p in tmp_path.iterdir()] == ["clip.mp4"]


def test_wrong_use_is_refused_before_any_work(tmp_path):
    video.write(tmp_path / "clip.mp4", ramp(16, 16, 3), Fraction(25))
    with pytest.raises(ValueError, match=r"the suffix of output must be one of \.mp4.*'\.ogg'"):
        ktr.process(halved_brightness(), tmp_path / "clip.mp4", tmp_path / "out.ogg")
    with pytest.raises(ValueError, match="another file than the clip"):
        ktr.process(halved_brightness(), tmp_path / "clip.mp4", tmp_path / "clip.mp4")
    with pytest.raises(ValueError, match="value_range must be two finite numbers"):
        ktr.process(
            halved_brightness(), tmp_path / "clip.mp4", tmp_path / "o.mp4", value_range=(1, 0)
        )
    with pytest.raises(video.ClipError, match=r"none\.mp4 does not exist"):
        ktr.process(halved_brightness(), tmp_path / "none.mp4", tmp_path / "out.mp4")


def unusable(folder):
    """Clips that cannot be processed, by what their message says."""
    video.write(folder / "whole.mp4", ramp(32, 48, 3), Fraction(25))
    data = (folder / "whole.mp4").read_bytes()
    (folder / "header.mp4").write_bytes(data[: data.index(b"mdat") + 4])
    (folder / "text.mp4").write_text("Dear reader, " * 100)
    (folder / "empty.mp4").write_bytes(b"")
    coding.write(folder / "hdr.mp4", coding.pictures(32, 48), matrix=9, tags=(9, 9, 16))
    return {
        "header.mp4": "0 frames can be read",
        "text.mp4": "is not a readable video",
        "empty.mp4": "is empty",
        "hdr.mp4": "is HDR",
        "none.mp4": "does not exist",
    }


def test_the_command_line_names_an_unusable_clip_and_what_is_wrong(tmp_path, capsys):
    halved_brightness().save(tmp_path / "half.keras")
    for name, words in unusable(tmp_path).items():
        output = tmp_path / "out.mp4"
        paths = tmp_path / "half.keras", tmp_path / name, output
        assert cli.main(["process", *map(str, paths)]) == 1
        message = capsys.readouterr().err
        assert name in message and words in message
        assert "Traceback" not in message and ".writing-" not in message
        assert not output.exists()


def test_a_damaged_clip_is_processed_past_the_damage_and_named(tmp_path):
    rng = np.random.default_rng(0)
    video.write(
        tmp_path / "clip.mp4", rng.integers(0, 255, (20, 48, 64, 3), np.uint8), Fraction(25)
    )
    coding.damage(tmp_path / "clip.mp4", 10)
    result = ktr.process(
        halved_brightness(), tmp_path / "clip.mp4", tmp_path / "out.mp4", show_progress=False
    )
    assert not result.is_complete and 18 <= result.frames <= 20
    assert "clip.mp4 is damaged" in result.notes[-1] and "out.mp4 holds" in result.notes[-1]
    last = [*video.frames(tmp_path / "out.mp4")][-1]
    assert last.time == Fraction(19, 25)
