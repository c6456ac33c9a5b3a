"""Real clips are read; unusable ones are refused, with their name."""

from fractions import Fraction

import numpy as np
import pytest
from helpers.clips import ramp, shipped

from keras_temporal_reg.io import image_files, video
from keras_temporal_reg.io.video import _reader


@pytest.fixture(scope="module")
def carphone():
    return shipped("carphone_pristine.mp4")


def test_a_real_clip_has_its_frames_size_and_rate(carphone):
    clip = video.read(carphone)
    assert clip.frames.shape == (120, 144, 176, 3)
    assert clip.frames.dtype == np.uint8
    assert clip.rate == Fraction(30000, 1001)


def test_scaling_keeps_the_aspect_to_the_multiple(carphone):
    assert video.read(carphone, height=64, multiple=16).frames.shape == (120, 64, 80, 3)


def test_a_missing_clip_is_named(tmp_path):
    with pytest.raises(video.ClipError, match=r"nowhere\.mp4 does not exist"):
        video.read(tmp_path / "nowhere.mp4")


def test_an_empty_clip_is_named(tmp_path):
    (tmp_path / "empty.mp4").write_bytes(b"")
    with pytest.raises(video.ClipError, match=r"empty\.mp4 is empty"):
        video.read(tmp_path / "empty.mp4")


def test_a_text_file_is_named(tmp_path):
    (tmp_path / "letter.mp4").write_text("Dear reader, " * 100)
    with pytest.raises(video.ClipError, match=r"letter\.mp4 is not a readable video"):
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


def test_frames_come_in_order_with_their_times(tmp_path):
    video.write(tmp_path / "clip.mp4", ramp(32, 32, 5), Fraction(10))
    frames = list(video.frames(tmp_path / "clip.mp4"))
    assert [frame.time for frame in frames] == [Fraction(t, 10) for t in range(5)]
    assert all(frame.pixels.dtype == np.uint8 for frame in frames)


def test_a_variable_frame_rate_is_noted_and_kept(tmp_path):
    times = [Fraction(t, 100) for t in (0, 4, 8, 30, 34, 38, 60, 64, 68, 72)]
    with video.writer(tmp_path / "vfr.mp4", Fraction(25)) as add:
        for frame, moment in zip(ramp(32, 32, 10), times):
            add(frame, moment)
    frames = list(video.frames(tmp_path / "vfr.mp4"))
    assert [round(float(frame.time), 2) for frame in frames] == [float(t) for t in times]
    assert "may vary" in " ".join(video.info(tmp_path / "vfr.mp4").notes)


@pytest.mark.parametrize(
    ("times", "is_constant"),
    [((0, 100, 200, 300), True), ((0, 100, 237, 300), False), ((33, 133, 233, 333), False)],
)
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_whether_times_are_multiples_of_a_step_is_found(tmp_path, suffix, times, is_constant):
    path = tmp_path / f"clip{suffix}"
    with video.writer(path, Fraction(10)) as add:
        for frame, time in zip(ramp(32, 32, 4), times):
            add(frame, Fraction(time, 1000))
    assert video.has_constant_rate(path) == is_constant


def test_a_folder_of_images_is_a_clip(tmp_path):
    folder = tmp_path / "frames"
    with video.writer(folder, Fraction(25)) as add:
        for frame in ramp(20, 30, 3):
            add(frame)
    about = video.info(folder, rate=12.5)
    assert (about.height, about.width, about.frames, about.rate) == (20, 30, 3, Fraction(25, 2))
    np.testing.assert_array_equal(video.read(folder).frames, np.stack(ramp(20, 30, 3)))
    with pytest.raises(video.ClipError, match="frames exists already"):
        with video.writer(folder, Fraction(25)):
            pass


def test_a_folder_of_exr_is_linear_light(tmp_path):
    for t in range(3):
        image_files.write(tmp_path / f"f{t}.exr", np.full((8, 8, 3), 2.0 + t, np.float32))
    assert video.info(tmp_path).is_linear
    assert [float(f.pixels.max()) for f in video.frames(tmp_path)] == [2.0, 3.0, 4.0]


def test_a_folder_with_a_broken_image_yields_the_frames_before_it(tmp_path):
    for t in range(3):
        image_files.write(tmp_path / f"f{t}.png", np.zeros((8, 8, 3)))
    (tmp_path / "f2.png").write_bytes(b"gone")
    frames = video.frames(tmp_path)
    next(frames), next(frames)
    with pytest.raises(video.BrokenClip, match=r"breaks off after 2 frames.*f2\.png") as broken:
        next(frames)
    assert broken.value.frames_read == 2


def test_empty_folders_and_mixed_sizes_are_refused(tmp_path):
    with pytest.raises(video.ClipError, match="has no images in it"):
        video.info(tmp_path)
    image_files.write(tmp_path / "a.png", np.zeros((8, 8, 3)))
    image_files.write(tmp_path / "b.png", np.zeros((8, 9, 3)))
    with pytest.raises(video.BrokenClip, match="after 1 frames, from 8 x 8 to 9 x 8"):
        list(video.frames(tmp_path))


def test_too_large_frames_are_refused():
    with pytest.raises(
        video.ClipError, match=r"at most 67108864 pixels\. Received: 100000 x 100000"
    ):
        _reader._check_size("clip", 100000, 100000)


def test_a_playlist_of_other_files_is_refused(tmp_path):
    video.write(tmp_path / "secret.mp4", ramp(32, 32, 3), Fraction(25))
    listing = f"ffconcat version 1.0\nfile {tmp_path}/secret.mp4\n"
    (tmp_path / "listing.mp4").write_text(listing)
    with pytest.raises(video.ClipError, match=r"listing\.mp4"):
        list(video.frames(tmp_path / "listing.mp4"))
