"""Pixels: formats of FFmpeg to and from RGB, value ranges and sizes.

FFmpeg brings planes to one size and depth; its conversions to RGB are rounded down, and differ
between versions, so the matrix is applied here.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np

from keras_temporal_reg.io import image_files
from keras_temporal_reg.io.video._clip import import_av

# Weights of red and blue in luma, by the number of the matrix in ITU-T H.273.
MATRICES = {
    1: (0.2126, 0.0722),  # BT.709
    4: (0.30, 0.11),  # FCC
    5: (0.299, 0.114),  # BT.601, 625 lines
    6: (0.299, 0.114),  # BT.601, 525 lines
    7: (0.212, 0.087),  # SMPTE 240M
    9: (0.2627, 0.0593),  # BT.2020
}
# Without a matrix, browsers take clips of so many rows for BT.709, and others for BT.601.
HD_ROWS = 720
_FULL_RANGE = 2  # of FFmpeg's AVColorRange
_DEPTHS = (9, 10, 12, 14, 16)  # of FFmpeg's planar formats beside 8
_LIMITED_GRAY = ("h264", "hevc", "av1", "vp9")
# The same matrix, whichever, on both sides: FFmpeg 8 converts to another one where they differ.
_SCALER = "in_color_matrix=bt601:out_color_matrix=bt601:flags=bicubic+accurate_rnd+full_chroma_inp"


def rgb_reader(codec: str) -> Callable[[Any], np.ndarray]:
    """A function that converts PyAV frames to ``(height, width, 3)`` RGB, as stored.

    Its result is uint8 where a frame has 8 bits per channel, else float32 in [0, 1].

    Args:
        codec: FFmpeg's name of that which the frames were decoded from.
    """
    scaler = _scaler()

    def read(frame: Any) -> np.ndarray:
        import cv2

        bits = _depth(frame.format)
        suffix = f"{bits}le" if bits > 8 else ""
        if is_rgb(frame.format):
            green, blue, red = _planes(scaler(frame, f"gbrp{suffix}", True), bits)
            stored = cv2.merge([red, green, blue])
            return stored if bits == 8 else stored / np.float32(2**bits - 1)
        is_full, is_gray = _is_full_range(frame, codec), len(frame.format.components) < 3
        name = "gray" if is_gray else "yuv444p"
        planes = _planes(scaler(frame, name + suffix, is_full), bits)
        if is_gray:
            planes += [np.full_like(planes[0], 2 ** (bits - 1))] * 2
        stored = cv2.merge(planes)
        matrix = to_rgb_matrix(matrix_of(frame), is_full, bits)
        if bits == 8:
            return cv2.transform(stored, 255.0 * matrix)
        return np.clip(cv2.transform(stored.astype(np.float32), matrix), 0.0, 1.0)

    return read


def frame_maker(pixel_format: str, matrix: int) -> Callable[[np.ndarray], Any]:
    """A function that converts RGB to PyAV frames to encode, of limited range.

    It takes ``(height, width, 3)``, uint8 or float, which is clipped to [0, 1]; NaN becomes 0.

    Args:
        pixel_format: ``"pal8"``, or a planar one of FFmpeg, such as ``"yuv420p10le"``.
        matrix: one of `MATRICES`.
    """
    if pixel_format == "pal8":
        return _with_palette
    bits = _depth(import_av().VideoFormat(pixel_format))
    dtype = np.uint8 if bits == 8 else np.uint16
    forward = _from_rgb_matrix(matrix, bits)
    scaler = _scaler()

    def make(pixels: np.ndarray) -> Any:
        import cv2

        if pixels.dtype == np.uint8:
            values = pixels / np.float32(255.0)
        else:
            values = image_files.clipped(pixels).astype(np.float32)
        coded: Any = (cv2.transform(values, forward) + np.float32(0.5)).astype(dtype)
        height, width = pixels.shape[:2]
        full = import_av().VideoFrame(width, height, "yuv444p" if bits == 8 else "yuv444p10le")
        for plane, channel in zip(_planes(full, bits), cv2.split(coded)):
            plane[:] = channel
        full.pts, full.time_base = 0, Fraction(1)
        return scaler(full, pixel_format, False)

    return make


def to_rgb_matrix(matrix: int, is_full: bool, bits: int) -> np.ndarray:
    """The matrix ``(3, 4)`` from stored Y'CbCr, and 1, to RGB in [0, 1]."""
    forward = _from_rgb_matrix(matrix, bits, is_full)
    inverse = np.linalg.inv(forward[:, :3])
    return np.c_[inverse, -inverse @ forward[:, 3]]


def _from_rgb_matrix(matrix: int, bits: int, is_full: bool = False) -> np.ndarray:
    red, blue = MATRICES[matrix]
    luma = np.array([red, 1.0 - red - blue, blue])
    chroma = [(np.eye(3)[i] - luma) / (2.0 * (1.0 - luma[i])) for i in (2, 0)]
    unit = 2.0 ** (bits - 8)
    sizes = [2**bits - 1] * 3 if is_full else [219 * unit, 224 * unit, 224 * unit]
    offsets = [0.0 if is_full else 16 * unit, 128 * unit, 128 * unit]
    return np.c_[np.stack([luma, *chroma]) * np.array(sizes)[:, np.newaxis], offsets]


def matrix_of(frame: Any) -> int:
    """The matrix of a PyAV frame, one of `MATRICES`; that which browsers take if it names none."""
    if frame.colorspace in MATRICES:
        return frame.colorspace
    return matrix_of_rows(frame.height)


def matrix_of_rows(height: int) -> int:
    """The matrix that browsers take for a clip of so many rows that names none."""
    return 1 if height >= HD_ROWS else 6


def is_rgb(pixel_format: Any) -> bool:
    """Whether a PyAV pixel format stores RGB, a palette or XYZ, rather than luma and chroma."""
    name = pixel_format.name
    return pixel_format.is_rgb or pixel_format.has_palette or name.startswith(("xyz", "bayer"))


def has_fine_chroma(pixel_format: Any) -> bool:
    """Whether colour in a PyAV pixel format has more than half of the resolution of luma."""
    if len(pixel_format.components) < 3:
        return False
    return is_rgb(pixel_format) or pixel_format.chroma_height(4) > 2


def _is_full_range(frame: Any, codec: str) -> bool:
    """Whether black and white of a PyAV frame are 0 and the largest value."""
    if frame.color_range in (1, 2):
        return frame.color_range == _FULL_RANGE
    name = frame.format.name
    # Of grey pictures FFmpeg names no range; codecs for clips have the limited one.
    return name.startswith("yuvj") or (name.startswith("gray") and codec not in _LIMITED_GRAY)


def is_opaque(frame: Any) -> bool:
    """Whether no pixel of a PyAV frame is transparent."""
    alpha = frame.reformat(format="rgba").to_ndarray()[..., 3]
    return bool(alpha.min() == 255)


def _scaler() -> Callable[[Any, str, bool], Any]:
    """A function of a frame, a format and whether it is of full range, that converts the frame.

    The graph that does it is built once: that takes as long as a frame.
    """
    graphs: dict[Any, Any] = {}

    def scale(frame: Any, pixel_format: str, is_full: bool) -> Any:
        if frame.format.name == pixel_format:
            return frame
        key = (frame.format.name, frame.width, frame.height, pixel_format, is_full)
        if key not in graphs:
            graphs.clear()
            graph = graphs[key] = import_av().filter.Graph()
            of_range = "pc" if is_full else "tv"
            nodes = [
                graph.add_buffer(
                    width=frame.width,
                    height=frame.height,
                    format=frame.format,
                    time_base=frame.time_base or Fraction(1, 1000),
                ),
                graph.add("scale", f"in_range={of_range}:out_range={of_range}:{_SCALER}"),
                graph.add("format", f"pix_fmts={pixel_format}"),
                graph.add("buffersink"),
            ]
            for node, following in itertools.pairwise(nodes):
                node.link_to(following)
            graph.configure()
        graphs[key].push(frame)
        return graphs[key].pull()

    return scale


def _planes(frame: Any, bits: int) -> list[np.ndarray]:
    """Views of the planes of a frame, ``(height, width)`` each."""
    dtype = np.uint8 if bits == 8 else np.uint16
    return [
        np.frombuffer(plane, dtype).reshape(plane.height, -1)[:, : plane.width]
        for plane in frame.planes
    ]


def _with_palette(pixels: np.ndarray) -> Any:
    from PIL import Image

    pixels = pixels if pixels.dtype == np.uint8 else image_files.to_uint8(pixels)
    quantized = Image.fromarray(pixels).quantize(256)
    colors = np.array(quantized.getpalette("RGB"), np.uint8).reshape(-1, 3)
    palette = np.zeros((256, 4), np.uint8)  # ARGB
    palette[:, 0] = 255
    palette[: len(colors), 1:] = colors
    return import_av().VideoFrame.from_ndarray((np.asarray(quantized), palette), "pal8")


def encoded_format(codec: str, height: int, width: int, bits: int = 8) -> str:
    """The pixel format to encode; odd sizes keep full chroma, and 10 bits, where the codec can."""
    if codec == "gif":
        return "pal8"
    if codec == "mpeg4":
        return "yuv420p"
    chroma = "yuv444p" if height % 2 or width % 2 else "yuv420p"
    # Not all builds of VP9's encoder take more than 8 bits.
    return f"{chroma}10le" if bits > 8 and codec == "libx264" else chroma


def bits_per_channel(pixel_format: Any) -> int:
    """The most bits of any channel of a PyAV pixel format; 8 where it names no channels."""
    return max((channel.bits for channel in pixel_format.components), default=8)


def has_alpha(pixel_format: Any) -> bool:
    """Whether a PyAV pixel format has an alpha channel, as ``yuva420p`` has."""
    if len(pixel_format.components) == 4:
        return True
    letters = "".join(c for c in pixel_format.name.split("p")[0] if c.isalpha())
    return "a" in letters and not letters.startswith("gray") and letters != "pal"


def _depth(pixel_format: Any) -> int:
    """The bits of the planar format that holds all of a PyAV pixel format."""
    bits = bits_per_channel(pixel_format)
    return 8 if bits <= 8 else next((depth for depth in _DEPTHS if depth >= bits), 16)


def to_float32(pixels: np.ndarray) -> np.ndarray:
    """Convert the pixels of a `ClipFrame` to float32; uint8 is scaled to [0, 1]."""
    return pixels / np.float32(255.0) if pixels.dtype == np.uint8 else pixels


def resize(image: np.ndarray, width: int, height: int) -> np.ndarray:
    """Resize an image ``(height, width[, channels])``: area averaging down, bicubic up."""
    if image.shape[:2] == (height, width):
        return image
    import cv2

    larger = image.shape[0] < height
    return cv2.resize(
        image, (width, height), interpolation=cv2.INTER_CUBIC if larger else cv2.INTER_AREA
    )
