"""Pixels: formats of FFmpeg to and from RGB, value ranges and sizes."""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_temporal_reg.io.video._clip import import_av


def to_rgb(frame: Any) -> np.ndarray:
    """Convert a PyAV frame to ``(height, width, 3)`` RGB, turned as players show it.

    Returns:
        uint8 where the frame has 8 bits per channel, else float32 in [0, 1].
    """
    if bits_per_channel(frame.format) > 8:
        deep = frame.to_ndarray(format="rgb48le")
        pixels = deep.astype(np.float32) / np.float32(65535.0)
    else:
        pixels = frame.to_ndarray(format="rgb24")
    return np.rot90(pixels, quarter_turns(frame))


def from_rgb(pixels: np.ndarray, pixel_format: str) -> Any:
    """Convert ``(height, width, 3)`` uint8 RGB to a PyAV frame that encodes to `pixel_format`."""
    av = import_av()
    if pixel_format != "pal8":
        return av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), "rgb24")
    from PIL import Image

    quantized = Image.fromarray(pixels).quantize(256)
    colors = np.array(quantized.getpalette("RGB"), np.uint8).reshape(-1, 3)
    palette = np.zeros((256, 4), np.uint8)  # ARGB
    palette[:, 0] = 255
    palette[: len(colors), 1:] = colors
    return av.VideoFrame.from_ndarray((np.asarray(quantized), palette), "pal8")


def encoded_format(codec: str, height: int, width: int) -> str:
    """The pixel format to encode; odd sizes keep full chroma where the codec allows."""
    if codec == "gif":
        return "pal8"
    return "yuv444p" if (height % 2 or width % 2) and codec != "mpeg4" else "yuv420p"


def bits_per_channel(pixel_format: Any) -> int:
    """The most bits of any channel of a PyAV pixel format; 8 where it names no channels."""
    return max((channel.bits for channel in pixel_format.components), default=8)


def has_alpha(pixel_format: Any) -> bool:
    """Whether a PyAV pixel format has an alpha channel, as ``yuva420p`` has."""
    if len(pixel_format.components) == 4:
        return True
    letters = "".join(c for c in pixel_format.name.split("p")[0] if c.isalpha())
    return "a" in letters and not letters.startswith("gray") and letters != "pal"


def quarter_turns(frame: Any) -> int:
    """Counter-clockwise quarter turns with which players show a frame; phones film sideways."""
    return round(getattr(frame, "rotation", 0) / 90)


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
