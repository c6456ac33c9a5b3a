"""Clips: real ones are read, unusable ones are refused by name."""

from fractions import Fraction

import numpy as np
import pytest

from keras_temporal_reg import demo, video


@pytest.fixture(scope="module")
def carphone():
    return demo.shipped_clips()[2]


def test_a_real_clip_has_its_frames_size_and_rate(carphone):
    clip = video.read(carphone)
    assert clip.frames.shape == (120, 144, 176, 3)
    assert clip.frames.dtype == np.uint8
    assert clip.rate == Fraction(30000, 1001)


def test_scaling_keeps_the_aspect_to_the_multiple(carphone):
    assert video.read(carphone, height=64, multiple=16).frames.shape == (120, 64, 80, 3)


def test_what_is_written_is_read_again(tmp_path):
    rows, columns = np.mgrid[:32, :48]
    frames = np.stack(
        [np.stack([rows * 7, columns * 5, 0 * rows + 40 * t], -1) for t in range(5)]
    ).astype(np.uint8)
    path = tmp_path / "clip.mp4"
    video.write(path, frames, Fraction(25))
    clip = video.read(path)
    assert clip.frames.shape == frames.shape
    assert clip.rate == 25
    assert np.abs(clip.frames.astype(int) - frames).mean() < 4
    assert [p.name for p in tmp_path.iterdir()] == ["clip.mp4"]


def test_a_failing_source_of_frames_leaves_no_file(tmp_path):
    def frames():
        yield np.zeros((32, 32, 3), np.uint8)
        raise RuntimeError("camera gone")

    with pytest.raises(RuntimeError, match="camera gone"):
        video.write(tmp_path / "clip.mp4", frames(), Fraction(25))
    assert list(tmp_path.iterdir()) == []


def test_cuts_of_a_real_clip_are_found():
    # Seen by eye: a truck, traffic, a van, a street, a parked bicycle, and a last shot.
    frames = video.read(demo.shipped_clips()[0], height=64).frames
    assert video.cuts(frames) == [30, 76, 137, 187, 242]


def test_a_missing_clip_is_named(tmp_path):
    with pytest.raises(video.ClipError, match=r"nowhere\.mp4 does not exist"):
        video.read(tmp_path / "nowhere.mp4")


def test_an_empty_clip_is_named(tmp_path):
    (tmp_path / "empty.mp4").write_bytes(b"")
    with pytest.raises(video.ClipError, match=r"empty\.mp4 is empty"):
        video.read(tmp_path / "empty.mp4")


def test_a_file_that_is_no_video_is_named(tmp_path):
    (tmp_path / "letter.mp4").write_text("Dear reader, " * 100)
    with pytest.raises(video.ClipError, match=r"letter\.mp4 is no readable video"):
        video.read(tmp_path / "letter.mp4")


def test_a_clip_of_one_frame_is_refused(tmp_path):
    video.write(tmp_path / "one.mp4", [np.zeros((32, 32, 3), np.uint8)], Fraction(25))
    with pytest.raises(video.ClipError, match=r"one\.mp4 must have at least 2 frames.*1"):
        video.read(tmp_path / "one.mp4")


def test_a_truncated_clip_is_refused(tmp_path):
    # Written with its index in front, so that players open it however little is left.
    rng = np.random.default_rng(0)
    video.write(
        tmp_path / "whole.mp4", rng.integers(0, 255, (30, 64, 64, 3), np.uint8), Fraction(25)
    )
    whole = (tmp_path / "whole.mp4").read_bytes()
    (tmp_path / "half.mp4").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(video.ClipError, match=r"half\.mp4 (breaks off|is truncated).*frames"):
        video.read(tmp_path / "half.mp4")
