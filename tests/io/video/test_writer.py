"""Clips are written whole, in every format, with sound; the oracle is PyAV."""

from fractions import Fraction

import av
import numpy as np
import pytest
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


def test_gif_drops_the_sound(tmp_path, clip_with_sound):
    with video.writer(tmp_path / "clip.gif", Fraction(25), clip_with_sound) as add:
        for frame in ramp(32, 32, 3):
            add(frame)
    assert not video.info(tmp_path / "clip.gif").has_audio


def test_an_unknown_format_is_refused(tmp_path):
    with pytest.raises(video.ClipError, match=r"clip\.ogg must end in one of \.mp4"):
        video.write(tmp_path / "clip.ogg", ramp(32, 32, 2), Fraction(25))
