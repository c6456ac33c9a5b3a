"""Run a network on frames of any size: padded to what it takes, cut into tiles, cropped back."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow import keras

from keras_temporal_reg.core import free_memory, validation
from keras_temporal_reg.saved_models import introspection

OVERLAP = 32  # pixels of x that neighbouring tiles share; seams are blended over them
_BATCH_PIXELS = 2**20
_PROBE_SIDE = 128  # pixels
_BYTES_PER_PIXEL = 4096.0  # assumed of models whose layers cannot be run one by one
_MOST_BYTES_PER_PIXEL = 16384.0  # of layers that are not looked at where this much is free
_SHARE_OF_FREE = 0.5  # of the free memory, for the layers; frames and results need the rest

Size = tuple[int, int]  # height and width, in pixels


@dataclasses.dataclass(frozen=True)
class FrameRunner:
    """A network on frames of one size. Calling it runs the network.

    Attributes:
        network: takes a batch of images of the size of `tile`, returns a batch of images.
        size: height and width of the frames.
        tile: height and width of what the network is given.
        multiple: heights and widths that the network takes are multiples of this.
        scale: height of the result over height of the frames.
    """

    network: Callable[[np.ndarray], tf.Tensor]
    size: Size
    tile: Size
    multiple: int
    scale: int

    @property
    def batch(self) -> int:
        """Number of frames that the network is given at once."""
        return max(1, min(8, _BATCH_PIXELS // math.prod(self.tile)))

    @property
    def note(self) -> str:
        """A phrase on the tiles; "" where frames are not cut."""
        height, width = self.tile
        return f"ran in {self.tiles} tiles of {width} x {height} pixels" if self.tiles > 1 else ""

    @property
    def tiles(self) -> int:
        """Number of tiles that a frame is cut into."""
        return len(self.corners)

    @functools.cached_property
    def corners(self) -> list[tuple[int, int]]:
        """Row and column of the upper left corner of each tile."""
        rows, columns = (_starts(side, tile) for side, tile in zip(self.size, self.tile))
        return [(top, left) for top in rows for left in columns]

    def __call__(self, frames: np.ndarray) -> np.ndarray:
        """Run the network.

        Args:
            frames: ``(frames, height, width, channels)`` float32, any number of frames.

        Returns:
            ``(frames, scale * height, scale * width, channels of the output)`` float32.
        """
        run = self._whole if self.tiles == 1 else self._tiled
        batches = (frames[i : i + self.batch] for i in range(0, len(frames), self.batch))
        return np.concatenate([run(batch) for batch in batches])

    def _whole(self, x: np.ndarray) -> np.ndarray:
        height, width = (self.scale * side for side in self.size)
        made = self.network(_padded(x, self.tile)).numpy()
        return made[:, :height, :width].astype(np.float32)

    def _tiled(self, x: np.ndarray) -> np.ndarray:
        scale = self.scale
        total: Any = 0.0
        weights = np.zeros((self.size[0] * scale, self.size[1] * scale, 1), np.float32)
        for (top, left), window in zip(self.corners, self._windows):
            piece = x[:, top : top + self.tile[0], left : left + self.tile[1]]
            made = self.network(_padded(piece, self.tile)).numpy()
            rows, columns = piece.shape[1] * scale, piece.shape[2] * scale
            window = window[:rows, :columns]
            if not isinstance(total, np.ndarray):
                total = np.zeros((len(x), *weights.shape[:2], made.shape[-1]), np.float32)
            place = np.s_[top * scale : top * scale + rows, left * scale : left * scale + columns]
            total[(slice(None), *place)] += window * made[:, :rows, :columns]
            weights[place] += window
        return total / weights

    @functools.cached_property
    def _windows(self) -> list[np.ndarray]:
        """Weights of each tile: 1 in the middle, falling towards its neighbours only."""
        ramps = [
            {start: _ramp(start, tile, side, self.scale) for start in _starts(side, tile)}
            for side, tile in zip(self.size, self.tile)
        ]
        return [
            (ramps[0][top][:, np.newaxis] * ramps[1][left])[..., np.newaxis]
            for top, left in self.corners
        ]


def runner(
    model: Any,
    height: int,
    width: int,
    channels: int,
    memory: float | None = None,
    value_range: tuple[float, ...] = (0.0, 1.0),
) -> FrameRunner:
    """Make the `FrameRunner` of a model.

    Args:
        model: a Keras model, or a callable of one image batch, from images to images.
        height: of the frames, in pixels; any number.
        width: likewise.
        channels: of the frames.
        memory: megabytes that the results of all layers may take; frames that need more are cut
            into tiles, which overlap and are blended. None: half of what is free; no limit beside
            a GPU.
        value_range: the values of the model that stand for 0 and 1; of inputs and then of outputs
            where these differ.

    Raises:
        ValueError: if the model takes another number of channels, or no size near this one.

    Example:
        >>> import numpy as np
        >>> from tensorflow import keras
        >>> from keras_temporal_reg.evaluation import inference
        >>> doubling = keras.Sequential(
        ...     [keras.Input((None, None, 3)), keras.layers.UpSampling2D(2)])
        >>> run = inference.runner(doubling, 33, 47, 3)
        >>> run(np.zeros((2, 33, 47, 3), np.float32)).shape
        (2, 66, 94, 3)
    """
    sizes = introspection.image_sizes(model, height, width, channels)
    tile = sizes.fixed
    if tile is None:
        rows, columns = (introspection.round_up(n, sizes.multiple) for n in (height, width))
        tile = (rows, columns)
        memory = _memory_for(tile) if memory is None else memory
        tile = _tile_within(memory, model, tile, channels, sizes.multiple)
    network = _compiled(model, (*tile, channels), value_range)
    return FrameRunner(network, (height, width), tile, sizes.multiple, sizes.scale)


def _compiled(model: Any, shape: tuple[int, ...], value_range: tuple[float, ...]) -> Any:
    low, high, out_low, out_high = validation.value_range("value_range", value_range)

    def call(x: tf.Tensor) -> tf.Tensor:
        result = introspection.first_output(model(x * (high - low) + low, training=False))
        return (tf.cast(result, tf.float32) - out_low) / (out_high - out_low)

    # Some layers of Keras 3 need a known height and width. Autograph would hide the network's own
    # words in its error messages.
    signature = [tf.TensorSpec([None, *shape], tf.float32)]
    # A partial, since TensorFlow counts traces by code, and would warn of many runners.
    return tf.function(functools.partial(call), input_signature=signature, autograph=False)


def _memory_for(size: Size) -> float:
    """Megabytes that layers may take on frames of a size: half of what is free, unless a GPU runs
    them or they surely need less.
    """
    free = _SHARE_OF_FREE * free_memory.free_bytes() / 1e6
    is_plenty = math.prod(size) * _MOST_BYTES_PER_PIXEL < 1e6 * free
    return math.inf if is_plenty or tf.config.list_physical_devices("GPU") else free


def _tile_within(memory: float, model: Any, size: Size, channels: int, multiple: int) -> Size:
    """The largest tile that fits into `memory`, cutting `size` as evenly as possible."""
    if math.isinf(memory):
        return size
    pixels = memory * 1e6 / _bytes_per_pixel(model, channels)
    least = introspection.round_up(2 * OVERLAP + 1, multiple)
    for pieces in itertools.count(1):
        tile = (_piece(size[0], pieces, multiple), _piece(size[1], pieces, multiple))
        if tile[0] * tile[1] <= pixels or max(tile) <= least:
            return tile
    raise AssertionError("unreachable")


def _piece(size: int, pieces: int, multiple: int) -> int:
    """Length of each of a number of overlapping pieces that together span `size`."""
    if pieces == 1:
        return size
    exact = (size + (pieces - 1) * OVERLAP) / pieces
    return min(size, introspection.round_up(max(math.ceil(exact), 2 * OVERLAP + 1), multiple))


def _bytes_per_pixel(model: Any, channels: int) -> float:
    """Bytes of all layers' results per pixel of x: an upper bound of what is held at once."""
    probe = tf.zeros((1, _PROBE_SIDE, _PROBE_SIDE, channels))
    try:
        results = keras.Model(model.inputs, [layer.output for layer in model.layers])(probe)
    # Models without layers of their own, such as those of a SavedModel.
    except (AttributeError, ValueError, TypeError):
        return 4.0 * channels + _BYTES_PER_PIXEL
    numbers = sum(math.prod(result.shape) for result in tf.nest.flatten(results))
    return 4.0 * channels + 4.0 * numbers / _PROBE_SIDE**2


def _starts(size: int, tile: int) -> list[int]:
    """Where tiles that overlap and together span `size` start."""
    if tile >= size:
        return [0]
    count = math.ceil(size / tile)
    if tile > OVERLAP:
        count = math.ceil((size - OVERLAP) / (tile - OVERLAP))
    return [round(i * (size - tile) / (count - 1)) for i in range(count)]


def _padded(x: np.ndarray, tile: Size) -> np.ndarray:
    rows, columns = tile[0] - x.shape[1], tile[1] - x.shape[2]
    if rows <= 0 and columns <= 0:
        return x
    return np.pad(x, [(0, 0), (0, rows), (0, columns), (0, 0)], mode="symmetric")


def _ramp(start: int, length: int, size: int, scale: int) -> np.ndarray:
    """Weights of a tile along one axis."""
    at = np.arange(length * scale, dtype=np.float32) + 0.5
    reach = min(OVERLAP, length) * scale
    weight = np.ones(length * scale, np.float32)
    if start > 0:
        weight = np.minimum(weight, at / reach)
    if start + length < size:
        weight = np.minimum(weight, at[::-1] / reach)
    return weight
