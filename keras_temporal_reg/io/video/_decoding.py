"""Decode the frames that players show, past damage, and say what is missing."""

from __future__ import annotations

import collections
from collections.abc import Iterator
from fractions import Fraction
from typing import Any, NamedTuple

from keras_temporal_reg.io.video._clip import UNKNOWN, frame_rate, import_av, start_time

# Formats whose header holds the duration of the whole file.
_DECLARING = {"matroska", "webm", "flv", "asf"}
_JUMP = Fraction(1, 2)  # seconds by which time stamps go back where clips were joined
_TOLERANCE = Fraction(1, 2)  # seconds of a whole file, whose last frame may have no duration


class Decoded(NamedTuple):
    """A PyAV frame, and when it is shown.

    Attributes:
        frame: the frame.
        time: in seconds; None if unknown.
        duration: likewise.
    """

    frame: Any
    time: Fraction | None
    duration: Fraction | None


class Declared(NamedTuple):
    """What a file declares of its colour, numbers of ITU-T H.273 and of FFmpeg's AVColorRange."""

    matrix: int
    primaries: int
    transfer: int
    color_range: int


class Decoder:
    """Iterates over the `Decoded` frames of a stream, once.

    Args:
        container: an open video file.
        stream: of it.

    Attributes:
        count: of the frames that were yielded.
        declared: the colour that counts for frames that name none themselves.
    """

    def __init__(self, container: Any, stream: Any) -> None:
        self.count = 0
        context = stream.codec_context
        self.declared = Declared(
            context.colorspace, context.color_primaries, context.color_trc, context.color_range
        )
        self._container, self._stream = container, stream
        self._jump = ""
        self._reason = ""  # of the first error, and its time
        self._damaged = self._packet_count = 0
        self._ends: dict[int, Fraction] = {}  # in seconds, by the number of the stream

    def __iter__(self) -> Iterator[Decoded]:
        av = import_av()
        start = start_time(self._container)
        times: collections.deque[Fraction] = collections.deque()
        latest: Fraction | None = None
        for packet in self._packets():
            if packet.stream is not self._stream:
                continue
            self._packet_count += bool(packet.size)
            if packet.size and packet.dts is not None and self._container.format.name == "avi":
                # AVI stores the times in the order of the frames; FFmpeg guesses at H.264.
                times.append(packet.dts * packet.time_base - start)
            try:
                frames = packet.decode()
            except av.error.EOFError:
                break
            except av.error.FFmpegError as error:
                self._note_damage(error.strerror, _seconds(packet.pts, packet, start))
                if times:
                    times.popleft()
                continue
            for frame in frames:
                time = times.popleft() if times else _seconds(frame.pts, frame, start)
                if frame.is_corrupt:
                    self._note_damage("decoded with errors", time)
                self._complete(frame)
                if time is not None and latest is not None and time < latest - _JUMP:
                    self._jump = f"has time stamps that jump back after {self.count} frames"
                    return
                latest = time
                self.count += 1
                yield Decoded(frame, time, _seconds(frame.duration or None, frame, Fraction(0)))

    def _complete(self, frame: Any) -> None:
        """Give a frame the colour of its file where it names none, as that of ProRes does not."""
        if frame.colorspace in UNKNOWN and not frame.format.is_rgb:
            frame.colorspace = self.declared.matrix
        if frame.color_range == 0:
            frame.color_range = self.declared.color_range

    def fault(self) -> str | None:
        """What is wrong with a clip that was read to its end, a predicate; None if nothing is."""
        if self._jump:
            return self._jump
        if self._damaged and not self.count:
            return f"is not a readable video ({self._reason})"
        end, declared, tolerance = self._end_and_declared()
        # FFmpeg 7 leaves some durations out, that of the last frame too.
        has_all_packets = 0 < self._stream.frames <= self._packet_count
        if end + tolerance < declared and not has_all_packets:
            return (
                f"is truncated: {self.count} frames can be read, which end after {float(end):.2f} "
                f"of {float(declared):.2f} seconds"
            )
        if not self._damaged:
            return None
        return (
            f"is damaged: {self._damaged} of its frames cannot be decoded without errors "
            f"({self._reason})"
        )

    def _packets(self) -> Iterator[Any]:
        packets = self._container.demux()
        while True:
            try:
                packet = next(packets, None)
            except IndexError:  # of a stream that begins later, for which PyAV has no place
                packets = self._container.demux()
                continue
            except import_av().error.FFmpegError as error:
                self._note_damage(error.strerror, None)
                return
            if packet is None:
                return
            at = packet.dts if packet.pts is None else packet.pts
            if at is not None and packet.time_base:
                end = (at + (packet.duration or 0)) * packet.time_base
                index = packet.stream.index
                self._ends[index] = max(end, self._ends.get(index, end))
            yield packet

    def _note_damage(self, reason: str, time: Fraction | None) -> None:
        if not self._damaged:
            self._reason = reason if time is None else f"at {float(time):.2f} s: {reason}"
        self._damaged += 1

    def _end_and_declared(self) -> tuple[Fraction, Fraction, Fraction]:
        """The end of what was read, that which is declared, and by how much less is no damage."""
        container, stream = self._container, self._stream
        end = self._ends.get(stream.index, Fraction(0))
        tolerance = Fraction(3, 2) / frame_rate(stream)
        if container.format.name == "avi":
            return end, stream.frames * stream.time_base, tolerance
        if _DECLARING & {*container.format.name.split(",")}:
            start = Fraction(container.start_time or 0, 10**6)
            declared = start + Fraction(container.duration or 0, 10**6)
            return max(self._ends.values(), default=Fraction(0)), declared, _TOLERANCE
        declared = ((stream.start_time or 0) + (stream.duration or 0)) * stream.time_base
        return end, declared, tolerance


def _seconds(count: int | None, of: Any, start: Fraction) -> Fraction | None:
    """Ticks of a packet or frame, since `start`; None where a clip has no time stamps."""
    return None if count is None or not of.time_base else count * of.time_base - start
