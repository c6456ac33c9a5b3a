"""Clips are written whole, in every format, with sound; the oracle is PyAV."""

from fractions import Fraction

import av
import numpy as np
import pytest
from helpers import coding
from helpers.clips import ramp

from keras_temporal_reg.io import video


def test_a_failing_source_of_frames_leaves_no_file(tmp_path):
    def frames():
        yield np.zeros((32, 32, 3), np.uint8)
        raise RuntimeError("camera gone")

    with pytest.raises(RuntimeError, match="camera gone"):
        video.write(tmp_path / "clip.mp4", frames(), Fraction(25))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("size", [(48, 64), (47, 63)])
@pytest.mark.parametrize("suffix", video.CODECS)
def test_every_format_keeps_size_rate_count_and_colors(tmp_path, suffix, size):
    path, frames = tmp_path / f"clip{suffix}", ramp(*size)
    video.write(path, frames, Fraction(25))
    about, clip = video.info(path), video.read(path)
    assert (about.height, about.width, about.rate) == (*size, 25)
    assert about.frames == 20 and not about.has_audio and not about.notes
    assert clip.frames.shape == (20, *size, 3)
    assert np.abs(clip.frames.astype(int) - np.stack(frames)).mean() < 4


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


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".webm", ".avi"])
def test_sound_is_copied(tmp_path, clip_with_sound, suffix):
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


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm", ".avi"])
def test_sound_of_a_transport_stream_stays_beside_its_frames(tmp_path, clip_with_sound, suffix):
    """Its times begin anywhere, here at more than a second."""
    stream = tmp_path / "clip.ts"
    with av.open(str(clip_with_sound)) as given, av.open(str(stream), "w") as made:
        streams = {s.index: made.add_stream_from_template(s) for s in given.streams}
        for packet in given.demux():
            if packet.size:
                packet.stream = streams[packet.stream.index]
                made.mux(packet)
    assert video.info(stream).has_audio
    path = tmp_path / f"out{suffix}"
    with video.writer(path, Fraction(25), stream) as add:
        for frame in video.frames(stream):
            add(frame.pixels, frame.time)
    with av.open(str(path)) as container:
        sound = [float(f.pts * f.time_base) for f in container.decode(audio=0)]
    with av.open(str(path)) as container:
        shown = [float(f.pts * f.time_base) for f in container.decode(video=0)]
    assert abs(sound[0]) < 0.08 and abs(shown[0]) < 0.08
    assert sound[-1] == pytest.approx(1.95, abs=0.1) and shown[-1] == pytest.approx(1.96, abs=0.1)


def test_gif_drops_the_sound(tmp_path, clip_with_sound):
    with video.writer(tmp_path / "clip.gif", Fraction(25), clip_with_sound) as add:
        for frame in ramp(32, 32, 3):
            add(frame)
    assert not video.info(tmp_path / "clip.gif").has_audio


def test_an_unknown_format_is_refused(tmp_path):
    with pytest.raises(video.ClipError, match=r"clip\.ogg must end in one of \.mp4"):
        video.write(tmp_path / "clip.ogg", ramp(32, 32, 2), Fraction(25))


@pytest.mark.parametrize("size", [(48, 64), (720, 16), (47, 63)])
@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".webm"])
def test_every_format_that_can_names_its_colours(tmp_path, suffix, size):
    path, picture = tmp_path / f"clip{suffix}", coding.pictures(*size, 1)[0]
    video.write(path, [np.rint(255 * picture).astype(np.uint8)] * 3, Fraction(25))
    with av.open(str(path)) as container:
        context = container.streams.video[0].codec_context
        frame = next(container.decode(video=0))
        assert (context.colorspace, context.color_primaries, context.color_trc) == (1, 1, 1)
        assert context.color_range == frame.color_range == 1
        assert 255 * np.abs(coding.decode(frame, 1) - picture).mean() < 2


@pytest.mark.parametrize(("rows", "matrix"), [(480, 6), (720, 1)])
def test_avi_which_names_no_colours_has_those_that_players_take(tmp_path, rows, matrix):
    picture = coding.pictures(rows, 16, 1)[0]
    video.write(tmp_path / "clip.avi", [np.rint(255 * picture).astype(np.uint8)] * 2, Fraction(25))
    with av.open(str(tmp_path / "clip.avi")) as container:
        frame = next(container.decode(video=0))
        assert 255 * np.abs(coding.decode(frame, matrix) - picture).mean() < 3


def test_ten_bits_are_written_where_the_clip_has_them(tmp_path):
    fine = np.linspace(0.4, 0.42, 64, dtype=np.float32)  # five levels of 8 bits, 18 of 10
    frame = np.broadcast_to(fine[:, np.newaxis], (48, 64, 3))
    with video.writer(
        tmp_path / "clip.mkv",
        Fraction(25),
        appearance=video.Appearance(bits=10),
        options={"crf": "1"},
    ) as add:
        for _ in range(3):
            add(frame)
    read = next(video.frames(tmp_path / "clip.mkv")).pixels
    assert read.dtype == np.float32
    assert np.abs(read - frame).max() < 1.5 / 876


TIMES = [Fraction(t, 1000) for t in (0, 40, 250, 300, 1300)]


@pytest.mark.parametrize(
    ("suffix", "tick"), [(".mp4", 9e4), (".mkv", 1e3), (".webm", 1e3), (".avi", 1e3), (".gif", 1e2)]
)
def test_every_format_has_the_times_of_its_frames(tmp_path, suffix, tick):
    path = tmp_path / f"clip{suffix}"
    with video.writer(path, Fraction(25), has_constant_rate=False) as add:
        for frame, time in zip(ramp(32, 32, 5), TIMES):
            add(frame, time)
    with av.open(str(path)) as container:
        shown = [float(f.pts * f.time_base) for f in container.decode(video=0)]
    assert shown == pytest.approx([float(time) for time in TIMES], abs=0.51 / tick)


def test_a_format_that_cannot_hold_the_frames_is_named_and_not_its_temporary_file(tmp_path):
    with pytest.raises(video.ClipError, match=r"clip .*wide\.mp4 cannot be written") as refused:
        video.write(tmp_path / "wide.mp4", [np.zeros((16, 20000, 3), np.uint8)], Fraction(25))
    assert ".writing-" not in str(refused.value)
    assert list(tmp_path.iterdir()) == []
