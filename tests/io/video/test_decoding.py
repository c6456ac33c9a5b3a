"""What players show is read, and no more; what is damaged or missing is named."""

import itertools
from fractions import Fraction

import av
import numpy as np
import pytest
from helpers import coding
from helpers.clips import ramp

from keras_temporal_reg.io import video


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """25 frames, whose brightness says which it is, with one key frame and the index in front."""
    path = tmp_path_factory.mktemp("whole") / "whole.mp4"
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 40, (25, 48, 64, 3))
    video.write(path, (noise + 8 * np.arange(25)[:, None, None, None]).astype(np.uint8), 25)
    return path


def remuxed(source, path, drop=lambda number: False, shift=0, options=None):
    """Copy the packets of a clip without decoding them, as ``ffmpeg -c copy`` does."""
    with av.open(str(source)) as given, av.open(str(path), "w", options=options or {}) as made:
        stream = made.add_stream_from_template(given.streams.video[0])
        packets = (p for p in given.demux(video=0) if p.size)
        for number, packet in enumerate(packets):
            packet.duration = round(Fraction(1, 25) / packet.time_base)
            packet.pts -= round(shift / packet.time_base)
            packet.dts -= round(shift / packet.time_base)
            if not drop(number):
                packet.stream = stream
                made.mux(packet)
    return path


def brightness(frames):
    return np.array([frame.pixels.mean() for frame in frames])


@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
def test_a_trimmed_clip_has_the_frames_that_players_show(tmp_path, whole, suffix):
    # 0.4 s before its start: FFmpeg writes an edit list, for the key frame is before the cut.
    trimmed = remuxed(whole, tmp_path / f"trimmed{suffix}", shift=Fraction(2, 5))
    frames = [*video.frames(trimmed)]
    assert [frame.time for frame in frames] == [Fraction(t, 25) for t in range(15)]
    np.testing.assert_allclose(brightness(frames), brightness(video.frames(whole))[10:], atol=0.1)
    assert video.info(trimmed).frames == 15


def test_a_clip_that_is_trimmed_at_its_end_is_whole(tmp_path, whole):
    trimmed = remuxed(whole, tmp_path / "trimmed.mp4", drop=lambda number: number > 15)
    assert len([*video.frames(trimmed)]) == 16


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm", ".avi"])
def test_a_clip_without_its_end_is_truncated(tmp_path, suffix):
    rng = np.random.default_rng(0)
    path = tmp_path / f"whole{suffix}"
    video.write(path, rng.integers(0, 255, (50, 48, 64, 3), np.uint8), Fraction(25))
    whole = path.read_bytes()
    half = tmp_path / f"half{suffix}"
    half.write_bytes(whole[: int(len(whole) * 0.55)])
    frames = []
    with pytest.raises(video.BrokenClip, match=r"half.* is truncated: .*frames") as broken:
        frames.extend(video.frames(half))
    assert len(frames) == broken.value.frames_read and 15 < len(frames) < 40


def test_frames_after_damage_are_read_and_the_damage_is_named(tmp_path, whole):
    path = tmp_path / "damaged.mp4"
    path.write_bytes(whole.read_bytes())
    coding.damage(path, 12)
    frames = []
    with pytest.raises(video.BrokenClip, match=r"damaged\.mp4 is damaged: \d of its frames"):
        frames.extend(video.frames(path))
    assert len(frames) >= 24
    assert frames[-1].time == Fraction(24, 25)


def test_a_transport_stream_begins_at_zero(tmp_path, whole):
    late = remuxed(whole, tmp_path / "late.ts")
    assert [float(f.time) for f in video.frames(late)] == pytest.approx(
        [t / 25 for t in range(25)], abs=1e-4
    )


def test_joined_transport_streams_end_where_their_times_jump_back(tmp_path, whole):
    part = remuxed(whole, tmp_path / "part.ts").read_bytes()
    (tmp_path / "joined.ts").write_bytes(part + part)
    frames = []
    with pytest.raises(video.BrokenClip, match=r"joined\.ts has time stamps that jump back"):
        frames.extend(video.frames(tmp_path / "joined.ts"))
    assert 24 <= len(frames) <= 25


@pytest.mark.parametrize("frames", [0, 1])
def test_avi_has_its_times_in_the_order_of_its_frames(tmp_path, frames):
    options = {"bf": str(frames)}
    coding.write(
        tmp_path / "clip.avi", coding.pictures(32, 48), options=options, clock=Fraction(1, 25)
    )
    times = [frame.time for frame in video.frames(tmp_path / "clip.avi")]
    assert times == [Fraction(t, 25) for t in range(4)]


def test_how_long_the_last_frame_is_shown_is_read(tmp_path):
    path = tmp_path / "clip.mp4"
    with video.writer(path, Fraction(25)) as add:
        for frame, time in zip(ramp(32, 32, 3), (0, Fraction(1, 25), Fraction(2, 25))):
            add(frame, time, Fraction(3, 2))
    frames = [*video.frames(path)]
    # FFmpeg 7 does not say.
    assert frames[-1].duration in ([None] if frames[0].duration is None else [Fraction(3, 2)])
    with av.open(str(path)) as container:
        assert container.duration / 1e6 == pytest.approx(1.58, abs=1e-3)


def test_a_header_without_frames_is_refused(tmp_path, whole):
    data = whole.read_bytes()
    header = tmp_path / "header.mp4"
    header.write_bytes(data[: data.index(b"mdat") + 4])
    for read in (video.info, lambda path: [*video.frames(path)]):
        with pytest.raises(video.ClipError, match=r"header\.mp4 .*frames"):
            read(header)


def test_a_clip_of_nothing_but_damage_is_refused(tmp_path, whole):
    data = bytearray(whole.read_bytes())
    at = data.index(b"mdat") + 4
    data[at:] = itertools.islice(itertools.cycle(b"\x00\x13\x07"), len(data) - at)
    (tmp_path / "noise.mp4").write_bytes(data)
    for read in (video.info, lambda path: [*video.frames(path)]):
        with pytest.raises(video.ClipError, match=r"noise\.mp4 "):
            read(tmp_path / "noise.mp4")
