"""Image files that claim too many pixels or run other programs are refused."""

import pathlib
import struct
import tempfile
import zlib

import numpy as np
import pytest
from PIL import Image

from keras_temporal_reg.io import image_files


def png(width, height):
    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


def exr(width, height):
    with tempfile.TemporaryDirectory() as folder:
        made = pathlib.Path(folder) / "made.exr"
        image_files.write(made, np.zeros((4, 4, 3)))
        content = made.read_bytes()
    window = struct.pack("<4i", 0, 0, 3, 3)
    return content.replace(window, struct.pack("<4i", 0, 0, width - 1, height - 1))


def tiff(width, height):
    """A directory of tags, without pixels."""
    short, long = 3, 4
    tags = [(256, long, 1, width), (257, long, 1, height), (258, short, 1, 16)]
    tags += [(262, short, 1, 1), (273, long, 1, 8), (277, short, 1, 1), (279, long, 1, 8)]
    entries = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + struct.pack("<I", 0)


HDR_PIXELS = b"FORMAT=32-bit_rle_rgbe\n\n-Y 60000 +X 60000\n"


IMAGES = {
    "a.png": png(60000, 60000),
    "a.tif": tiff(60000, 60000),
    "no pixels.tif": tiff(8000, 8000),
    "a.exr": exr(60000, 60000),
    "negative.exr": exr(-5, 3),
    "a.hdr": b"#?RADIANCE\n" + HDR_PIXELS,
    "comment.hdr": b"#?RADIANCE\n# -Y 4 +X 4\n" + HDR_PIXELS,
    # OpenCV takes the end of so long a line for the empty one.
    "long.hdr": b"#?RADIANCE\n" + HDR_PIXELS[:23] + b"x" * 127 + HDR_PIXELS[23:] + b"\n-Y 4 +X 4\n",
}


@pytest.mark.parametrize("name", IMAGES)
def test_too_large_images_are_refused(name, tmp_path, memory):
    (tmp_path / name).write_bytes(IMAGES[name])
    with pytest.raises(image_files.ImageError, match=rf"{name} (.*most 134217728|cannot)"):
        image_files.read(tmp_path / name)


def test_no_format_that_runs_other_programs_is_read(tmp_path):
    # Pillow has another program draw EPS, whatever the file is called.
    Image.new("RGB", (8, 8)).save(tmp_path / "drawn.eps")
    drawn = (tmp_path / "drawn.eps").rename(tmp_path / "drawn.png")
    with pytest.raises(image_files.ImageError, match=r"drawn\.png cannot be read"):
        image_files.read(drawn)
