"""Read, write and list image files. Needs the extra ``video``."""

from __future__ import annotations

import contextlib
import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from keras_temporal_reg.io import atomic

LDR_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".ppm")
HDR_SUFFIXES = (".exr", ".hdr")
SUFFIXES = (*LDR_SUFFIXES, *HDR_SUFFIXES)
# Pillow recognizes files by content and runs other programs for some formats, such as EPS.
_FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP", "PPM")
MAX_PIXELS = 2**27  # 134 million; a header that claims more is broken or an attack


class ImageError(ValueError):
    """An image or folder that cannot be used; the message says which and why."""


def read(path: Any) -> np.ndarray:
    """Read an image.

    Args:
        path: a file with one of `SUFFIXES`.

    Returns:
        ``(height, width, 3)`` RGB float32: display-referred values in [0, 1]; of EXR and Radiance
        files linear light, at least 0 and without an upper bound. Gray becomes three equal
        channels; an alpha channel is dropped.

    Raises:
        ImageError: if the file is missing, has another format, is broken, or is too large.
        ImportError: if a package of the extra ``video`` is missing.
    """
    path = Path(path)
    size(path)  # refuses too many pixels before any are decoded
    suffix = path.suffix.lower()
    if suffix in LDR_SUFFIXES:
        return _read_ldr(path)
    image = _read_exr(path) if suffix == ".exr" else _read_radiance(path)
    if image.ndim == 2:
        image = image[..., np.newaxis]
    image = image[..., :3] if image.shape[-1] >= 3 else np.repeat(image[..., :1], 3, -1)
    # Renderers write single pixels that are negative or NaN.
    return np.maximum(np.nan_to_num(image.astype(np.float32), posinf=6e4), 0.0)


def size(path: Any) -> tuple[int, int]:
    """Height and width in pixels of what `read` returns, from the file's header alone.

    Args:
        path: a file with one of `SUFFIXES`.

    Raises:
        ImageError: if the file is missing, has another format, a broken header, or too many pixels.
        ImportError: if a package of the extra ``video`` is missing.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise ImageError(f"image {path} must be one of {', '.join(SUFFIXES)}")
    if not path.is_file():
        raise ImageError(f"image {path} does not exist or is not a file")
    of_header = {".exr": _exr_size, ".hdr": _radiance_size}.get(suffix, _ldr_size)
    height, width = of_header(path)
    if width * height > MAX_PIXELS or width < 1 or height < 1:
        raise ImageError(
            f"image {path} must have at most {MAX_PIXELS} pixels. Received: {width} x {height}"
        )
    return height, width


def write(path: Any, image: np.ndarray) -> None:
    """Write an image, atomically.

    Args:
        path: the suffix selects the format: ``.exr`` for linear light, else one that Pillow writes.
        image: ``(height, width, 3)`` RGB, as `read` returns it; values are clipped to [0, 1],
            except in EXR files.
    """
    path = Path(path)
    with atomic.atomic_write(path) as temporary:
        if path.suffix.lower() == ".exr":
            exr = _import("OpenEXR")
            header = {"compression": exr.ZIP_COMPRESSION, "type": exr.scanlineimage}
            pixels = np.ascontiguousarray(image, np.float32)
            exr.File(header, {"RGB": pixels}).write(str(temporary))
        else:
            pil = _import("PIL.Image")
            pil.fromarray(to_uint8(image)).save(temporary)


def to_uint8(image: np.ndarray) -> np.ndarray:
    """Convert values in [0, 1] to uint8, rounded and clipped; NaN becomes 0."""
    # Comparisons with NaN are False; np.nan_to_num takes five times as long.
    scaled = np.where(image > 0.0, image, 0.0) * np.float32(255.0)
    return (np.minimum(scaled, 255.0) + np.float32(0.5)).astype(np.uint8)


def list_images(folder: Any) -> list[Path]:
    """List the images in a folder in natural order: ``frame2`` before ``frame10``.

    Raises:
        ImageError: if there is no such folder.
        ImportError: if natsort, of the extra ``video``, is missing.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ImageError(f"folder {folder} does not exist or is not a folder")
    natsort = _import("natsort")
    found = (p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and p.is_file())
    visible = (p for p in found if not p.name.startswith("."))
    # Sorted first, for a fixed order of names such as f1.png and f01.png.
    return natsort.natsorted(sorted(visible), key=lambda path: path.name)


@contextlib.contextmanager
def _decoding(path: Path) -> Iterator[None]:
    try:
        yield
    # Decoders raise many types for broken files: SyntaxError, struct.error, zlib.error, ...
    except Exception as error:
        raise ImageError(f"image {path} cannot be read ({error})") from error


def _ldr_size(path: Path) -> tuple[int, int]:
    pil = _import("PIL.Image")
    with _decoding(path), pil.open(path, formats=_FORMATS) as opened:
        width, height = opened.size
        if opened.format == "TIFF":  # some versions of Pillow have applied the orientation
            width, height = opened.tag_v2[256], opened.tag_v2[257]
        # Image's own method: that of PNG files decodes all pixels first.
        orientation = pil.Image.getexif(opened).get(0x0112)
    # EXIF orientations 5 to 8 swap height and width.
    return (width, height) if orientation in (5, 6, 7, 8) else (height, width)


def _read_ldr(path: Path) -> np.ndarray:
    pil, ops = _import("PIL.Image"), _import("PIL.ImageOps")
    with _decoding(path), pil.open(path, formats=_FORMATS) as opened:
        image = ops.exif_transpose(opened)
        if image.mode.startswith("I"):  # 16 bits per pixel, gray
            gray = np.asarray(image, np.float32) / 65535.0
            return np.repeat(np.clip(gray, 0.0, 1.0)[..., np.newaxis], 3, axis=-1)
        return np.asarray(image.convert("RGB"), np.float32) / np.float32(255.0)


def _exr_size(path: Path) -> tuple[int, int]:
    exr = _import("OpenEXR")
    with _decoding(path), exr.File(str(path), header_only=True) as opened:
        (left, top), (right, bottom) = opened.header()["dataWindow"]
    return int(bottom) - int(top) + 1, int(right) - int(left) + 1


def _read_exr(path: Path) -> np.ndarray:
    exr = _import("OpenEXR")
    with _decoding(path), exr.File(str(path)) as opened:
        channels = {name: np.array(c.pixels) for name, c in opened.channels().items()}
    for name in ("RGB", "RGBA", "Y"):
        if name in channels:
            return channels[name]
    if all(name in channels for name in "RGB"):
        return np.stack([channels[name] for name in "RGB"], axis=-1)
    raise ImageError(f"image {path} must have channels R, G, B or Y. Received: {[*channels]}")


def _radiance_size(path: Path) -> tuple[int, int]:
    with path.open("rb") as opened:
        header = opened.read(4096)
    # The size is in the line after the first empty line; sizes before it can be comments.
    # OpenCV cuts lines at 127 bytes.
    size = re.match(rb"#\?(?:[^\n\0]{1,126}\n)+\n-Y (\d+) \+X (\d+)\s*\n", header)
    if size is None:
        raise ImageError(f"image {path} cannot be read (no Radiance header)")
    return int(size[1]), int(size[2])


def _read_radiance(path: Path) -> np.ndarray:
    cv2 = _import("cv2")
    with _decoding(path):
        image = cv2.imread(str(path), cv2.IMREAD_ANYDEPTH | cv2.IMREAD_COLOR)
    if image is None:
        raise ImageError(f"image {path} cannot be read (its pixels are broken)")
    return image[..., ::-1]


def _import(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError(
            "images need Pillow, OpenCV, OpenEXR and natsort: pip install keras-temporal-reg[video]"
        ) from error
