"""Write clips, with sound copied from an existing clip."""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from keras_temporal_reg.io import atomic, image_files
from keras_temporal_reg.io.video import _color
from keras_temporal_reg.io.video._clip import ClipError, import_av, open_video

# The codec of each file format, and its options for results that look like their frames.
CODECS = {
    ".mp4": ("libx264", {"crf": "16"}),
    ".mov": ("libx264", {"crf": "16"}),
    ".mkv": ("libx264", {"crf": "16"}),
    ".webm": ("libvpx-vp9", {"crf": "20", "b": "0", "deadline": "realtime", "cpu-used": "6"}),
    ".avi": ("mpeg4", {"qscale": "2", "global_quality": "236", "flags": "+qscale"}),
    ".gif": ("gif", {}),
}

AddFrame = Callable[..., None]


def write(path: Path, frames: Iterable[np.ndarray], rate: Fraction) -> None:
    """Write a clip, atomically.

    Args:
        path: the file; its suffix, one of `CODECS`, selects the format. Browsers play ``.mp4``.
        frames: ``(height, width, 3)`` uint8 RGB each.
        rate: frames per second.
    """
    with writer(path, rate) as add:
        for frame in frames:
            add(frame)


@contextlib.contextmanager
def writer(
    path: Path, rate: Fraction, audio_of: Path | None = None, crf: int | None = None
) -> Iterator[AddFrame]:
    """Write a clip frame by frame; it appears when the block ends without an error.

    Args:
        path: its suffix, one of `CODECS`, selects the format; without a suffix, a folder of PNG
            images.
        rate: frames per second, for frames without a time.
        audio_of: a clip whose sound is copied; it is re-encoded where the format requires that.
        crf: constant rate factor of H.264 and VP9, in place of that of `CODECS`.

    Yields:
        ``add(frame, time=None)``: `frame` is ``(height, width, 3)``, uint8 or float in [0, 1];
        `time` is in seconds.

    Raises:
        ClipError: if the suffix is unknown, or the folder exists.
        ImportError: if a package of the extra ``video`` is missing.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix and suffix not in CODECS:
        raise ClipError(
            f"clip {path} must end in one of {', '.join(CODECS)}, or have no suffix for a folder "
            "of PNG images"
        )
    if not suffix and path.exists():
        raise ClipError(f"folder {path} exists already: choose a new one for the frames")
    with atomic.atomic_write(path) as temporary:
        opened = (
            _file_writer(temporary, rate, audio_of, crf) if suffix else _folder_writer(temporary)
        )
        with opened as add:
            yield add


@contextlib.contextmanager
def _folder_writer(folder: Path) -> Iterator[AddFrame]:
    folder.mkdir()
    numbers = itertools.count()

    def add(frame: np.ndarray, time: Fraction | None = None) -> None:
        image_files.write(folder / f"frame{next(numbers):06d}.png", _color.to_float32(frame))

    yield add


@contextlib.contextmanager
def _file_writer(
    path: Path, rate: Fraction, audio_of: Path | None, crf: int | None
) -> Iterator[AddFrame]:
    suffix = path.suffix.lower()
    codec, options = CODECS[suffix]
    if crf is not None and "crf" in options:
        options = {**options, "crf": str(crf)}
    # The index in front: a player can start before it has the whole file.
    container_options = {"movflags": "+faststart"} if suffix in (".mp4", ".mov") else {}
    with contextlib.ExitStack() as stack:
        container = stack.enter_context(import_av().open(str(path), "w", options=container_options))
        stream: Any = container.add_stream(codec, rate=rate, options=dict(options))
        copy_audio = _audio_copier(container, audio_of, stack)
        clock = 1 / rate if suffix in (".gif", ".avi") else Fraction(1, 90000)
        count, last = 0, -1

        def add(frame: np.ndarray, time: Fraction | None = None) -> None:
            nonlocal count, last
            frame = frame if frame.dtype == np.uint8 else image_files.to_uint8(frame)
            if count == 0:
                stream.height, stream.width = frame.shape[:2]
                stream.pix_fmt = _color.encoded_format(codec, *frame.shape[:2])
                stream.codec_context.time_base = clock
            encoded = _color.from_rgb(frame, stream.pix_fmt)
            when = Fraction(count) / rate if time is None or codec != "libx264" else time
            # Times must increase, or the container refuses the frame.
            last = max(round(when / clock), last + 1)
            encoded.pts, encoded.time_base = last, clock
            count += 1
            container.mux(stream.encode(encoded))
            copy_audio(float(when))

        yield add
        if count:
            container.mux(stream.encode())
        copy_audio(math.inf)


def _audio_copier(
    container: Any, audio_of: Path | None, stack: contextlib.ExitStack
) -> Callable[[float], None]:
    """A function that copies a clip's sound into `container`, up to a time in seconds."""
    if audio_of is None or not Path(audio_of).is_file() or container.format.name == "gif":
        return lambda until: None
    source = stack.enter_context(open_video(Path(audio_of)))
    if not source.streams.audio:
        return lambda until: None
    sound = source.streams.audio[0]
    if sound.codec_context.name in container.supported_codecs:
        stream = container.add_stream_from_template(sound)
        # AVI has no times below zero, and would insert an empty frame.
        least = 0 if container.format.name == "avi" else -math.inf
        timed = (packet for packet in source.demux(sound) if packet.dts is not None)
        packets: Iterator[Any] = (packet for packet in timed if packet.dts >= least)
    else:
        # Every audio codec accepts 48 kHz.
        stream = container.add_stream(container.default_audio_codec, rate=48000)
        packets = _reencoded(source, sound, stream)
    following = next(packets, None)

    def copy(until: float) -> None:
        # Interleaved with the frames, or the container would buffer all of them.
        nonlocal following
        while following is not None and following.dts * following.time_base <= until:
            following.stream = stream
            container.mux(following)
            following = next(packets, None)

    return copy


def _reencoded(source: Any, sound: Any, stream: Any) -> Iterator[Any]:
    context = stream.codec_context
    resampler = import_av().AudioResampler(context.format, context.layout, context.rate)
    for frame in itertools.chain(source.decode(sound), [None]):
        for part in resampler.resample(frame):
            yield from stream.encode(part)
    yield from stream.encode()
