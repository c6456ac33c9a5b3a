"""Clips that claim too much, grow or name other files are refused."""

import itertools
import socket
import struct
from fractions import Fraction

import numpy as np
import pytest

from keras_temporal_reg.io import video
from keras_temporal_reg.io.video import _clip, _reader


def test_a_playlist_reads_nothing_from_the_network(tmp_path, monkeypatch):
    # FFmpeg does not use Python's sockets, so a server listens for it.
    server = socket.create_server(("127.0.0.1", 0))
    server.settimeout(1.0)
    address = f"http://127.0.0.1:{server.getsockname()[1]}/x.ts"
    playlists = {
        "a.m3u8": f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{address}\n#EXT-X-ENDLIST\n",
        "b.mp4": f"ffconcat version 1.0\nfile {address}\n",
        "c.sdp": f"v=0\ns=x\nc=IN IP4 127.0.0.1\nm=video {server.getsockname()[1]} RTP/AVP 96\n",
    }
    for name, content in playlists.items():
        (tmp_path / name).write_text(content)
        with pytest.raises(video.ClipError, match=name):
            list(video.frames(tmp_path / name))
    with pytest.raises(TimeoutError):
        server.accept()
    server.close()


def test_a_clip_of_too_large_frames_is_refused(tmp_path, memory):
    path = tmp_path / "a.gif"
    video.write(path, np.zeros((3, 16, 16, 3), np.uint8), Fraction(25))
    size, absurd = struct.pack("<HH", 16, 16), struct.pack("<HH", 16000, 16000)
    path.write_bytes(path.read_bytes().replace(size, absurd))
    for read in (video.info, lambda path: list(video.frames(path))):
        with pytest.raises(video.ClipError, match=r"at most 67108864 pixels.*16000 x 16000"):
            read(path)


def test_frames_that_grow_beyond_the_limit_end_the_clip(tmp_path, monkeypatch):
    import av

    content = b""
    for size in (32, 512):
        part = tmp_path / f"{size}.h264"
        with av.open(str(part), "w", format="h264") as container:
            stream = container.add_stream("libx264", rate=25)
            stream.width, stream.height, stream.pix_fmt = size, size, "yuv420p"
            for _ in range(3):
                frame = np.zeros((size, size, 3), np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "rgb24")))
            container.mux(stream.encode())
        content += part.read_bytes()
    (tmp_path / "grows.mp4").write_bytes(content)
    with pytest.raises(video.BrokenClip, match="changes its size"):
        list(video.frames(tmp_path / "grows.mp4"))
    monkeypatch.setattr(_clip, "MAX_FRAME_PIXELS", 2**14)
    with pytest.raises(video.BrokenClip, match="is damaged: 3 of its frames"):
        list(video.frames(tmp_path / "grows.mp4"))


def test_a_clip_of_too_many_frames_is_not_read_whole(tmp_path, monkeypatch):
    path = tmp_path / "a.gif"
    video.write(path, np.zeros((9, 16, 16, 3), np.uint8), Fraction(25))
    assert len(video.read(path).frames) == 9
    monkeypatch.setattr(_reader, "MAX_CLIP_BYTES", 2**20)
    frame = video.ClipFrame(np.zeros((16, 16, 3), np.uint8), None)
    monkeypatch.setattr(_reader, "frames", lambda path: itertools.repeat(frame))
    with pytest.raises(video.ClipError, match=r"at most 1365 frames of 16 x 16.*1 MiB"):
        video.read(path)
