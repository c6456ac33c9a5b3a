"""What the report shows of a clip: videos, columns of pixels over time, flicker maps."""

from __future__ import annotations

import contextlib
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from keras_temporal_reg.io import image_files, video

MAX_FRAMES = 600
# Of the videos, which are only looked at: coarser, and faster to encode, than a clip to keep.
_OPTIONS = {"crf": "20", "preset": "veryfast"}
_MAX_WIDTH = 640  # pixels
_COLUMNS = 9  # that are kept over time; the report shows one


class Previews:
    """Collects what the report shows of the first frames of a clip.

    A context manager: the videos are complete when it is left.

    Args:
        folder: a new folder for the videos.
        rate: frames per second.

    Attributes:
        flicker_maps: name of a result to ``(height, width)``, its flicker at each pixel, at least
            0; no NaN.
    """

    def __init__(self, folder: Path, rate: Fraction) -> None:
        self.flicker_maps: dict[str, np.ndarray] = {}
        self._folder = folder
        self._rate = rate.limit_denominator(60000)
        self._columns: dict[str, list[np.ndarray]] = {}
        self._writers: dict[str, Any] = {}
        self._opened = contextlib.ExitStack()
        folder.mkdir()

    def __enter__(self) -> Previews:
        return self

    def __exit__(self, *error: Any) -> None:
        self._opened.__exit__(*error)

    @property
    def names(self) -> list[str]:
        """Names of the results, in the order in which they came."""
        return [*self._columns]

    def add(self, name: str, images: np.ndarray) -> None:
        """Take the next frames of a result, ``(frames, height, width, 3)``, uint8 or in [0, 1]."""
        columns = self._columns.setdefault(name, [])
        images = images[: max(MAX_FRAMES - len(columns), 0)]
        if images.dtype != np.uint8:
            images = image_files.to_uint8(images)
        for image in images:
            columns.append(image[:, _positions(image.shape[1])])
            height, width = _preview_size(*image.shape[:2])
            self._writer(name)(video.resize(image, width, height))

    def video(self, name: str) -> Path:
        """The MP4 file of a result."""
        return self._folder / f"{self.names.index(name)}.mp4"

    def slice(self, name: str, column: int) -> np.ndarray:
        """One of the kept columns over time, ``(height, frames, 3)`` uint8."""
        return np.stack([columns[:, column] for columns in self._columns[name]], axis=1)

    def column_of_most_flicker(self, name: str) -> int:
        """The one of the kept columns where a result flickers most; without a map, the middle."""
        flicker = self.flicker_maps.get(name)
        if flicker is None:
            return _COLUMNS // 2
        return int(flicker[:, _positions(flicker.shape[1])].mean(axis=0).argmax())

    def heat(self, name: str) -> np.ndarray | None:
        """The flicker map of a result, of the size of the videos; None if it has none."""
        flicker = self.flicker_maps.get(name)
        if flicker is None:
            return None
        height, width = _preview_size(*flicker.shape)
        return video.resize(flicker.astype(np.float32), width, height)

    def _writer(self, name: str) -> Any:
        if name not in self._writers:
            writer = video.writer(self.video(name), self._rate, options=_OPTIONS)
            self._writers[name] = self._opened.enter_context(writer)
        return self._writers[name]


def _positions(width: int) -> np.ndarray:
    """The columns that are kept over time."""
    return np.linspace(0, width - 1, _COLUMNS + 2)[1:-1].astype(int)


def _preview_size(height: int, width: int) -> tuple[int, int]:
    """Even sides, as H.264 needs them, of at most `_MAX_WIDTH` columns."""
    factor = min(1.0, _MAX_WIDTH / width)
    rows, columns = (max(round(side * factor / 2) * 2, 2) for side in (height, width))
    return rows, columns
