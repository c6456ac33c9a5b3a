"""Pixels keep their range, bits and orientation."""

from fractions import Fraction

import av
import numpy as np
from helpers.clips import ramp

from keras_temporal_reg.io import video


def test_ten_bits_are_read_in_full_and_noted(tmp_path):
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


def test_a_clip_filmed_sideways_is_turned_upright(tmp_path):
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
