"""Videos and figures that show flicker to a person. Needs the extra ``video``."""

from __future__ import annotations

import base64
import tempfile
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from keras_temporal_reg import metrics
from keras_temporal_reg.io import atomic, image_files, video

PANELS = ("input", "plain", "stabilized", "ground truth")
GAIN = 8.0  # amplification of flicker
_PLAYER_CRF = "27"  # of H.264, coarse: a notebook stays small


class Row(NamedTuple):
    """The results of one clip; frames are ``(frames, height, width, 3)`` uint8 RGB."""

    name: str
    truth: np.ndarray
    plain: np.ndarray
    stabilized: np.ndarray
    rate: Any

    def panels(self) -> list[np.ndarray]:
        """The clips named by `PANELS`; the input is the luma of the ground truth."""
        grey = self.truth @ np.array([0.299, 0.587, 0.114])
        grey = np.repeat(np.rint(grey).astype(np.uint8)[..., np.newaxis], 3, axis=-1)
        return [grey, self.plain, self.stabilized, self.truth]


def comparison(path: Path, rows: Sequence[Row], scale: int = 2) -> None:
    """Write a video of the four panels, two by two, clip after clip.

    Args:
        path: an ``.mp4`` file.
        rows: one per clip.
        scale: size of a panel over that of a frame.
    """
    height = max(row.truth.shape[1] for row in rows) * scale
    width = max(row.truth.shape[2] for row in rows) * scale

    def frames() -> Any:
        for row in rows:
            panels = row.panels()
            for t in range(len(row.truth)):
                cells = [
                    _labelled(panel[t], f"{row.name}: {label}", height, width, scale)
                    for panel, label in zip(panels, PANELS)
                ]
                yield np.concatenate(
                    [np.concatenate(cells[:2], axis=1), np.concatenate(cells[2:], axis=1)]
                )

    video.write(path, frames(), rows[0].rate)


def player(clips: Mapping[str, np.ndarray], rate: int = 12, scale: int = 2) -> str:
    """Make an HTML video player with clips side by side, for a notebook.

    Args:
        clips: label to frames, ``(frames, height, width, 3)`` in [0, 1]; all of one length.
        rate: frames per second.
        scale: shown size over that of a frame; even, since H.264 needs even sides.

    Returns:
        A ``<video>`` element with the file embedded.

    Raises:
        ValueError: if the clips differ in the number of frames.
        ImportError: if a package of the extra ``video`` is missing.

    Example:
        >>> import numpy as np
        >>> player({"black": np.zeros((4, 32, 32, 3))})[:6]
        '<video'
    """
    lengths = {name: len(clip) for name, clip in clips.items()}
    if len({*lengths.values()}) != 1:
        raise ValueError(f"clips must have the same number of frames. Received: {lengths}")
    height = max(clip.shape[1] for clip in clips.values()) * scale
    with tempfile.TemporaryDirectory(prefix="ktr-") as folder:
        path = Path(folder) / "clips.mp4"
        with video.writer(path, Fraction(rate), options={"crf": _PLAYER_CRF}) as add:
            for frames in zip(*clips.values()):
                cells = [
                    _labelled(image_files.to_uint8(f), name, height, f.shape[1] * scale, scale)
                    for name, f in zip(clips, frames)
                ]
                add(np.concatenate(cells, axis=1))
        data = base64.b64encode(path.read_bytes()).decode()
    return (
        '<video controls loop autoplay muted playsinline style="max-width: 100%" '
        f'src="data:video/mp4;base64,{data}"></video>'
    )


def slices(path: Path, rows: Sequence[Row]) -> None:
    """Draw one column of pixels over time, unchanged and with its flicker amplified.

    The column of each clip is the one where the plain result flickers most.

    Args:
        path: a ``.png`` file.
        rows: one per clip.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            "figures need matplotlib: pip install keras-temporal-reg[video]"
        ) from error
    figure = Figure(figsize=(13, 2 + 5 * len(rows)), layout="constrained")
    figure.suptitle(
        "One column of pixels over time (time runs to the right). Below each: what changes "
        f"faster than a few frames, amplified {GAIN:g} times.\n"
        "Streaks that the ground truth does not have are flicker.",
        fontsize=12,
    )
    axes = figure.subplots(2 * len(rows), len(PANELS) - 1, squeeze=False)
    for number, row in enumerate(rows):
        panels = row.panels()[1:]
        flicker = [metrics.high_pass(panel / 255.0) for panel in panels]
        column = int(np.abs(flicker[0] - flicker[-1]).mean((0, 1, 3)).argmax())
        for place, (panel, high, label) in enumerate(zip(panels, flicker, PANELS[1:])):
            top, bottom = axes[2 * number, place], axes[2 * number + 1, place]
            amplified = np.clip(0.5 + GAIN * high[:, :, column], 0.0, 1.0)
            for axis, picture in ((top, panel[:, :, column]), (bottom, amplified)):
                axis.imshow(picture.swapaxes(0, 1), aspect="auto", interpolation="nearest")
                axis.set_xticks([])
                axis.set_yticks([])
            top.set_title(f"{row.name}, column {column}: {label}", fontsize=10)
            bottom.set_xlabel(f"flicker x {GAIN:g}: {label}", fontsize=9)
    with atomic.atomic_write(path) as temporary:
        figure.savefig(temporary, dpi=110)


def _labelled(frame: np.ndarray, label: str, height: int, width: int, scale: int) -> np.ndarray:
    from PIL import Image, ImageDraw, ImageFont

    band = 28
    cell = Image.new("RGB", (width, height + band), (24, 24, 24))
    size = (frame.shape[1] * scale, frame.shape[0] * scale)
    picture = Image.fromarray(frame).resize(size, Image.Resampling.BICUBIC)
    cell.paste(picture, ((width - size[0]) // 2, band + (height - size[1]) // 2))
    ImageDraw.Draw(cell).text((8, 5), label, "white", font=ImageFont.load_default(16))
    return np.asarray(cell)
