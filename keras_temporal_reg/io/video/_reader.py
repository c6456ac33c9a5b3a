"""Read clips. `frames` yields one frame at a time: memory does not grow with the clip."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from keras_temporal_reg.io import image_files
from keras_temporal_reg.io.video import _color
from keras_temporal_reg.io.video._clip import (
    FOLDER_RATE,
    MAX_FRAME_PIXELS,
    BrokenClip,
    ClipError,
    ClipFrame,
    ClipInfo,
    DecodedClip,
    import_av,
    open_video,
)

MAX_CLIP_BYTES = 2**32  # of a clip that is read whole


def info(path: Any, rate: Any = None) -> ClipInfo:
    """Describe a clip without reading all of its frames.

    Args:
        path: a file that FFmpeg can read, or a folder of images, one per frame.
        rate: frames per second of a folder; 25 by default.

    Raises:
        ClipError: if the file is missing, not a video, or has too large frames.
        ImportError: if a package of the extra ``video`` is missing.
    """
    path = Path(path)
    if path.is_dir():
        return _folder_info(path, rate)
    av = import_av()
    with open_video(path) as container:
        stream = container.streams.video[0]
        height, width = stream.codec_context.height, stream.codec_context.width
        _check_size(path, width, height)
        # Of the header alone, so a file that cannot be decoded is described too.
        with contextlib.suppress(av.error.FFmpegError, StopIteration):
            if _color.quarter_turns(next(container.decode(stream))) % 2:
                height, width = width, height
        return ClipInfo(
            path,
            height,
            width,
            rate=Fraction(stream.average_rate or FOLDER_RATE),
            frames=stream.frames or _estimated_frames(container, stream.average_rate),
            has_audio=bool(container.streams.audio),
            notes=tuple(_notes(stream)),
        )


def frames(path: Any) -> Iterator[ClipFrame]:
    """Yield the frames of a clip in order.

    Args:
        path: a file that FFmpeg can read, or a folder of images.

    Raises:
        BrokenClip: where the clip ends too early or its frames change their size, after the frames
            before that.
        ClipError: if the file is missing or not a video.
        ImportError: if a package of the extra ``video`` is missing.
    """
    path = Path(path)
    if path.is_dir():
        yield from _folder_frames(path)
        return
    av = import_av()
    count, size = 0, None
    with open_video(path) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        _check_size(path, stream.codec_context.width, stream.codec_context.height)
        declared = stream.frames
        try:
            for frame in container.decode(stream):
                pixels = _color.to_rgb(frame)
                size = _check_same_size(path, count, size, pixels)
                count += 1
                time = None if frame.pts is None else frame.pts * (frame.time_base or 0)
                yield ClipFrame(pixels, time)
        except av.error.FFmpegError as error:
            reason = f"breaks off after {count} frames" if count else "is not a readable video"
            raise BrokenClip(f"clip {path} {reason} ({error.strerror})", count) from error
    if count < declared:
        raise BrokenClip(
            f"clip {path} is truncated: {count} of its {declared} frames can be read", count
        )


def read(path: Any, height: int | None = None, multiple: int = 1) -> DecodedClip:
    """Read all frames of a clip.

    Args:
        path: a file that FFmpeg can read, or a folder of images.
        height: to which frames are resized, in pixels, keeping their aspect ratio; None keeps
            their size.
        multiple: resized heights and widths are rounded to multiples of this.

    Raises:
        ClipError: if the file is missing, not a video, truncated, has fewer than 2 frames, or more
            than fit into 4 GiB.
        ImportError: if a package of the extra ``video`` is missing.
    """
    about = info(path)
    size = _resized(about.width, about.height, height, multiple)
    most = MAX_CLIP_BYTES // (3 * size[0] * size[1])
    decoded: list[np.ndarray] = []
    for frame in frames(path):
        if len(decoded) >= most:
            raise ClipError(
                f"clip {path} must have at most {most} frames of {size[0]} x {size[1]} to be read "
                f"whole, {MAX_CLIP_BYTES // 2**20} MiB. Received: more"
            )
        pixels = frame.pixels
        pixels = pixels if pixels.dtype == np.uint8 else image_files.to_uint8(pixels)
        decoded.append(_color.resize(pixels, *size))
    if len(decoded) < 2:
        raise ClipError(f"clip {path} must have at least 2 frames. Received: {len(decoded)}")
    return DecodedClip(np.stack(decoded), about.rate)


def _folder_info(path: Path, rate: Any) -> ClipInfo:
    paths, skipped = image_files.list_images(path), image_files.describe_skipped(path)
    if not paths:
        raise ClipError(
            f"folder {path} has no images in it ({', '.join(image_files.SUFFIXES)}). "
            f"{skipped or ''}".rstrip()
        )
    first = image_files.read(paths[0])
    linear = paths[0].suffix.lower() in image_files.HDR_SUFFIXES
    rate = FOLDER_RATE if rate is None else Fraction(rate).limit_denominator(100000)
    return ClipInfo(
        path,
        *first.shape[:2],
        rate=rate,
        frames=len(paths),
        is_linear=linear,
        notes=() if skipped is None else (skipped,),
    )


def _folder_frames(path: Path) -> Iterator[ClipFrame]:
    size = None
    for number, image in enumerate(image_files.list_images(path)):
        try:
            pixels = image_files.read(image)
        except image_files.ImageError as error:
            raise BrokenClip(
                f"clip {path} breaks off after {number} frames: {error}", number
            ) from error
        size = _check_same_size(path, number, size, pixels)
        yield ClipFrame(pixels, None)


def _notes(stream: Any) -> Iterator[str]:
    context, average, base = stream.codec_context, stream.average_rate, stream.base_rate
    pixel_format = context.format
    if pixel_format is not None:
        # FFmpeg decodes every GIF to a format with alpha.
        if context.name != "gif" and _color.has_alpha(pixel_format):
            yield "Its alpha channel is dropped."
        if _color.bits_per_channel(pixel_format) > 8:
            yield "It has more than 8 bits per channel; results are written with 8."
    if average and base and abs(average / base - 1) > Fraction(1, 50) and base < 1000:
        yield (
            f"Its frame rate may vary (mean {float(average):.4g} per second); measures compare "
            "consecutive frames, whatever their times."
        )


def _estimated_frames(container: Any, rate: Any) -> int | None:
    seconds = (container.duration or 0) / 1e6
    return round(seconds * float(rate)) or None if rate else None


def _check_size(path: Path, width: int, height: int) -> None:
    if not 0 < width * height <= MAX_FRAME_PIXELS:
        raise ClipError(
            f"clip {path} must have frames of at most {MAX_FRAME_PIXELS} pixels. "
            f"Received: {width} x {height}"
        )


def _check_same_size(path: Path, count: int, before: str | None, pixels: np.ndarray) -> str:
    """The size of the frame after the first `count` ones, which had the size `before`."""
    size = f"{pixels.shape[1]} x {pixels.shape[0]}"
    if before not in (None, size):
        raise BrokenClip(
            f"clip {path} changes its size after {count} frames, from {before} to {size}", count
        )
    return size


def _resized(width: int, height: int, new_height: int | None, multiple: int) -> tuple[int, int]:
    if new_height is None:
        return width, height
    exact = (width * new_height / height, new_height)
    new_width, new_height = (max(math.floor(size / multiple + 0.5), 1) * multiple for size in exact)
    return new_width, new_height
