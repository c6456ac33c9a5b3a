"""Clips: real ones are read, unusable ones are refused by name."""

import threading
import time
from fractions import Fraction

import av
import numpy as np
import pytest
from helpers.clips import ramp

from keras_temporal_reg.experiments import demo
from keras_temporal_reg.io import image_files, video


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


@pytest.mark.parametrize("size", [(48, 64), (47, 63)])
@pytest.mark.parametrize("suffix", video.CODECS)
def test_every_format_keeps_size_rate_count_and_colours(tmp_path, suffix, size):
    path, frames = tmp_path / f"clip{suffix}", ramp(*size)
    video.write(path, frames, Fraction(25))
    about, clip = video.info(path), video.read(path)
    assert (about.height, about.width, about.rate) == (*size, 25)
    assert about.frames == 20 and not about.has_audio and not about.notes
    assert clip.frames.shape == (20, *size, 3)
    assert np.abs(clip.frames.astype(int) - np.stack(frames)).mean() < 4


def test_frames_come_one_by_one_with_their_times(tmp_path):
    video.write(tmp_path / "clip.mp4", ramp(32, 32, 5), Fraction(10))
    frames = list(video.frames(tmp_path / "clip.mp4"))
    assert [frame.time for frame in frames] == [Fraction(t, 10) for t in range(5)]
    assert all(frame.pixels.dtype == np.uint8 for frame in frames)


def test_a_variable_frame_rate_is_told_and_kept(tmp_path):
    times = [Fraction(t, 100) for t in (0, 4, 8, 30, 34, 38, 60, 64, 68, 72)]
    with video.writer(tmp_path / "vfr.mp4", Fraction(25)) as add:
        for frame, moment in zip(ramp(32, 32, 10), times):
            add(frame, moment)
    frames = list(video.frames(tmp_path / "vfr.mp4"))
    assert [round(float(frame.time), 2) for frame in frames] == [float(t) for t in times]
    assert "may vary" in " ".join(video.info(tmp_path / "vfr.mp4").notes)


def test_ten_bits_are_read_in_full_and_told(tmp_path):
    path = tmp_path / "deep.mkv"
    levels = np.linspace(0, 1, 64)
    deep = np.repeat(np.rint(levels * 65535).astype(np.uint16)[np.newaxis, :, np.newaxis], 32, 0)
    deep = np.ascontiguousarray(np.repeat(deep, 3, axis=2))
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"qp": "0"})
        stream.width, stream.height, stream.pix_fmt = 64, 32, "yuv444p10le"
        for _ in range(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(deep, "rgb48le")))
        container.mux(stream.encode())
    frame = next(video.frames(path)).pixels
    assert frame.dtype == np.float32
    assert np.abs(frame[16, :, 1] - levels).max() < 1.5 / 1023
    assert "more than 8 bits" in " ".join(video.info(path).notes)


def test_a_folder_of_pictures_is_a_clip(tmp_path):
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


def test_a_folder_with_a_broken_picture_gives_what_comes_before(tmp_path):
    for t in range(3):
        image_files.write(tmp_path / f"f{t}.png", np.zeros((8, 8, 3)))
    (tmp_path / "f2.png").write_bytes(b"gone")
    frames = video.frames(tmp_path)
    next(frames), next(frames)
    with pytest.raises(video.BrokenClip, match=r"breaks off after 2 frames.*f2\.png") as broken:
        next(frames)
    assert broken.value.frames_read == 2


def test_a_folder_without_pictures_and_one_of_two_sizes_are_refused(tmp_path):
    with pytest.raises(video.ClipError, match="has no pictures in it"):
        video.info(tmp_path)
    image_files.write(tmp_path / "a.png", np.zeros((8, 8, 3)))
    image_files.write(tmp_path / "b.png", np.zeros((8, 9, 3)))
    with pytest.raises(video.BrokenClip, match="after 1 frames, from 8 x 8 to 9 x 8"):
        list(video.frames(tmp_path))


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".webm", ".avi"])
def test_sound_comes_along(tmp_path, clip_with_sound, suffix):
    path = tmp_path / f"clip{suffix}"
    with video.writer(path, Fraction(25), clip_with_sound) as add:
        for frame in video.frames(clip_with_sound):
            add(frame.pixels, frame.time)
    assert len(list(video.frames(path))) == 50
    with av.open(str(path)) as container:
        rate = container.streams.audio[0].rate
        heard = np.concatenate([f.to_ndarray()[0].ravel() for f in container.decode(audio=0)])
    assert len(heard) / rate == pytest.approx(2.0, abs=0.1)
    spectrum = np.abs(np.fft.rfft(heard[rate // 2 : rate // 2 + rate].astype(float)))
    assert abs(int(spectrum.argmax()) - 440) <= 1


def test_gif_has_no_sound_and_says_nothing_of_it(tmp_path, clip_with_sound):
    with video.writer(tmp_path / "clip.gif", Fraction(25), clip_with_sound) as add:
        for frame in ramp(32, 32, 3):
            add(frame)
    assert not video.info(tmp_path / "clip.gif").has_audio


def test_a_clip_filmed_on_its_side_is_turned_up(tmp_path):
    video.write(tmp_path / "flat.mp4", ramp(32, 64, 3), Fraction(25))
    data = (tmp_path / "flat.mp4").read_bytes()
    # The matrix in the track's header: 16.16 fixed point, here a quarter turn.
    plain = b"".join(n.to_bytes(4, "big", signed=True) for n in (65536, 0, 0, 0, 65536, 0))
    turned = b"".join(n.to_bytes(4, "big", signed=True) for n in (0, 65536, 0, -65536, 0, 0))
    track = data.index(b"tkhd")
    at = data.index(plain, track)
    (tmp_path / "side.mp4").write_bytes(data[:at] + turned + data[at + len(plain) :])
    about = video.info(tmp_path / "side.mp4")
    assert (about.height, about.width) == (64, 32)
    side = next(video.frames(tmp_path / "side.mp4")).pixels
    flat = next(video.frames(tmp_path / "flat.mp4")).pixels
    # Players turn it clockwise by 90 degrees.
    np.testing.assert_array_equal(side, np.rot90(flat, -1))


def test_an_unknown_format_is_refused(tmp_path):
    with pytest.raises(video.ClipError, match=r"clip\.ogg must end in one of \.mp4"):
        video.write(tmp_path / "clip.ogg", ramp(32, 32, 2), Fraction(25))


def test_absurd_sizes_are_refused():
    with pytest.raises(
        video.ClipError, match=r"at most 67108864 pixels\. Received: 100000 x 100000"
    ):
        video._check_size("clip", 100000, 100000)


def test_a_file_may_not_name_others_to_be_opened(tmp_path):
    video.write(tmp_path / "secret.mp4", ramp(32, 32, 3), Fraction(25))
    listing = f"ffconcat version 1.0\nfile {tmp_path}/secret.mp4\n"
    (tmp_path / "listing.mp4").write_text(listing)
    with pytest.raises(video.ClipError, match=r"listing\.mp4"):
        list(video.frames(tmp_path / "listing.mp4"))


def test_items_made_ahead_come_in_order_from_another_thread():
    threads = set()

    def items():
        for number in range(50):
            threads.add(threading.get_ident())
            yield number

    assert list(video.ahead(items(), 4)) == list(range(50))
    assert threads and threading.get_ident() not in threads


def test_an_error_made_ahead_comes_after_the_items_before_it():
    def items():
        yield 1
        yield 2
        raise video.BrokenClip("gone", 2)

    got = []
    with pytest.raises(video.BrokenClip, match="gone"):
        for item in video.ahead(items()):
            got.append(item)
    assert got == [1, 2]


def test_no_thread_is_left_behind_where_items_are_no_longer_wanted():
    before = threading.active_count()
    endless = video.ahead(iter(int, 1), 2)
    assert next(endless) == 0
    endless.close()
    deadline = time.time() + 5
    while threading.active_count() > before and time.time() < deadline:
        time.sleep(0.01)
    assert threading.active_count() == before


def test_chunks_hold_all_frames_and_fewer_where_they_are_large():
    assert [len(c) for c in video.chunks(range(20), 100)] == [8, 8, 4]
    assert [len(c) for c in video.chunks(range(3), 2**21)] == [1, 1, 1]

    def broken():
        yield 1
        raise video.BrokenClip("gone", 1)

    chunks = video.chunks(broken(), 100)
    assert next(chunks) == [1]
    with pytest.raises(video.BrokenClip):
        next(chunks)
