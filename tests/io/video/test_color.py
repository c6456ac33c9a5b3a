"""Colours are those of the matrix, range and bits; the oracle is arithmetic on the planes."""

from fractions import Fraction

import av
import numpy as np
import pytest
from helpers import coding

from keras_temporal_reg.io import video
from keras_temporal_reg.io.video import _color

QP0 = {"qp": "0"}


def first_of(path):
    return video.to_float32(next(video.frames(path)).pixels)


@pytest.mark.parametrize("is_full", [False, True])
@pytest.mark.parametrize("tags", [(1, 1, 1), (6, 6, 6), (5, 5, 6), (9, 9, 14)])
@pytest.mark.parametrize("pixels", ["yuv420p", "yuv444p", "yuv444p10le"])
def test_each_matrix_range_and_depth_is_read(tmp_path, pixels, tags, is_full):
    path, picture = tmp_path / "clip.mkv", coding.pictures(32, 48, 1)[0]
    given = {"matrix": tags[0], "tags": tags, "is_full": is_full}
    coding.write(path, [picture] * 2, pixel_format=pixels, options=QP0, **given)
    frame = next(video.frames(path)).pixels
    assert frame.dtype == (np.float32 if "10" in pixels else np.uint8)
    error = 255 * (video.to_float32(frame) - picture)
    assert np.abs(error).mean() < (0.3 if "10" in pixels else 0.8)
    assert np.abs(error.mean((0, 1))).max() < 0.2  # neither darker nor brighter


def test_ten_bits_are_read_in_full(tmp_path):
    levels = np.linspace(0, 1, 64)
    grey = np.broadcast_to(levels[:, np.newaxis], (32, 64, 3))
    path = coding.write(tmp_path / "deep.mkv", [grey] * 3, pixel_format="yuv444p10le", options=QP0)
    frame = next(video.frames(path)).pixels
    assert np.abs(frame[16, :, 1] - levels).max() < 1 / 876  # steps of limited range
    assert video.info(path).appearance.bits == 10


@pytest.mark.parametrize(("rows", "matrix"), [(718, 6), (720, 1)])
def test_a_clip_without_a_matrix_has_that_which_browsers_take(tmp_path, rows, matrix):
    picture = coding.pictures(rows, 16, 1)[0]
    path = coding.write(tmp_path / "clip.mp4", [picture] * 2, matrix=matrix, options=QP0)
    assert np.abs(first_of(path) - picture).mean() < 1.5 / 255
    assert video.info(path).appearance.matrix == matrix


@pytest.mark.parametrize(
    ("codec", "pixels", "is_full"),
    [("libx264", "gray", False), ("ffv1", "gray", True), ("ffv1", "gray10le", True)],
)
def test_grey_has_the_range_that_its_codec_means(tmp_path, codec, pixels, is_full):
    rows = np.broadcast_to(np.linspace(0, 1, 32)[:, np.newaxis, np.newaxis], (32, 48, 3))
    bits = 10 if "10" in pixels else 8
    luma = coding.encode(rows, 6, is_full, bits)[0]
    path = tmp_path / "clip.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options=QP0 if codec == "libx264" else {})
        stream.height, stream.width, stream.pix_fmt = 32, 48, pixels
        frame = av.VideoFrame(48, 32, pixels)
        np.frombuffer(frame.planes[0], luma.dtype).reshape(32, -1)[:, :48] = luma
        frame.pts, frame.time_base = 0, Fraction(1, 25)
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    assert np.abs(first_of(path) - rows).max() < 1.5 / 255


@pytest.mark.parametrize("bits", [8, 10])
@pytest.mark.parametrize("matrix", [1, 6, 9])
def test_what_is_encoded_has_the_planes_of_its_matrix(matrix, bits):
    picture = coding.pictures(32, 48, 1)[0].astype(np.float32)
    frame = _color.frame_maker(_color.encoded_format("libx264", 32, 48, bits), matrix)(picture)
    expected = coding.encode(picture, matrix, bits=bits)
    for plane, values in zip(frame.planes, expected, strict=True):
        made = np.frombuffer(plane, values.dtype).reshape(plane.height, -1)[:, : plane.width]
        # Colour is taken at the left of a block by FFmpeg, over the whole block by the oracle.
        assert np.abs(made.astype(int) - values).mean() < (1 if bits == 8 else 4)


def test_values_beside_0_to_1_are_clipped_before_they_are_encoded():
    picture = np.full((4, 4, 3), 0.5, np.float32)
    picture[0, 0], picture[0, 1], picture[0, 2] = np.nan, -3.0, 7.0
    frame = _color.frame_maker("yuv444p", 1)(picture)
    luma = np.frombuffer(frame.planes[0], np.uint8).reshape(4, -1)
    assert luma[0, :4].tolist() == [16, 16, 235, 126]


def test_a_frame_is_read_with_its_own_matrix_and_not_that_of_another():
    planes = _color.frame_maker("yuv444p", 1)(np.full((4, 4, 3), (0.3, 0.6, 0.2)))
    read = _color.rgb_reader("h264")
    for matrix in (1, 6, 9):
        planes.colorspace = matrix
        expected = 255 * coding.decode(planes, matrix)
        np.testing.assert_allclose(read(planes), expected, atol=1)
