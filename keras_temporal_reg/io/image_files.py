"""Read, write and list image files. Needs the extra ``video``."""

from __future__ import annotations

import contextlib
import importlib
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from keras_temporal_reg.core import bands
from keras_temporal_reg.io import atomic

LDR_SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm"),
    *(".avif", ".jp2"),
)
HDR_SUFFIXES = (".exr", ".hdr")
SUFFIXES = (*LDR_SUFFIXES, *HDR_SUFFIXES)
# Pictures that are not read: `describe_skipped` counts them.
_OTHER_SUFFIXES = frozenset(
    ".heic .heif .gif .jxl .j2k .jfif .tga .psd .svg .pfm .dng .cr2 .cr3 .nef .arw .raf .orf "
    ".rw2".split()
)
# Pillow recognizes files by content and runs other programs for some formats, such as EPS.
_FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP", "PPM", "AVIF", "JPEG2000")
_ORIENTATION = 0x0112  # the tag of EXIF and TIFF
_TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
# Floats beyond [0, 1] by no more than this are of a filter that overshoots.
_OVERSHOOT = 0.1
_REMEDY = (
    "save it with 8 or 16 unsigned bits per channel, as floats of 32 bits in [0, 1], or linear "
    "light as EXR"
)
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
        channels; an alpha channel is dropped. Unsigned integers are divided by the highest of
        their type; floats of TIFF files are taken as they are. Color profiles are not applied.

    Raises:
        ImageError: if the file is missing, has another format, is broken or too large, holds
            several images, or values for which no white is known: signed integers, those of 32
            bits, and floats beyond [0, 1].
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
    pixels = np.empty(np.shape(image), np.uint8)
    for band in bands.of(pixels):
        values = clipped(image[band])
        values = values.astype(np.result_type(values, np.float32), copy=False)
        values *= 255.0
        values += 0.5
        pixels[band] = values
    return pixels


def clipped(image: np.ndarray) -> np.ndarray:
    """Clip values to [0, 1]; NaN becomes 0."""
    # fmax takes 0 in place of NaN; np.nan_to_num takes five times as long.
    return np.minimum(np.fmax(image, 0.0), 1.0)


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


def describe_skipped(folder: Any, second: Any = None) -> str | None:
    """A sentence on the pictures in folders that `list_images` leaves out; None if there are none.

    Args:
        folder: its path.
        second: the path of a second folder, if any.
    """
    suffixes: Counter[str] = Counter()
    subfolders: Counter[Path] = Counter()
    for each in (folder,) if second is None else (folder, second):
        for path in Path(each).iterdir():
            if path.name.startswith("."):
                continue
            if path.is_dir():
                with contextlib.suppress(OSError):  # one that may not be read
                    subfolders[path] += sum(p.suffix.lower() in SUFFIXES for p in path.iterdir())
            else:
                suffixes[path.suffix.lower()] += path.suffix.lower() in _OTHER_SUFFIXES
    sentences = []
    if count := suffixes.total():
        kinds = ", ".join(f"{kind} ({n})" for kind, n in suffixes.most_common() if n)
        files = "file is" if count == 1 else "files are"
        them = "it" if count == 1 else "them"
        sentences.append(f"{count} {files} skipped: {kinds}; convert {them} to PNG.")
    if count := subfolders.total():
        names = ", ".join(sorted(path.name for path, n in subfolders.items() if n)[:5])
        sentences.append(f"Folders in folders are not searched: {names}, with {count} images.")
    return " ".join(sentences) or None


@contextlib.contextmanager
def _decoding(path: Path) -> Iterator[None]:
    try:
        yield
    # Decoders raise many types for broken files: SyntaxError, struct.error, zlib.error, ...
    except Exception as error:
        raise ImageError(f"image {path} cannot be read ({error})") from error


class _Header(NamedTuple):
    """What the header of a display-referred file says.

    Attributes:
        height: in pixels, as it is stored.
        width: likewise.
        orientation: as EXIF numbers it; from 5 on, height and width are swapped.
        white: the value of white where there are more than 8 bits per channel; None: 8 or fewer.
    """

    height: int
    width: int
    orientation: int
    white: float | None = None


def _ldr_size(path: Path) -> tuple[int, int]:
    header = _ldr_header(path)
    size = (header.height, header.width)
    return size[::-1] if header.orientation in (5, 6, 7, 8) else size


def _ldr_header(path: Path) -> _Header:
    with path.open("rb") as file:
        start = file.read(512)
    if start.startswith(_TIFF_STARTS):
        return _tiff_header(path)
    with _decoding(path), _open(path) as opened:
        # Image's own method: that of PNG files decodes all pixels first.
        orientation = _import("PIL.Image").Image.getexif(opened).get(_ORIENTATION, 1)
        width, height = opened.size
        several = getattr(opened, "is_animated", False) and opened.format != "MPO"
        white: float | None = None
        if opened.format == "PNG" and start[24] == 16:  # the bit depth
            white = 65535.0
        elif opened.format == "PPM":
            # The magic number, width, height and the value of white, with comments between them.
            found = re.match(
                rb"P[2356](?:\s+|#[^\n]*\n)+\d+(?:\s+|#[^\n]*\n)+\d+"
                rb"(?:\s+|#[^\n]*\n)+(\d+)\s",
                start,
            )
            white = float(found[1]) if found and int(found[1]) > 255 else None
    _refuse_several(path, several)
    return _Header(height, width, orientation, white)


def _tiff_header(path: Path) -> _Header:
    """As Pillow does not open files of most depths, its reader of tags alone is used."""
    directory = _import("PIL.TiffImagePlugin").ImageFileDirectory_v2
    with _decoding(path), path.open("rb") as file:
        start = file.read(8)
        if 43 in start[2:4]:  # BigTIFF
            start += file.read(8)
        tags = directory(start)
        file.seek(tags.next)
        tags.load(file)
        several = False
        if tags.next:
            second = directory(start)
            file.seek(tags.next)
            second.load(file)
            several = not second.get(254, 0) & 1  # a smaller version of the first one
        size = (int(tags[257]), int(tags[256]))
        bits, kind = (tuple(tags.get(tag, (1,))) for tag in (258, 339))
        samples, planes, colors = (int(tags.get(tag, 1)) for tag in (277, 284, 262))
    _refuse_several(path, several)
    white = _white_of(path, {*bits}, {*kind})
    # What OpenCV gets wrong or cannot read: gray with alpha, separate planes, other colors.
    planar = planes != 1 and samples > 1
    if white is not None and (samples not in (1, 3, 4) or planar or colors not in (1, 2)):
        raise ImageError(
            f"image {path} has more than 8 bits per channel, and must then have gray or RGB pixels "
            f"one after the other. Received: {samples} channels, photometric interpretation "
            f"{colors}{', in separate planes' if planar else ''}; {_REMEDY}"
        )
    return _Header(*size, int(tags.get(_ORIENTATION, 1)), white)


def _white_of(path: Path, bits: set[int], kinds: set[int]) -> float | None:
    """The value of white of a TIFF file with more than 8 bits per channel; None for fewer.

    Args:
        path: for messages.
        bits: per channel.
        kinds: of numbers, as TIFF files number them.
    """
    is_unsigned, is_float = kinds <= {1, 4}, kinds == {3}  # 4: not known, which is unsigned
    if is_unsigned and max(bits) <= 8:
        return None
    if is_unsigned and bits == {16}:
        return 65535.0
    if is_float and (bits == {32} or bits == {64}):
        return 1.0
    name = "unsigned integers" if is_unsigned else "floats" if is_float else "signed integers"
    raise ImageError(
        f"image {path} holds {name} of {', '.join(map(str, sorted(bits)))} bits, which are not "
        f"read; {_REMEDY}"
    )


def _refuse_several(path: Path, several: bool) -> None:
    if several:
        raise ImageError(f"image {path} holds several images; save each as a file of its own")


def _open(path: Path) -> Any:
    pil = _import("PIL.Image")
    pil.init()  # fills OPEN
    if path.suffix.lower() == ".avif" and "AVIF" not in pil.OPEN:
        raise ImageError("AVIF needs Pillow 11.3 or newer; or save it as PNG")
    return pil.open(path, formats=[name for name in _FORMATS if name in pil.OPEN])


def _read_ldr(path: Path) -> np.ndarray:
    header = _ldr_header(path)
    if header.white is not None:
        return _read_deep(path, header.white, header.orientation)
    ops = _import("PIL.ImageOps")
    with _decoding(path), _open(path) as opened:
        image = ops.exif_transpose(opened)
        if image.mode.startswith("I;16"):  # JPEG 2000
            gray = np.asarray(image, np.float32) / np.float32(65535.0)
            return np.repeat(gray[..., np.newaxis], 3, axis=-1)
        if image.mode in ("I", "F"):  # which Pillow would clip to 8 bits
            raise ImageError(f"pixels of the mode {image.mode}; {_REMEDY}")
        return np.asarray(image.convert("RGB"), np.float32) / np.float32(255.0)


def _read_deep(path: Path, white: float, orientation: int) -> np.ndarray:
    """Read more than 8 bits per channel, which Pillow reduces to 8 or does not read."""
    cv2 = _import("cv2")
    with _decoding(path):
        content = np.fromfile(path, np.uint8)
        stored = cv2.imdecode(content, cv2.IMREAD_UNCHANGED)
    if stored is None or stored.dtype == np.uint8:
        raise ImageError(f"image {path} cannot be read (its pixels are broken)")
    pixels = stored[..., np.newaxis] if stored.ndim == 2 else stored
    # OpenCV has blue first, and alpha last.
    rgb = pixels[..., 2::-1] if pixels.shape[-1] >= 3 else np.repeat(pixels[..., :1], 3, axis=-1)
    rgb = rgb.astype(np.float32) / np.float32(white)
    low, high = float(rgb.min()), float(rgb.max())
    if not (-_OVERSHOOT <= low and high <= 1.0 + _OVERSHOOT):  # NaN fails
        raise ImageError(
            f"image {path} must have floats in [0, 1]. Received: {low:g} to {high:g}; {_REMEDY}"
        )
    is_tiff = content[:4].tobytes() in _TIFF_STARTS  # OpenCV turns these itself
    return np.clip(rgb if is_tiff else _upright(rgb, orientation), 0.0, 1.0)


def _upright(image: np.ndarray, orientation: int) -> np.ndarray:
    if orientation in (5, 6, 7, 8):
        image = image.swapaxes(0, 1)
    flip_rows, flip_columns = orientation in (3, 4, 7, 8), orientation in (2, 3, 6, 7)
    return image[:: -1 if flip_rows else 1, :: -1 if flip_columns else 1]


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
