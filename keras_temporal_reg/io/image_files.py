"""Single pictures, and folders of them. Needs the extra ``video``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from keras_temporal_reg.io import atomic

LDR_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".ppm")
HDR_SUFFIXES = (".exr", ".hdr")
SUFFIXES = (*LDR_SUFFIXES, *HDR_SUFFIXES)
# Pillow goes by content, and knows some that other programs draw, such as EPS.
_FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP", "PPM")
MAX_PIXELS = 2**27  # 134 million; a file that claims more is broken or an attack


class PictureError(ValueError):
    """A picture or folder that cannot be used; the message says which and why."""


def read(path: Any) -> np.ndarray:
    """Read a picture.

    Args:
        path: a file with one of `SUFFIXES`.

    Returns:
        ``(height, width, 3)`` RGB float32: in [0, 1], as displays take it; of EXR and HDR files
        linear light, at least 0 and without an upper bound. Grey becomes three equal channels;
        an alpha channel is dropped.

    Raises:
        PictureError: for a file that is missing, of another kind, broken, or too large.
        ImportError: if a package of the extra ``video`` is missing.
    """
    path = Path(path)
    size(path)  # refuses what claims too many pixels, before they are read
    suffix = path.suffix.lower()
    if suffix in LDR_SUFFIXES:
        return _read_ldr(path)
    picture = _read_exr(path) if suffix == ".exr" else _read_radiance(path)
    if picture.ndim == 2:
        picture = picture[..., np.newaxis]
    picture = picture[..., :3] if picture.shape[-1] >= 3 else np.repeat(picture[..., :1], 3, -1)
    # Renderers leave the odd pixel that is negative or no number.
    return np.maximum(np.nan_to_num(picture.astype(np.float32), posinf=6e4), 0.0)


def size(path: Any) -> tuple[int, int]:
    """Height and width of what `read` returns, from the head of the file alone.

    Args:
        path: a file with one of `SUFFIXES`.

    Raises:
        PictureError: for a file that is missing, of another kind, broken at its head, or too large.
        ImportError: if a package of the extra ``video`` is missing.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise PictureError(f"picture {path} must be one of {', '.join(SUFFIXES)}")
    if not path.is_file():
        raise PictureError(f"picture {path} does not exist or is no file")
    heads = {".exr": _exr_size, ".hdr": _radiance_size}
    height, width = heads.get(suffix, _ldr_size)(path)
    if width * height > MAX_PIXELS or width < 1 or height < 1:
        raise PictureError(
            f"picture {path} must have at most {MAX_PIXELS} pixels. Received: {width} x {height}"
        )
    return height, width


def write(path: Any, picture: np.ndarray) -> None:
    """Write a picture; the file appears when it is complete.

    Args:
        path: the suffix says the kind: ``.exr`` for linear light, else one that Pillow writes.
        picture: ``(height, width, 3)`` RGB, what `read` returns; values of other files than EXR
            are clipped to [0, 1].
    """
    path = Path(path)
    with atomic.replacing(path) as temporary:
        if path.suffix.lower() == ".exr":
            exr = _import("OpenEXR")
            header = {"compression": exr.ZIP_COMPRESSION, "type": exr.scanlineimage}
            pixels = np.ascontiguousarray(picture, np.float32)
            exr.File(header, {"RGB": pixels}).write(str(temporary))
        else:
            pil = _import("PIL.Image")
            pil.fromarray(to_bytes(picture)).save(temporary)


def to_bytes(picture: np.ndarray) -> np.ndarray:
    """Values in [0, 1] as uint8, rounded; NaN is black."""
    # Comparisons are False for NaN; np.nan_to_num takes five times as long.
    scaled = np.where(picture > 0.0, picture, 0.0) * np.float32(255.0)
    return (np.minimum(scaled, 255.0) + np.float32(0.5)).astype(np.uint8)


def listed(folder: Any) -> list[Path]:
    """The pictures in a folder, ``frame2`` before ``frame10``.

    Raises:
        PictureError: if there is no such folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise PictureError(f"folder {folder} does not exist or is no folder")
    found = (p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and p.is_file())
    return sorted((p for p in found if not p.name.startswith(".")), key=_natural)


def _natural(path: Path) -> list[Any]:
    parts = re.split(r"(\d+)", path.name)
    return [int(part) if number % 2 else part for number, part in enumerate(parts)]


def _ldr_size(path: Path) -> tuple[int, int]:
    pil = _import("PIL.Image")
    try:
        with pil.open(path, formats=_FORMATS) as opened:
            width, height = opened.size
            if opened.format == "TIFF":  # whose size some versions of Pillow have turned already
                width, height = opened.tag_v2[256], opened.tag_v2[257]
            # That of the class: the one of PNG files reads all pixels first.
            orientation = pil.Image.getexif(opened).get(0x0112)
    # Broken files raise whatever the decoder met: SyntaxError, struct.error, zlib.error, ...
    except Exception as error:
        raise PictureError(f"picture {path} cannot be read ({error})") from error
    # A camera on its side says so here, in place of turning the pixels.
    return (width, height) if orientation in (5, 6, 7, 8) else (height, width)


def _read_ldr(path: Path) -> np.ndarray:
    pil = _import("PIL.Image")
    ops = _import("PIL.ImageOps")
    try:
        with pil.open(path, formats=_FORMATS) as opened:
            picture = ops.exif_transpose(opened)
            if picture.mode.startswith("I"):  # 16 bits a pixel, grey
                grey = np.asarray(picture, np.float32) / 65535.0
                return np.repeat(np.clip(grey, 0.0, 1.0)[..., np.newaxis], 3, axis=-1)
            return np.asarray(picture.convert("RGB"), np.float32) / np.float32(255.0)
    except Exception as error:
        raise PictureError(f"picture {path} cannot be read ({error})") from error


def _exr_size(path: Path) -> tuple[int, int]:
    exr = _import("OpenEXR")
    try:
        with exr.File(str(path), header_only=True) as opened:
            (left, top), (right, bottom) = opened.header()["dataWindow"]
    except Exception as error:
        raise PictureError(f"picture {path} cannot be read ({error})") from error
    return int(bottom) - int(top) + 1, int(right) - int(left) + 1


def _read_exr(path: Path) -> np.ndarray:
    exr = _import("OpenEXR")
    try:
        with exr.File(str(path)) as opened:
            channels = {name: np.array(c.pixels) for name, c in opened.channels().items()}
    except Exception as error:
        raise PictureError(f"picture {path} cannot be read ({error})") from error
    for name in ("RGB", "RGBA", "Y"):
        if name in channels:
            return channels[name]
    if all(name in channels for name in "RGB"):
        return np.stack([channels[name] for name in "RGB"], axis=-1)
    raise PictureError(f"picture {path} must have channels R, G, B or Y. Received: {[*channels]}")


def _radiance_size(path: Path) -> tuple[int, int]:
    with path.open("rb") as opened:
        head = opened.read(4096)
    # The line after the first empty one: others can be comments. OpenCV cuts lines at 127 bytes.
    size = re.match(rb"#\?(?:[^\n\0]{1,126}\n)+\n-Y (\d+) \+X (\d+)\s*\n", head)
    if size is None:
        raise PictureError(f"picture {path} cannot be read (no Radiance header)")
    return int(size[1]), int(size[2])


def _read_radiance(path: Path) -> np.ndarray:
    cv2 = _import("cv2")
    try:
        picture = cv2.imread(str(path), cv2.IMREAD_ANYDEPTH | cv2.IMREAD_COLOR)
    except cv2.error as error:
        raise PictureError(f"picture {path} cannot be read ({error})") from error
    if picture is None:
        raise PictureError(f"picture {path} cannot be read (its pixels are broken)")
    return picture[..., ::-1]


def _import(name: str) -> Any:
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError(
            "pictures need Pillow, OpenCV and OpenEXR: pip install keras-temporal-reg[video]"
        ) from error
