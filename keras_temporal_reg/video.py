"""Read and write clips. Needs PyAV and Pillow: ``pip install keras-temporal-reg[video]``."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from keras_temporal_reg import files


class ClipError(ValueError):
    """A clip that cannot be used; the message says which and why."""


class Clip(NamedTuple):
    """Attributes: frames, ``(frames, height, width, 3)`` uint8 RGB; rate, frames a second."""

    frames: np.ndarray
    rate: Fraction


def read(path: Any, height: int | None = None, multiple: int = 1) -> Clip:
    """Read all frames of a clip.

    Args:
        path: a file that FFmpeg can read.
        height: what to scale the frames to, keeping their aspect; pixels. None: as they are.
        multiple: scaled heights and widths are rounded to multiples of this.

    Raises:
        ClipError: if the file is missing, no video, truncated, or has fewer than 2 frames.
        ImportError: if PyAV is not installed.
    """
    av = _import_av()
    path = Path(path)
    if not path.is_file():
        raise ClipError(f"clip {path} does not exist or is no file")
    if path.stat().st_size == 0:
        raise ClipError(f"clip {path} is empty (0 bytes)")
    frames: list[np.ndarray] = []
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise ClipError(f"clip {path} has no video in it")
            stream = container.streams.video[0]
            rate, declared = stream.average_rate or Fraction(25), stream.frames
            size = _scaled_size(stream.width, stream.height, height, multiple)
            for frame in container.decode(stream):
                frame = frame.reformat(*size, format="rgb24", interpolation="AREA")
                frames.append(frame.to_ndarray())
    except av.error.FFmpegError as error:
        reason = f"breaks off after {len(frames)} frames" if frames else "is no readable video"
        raise ClipError(f"clip {path} {reason} ({error.strerror})") from error
    if len(frames) < declared:
        raise ClipError(
            f"clip {path} is truncated: {len(frames)} of its {declared} frames can be read"
        )
    if len(frames) < 2:
        raise ClipError(f"clip {path} must have at least 2 frames. Received: {len(frames)}")
    return Clip(np.stack(frames), Fraction(rate))


def write(path: Path, frames: Iterable[np.ndarray], rate: Fraction) -> None:
    """Write an MP4 (H.264, 4:2:0) that browsers play.

    Args:
        path: the file; it appears when it is complete.
        frames: ``(height, width, 3)`` uint8 RGB each, even heights and widths.
        rate: frames a second.
    """
    av = _import_av()
    with files.replacing(path) as temporary:
        with av.open(str(temporary), "w", options={"movflags": "+faststart"}) as container:
            stream = container.add_stream("libx264", rate=rate, options={"crf": "16"})
            stream.pix_fmt = "yuv420p"
            for number, frame in enumerate(frames):
                if number == 0:
                    stream.height, stream.width = frame.shape[:2]
                picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), "rgb24")
                container.mux(stream.encode(picture))
            container.mux(stream.encode())


def cuts(frames: np.ndarray, threshold: float = 0.1) -> list[int]:
    """Numbers of the frames that begin another shot.

    Args:
        frames: ``(frames, height, width, 3)`` uint8.
        threshold: mean absolute difference of neighbouring frames, of values in [0, 1], above
            which no motion within a shot takes them.
    """
    small = frames[:, ::2, ::2].astype(np.float32) / 255.0
    change = [float(np.abs(b - a).mean()) for a, b in zip(small, small[1:])]
    return [t + 1 for t, difference in enumerate(change) if difference > threshold]


def _scaled_size(width: int, height: int, new_height: int | None, multiple: int) -> tuple[int, int]:
    if new_height is None:
        return width, height
    exact = (width * new_height / height, new_height)
    new_width, new_height = (max(round(size / multiple), 1) * multiple for size in exact)
    return new_width, new_height


def _import_av() -> Any:
    try:
        import av
    except ImportError as error:
        raise ImportError(
            "clips need PyAV and Pillow: pip install keras-temporal-reg[video]"
        ) from error
    return av
