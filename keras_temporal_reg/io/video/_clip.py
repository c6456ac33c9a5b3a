"""What is known of a clip and of its frames, and how FFmpeg opens it."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

FOLDER_RATE = Fraction(25)  # frames per second of a folder of frames
UNKNOWN = (0, 2, 3)  # numbers of ITU-T H.273 that name no matrix, primaries or transfer
MAX_FRAME_PIXELS = 2**26  # 67 million: eight times 4K


class ClipError(ValueError):
    """A clip that cannot be used; the message says which and why."""


class BrokenClip(ClipError):
    """A clip that is damaged or ends too early; `frames_read` of its frames were read."""

    def __init__(self, message: str, frames_read: int) -> None:
        super().__init__(message)
        self.frames_read = frames_read


class DecodedClip(NamedTuple):
    """All frames of a clip in memory.

    Attributes:
        frames: ``(frames, height, width, 3)`` uint8 RGB.
        rate: frames per second.
    """

    frames: np.ndarray
    rate: Fraction


@dataclasses.dataclass(frozen=True)
class Appearance:
    """How players show the values of a clip.

    Attributes:
        matrix: of ``Y'CbCr``, a number of ITU-T H.273: 1 is BT.709, 6 is BT.601, 9 is BT.2020.
        primaries: likewise: 1 is BT.709 (and sRGB), 6 is BT.601, 9 is BT.2020.
        transfer: likewise: 1 is BT.709, 6 is BT.601.
        aspect: width of a pixel divided by its height.
        bits: per channel.
        has_fine_chroma: whether colour has more than half of the resolution of luma.
    """

    matrix: int = 1
    primaries: int = 1
    transfer: int = 1
    aspect: Fraction = Fraction(1)
    bits: int = 8
    has_fine_chroma: bool = False


@dataclasses.dataclass(frozen=True)
class ClipInfo:
    """What is known of a clip before its frames are read.

    Attributes:
        path: of the file or folder.
        height: of a frame as players show it, in pixels.
        width: likewise.
        rate: frames per second, on average.
        frames: their number, declared by the file or estimated from its duration; None if unknown.
        appearance: how players show its values.
        has_audio: whether there is sound.
        is_linear: whether frames are linear light without an upper bound (EXR, Radiance).
        notes: sentences for the user.
    """

    path: Path
    height: int
    width: int
    rate: Fraction
    frames: int | None
    appearance: Appearance = Appearance()
    has_audio: bool = False
    is_linear: bool = False
    notes: tuple[str, ...] = ()


class ClipFrame(NamedTuple):
    """A frame of a clip.

    Attributes:
        pixels: ``(height, width, 3)`` RGB: uint8 where the file has 8 bits per channel, else
            float32 as `image_files.read` returns it.
        time: at which players show it, in seconds since the start of the clip; None if unknown.
        duration: for which they do, in seconds; None if unknown.
    """

    pixels: np.ndarray
    time: Fraction | None
    duration: Fraction | None = None


@contextlib.contextmanager
def open_video(path: Path) -> Iterator[Any]:
    """Open the container of a video file.

    Raises:
        ClipError: if the file is missing, empty, not a video or of an unknown codec, or shows
            nothing but a cover picture.
    """
    av = import_av()
    if not path.is_file():
        raise ClipError(f"clip {path} does not exist or is not a file")
    if path.stat().st_size == 0:
        raise ClipError(f"clip {path} is empty (0 bytes)")
    # PyAV 19 replaces undecodable metadata by default and has no such argument.
    replaced = {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}
    try:
        # Playlists name other files, which FFmpeg would open over the network too.
        container = av.open(str(path), options={"protocol_whitelist": "file"}, **replaced)
    except av.error.FFmpegError as error:
        raise ClipError(f"clip {path} is not a readable video ({error.strerror})") from error
    with container:
        if not container.streams.video:
            raise ClipError(f"clip {path} has no video stream")
        if all(is_cover(stream) for stream in container.streams.video):
            raise ClipError(f"clip {path} has no video stream but a cover picture")
        context = video_stream(container).codec_context
        if context is None:
            raise ClipError(f"clip {path} has a video codec that this FFmpeg cannot decode")
        # Frames can be larger than the header says.
        context.options = {"max_pixels": str(MAX_FRAME_PIXELS)}
        yield container


def video_stream(container: Any) -> Any:
    """The stream of an open video file that players show."""
    streams = [stream for stream in container.streams.video if not is_cover(stream)]
    return next(filter(_is_default, streams), streams[0])


def audio_stream(container: Any) -> Any:
    """The sound of an open file that players play; None if there is none."""
    streams = [stream for stream in container.streams.audio if stream.codec_context is not None]
    return next(filter(_is_default, streams), streams[0] if streams else None)


def packets_before_damage(container: Any, stream: Any) -> Iterator[Any]:
    """The packets of a stream, up to the first that cannot be found."""
    # PyAV has no place for streams that begin later.
    with contextlib.suppress(import_av().error.FFmpegError, IndexError):
        yield from container.demux(stream)


def start_time(container: Any) -> Fraction:
    """The time that players show as zero, in seconds: transport streams begin at any."""
    begins_anywhere = import_av().format.Flags.ts_discont.value
    if container.start_time is None or not container.format.flags & begins_anywhere:
        return Fraction(0)
    return Fraction(container.start_time, 10**6)


def frame_rate(stream: Any) -> Fraction:
    """Frames per second; AVI files can name steps of time in place of the mean."""
    rates = [rate for rate in (stream.average_rate, stream.base_rate) if rate]
    return Fraction(min(rates, default=FOLDER_RATE))


def is_cover(stream: Any) -> bool:
    """Whether a video stream is a picture that belongs to a file, such as a cover."""
    kinds = import_av().stream.Disposition
    return bool(stream.disposition & (kinds.attached_pic | kinds.timed_thumbnails))


def _is_default(stream: Any) -> bool:
    return bool(stream.disposition & import_av().stream.Disposition.default)


def import_av() -> Any:
    """Import PyAV, or say how to install it."""
    try:
        import av
    except ImportError as error:
        raise ImportError(
            "clips need PyAV and Pillow: pip install keras-temporal-reg[video]"
        ) from error
    return av
