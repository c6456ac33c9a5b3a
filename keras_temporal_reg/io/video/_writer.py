"""Write clips, with sound copied from an existing clip."""

from __future__ import annotations

import contextlib
import itertools
import math
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from keras_temporal_reg.io import atomic, image_files
from keras_temporal_reg.io.video import _color
from keras_temporal_reg.io.video._clip import (
    Appearance,
    ClipError,
    audio_stream,
    import_av,
    open_video,
    packets_before_damage,
    start_time,
)

# The codec of each file format, and its options for results that look like their frames.
CODECS = {
    ".mp4": ("libx264", {"crf": "16"}),
    ".mov": ("libx264", {"crf": "16"}),
    ".mkv": ("libx264", {"crf": "16"}),
    ".webm": ("libvpx-vp9", {"crf": "20", "b": "0", "deadline": "realtime", "cpu-used": "6"}),
    ".avi": ("mpeg4", {"qscale": "2", "global_quality": "236", "flags": "+qscale"}),
    ".gif": ("gif", {}),
}

_USUAL = Appearance()
_LIMITED_RANGE = 1  # of FFmpeg's AVColorRange

AddFrame = Callable[..., None]


def write(path: Path, frames: Iterable[np.ndarray], rate: Fraction) -> None:
    """Write a clip, atomically.

    Args:
        path: the file; its suffix, one of `CODECS`, selects the format. Browsers play ``.mp4``.
            Without a suffix, a folder of PNG images.
        frames: ``(height, width, 3)`` RGB each, uint8 or float in [0, 1].
        rate: frames per second.
    """
    with writer(path, rate) as add:
        for frame in frames:
            add(frame)


@contextlib.contextmanager
def writer(
    path: Path,
    rate: Fraction,
    audio_of: Path | None = None,
    options: Mapping[str, str] = types.MappingProxyType({}),
    appearance: Appearance = _USUAL,
    has_constant_rate: bool = True,
) -> Iterator[AddFrame]:
    """Write a clip frame by frame; it appears when the block ends without an error.

    Args:
        path: its suffix, one of `CODECS`, selects the format; without a suffix, a folder of PNG
            images.
        rate: frames per second, for frames without a time.
        audio_of: a clip whose sound is copied; it is re-encoded where the format requires that.
        options: of the encoder, in place of those of `CODECS`.
        appearance: how players show the frames; the file says so where its format can.
        has_constant_rate: whether all times are multiples of ``1 / rate``. Where they are not,
            ``.avi`` has steps of 1/1000 s; the other formats always have theirs.

    Yields:
        ``add(frame, time=None, duration=None)``: `frame` is ``(height, width, 3)``, uint8 or float
        in [0, 1]; `time` and `duration` are in seconds. Only the last duration counts.

    Raises:
        ClipError: if the suffix is unknown, the folder exists, or the format cannot hold the
            frames.
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
    with atomic.atomic_write(path) as temporary, contextlib.ExitStack() as stack:
        if not suffix:
            yield stack.enter_context(_folder_writer(temporary))
            return
        clock = _clock(suffix, rate, has_constant_rate)
        with _errors_named(path):
            file = stack.enter_context(_open(temporary, rate, options))
            copy_audio = _audio_copier(file.container, audio_of, stack)
        add, finish = _adder(file, clock, rate, appearance, copy_audio)

        def add_frame(*frame: Any) -> None:
            with _errors_named(path):
                add(*frame)

        yield add_frame
        with _errors_named(path):
            finish()
            stack.close()


@contextlib.contextmanager
def _folder_writer(folder: Path) -> Iterator[AddFrame]:
    folder.mkdir()
    numbers = itertools.count()

    def add(frame: np.ndarray, time: Any = None, duration: Any = None) -> None:
        image_files.write(folder / f"frame{next(numbers):06d}.png", _color.to_float32(frame))

    yield add


class _File(NamedTuple):
    container: Any
    stream: Any
    codec: str


@contextlib.contextmanager
def _open(path: Path, rate: Fraction, options: Mapping[str, str]) -> Iterator[_File]:
    suffix = path.suffix.lower()
    codec, usual = CODECS[suffix]
    # The index in front: a player can start before it has the whole file.
    container_options = {"movflags": "+faststart"} if suffix in (".mp4", ".mov") else {}
    with import_av().open(str(path), "w", options=container_options) as container:
        yield _File(
            container, container.add_stream(codec, rate=rate, options={**usual, **options}), codec
        )


@contextlib.contextmanager
def _errors_named(path: Path) -> Iterator[None]:
    """Say which clip cannot be written; FFmpeg names the temporary file, or none."""
    try:
        yield
    except import_av().error.FFmpegError as error:
        if isinstance(error, OSError):
            raise OSError(
                error.errno, f"clip {path} cannot be written: {error.strerror}"
            ) from error
        raise ClipError(
            f"clip {path} cannot be written ({error.strerror}): choose another format or size"
        ) from error


def _clock(suffix: str, rate: Fraction, has_constant_rate: bool) -> Fraction:
    """The steps of times of a format, in seconds."""
    if suffix == ".gif":
        return Fraction(1, 100)
    if suffix == ".avi":
        # MPEG-4 has no finer steps than 1/65535 s.
        is_grid = has_constant_rate and rate.numerator < 2**16
        return 1 / rate if is_grid else Fraction(1, 1000)
    return Fraction(1, 90000)


def _adder(
    file: _File,
    clock: Fraction,
    rate: Fraction,
    appearance: Appearance,
    copy_audio: Callable[[float], None],
) -> tuple[AddFrame, Callable[[], None]]:
    """Two functions: one adds a frame, as that of `writer`, and one ends the clip."""
    container, stream, codec = file
    make: Any = None
    when = end = Fraction(0)
    last = -1
    held: list[Any] = []  # packets: how long the last frame is shown is known only after it

    def add(
        frame: np.ndarray, time: Fraction | None = None, duration: Fraction | None = None
    ) -> None:
        nonlocal make, when, end, last, held
        if make is None:
            make = _set_up(stream, codec, frame, clock, appearance)
            when -= 1 / rate
        when = when + 1 / rate if time is None else time
        end = when + (duration or 0)
        # Times must increase, or the container refuses the frame.
        last = max(round(when / clock), last + 1)
        encoded = make(frame)
        encoded.pts, encoded.time_base = last, clock
        container.mux(held)
        held = stream.encode(encoded)
        copy_audio(float(when))

    def finish() -> None:
        if make is not None:
            held.extend(stream.encode())
        for packet in held:
            if packet.pts == last and end > when:
                packet.duration = max(round((end - when) / clock), 1)
        container.mux(held)
        copy_audio(math.inf)

    return add, finish


def _set_up(
    stream: Any, codec: str, frame: np.ndarray, clock: Fraction, appearance: Appearance
) -> Callable[[np.ndarray], Any]:
    """Set what the first frame and the appearance say; return a maker of frames to encode."""
    height, width = frame.shape[:2]
    context = stream.codec_context
    stream.height, stream.width = height, width
    stream.pix_fmt = _color.encoded_format(codec, height, width, appearance.bits)
    context.time_base = clock
    matrix = appearance.matrix
    if codec == "mpeg4":  # cannot name its matrix, and has that which players take
        matrix = _color.matrix_of_rows(height)
    if codec != "gif":
        context.sample_aspect_ratio = appearance.aspect
        context.colorspace, context.color_range = matrix, _LIMITED_RANGE
        context.color_primaries, context.color_trc = appearance.primaries, appearance.transfer
    return _color.frame_maker(stream.pix_fmt, matrix)


def _audio_copier(
    container: Any, audio_of: Path | None, stack: contextlib.ExitStack
) -> Callable[[float], None]:
    """A function that copies a clip's sound into `container`, up to a time in seconds."""
    if audio_of is None or not Path(audio_of).is_file() or container.format.name == "gif":
        return lambda until: None
    source = stack.enter_context(open_video(Path(audio_of)))
    sound = audio_stream(source)
    if sound is None:
        return lambda until: None
    start = round(start_time(source) / sound.time_base)
    if _can_copy(sound, container):
        stream = container.add_stream_from_template(sound)
        # Others have no times below zero: AVI would insert an empty frame, Matroska shift all.
        least = start if container.format.name not in ("mp4", "mov") else -math.inf
        read = packets_before_damage(source, sound)
        timed = (packet for packet in read if packet.dts is not None)
        packets: Iterator[Any] = (_moved(packet, start) for packet in timed if packet.dts >= least)
    else:
        # Every audio codec accepts 48 kHz.
        stream = container.add_stream(container.default_audio_codec, rate=48000)
        packets = _reencoded(source, sound, stream, start)
    following = next(packets, None)
    last = -math.inf

    def copy(until: float) -> None:
        # Interleaved with the frames, or the container would buffer all of them.
        nonlocal following, last
        while following is not None and following.dts * following.time_base <= until:
            if following.dts > last:  # of joined clips times jump back
                last = following.dts
                following.stream = stream
                with contextlib.suppress(import_av().error.InvalidDataError):  # damaged sound
                    container.mux(following)
            following = next(packets, None)

    return copy


def _can_copy(sound: Any, container: Any) -> bool:
    context = sound.codec_context
    # AVI needs a header before AAC, which a transport stream has in each packet.
    is_bare = context.name == "aac" and not context.extradata and container.format.name == "avi"
    return context.name in container.supported_codecs and not is_bare


def _moved(packet: Any, start: int) -> Any:
    packet.dts -= start
    packet.pts = packet.dts if packet.pts is None else packet.pts - start
    return packet


def _reencoded(source: Any, sound: Any, stream: Any, start: int) -> Iterator[Any]:
    context = stream.codec_context
    resampler = import_av().AudioResampler(context.format, context.layout, context.rate)
    for frame in itertools.chain(_heard(source, sound), [None]):
        if frame is not None and frame.pts is None:
            continue
        if frame is not None:
            frame.pts -= start
        for part in resampler.resample(frame):
            yield from stream.encode(part)
    yield from stream.encode()


def _heard(source: Any, sound: Any) -> Iterator[Any]:
    """The decoded sound, without what is damaged."""
    for packet in packets_before_damage(source, sound):
        with contextlib.suppress(import_av().error.FFmpegError):
            yield from packet.decode()
