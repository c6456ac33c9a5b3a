"""How players turn and mirror a frame: phones film sideways, front cameras mirrored."""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

import numpy as np

_QUARTER_TURNS = 1e-3  # the most that entries of the matrix beside those may be, of the largest


class Orientation(NamedTuple):
    """One of the eight ways to lay a picture on its sides; the flips come after the transposition.

    Attributes:
        is_transposed: whether rows become columns.
        flips_rows: whether the first row becomes the last one.
        flips_columns: likewise.
        is_exact: False where the frame is turned by another angle, of which this is the nearest.
    """

    is_transposed: bool = False
    flips_rows: bool = False
    flips_columns: bool = False
    is_exact: bool = True

    def upright(self, pixels: np.ndarray) -> np.ndarray:
        """Turn ``(height, width, ...)`` as stored to what players show."""
        turned = np.swapaxes(pixels, 0, 1) if self.is_transposed else pixels
        rows, columns = (slice(None, None, -1 if flip else 1) for flip in self[1:3])
        return turned[rows, columns]


def of_frame(frame: Any) -> Orientation:
    """The orientation of a PyAV frame, of the display matrix of its file."""
    try:
        matrices = [data for data in frame.side_data if data.type.name == "DISPLAYMATRIX"]
    except ValueError:  # side data of a newer FFmpeg, without a name here
        return _of_turns(round(frame.rotation / 90) % 4)
    if not matrices:
        return Orientation()
    # A pixel (column, row) is shown at (a column + c row, b column + d row).
    a, b, _, c, d = struct.unpack("=5i", bytes(matrices[0])[:20])
    is_transposed = abs(b) + abs(c) > abs(a) + abs(d)
    (row, column), others = ((b, c), (a, d)) if is_transposed else ((d, a), (b, c))
    largest = max(abs(row), abs(column), 1)
    is_exact = max(map(abs, others)) <= _QUARTER_TURNS * largest
    return Orientation(is_transposed, row < 0, column < 0, is_exact)


def _of_turns(counter_clockwise: int) -> Orientation:
    return (
        Orientation(),
        Orientation(True, True, False),
        Orientation(False, True, True),
        Orientation(True, False, True),
    )[counter_clockwise]
