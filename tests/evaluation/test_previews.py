"""Previews: videos, slices and flicker maps of the first frames."""

from fractions import Fraction

import numpy as np
import pytest
from helpers.clips import ramp

from keras_temporal_reg.evaluation import previews
from keras_temporal_reg.io import video


@pytest.fixture
def frames():
    return np.stack(ramp(32, 48, 10)) / np.float32(255)


def test_videos_and_slices_hold_the_frames(tmp_path, frames):
    with previews.Previews(tmp_path / "new", Fraction(25)) as shown:
        for start in (0, 4, 8):
            shown.add("a", frames[start : start + 4])
            shown.add("b", 1.0 - frames[start : start + 4])
    assert shown.names == ["a", "b"]
    for name, expected in (("a", frames), ("b", 1.0 - frames)):
        decoded = video.read(shown.video(name))
        assert decoded.rate == 25
        assert np.abs(decoded.frames / 255.0 - expected).mean() < 0.02
    strip = shown.slice("a", 4)  # the fifth of nine columns is the middle one
    assert strip.shape == (32, 10, 3) and strip.dtype == np.uint8
    np.testing.assert_allclose(strip, 255 * frames[:, :, 23].swapaxes(0, 1), atol=0.5)


def test_only_the_first_frames_are_kept(tmp_path, frames, monkeypatch):
    monkeypatch.setattr(previews, "MAX_FRAMES", 6)
    with previews.Previews(tmp_path / "new", Fraction(25)) as shown:
        shown.add("a", frames[:5])
        shown.add("a", frames[5:])
        shown.add("a", frames)
    assert len(video.read(shown.video("a")).frames) == shown.slice("a", 0).shape[1] == 6


def test_the_column_of_most_flicker_is_that_of_the_map(tmp_path):
    shown = previews.Previews(tmp_path / "new", Fraction(25))
    flicker = np.zeros((20, 100))
    flicker[:, 69] = 1.0  # the seventh of nine columns: 99 * 7 / 10
    shown.flicker_maps = {"a": flicker}
    assert shown.column_of_most_flicker("a") == 6
    assert shown.heat("b") is None
    assert shown.column_of_most_flicker("b") == 4  # the middle one


def test_frames_of_bytes_are_shown_as_they_are(tmp_path):
    frames = np.stack(ramp(32, 48, 4))
    assert frames.dtype == np.uint8
    with previews.Previews(tmp_path / "new", Fraction(25)) as shown:
        shown.add("a", frames)
    np.testing.assert_array_equal(shown.slice("a", 4), frames[:, :, 23].swapaxes(0, 1))


def test_large_frames_are_shown_smaller(tmp_path):
    wide = np.zeros((2, 92, 1280, 3), np.float32)
    with previews.Previews(tmp_path / "new", Fraction(25)) as shown:
        shown.add("a", wide)
    shown.flicker_maps = {"a": np.ones((92, 1280))}
    assert video.read(shown.video("a")).frames.shape[1:3] == (46, 640)
    assert shown.heat("a").shape == (46, 640)


def test_a_failure_leaves_no_video(tmp_path, frames):
    shown = previews.Previews(tmp_path / "new", Fraction(25))
    with pytest.raises(RuntimeError), shown:
        shown.add("a", frames)
        raise RuntimeError
    assert not shown.video("a").exists()
