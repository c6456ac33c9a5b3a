"""Read clips. `frames` yields one frame at a time: memory does not grow with the clip."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from keras_temporal_reg.io import image_files
from keras_temporal_reg.io.video import _appearance, _color, _decoding, _orientation
from keras_temporal_reg.io.video._clip import (
    FOLDER_RATE,
    MAX_FRAME_PIXELS,
    BrokenClip,
    ClipError,
    ClipFrame,
    ClipInfo,
    DecodedClip,
    audio_stream,
    frame_rate,
    import_av,
    open_video,
    packets_before_damage,
    start_time,
    video_stream,
)

MAX_CLIP_BYTES = 2**32  # of a clip that is read whole


def info(path: Any, rate: Any = None) -> ClipInfo:
    """Describe a clip without reading all of its frames.

    Args:
        path: a file that FFmpeg can read, or a folder of images, one per frame.
        rate: frames per second of a folder; 25 by default.

    Raises:
        ClipError: if the file is missing, not a video, holds no frames, has too large ones, or is
            HDR.
        ImportError: if a package of the extra ``video`` is missing.
    """
    path = Path(path)
    if path.is_dir():
        return _folder_info(path, rate)
    with open_video(path) as container:
        stream = video_stream(container)
        context = stream.codec_context
        _check_size(path, context.width, context.height)
        _appearance.check_is_sdr(path, stream)
        decoder = _decoding.Decoder(container, stream)
        first = next(iter(decoder), None)
        if first is None:
            raise ClipError(f"clip {path} {decoder.fault() or 'holds no frames'}")
        frame = first.frame
        _appearance.check_is_sdr(path, stream, frame)
        height, width = frame.height, frame.width
        if _orientation.of_frame(frame).is_transposed:
            height, width = width, height
        rate = frame_rate(stream)
        return ClipInfo(
            path,
            height,
            width,
            rate=rate,
            frames=_estimated_frames(container, stream, rate),
            appearance=_appearance.of_frame(stream, frame, decoder.declared),
            has_audio=audio_stream(container) is not None,
            notes=(*_appearance.notes(path, container, stream, frame), *_timing_notes(stream)),
        )


def frames(path: Any) -> Iterator[ClipFrame]:
    """Yield the frames of a clip in order.

    Args:
        path: a file that FFmpeg can read, or a folder of images.

    Raises:
        BrokenClip: after all frames that can be read, if the clip is damaged or ends too early;
            where its frames change their size, after those before that.
        ClipError: if the file is missing, not a video, holds no frames or is HDR.
        ImportError: if a package of the extra ``video`` is missing.
    """
    path = Path(path)
    if path.is_dir():
        yield from _folder_frames(path)
        return
    size = None
    with open_video(path) as container:
        stream = video_stream(container)
        # Threads that decode several frames lose those before an error at the end.
        stream.thread_type = "SLICE"
        _check_size(path, stream.codec_context.width, stream.codec_context.height)
        _appearance.check_is_sdr(path, stream)
        decoder = _decoding.Decoder(container, stream)
        to_rgb = _color.rgb_reader(stream.codec_context.name)
        for frame, time, duration in decoder:
            try:
                pixels = _orientation.of_frame(frame).upright(to_rgb(frame))
            except import_av().error.FFmpegError as error:
                reason = f"frames in the format {frame.format.name} cannot be read as RGB"
                raise ClipError(f"clip {path}: {reason} ({error.strerror})") from error
            size = _check_same_size(path, decoder.count - 1, size, pixels)
            yield ClipFrame(pixels, time, duration)
        fault = decoder.fault()
    if fault is not None:
        raise BrokenClip(f"clip {path} {fault}", decoder.count)
    if not decoder.count:
        raise ClipError(f"clip {path} holds no frames")


def has_constant_rate(path: Any) -> bool:
    """Whether all frames of a clip come at multiples of ``1 / info(path).rate`` seconds.

    Packets are read for it, but not decoded.
    """
    path = Path(path)
    if path.is_dir():
        return True
    with open_video(path) as container:
        stream = video_stream(container)
        start, rate = start_time(container), frame_rate(stream)
        tick = max(stream.time_base, Fraction(1, 10**4))
        numbers = set()
        for packet in packets_before_damage(container, stream):
            at = packet.dts if packet.pts is None else packet.pts
            if at is None or not packet.size:
                continue
            time = at * stream.time_base - start
            number = round(time * rate)
            if abs(time - number / rate) > tick or number in numbers:
                return False
            numbers.add(number)
    return True


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


def _timing_notes(stream: Any) -> Iterator[str]:
    average, base = stream.average_rate, stream.base_rate
    if average and base and abs(average / base - 1) > Fraction(1, 50) and base < 1000:
        yield (
            f"Its frame rate may vary (mean {float(min(average, base)):.4g} per second); measures "
            "compare consecutive frames, whatever their times."
        )


def _estimated_frames(container: Any, stream: Any, rate: Fraction) -> int | None:
    # Of a trimmed clip the header declares frames too that players do not show.
    if stream.duration and stream.time_base:
        return round(stream.duration * stream.time_base * rate) or None
    return stream.frames or round(Fraction(container.duration or 0, 10**6) * rate) or None


def _check_size(path: Path, width: int, height: int) -> None:
    if width < 1 or height < 1:
        raise ClipError(f"clip {path} holds no frames: where its size should be is nothing")
    if width * height > MAX_FRAME_PIXELS:
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
