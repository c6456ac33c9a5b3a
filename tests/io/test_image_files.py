"""Images: files of Pillow, OpenEXR and OpenCV are read with the values that were written."""

import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from keras_temporal_reg.io import image_files


def colors(height=5, width=7):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".webp"])
def test_eight_bits_are_read_as_they_are(tmp_path, suffix):
    path = tmp_path / f"image{suffix}"
    Image.fromarray(colors()).save(path, **({"lossless": True} if suffix == ".webp" else {}))
    read = image_files.read(path)
    assert read.dtype == np.float32
    np.testing.assert_allclose(read, colors() / 255.0, atol=1e-7)


def test_gray_becomes_three_equal_channels_and_alpha_is_dropped(tmp_path):
    Image.fromarray(colors()[..., 0]).save(tmp_path / "gray.png")
    gray = image_files.read(tmp_path / "gray.png")
    np.testing.assert_allclose(gray, np.repeat(colors()[..., :1], 3, -1) / 255.0, atol=1e-7)
    rgba = np.concatenate([colors(), np.full((5, 7, 1), 9, np.uint8)], axis=-1)
    Image.fromarray(rgba).save(tmp_path / "alpha.png")
    np.testing.assert_allclose(
        image_files.read(tmp_path / "alpha.png"), colors() / 255.0, atol=1e-7
    )


def test_sixteen_bits_of_gray_keep_their_range(tmp_path):
    values = np.array([[0, 32768], [65535, 1000]], np.uint16)
    cv2.imwrite(str(tmp_path / "deep.png"), values)
    read = image_files.read(tmp_path / "deep.png")
    np.testing.assert_allclose(read[..., 0], values / 65535.0, atol=1e-4)


def test_a_sideways_photograph_is_turned_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise
    Image.fromarray(colors()).save(tmp_path / "side.png", exif=exif)
    np.testing.assert_allclose(
        image_files.read(tmp_path / "side.png"), np.rot90(colors(), -1) / 255.0, atol=1e-7
    )


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif", ".exr", ".hdr"])
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_the_size_in_the_header_is_the_size_that_is_read(tmp_path, suffix, orientation):
    path = tmp_path / f"image{suffix}"
    if suffix == ".exr":
        image_files.write(path, np.ones((5, 7, 3), np.float32))
    elif suffix == ".hdr":
        cv2.imwrite(str(path), np.ones((5, 7, 3), np.float32))
    else:
        exif = Image.Exif()
        exif[0x0112] = orientation
        Image.fromarray(colors()).save(path, exif=exif)
    assert image_files.size(path) == image_files.read(path).shape[:2]


def test_the_size_is_read_without_the_pixels(tmp_path):
    Image.fromarray(colors(64, 80)).save(tmp_path / "image.png")
    head = (tmp_path / "image.png").read_bytes()[:200]
    (tmp_path / "image.png").write_bytes(head)
    assert image_files.size(tmp_path / "image.png") == (64, 80)
    with pytest.raises(image_files.ImageError, match="cannot be read"):
        image_files.read(tmp_path / "image.png")


def test_linear_light_survives_exr_exactly_and_radiance_nearly(tmp_path):
    light = np.random.default_rng(1).uniform(0.1, 9.0, (6, 8, 3)).astype(np.float32)
    image_files.write(tmp_path / "light.exr", light)
    np.testing.assert_array_equal(image_files.read(tmp_path / "light.exr"), light)
    cv2.imwrite(str(tmp_path / "light.hdr"), light[..., ::-1])
    # Radiance shares an exponent of 8 bits among three mantissas of 8.
    np.testing.assert_allclose(image_files.read(tmp_path / "light.hdr"), light, atol=9.0 / 128)


def test_negative_and_nan_pixels_of_renderers_are_replaced(tmp_path):
    light = np.ones((4, 4, 3), np.float32)
    light[0, 0], light[1, 1] = np.nan, -2.0
    image_files.write(tmp_path / "odd.exr", light)
    read = image_files.read(tmp_path / "odd.exr")
    assert read.min() == 0.0 and np.isfinite(read).all()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.png", None, "does not exist"),
        ("letter.png", b"Dear reader", "cannot be read"),
        ("letter.exr", b"Dear reader", "cannot be read"),
        ("letter.hdr", b"Dear reader", "no Radiance header"),
        ("empty.jpg", b"", "cannot be read"),
        ("clip.mp4", b"", "must be one of"),
        ("bomb.hdr", b"#?RADIANCE\n\n-Y 60000 +X 60000\n", "at most 134217728 pixels"),
    ],
)
def test_unreadable_files_are_named(tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(image_files.ImageError, match=rf"{name} .*{message}"):
        image_files.read(tmp_path / name)


def test_a_png_of_too_many_pixels_is_refused_before_decoding(tmp_path):
    def chunk(kind, data):
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", 50000, 50000, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")
    (tmp_path / "bomb.png").write_bytes(bomb)
    with pytest.raises(image_files.ImageError, match=r"at most 134217728 pixels|cannot be read"):
        image_files.read(tmp_path / "bomb.png")


def test_a_truncated_image_is_refused(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "whole.jpg")
    whole = (tmp_path / "whole.jpg").read_bytes()
    (tmp_path / "half.jpg").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(image_files.ImageError, match=r"half\.jpg cannot be read"):
        image_files.read(tmp_path / "half.jpg")


def test_a_folder_is_listed_in_natural_order(tmp_path):
    for name in ("f10.png", "f9.png", "f1.JPG", "notes.txt", ".hidden.png"):
        (tmp_path / name).write_bytes(b"")
    assert [p.name for p in image_files.list_images(tmp_path)] == ["f1.JPG", "f9.png", "f10.png"]
    for name in ("f01.JPG", "f2a.png", "f2.png"):
        (tmp_path / name).write_bytes(b"")
    order = [p.name for p in image_files.list_images(tmp_path)]
    assert order == ["f01.JPG", "f1.JPG", "f2.png", "f2a.png", "f9.png", "f10.png"]
    with pytest.raises(image_files.ImageError, match="nowhere does not exist"):
        image_files.list_images(tmp_path / "nowhere")


def test_bytes_are_rounded_and_clipped():
    values = np.array([-1.0, 0.0, 0.4 / 255, 0.6 / 255, 1.0, 7.0, np.inf, -np.inf, np.nan])
    np.testing.assert_array_equal(
        image_files.to_uint8(values), np.array([0, 0, 0, 1, 255, 255, 255, 0, 0], np.uint8)
    )


def test_a_written_image_is_read_again(tmp_path):
    image_files.write(tmp_path / "again.png", colors() / 255.0)
    np.testing.assert_allclose(
        image_files.read(tmp_path / "again.png"), colors() / 255.0, atol=1e-7
    )
    assert [p.name for p in tmp_path.iterdir()] == ["again.png"]
