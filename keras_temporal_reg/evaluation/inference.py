"""Run a network over frames of any size: pad to what it takes, cut into tiles, crop back."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any, Callable

import numpy as np
import tensorflow as tf

MULTIPLES = (1, 2, 4, 8, 16, 32, 64, 128)
OVERLAP = 32  # pixels of x that neighbouring tiles share; seams are blended over them
_BATCH_PIXELS = 2**20

Network = Callable[[np.ndarray], np.ndarray]


def runner(
    model: Any,
    height: int,
    width: int,
    channels: int,
    memory: float | None = None,
    values: tuple[float, float] = (0.0, 1.0),
) -> Any:
    """A function from ``(frames, height, width, channels)`` to what `model` makes of them.

    Args:
        model: a Keras model, or a callable of one image batch, from images to images.
        height: of the frames, in pixels; any number.
        width: likewise.
        channels: of the frames.
        memory: megabytes that the layers' results may take; frames that need more are cut into
            tiles, which overlap and are blended. None: no limit.
        values: what the model takes and returns for 0 and 1.

    Returns:
        ``run(x)``, which takes any number of float32 frames and returns float32, ``(frames,
        scale * height, scale * width, channels of the output)``, with attributes ``multiple``,
        ``tile`` (height, width), ``tiles`` (how many), ``scale`` and ``batch`` (frames at once).

    Raises:
        ValueError: if the model takes other channels, or no size near this one.
    """
    fixed = _fixed_size(model)
    _check_channels(model, channels)
    low, gain = values[0], values[1] - values[0]

    def call(x: tf.Tensor) -> tf.Tensor:
        return (_first(model(x * gain + low, training=False)) - low) / gain

    if fixed is None:
        multiple, scale = _needs(call, height, width, channels)
        tile = (_up(height, multiple), _up(width, multiple))
        if memory is not None:
            tile = _fitting(model, tile, channels, multiple, memory)
    else:
        multiple, tile = 1, fixed
        found = _scale(call(tf.zeros((1, *tile, channels))).shape, tile)
        if found is None:
            raise ValueError("the model must return images of 1, 2, 3, ... times its input's size")
        scale = found
    # Of known height and width, which some layers of Keras 3 need; autograph would hide the
    # network's own words in its report.
    signature = [tf.TensorSpec([None, *tile, channels], tf.float32)]
    compiled = tf.function(call, input_signature=signature, autograph=False)
    places = [(top, left) for top in _starts(height, tile[0]) for left in _starts(width, tile[1])]
    batch = max(1, min(8, _BATCH_PIXELS // (tile[0] * tile[1])))

    def run(x: np.ndarray) -> np.ndarray:
        return np.concatenate([_whole(part) for part in _parts(x, batch)])

    def _whole(x: np.ndarray) -> np.ndarray:
        if len(places) == 1:
            padded = _padded(x, tile)
            return compiled(padded).numpy()[:, : height * scale, : width * scale].astype(np.float32)
        total: Any = 0.0
        weights = np.zeros((height * scale, width * scale, 1), np.float32)
        for top, left in places:
            piece = x[:, top : top + tile[0], left : left + tile[1]]
            made = compiled(_padded(piece, tile)).numpy()
            rows, columns = piece.shape[1] * scale, piece.shape[2] * scale
            if not isinstance(total, np.ndarray):
                total = np.zeros((len(x), *weights.shape[:2], made.shape[-1]), np.float32)
            window = _window(top, left, tile, height, width, scale)[:rows, :columns]
            place = np.s_[top * scale : top * scale + rows, left * scale : left * scale + columns]
            total[(slice(None), place[0], place[1])] += window * made[:, :rows, :columns]
            weights[place] += window
        return total / weights

    for name, value in (
        ("multiple", multiple),
        ("tile", tile),
        ("tiles", len(places)),
        ("scale", scale),
        ("batch", batch),
    ):
        setattr(run, name, value)
    return run


def _parts(x: np.ndarray, batch: int) -> Iterator[np.ndarray]:
    return (x[start : start + batch] for start in range(0, len(x), batch))


class _NoImages(ValueError):
    """The network is of another kind, whatever the size."""


def _first(output: Any) -> tf.Tensor:
    flat = tf.nest.flatten(output)
    if len(flat) != 1 or flat[0].shape.rank != 4:
        raise _NoImages(
            "the model must return one batch of images (batch, height, width, channels). "
            f"Received: {', '.join(str(t.shape) for t in flat)}"
        )
    return tf.cast(flat[0], tf.float32)


def _input_shape(model: Any) -> Any:
    shape = getattr(model, "input_shape", None)
    if isinstance(shape, dict):
        shape = next(iter(shape.values())) if len(shape) == 1 else None
    if isinstance(shape, list):
        shape = shape[0] if len(shape) == 1 else None
    return shape if shape is not None and len(shape) == 4 else None


def _fixed_size(model: Any) -> tuple[int, int] | None:
    shape = _input_shape(model)
    return None if shape is None or None in shape[1:3] else (int(shape[1]), int(shape[2]))


def _check_channels(model: Any, channels: int) -> None:
    shape = _input_shape(model)
    if shape is not None and shape[3] not in (None, channels):
        raise ValueError(
            f"the model must take images of {channels} channels, as the task makes them. "
            f"Received: a model for {shape[3]}"
        )


def _needs(call: Any, height: int, width: int, channels: int) -> tuple[int, int]:
    """The least multiple that the model's sizes must have, and its scale."""
    last: Exception | None = None
    for multiple in MULTIPLES:
        # Small pictures of the same remainders find it out in no time.
        size = tuple(_up(n % MULTIPLES[-1] + MULTIPLES[-1], multiple) for n in (height, width))
        try:
            made = call(tf.zeros((1, *size, channels)))
        except _NoImages:
            raise
        except (ValueError, TypeError, tf.errors.OpError) as error:
            last = error
            continue
        scale = _scale(made.shape, size)
        if scale is not None:
            return multiple, scale
    reason = "" if last is None else f" ({str(last).splitlines()[0]})"
    raise ValueError(
        f"the model must take images whose sides are multiples of {MULTIPLES[-1]} at most, and "
        f"return images of 1, 2, 3, ... times their size; it does not{reason}"
    )


def _scale(shape: Any, size: Any) -> int | None:
    scale = shape[1] // size[0]
    same = scale > 0 and (shape[1], shape[2]) == (scale * size[0], scale * size[1])
    return int(scale) if same else None


def _up(n: int, multiple: int) -> int:
    return math.ceil(n / multiple) * multiple


def _fitting(
    model: Any, size: tuple[int, int], channels: int, multiple: int, memory: float
) -> tuple[int, int]:
    """Tiles small enough for `memory`, as equal as may be."""
    pixels = memory * 1e6 / _bytes_per_pixel(model, channels)
    least = _up(2 * OVERLAP + 1, multiple)
    for pieces in itertools.count(1):
        tile = (_piece(size[0], pieces, multiple), _piece(size[1], pieces, multiple))
        if tile[0] * tile[1] <= pixels or max(tile) <= least:
            return tile
    raise AssertionError("unreachable")


def _piece(size: int, pieces: int, multiple: int) -> int:
    """Length of each of so many pieces that overlap and together reach `size`."""
    if pieces == 1:
        return size
    exact = (size + (pieces - 1) * OVERLAP) / pieces
    return min(size, _up(max(math.ceil(exact), 2 * OVERLAP + 1), multiple))


def _bytes_per_pixel(model: Any, channels: int) -> float:
    """What all layers' results of one pixel of x take: an upper bound of what is held at once."""
    from tensorflow import keras

    side = MULTIPLES[-1]
    total = 4.0 * channels
    try:
        results = [layer.output for layer in model.layers]
        flat = tf.nest.flatten(
            keras.Model(model.inputs, results)(tf.zeros((1, side, side, channels)))
        )
        total += sum(4.0 * math.prod(result.shape) for result in flat) / side**2
    # Models without layers of their own, such as those of a SavedModel.
    except (AttributeError, ValueError, TypeError):
        total += 4096.0
    return total


def _starts(size: int, tile: int) -> list[int]:
    if tile >= size:
        return [0]
    count = (
        math.ceil((size - OVERLAP) / max(tile - OVERLAP, 1))
        if tile > OVERLAP
        else (math.ceil(size / tile))
    )
    return [round(i * (size - tile) / (count - 1)) for i in range(count)]


def _padded(x: np.ndarray, tile: tuple[int, int]) -> np.ndarray:
    rows, columns = tile[0] - x.shape[1], tile[1] - x.shape[2]
    if rows <= 0 and columns <= 0:
        return x
    return np.pad(x, [(0, 0), (0, rows), (0, columns), (0, 0)], mode="symmetric")


def _window(
    top: int, left: int, tile: tuple[int, int], height: int, width: int, scale: int
) -> np.ndarray:
    """Weights of a tile: 1 in the middle, falling towards its neighbours only."""

    def ramp(start: int, length: int, size: int) -> np.ndarray:
        at = np.arange(length * scale, dtype=np.float32) + 0.5
        weight = np.ones(length * scale, np.float32)
        reach = min(OVERLAP, length) * scale
        if start > 0:
            weight = np.minimum(weight, at / reach)
        if start + length < size:
            weight = np.minimum(weight, at[::-1] / reach)
        return weight

    rows, columns = ramp(top, tile[0], height), ramp(left, tile[1], width)
    return (rows[:, np.newaxis] * columns)[..., np.newaxis]
