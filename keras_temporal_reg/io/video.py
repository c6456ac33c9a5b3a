"""Clips: files that FFmpeg reads, and folders of frames. Needs the extra ``video``.

`frames` gives one frame after the other, in memory that does not grow with the clip.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import math
import queue
import threading
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from keras_temporal_reg.io import atomic, image_files

FOLDER_RATE = Fraction(25)
MAX_PIXELS = 2**26  # of a frame; 67 million are eight times 4K
MAX_READ = 2**32  # bytes of a clip that is read whole
# Even sizes only with halved chroma, so that odd ones keep all of it.
CODECS = {
    ".mp4": ("libx264", {"crf": "16"}),
    ".mov": ("libx264", {"crf": "16"}),
    ".mkv": ("libx264", {"crf": "16"}),
    ".webm": ("libvpx-vp9", {"crf": "20", "b": "0", "deadline": "realtime", "cpu-used": "6"}),
    ".avi": ("mpeg4", {"qscale": "2", "global_quality": "236", "flags": "+qscale"}),
    ".gif": ("gif", {}),
}


class ClipError(ValueError):
    """A clip that cannot be used; the message says which and why."""


class BrokenClip(ClipError):
    """A clip that breaks off; `frames_read` of its frames came before."""

    def __init__(self, message: str, frames_read: int) -> None:
        super().__init__(message)
        self.frames_read = frames_read


class Clip(NamedTuple):
    """Attributes: frames, ``(frames, height, width, 3)`` uint8 RGB; rate, frames a second."""

    frames: np.ndarray
    rate: Fraction


@dataclasses.dataclass(frozen=True)
class Info:
    """What is known of a clip before its frames are read.

    Attributes:
        path: of the file or folder.
        height: of a frame as it is shown, in pixels.
        width: likewise.
        rate: frames a second, on average.
        frames: how many, as the file says or its duration lets one guess; None without either.
        has_audio: whether there is sound.
        is_linear: whether frames are linear light without an upper bound (EXR, Radiance).
        notes: what a user should know, in sentences.
    """

    path: Path
    height: int
    width: int
    rate: Fraction
    frames: int | None
    has_audio: bool = False
    is_linear: bool = False
    notes: tuple[str, ...] = ()


class Frame(NamedTuple):
    """Attributes: pixels, ``(height, width, 3)`` RGB, uint8 in files of 8 bits, else float32 as
    `pictures.read` has it; time, since the start of the clip in seconds, None where unknown."""

    pixels: np.ndarray
    time: Fraction | None


def info(path: Any, rate: Any = None) -> Info:
    """Look at a clip without reading its frames.

    Args:
        path: a file that FFmpeg can read, or a folder of pictures, one a frame.
        rate: frames a second, for a folder; 25 by default.

    Raises:
        ClipError: if the file is missing, no video, or has absurd sizes.
        ImportError: if a package of the extra ``video`` is missing.
    """
    path = Path(path)
    if path.is_dir():
        return _folder_info(path, rate)
    av = _import_av()
    with _opened(path) as container:
        stream = container.streams.video[0]
        context = stream.codec_context
        _check_size(path, context.width, context.height)
        height, width = context.height, context.width
        with contextlib.suppress(av.error.FFmpegError, StopIteration):
            if _quarter_turns(next(container.decode(stream))) % 2:
                height, width = width, height
        average, base = stream.average_rate, stream.base_rate
        notes = []
        pixel_format = context.format
        if pixel_format is not None:
            # GIF's decoder has alpha for all.
            if context.name != "gif" and (
                len(pixel_format.components) == 4 or "a" in _letters(pixel_format.name)
            ):
                notes.append("Its alpha channel is dropped.")
            if max((c.bits for c in pixel_format.components), default=8) > 8:
                notes.append("It has more than 8 bits a channel; results are written with 8.")
        if average and base and abs(average / base - 1) > Fraction(1, 50) and base < 1000:
            notes.append(
                f"Its frame rate may vary (mean {float(average):.4g} a second); measures go by "
                "frames, not by seconds."
            )
        return Info(
            path,
            height,
            width,
            rate=Fraction(average or FOLDER_RATE),
            frames=stream.frames or _guessed_count(container, average),
            has_audio=bool(container.streams.audio),
            notes=tuple(notes),
        )


def frames(path: Any) -> Iterator[Frame]:
    """The frames of a clip, one after the other.

    Args:
        path: a file that FFmpeg can read, or a folder of pictures.

    Raises:
        BrokenClip: where the clip breaks off, after the frames before.
        ClipError: if the file is missing or no video, or frames have several sizes.
        ImportError: if a package of the extra ``video`` is missing.
    """
    path = Path(path)
    if path.is_dir():
        yield from _folder_frames(path)
        return
    av = _import_av()
    count = 0
    with _opened(path) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        _check_size(path, stream.codec_context.width, stream.codec_context.height)
        declared = stream.frames
        shape = None
        try:
            for frame in container.decode(stream):
                pixels = np.rot90(_rgb(frame), _quarter_turns(frame))
                shape = _same_size(path, count, shape, pixels.shape)
                count += 1
                time = None if frame.pts is None else frame.pts * (frame.time_base or 0)
                yield Frame(pixels, time)
        except av.error.FFmpegError as error:
            reason = f"breaks off after {count} frames" if count else "is no readable video"
            kind = BrokenClip(f"clip {path} {reason} ({error.strerror})", count)
            raise kind from error
    if count < declared:
        raise BrokenClip(
            f"clip {path} is truncated: {count} of its {declared} frames can be read", count
        )


def read(path: Any, height: int | None = None, multiple: int = 1) -> Clip:
    """Read all frames of a clip.

    Args:
        path: a file that FFmpeg can read, or a folder of pictures.
        height: what to scale the frames to, keeping their aspect; pixels. None: as they are.
        multiple: scaled heights and widths are rounded to multiples of this.

    Raises:
        ClipError: if the file is missing, no video, truncated, has fewer than 2 frames, or more
            than fit into 4 GiB.
        ImportError: if a package of the extra ``video`` is missing.
    """
    about = info(path)
    size = _scaled_size(about.width, about.height, height, multiple)
    most = MAX_READ // (3 * size[0] * size[1])
    read_frames: list[np.ndarray] = []
    for frame in frames(path):
        if len(read_frames) >= most:
            raise ClipError(
                f"clip {path} must have at most {most} frames of {size[0]} x {size[1]} to be read "
                f"whole, {MAX_READ // 2**20} MiB. Received: more"
            )
        pixels = frame.pixels
        pixels = pixels if pixels.dtype == np.uint8 else image_files.to_bytes(pixels)
        read_frames.append(resized(pixels, *size))
    if len(read_frames) < 2:
        raise ClipError(f"clip {path} must have at least 2 frames. Received: {len(read_frames)}")
    return Clip(np.stack(read_frames), about.rate)


def resized(picture: np.ndarray, width: int, height: int) -> np.ndarray:
    """`picture`, ``(height, width, channels)`` uint8, of another size; by mean areas."""
    if picture.shape[:2] == (height, width):
        return picture
    import cv2

    larger = picture.shape[0] < height
    return cv2.resize(
        picture, (width, height), interpolation=cv2.INTER_CUBIC if larger else cv2.INTER_AREA
    )


def write(path: Path, pixels: Iterable[np.ndarray], rate: Fraction) -> None:
    """Write a clip; the file appears when it is complete.

    Args:
        path: the file; its suffix, one of `CODECS`, says the format. ``.mp4`` plays in browsers.
        pixels: ``(height, width, 3)`` uint8 RGB each.
        rate: frames a second.
    """
    with writer(path, rate) as add:
        for frame in pixels:
            add(frame)


@contextlib.contextmanager
def writer(
    path: Path, rate: Fraction, audio_of: Path | None = None, crf: int | None = None
) -> Iterator[Any]:
    """A function that takes the frames of a new clip; the clip appears when the block is left.

    Args:
        path: its suffix, one of `CODECS`, says the format; without one, a folder of PNG pictures.
        rate: frames a second, for frames without a time.
        audio_of: a clip whose sound to copy; what the new format cannot hold is coded anew.
        crf: of H.264 and VP9, how coarse, in place of that of `CODECS`.

    Yields:
        ``add(frame, time=None)``: `frame` ``(height, width, 3)``, uint8 or float in [0, 1];
        `time` in seconds.

    Raises:
        ClipError: for a suffix of another kind.
    """
    path = Path(path)
    if not path.suffix:
        if path.exists():
            raise ClipError(f"folder {path} exists already; frames go into a new one")
        with atomic.replacing(path) as temporary:
            temporary.mkdir()
            numbers = itertools.count()

            def add_picture(frame: np.ndarray, time: Fraction | None = None) -> None:
                image_files.write(temporary / f"frame{next(numbers):06d}.png", as_unit(frame))

            yield add_picture
        return
    if path.suffix.lower() not in CODECS:
        raise ClipError(
            f"clip {path} must end in one of {', '.join(CODECS)}, or have no suffix for a folder "
            "of PNG pictures"
        )
    av = _import_av()
    codec, options = CODECS[path.suffix.lower()]
    if crf is not None and "crf" in options:
        options = {**options, "crf": str(crf)}
    movie = path.suffix.lower() in (".mp4", ".mov")
    with atomic.replacing(path) as temporary, contextlib.ExitStack() as stack:
        container = stack.enter_context(
            av.open(str(temporary), "w", options={"movflags": "+faststart"} if movie else {})
        )
        stream: Any = container.add_stream(codec, rate=rate, options=dict(options))
        copy_audio = _audio_copier(container, audio_of, stack)
        clock = Fraction(1, 90000) if path.suffix.lower() not in (".gif", ".avi") else 1 / rate
        state = {"number": 0, "last": -1}

        def add(frame: np.ndarray, time: Fraction | None = None) -> None:
            frame = frame if frame.dtype == np.uint8 else image_files.to_bytes(frame)
            if state["number"] == 0:
                height, width = frame.shape[:2]
                stream.height, stream.width = height, width
                odd = height % 2 or width % 2
                stream.pix_fmt = "pal8" if codec == "gif" else "yuv444p" if odd else "yuv420p"
                if odd and codec == "mpeg4":
                    stream.pix_fmt = "yuv420p"
                stream.codec_context.time_base = clock
            picture = _of_pixels(av, frame, stream.pix_fmt)
            when = Fraction(state["number"]) / rate if time is None or codec != "libx264" else time
            # Each later than the one before, or the file cannot be written.
            picture.pts = max(round(when / clock), state["last"] + 1)
            picture.time_base = clock
            state["last"] = picture.pts
            state["number"] += 1
            container.mux(stream.encode(picture))
            copy_audio(float(when))

        yield add
        if state["number"]:
            container.mux(stream.encode())
        copy_audio(math.inf)


def chunks(items: Iterable[Any], pixels: int) -> Iterator[list[Any]]:
    """Frames several at a time, fewer the larger they are; all before a break come through."""
    several = max(1, min(8, 2**20 // pixels))
    held: list[Any] = []
    try:
        for item in items:
            held.append(item)
            if len(held) == several:
                yield held
                held = []
    except BrokenClip:
        if held:
            yield held
        raise
    if held:
        yield held


def as_unit(pixels: np.ndarray) -> np.ndarray:
    """Pixels of a `Frame` as float32; black and white are 0 and 1."""
    return pixels / np.float32(255.0) if pixels.dtype == np.uint8 else pixels


def ahead(items: Iterable[Any], count: int = 8) -> Iterator[Any]:
    """The same items; up to `count` are made in a thread of their own before they are asked for.

    What goes wrong there is raised here, after the items before it.
    """
    ready: queue.Queue[Any] = queue.Queue(count)
    stop = threading.Event()
    end = object()

    def put(item: Any) -> bool:
        while not stop.is_set():
            with contextlib.suppress(queue.Full):
                ready.put(item, timeout=0.1)
                return True
        return False

    def work() -> None:
        try:
            for item in items:
                if not put((item, None)):
                    return
            put((end, None))
        except BaseException as error:
            put((end, error))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        while True:
            item, error = ready.get()
            if error is not None:
                raise error
            if item is end:
                return
            yield item
    finally:
        stop.set()
        thread.join()


def cuts(pixels: np.ndarray, threshold: float = 0.1) -> list[int]:
    """Numbers of the frames that begin another shot.

    Args:
        pixels: ``(frames, height, width, 3)`` uint8.
        threshold: mean absolute difference of neighbouring frames, of values in [0, 1], above
            which no motion within a shot takes them.
    """
    small = pixels[:, ::2, ::2].astype(np.float32) / 255.0
    change = [float(np.abs(b - a).mean()) for a, b in zip(small, small[1:])]
    return [t + 1 for t, difference in enumerate(change) if difference > threshold]


def _folder_info(path: Path, rate: Any) -> Info:
    found = image_files.listed(path)
    if not found:
        raise ClipError(f"folder {path} has no pictures in it ({', '.join(image_files.SUFFIXES)})")
    first = image_files.read(found[0])
    linear = found[0].suffix.lower() in image_files.HDR_SUFFIXES
    rate = FOLDER_RATE if rate is None else Fraction(rate).limit_denominator(100000)
    return Info(path, *first.shape[:2], rate=rate, frames=len(found), is_linear=linear)


def _folder_frames(path: Path) -> Iterator[Frame]:
    shape = None
    for number, picture in enumerate(image_files.listed(path)):
        try:
            pixels = image_files.read(picture)
        except image_files.PictureError as error:
            raise BrokenClip(
                f"clip {path} breaks off after {number} frames: {error}", number
            ) from error
        shape = _same_size(path, number, shape, pixels.shape)
        yield Frame(pixels, None)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Any]:
    av = _import_av()
    if not path.is_file():
        raise ClipError(f"clip {path} does not exist or is no file")
    if path.stat().st_size == 0:
        raise ClipError(f"clip {path} is empty (0 bytes)")
    try:
        # A file may name others for FFmpeg to open, on the network too; none of that here.
        # PyAV 19 reads words that are no UTF-8 without being told how.
        told = {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}
        container = av.open(str(path), options={"protocol_whitelist": "file"}, **told)
    except av.error.FFmpegError as error:
        raise ClipError(f"clip {path} is no readable video ({error.strerror})") from error
    with container:
        if not container.streams.video:
            raise ClipError(f"clip {path} has no video in it")
        context = container.streams.video[0].codec_context
        if context is None:
            raise ClipError(f"clip {path} has video of a kind that FFmpeg cannot decode here")
        # Frames can grow after the head of the file.
        context.options = {"max_pixels": str(MAX_PIXELS)}
        yield container


def _guessed_count(container: Any, rate: Any) -> int | None:
    seconds = (container.duration or 0) / 1e6
    return round(seconds * float(rate)) or None if rate else None


def _rgb(frame: Any) -> np.ndarray:
    if max((c.bits for c in frame.format.components), default=8) > 8:
        return frame.to_ndarray(format="rgb48le").astype(np.float32) / np.float32(65535.0)
    return frame.to_ndarray(format="rgb24")


def _of_pixels(av: Any, frame: np.ndarray, pixel_format: str) -> Any:
    if pixel_format != "pal8":
        return av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), "rgb24")
    from PIL import Image

    quantized = Image.fromarray(frame).quantize(256)
    colours = np.array(quantized.getpalette("RGB"), np.uint8).reshape(-1, 3)
    palette = np.zeros((256, 4), np.uint8)
    palette[:, 0] = 255
    palette[: len(colours), 1:] = colours
    return av.VideoFrame.from_ndarray((np.asarray(quantized), palette), "pal8")


def _quarter_turns(frame: Any) -> int:
    """Counter-clockwise, as players show the frame: phones film on their side."""
    return round(getattr(frame, "rotation", 0) / 90)


def _letters(pixel_format: str) -> str:
    """``"yuva"`` of ``"yuva420p"``; formats with alpha have an a in it, ``"gray"`` has one too."""
    letters = "".join(c for c in pixel_format.split("p")[0] if c.isalpha())
    return "" if letters.startswith("gray") or letters == "pal" else letters


def _audio_copier(container: Any, audio_of: Path | None, stack: contextlib.ExitStack) -> Any:
    """A function that puts the sound of a clip into `container`, up to a time in seconds."""
    if audio_of is None or not Path(audio_of).is_file():
        return lambda until: None
    av = _import_av()
    source = stack.enter_context(_opened(Path(audio_of)))
    if not source.streams.audio or container.format.name == "gif":
        return lambda until: None
    given = source.streams.audio[0]
    if given.codec_context.name in container.supported_codecs:
        stream = container.add_stream_from_template(given)
        # AVI cannot start below zero, and would insert an empty picture.
        least = 0 if container.format.name == "avi" else -math.inf
        known = (packet for packet in source.demux(given) if packet.dts is not None)
        packets: Iterator[Any] = (packet for packet in known if packet.dts >= least)
    else:
        # 48 kHz is what every codec takes.
        stream = container.add_stream(container.default_audio_codec, rate=48000)
        packets = _coded_anew(av, source, given, stream)
    following = next(packets, None)

    def copy(until: float) -> None:
        # In step with the pictures, or the container would keep all of them in memory.
        nonlocal following
        while following is not None and following.dts * following.time_base <= until:
            following.stream = stream
            container.mux(following)
            following = next(packets, None)

    return copy


def _coded_anew(av: Any, source: Any, given: Any, stream: Any) -> Iterator[Any]:
    context = stream.codec_context
    resampler = av.AudioResampler(context.format, context.layout, context.rate)
    for frame in itertools.chain(source.decode(given), [None]):
        for part in resampler.resample(frame):
            yield from stream.encode(part)
    yield from stream.encode()


def _check_size(path: Path, width: int, height: int) -> None:
    if not 0 < width * height <= MAX_PIXELS:
        raise ClipError(
            f"clip {path} must have frames of at most {MAX_PIXELS} pixels. "
            f"Received: {width} x {height}"
        )


def _same_size(path: Path, count: int, before: Any, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of the next frame, after `count` frames of shape `before`, None for the first."""
    if before is not None and shape != before:
        raise BrokenClip(
            f"clip {path} changes its size after {count} frames, from {_as_size(before)} to "
            f"{_as_size(shape)}",
            count,
        )
    return shape


def _as_size(shape: tuple[int, ...]) -> str:
    return f"{shape[1]} x {shape[0]}"


def _scaled_size(width: int, height: int, new_height: int | None, multiple: int) -> tuple[int, int]:
    if new_height is None:
        return width, height
    exact = (width * new_height / height, new_height)
    new_width, new_height = (max(math.floor(size / multiple + 0.5), 1) * multiple for size in exact)
    return new_width, new_height


def _import_av() -> Any:
    try:
        import av
    except ImportError as error:
        raise ImportError(
            "clips need PyAV and Pillow: pip install keras-temporal-reg[video]"
        ) from error
    return av
