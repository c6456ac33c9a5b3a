"""Images: files of Pillow, OpenEXR and OpenCV are read with the values that were written."""

import struct
import zlib

import cv2
import numpy as np
import PIL
import pytest
import tifffile
from PIL import Image, features

from keras_temporal_reg.io import image_files, video


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


def write_tiff(path, pixels, **options):
    colors = "rgb" if pixels.ndim == 3 else "minisblack"
    tifffile.imwrite(path, pixels, **{"photometric": colors, **options})


DEPTHS = {"uint16": 65535.0, "float32": 1.0, "float64": 1.0}


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("dtype", DEPTHS)
@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}, {"byteorder": ">"}])
def test_tiff_files_of_any_depth_keep_their_values(tmp_path, dtype, channels, options):
    """All levels: neither the 8 bits of Pillow nor the 2 levels of a cast."""
    unit = np.random.default_rng(0).random((32, 48, channels))
    stored = (DEPTHS[dtype] * unit).astype(dtype)
    extra = {"extrasamples": ["unassalpha"]} if channels == 4 else {}
    write_tiff(tmp_path / "a.tif", stored.squeeze(), **extra, **options)
    read = image_files.read(tmp_path / "a.tif")
    expected = np.broadcast_to((stored / DEPTHS[dtype])[..., :3], (32, 48, 3))
    assert read.dtype == np.float32
    np.testing.assert_allclose(read, expected, atol=1e-6)


def png_of_16_bits(channels, color_type, pixels):
    def chunk(kind, data):
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    height, width = pixels.shape[:2]
    rows = b"".join(b"\0" + row.tobytes() for row in pixels.astype(">u2"))
    header = struct.pack(">IIBBBBB", width, height, 16, color_type, 0, 0, 0)
    parts = (chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.mark.parametrize(("channels", "color_type"), [(1, 0), (2, 4), (3, 2), (4, 6)])
def test_png_files_of_16_bits_keep_them(tmp_path, channels, color_type):
    pixels = np.random.default_rng(0).integers(0, 65536, (6, 9, channels)).astype(np.uint16)
    (tmp_path / "a.png").write_bytes(png_of_16_bits(channels, color_type, pixels))
    colors = pixels[..., :3] if channels >= 3 else pixels[..., :1].repeat(3, axis=-1)
    np.testing.assert_allclose(image_files.read(tmp_path / "a.png"), colors / 65535.0, atol=1e-7)


@pytest.mark.parametrize(("name", "white"), [("P6", 255), ("P6", 1023), ("P5", 65535)])
def test_portable_maps_are_read_by_their_white(tmp_path, name, white):
    channels = 3 if name == "P6" else 1
    pixels = np.random.default_rng(0).integers(0, white + 1, (6, 9, channels))
    head = f"{name}\n# a comment with 7 7 7\n9 6\n{white}\n".encode()
    stored = pixels.astype(">u2" if white > 255 else np.uint8).tobytes()
    (tmp_path / "a.ppm").write_bytes(head + stored)
    expected = np.broadcast_to(pixels / white, (6, 9, 3))
    np.testing.assert_allclose(image_files.read(tmp_path / "a.ppm"), expected, atol=1e-6)


def in_mode(mode):
    image = Image.fromarray(colors())
    if mode == "I;16B":
        gray = colors()[..., 0].astype(">u2") * 257
        return Image.frombytes("I;16B", (7, 5), gray.tobytes()), gray[..., np.newaxis] / 65535.0
    converted = image.convert(mode)
    return converted, np.asarray(converted.convert("RGB")) / 255.0


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "I;16B"])
def test_every_mode_of_pillow_is_read(tmp_path, mode):
    image, expected = in_mode(mode)
    image.save(tmp_path / "a.tif")
    read = image_files.read(tmp_path / "a.tif")
    np.testing.assert_allclose(read, np.broadcast_to(expected, read.shape), atol=1e-6)


REFUSED = {
    "int8": "signed integers of 8 bits",
    "int16": "signed integers of 16 bits",
    "int32": "signed integers of 32 bits",
    "uint32": "unsigned integers of 32 bits",
    "float16": "floats of 16 bits",
}


@pytest.mark.parametrize("shape", [(6, 9), (6, 9, 3)])
@pytest.mark.parametrize("dtype", REFUSED)
def test_depths_without_a_white_are_refused(tmp_path, dtype, shape):
    write_tiff(tmp_path / "a.tif", np.ones(shape, dtype))
    with pytest.raises(image_files.ImageError, match=rf"a\.tif holds {REFUSED[dtype]}.* as EXR"):
        image_files.read(tmp_path / "a.tif")


@pytest.mark.parametrize("worst", [255.0, -3.0, np.nan])
def test_floats_beyond_their_range_are_refused(tmp_path, worst):
    pixels = np.full((6, 9, 3), 0.5, np.float32)
    pixels[0, 0] = 1.02  # a filter overshoots
    write_tiff(tmp_path / "a.tif", pixels)
    assert image_files.read(tmp_path / "a.tif").max() == 1.0
    pixels[2, 3] = worst
    write_tiff(tmp_path / "a.tif", pixels)
    with pytest.raises(image_files.ImageError, match=r"must have floats in \[0, 1\]"):
        image_files.read(tmp_path / "a.tif")


GRAY_AND_ALPHA = {
    "photometric": "minisblack",
    "planarconfig": "contig",
    "extrasamples": ["unassalpha"],
}


@pytest.mark.parametrize(
    ("shape", "options"),
    [((3, 6, 9), {"planarconfig": "separate"}), ((6, 9, 2), GRAY_AND_ALPHA)],
    ids=["planes", "gray and alpha"],
)
def test_deep_files_that_opencv_reads_wrongly_are_refused(tmp_path, shape, options):
    pixels = np.ones(shape, np.uint16)
    write_tiff(tmp_path / "a.tif", pixels, **options)
    with pytest.raises(image_files.ImageError, match="must then have gray or RGB pixels"):
        image_files.read(tmp_path / "a.tif")


def test_files_of_several_images_are_refused(tmp_path):
    first, second = (Image.fromarray(colors() // n) for n in (1, 2))
    for name in ("a.tif", "a.png", "a.webp"):
        first.save(tmp_path / name, save_all=True, append_images=[second])
        with pytest.raises(image_files.ImageError, match=f"{name} holds several images"):
            image_files.read(tmp_path / name)


def test_a_photograph_with_a_second_view_is_one_image(tmp_path):
    """As telephones write them: JPEG files with more in them (MPO)."""
    first, second = Image.fromarray(colors(32, 32)), Image.fromarray(colors(16, 16))
    first.save(tmp_path / "a.jpg", "MPO", save_all=True, append_images=[second])
    assert image_files.read(tmp_path / "a.jpg").shape == (32, 32, 3)


def test_a_page_with_a_thumbnail_is_one_image(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        writer.write(colors(), photometric="rgb")
        writer.write(colors()[::2, ::2], photometric="rgb", subfiletype=1)
    np.testing.assert_allclose(image_files.read(tmp_path / "a.tif"), colors() / 255.0, atol=1e-7)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_deep_images_are_turned_upright(tmp_path, name, orientation):
    """As Pillow turns the same image of 8 bits."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    deep = colors()[..., 0].astype(np.uint16) * 257
    Image.fromarray(colors()[..., 0]).save(tmp_path / "expected.png", exif=exif)
    if name == "a.png":
        Image.fromarray(deep).save(tmp_path / name, exif=exif)
    else:
        write_tiff(tmp_path / name, deep, extratags=[(0x0112, 3, 1, orientation, True)])
    expected = image_files.read(tmp_path / "expected.png")
    np.testing.assert_allclose(image_files.read(tmp_path / name), expected, atol=1e-6)
    assert image_files.size(tmp_path / name) == expected.shape[:2]


def test_jpeg_2000_is_read(tmp_path):
    Image.fromarray(colors(32, 48)).save(tmp_path / "a.jp2")  # without loss
    np.testing.assert_allclose(
        image_files.read(tmp_path / "a.jp2"), colors(32, 48) / 255.0, atol=1e-7
    )


def test_avif_is_read_where_pillow_can(tmp_path):
    if tuple(map(int, PIL.__version__.split(".")[:2])) < (11, 3):
        (tmp_path / "a.avif").write_bytes(b"\0\0\0\x1cftypavif")
        with pytest.raises(image_files.ImageError, match=r"AVIF needs Pillow 11\.3"):
            image_files.read(tmp_path / "a.avif")
        return
    assert features.check("avif")
    ramp = np.tile(np.linspace(0, 255, 48, dtype=np.uint8)[:, np.newaxis], (32, 1, 3))
    Image.fromarray(ramp).save(tmp_path / "a.avif", quality=100)
    np.testing.assert_allclose(image_files.read(tmp_path / "a.avif"), ramp / 255.0, atol=0.03)


def test_what_a_folder_has_beside_its_images_is_counted(tmp_path):
    for name in ("a.png", "b.HEIC", "c.heic", "d.gif", "notes.txt", ".e.heic"):
        (tmp_path / name).write_bytes(b"")
    assert image_files.describe_skipped(tmp_path, None) == (
        "3 files are skipped: .heic (2), .gif (1); convert them to PNG."
    )
    (tmp_path / "more").mkdir()
    assert "Folders" not in image_files.describe_skipped(tmp_path)
    (tmp_path / "more" / "a.png").write_bytes(b"")
    said = image_files.describe_skipped(tmp_path)
    assert said.endswith("Folders in folders are not searched: more, with 1 images.")
    (tmp_path / "clean").mkdir()
    assert image_files.describe_skipped(tmp_path / "clean", tmp_path / "more") is None


def test_a_clip_says_which_of_its_files_are_no_frames(tmp_path):
    (tmp_path / "f2.heic").write_bytes(b"")
    with pytest.raises(video.ClipError, match=r"no images in it .* \.heic \(1\)"):
        video.info(tmp_path)
    image_files.write(tmp_path / "f1.png", colors() / 255.0)
    assert video.info(tmp_path).notes == ("1 file is skipped: .heic (1); convert it to PNG.",)


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


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_bytes_of_large_pictures_are_those_of_their_pixels(dtype):
    values = np.random.default_rng(0).normal(0.5, 0.5, (2, 700, 100, 3)).astype(dtype)
    values[1, 600, 3] = np.nan
    exact = np.clip(np.nan_to_num(values.astype(np.float64)), 0.0, 1.0) * 255.0
    for picture, expected in ((values, exact), (values[1], exact[1])):
        found = image_files.to_uint8(picture)
        assert found.dtype == np.uint8
        assert np.abs(found - expected).max() <= 0.5 + 1e-4


def test_a_written_image_is_read_again(tmp_path):
    image_files.write(tmp_path / "again.png", colors() / 255.0)
    np.testing.assert_allclose(
        image_files.read(tmp_path / "again.png"), colors() / 255.0, atol=1e-7
    )
    assert [p.name for p in tmp_path.iterdir()] == ["again.png"]
