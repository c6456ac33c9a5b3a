"""Crops of pictures in folders, in batches that are a function of the seed and the step alone."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from keras_temporal_reg.core import seeding
from keras_temporal_reg.io import image_files
from keras_temporal_reg.tasks import _task as tasks

CACHE_BYTES = 2**30  # of decoded pictures; what is beyond is read from its file each time

Sample = tuple[Any, np.ndarray]


class Pair(NamedTuple):
    """Where a sample comes from: one file, or one for x and one for y."""

    x: Path
    y: Path | None


class Shape(NamedTuple):
    """Sizes of a crop."""

    height: int  # of x, in pixels
    width: int
    scale: int  # pixels of y for each of x, along an axis


def pairs_in(inputs: Path, targets: Path | None) -> list[Pair]:
    """The pictures of a folder, each with that of the same name in `targets` if there is one.

    Raises:
        ImageError: if there is no such folder, or a picture lacks its counterpart.
    """
    if targets is None:
        return [Pair(path, None) for path in image_files.list_images(inputs)]
    found, wanted = _by_stem(inputs), _by_stem(targets)
    for folder, missing in (
        (targets, [name for name in found if name not in wanted]),
        (inputs, [name for name in wanted if name not in found]),
    ):
        if missing:
            names = ", ".join(missing[:5]) + (", ..." if len(missing) > 5 else "")
            raise image_files.ImageError(
                "inputs and targets must hold pictures of the same names but for the suffix. "
                f"{folder} lacks {len(missing)}: {names}"
            )
    return [Pair(path, wanted[name]) for name, path in found.items()]


def _by_stem(folder: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in image_files.list_images(folder):
        if path.stem in found:
            raise image_files.ImageError(
                f"folder {folder} must have one picture of each name. "
                f"Received: {found[path.stem].name} and {path.name}"
            )
        found[path.stem] = path
    return found


def sample(pair: Pair, task: tasks.Task) -> Sample:
    """x and y of a picture; x is None where it is to be made of each crop of y."""
    rgb = image_files.read(pair.x)
    x: Any
    if pair.y is not None:
        x, y = task.input(rgb), task.target(image_files.read(pair.y))
    elif task.make_input is not None:
        x, y = None, task.target(rgb)
    else:
        x, y = task.encode(rgb)
    return None if x is None else np.asarray(x, np.float32), np.asarray(y, np.float32)


def cached(read: Callable[[Pair], Sample], budget: int) -> Callable[[Pair], Sample]:
    """`read`, which keeps what it read until `budget` bytes are full.

    Nothing is dropped again: of pictures drawn at random, those that are kept serve as well as
    those that were used last.
    """
    kept: dict[Pair, Sample] = {}
    used = 0

    def read_once(pair: Pair) -> Sample:
        nonlocal used
        if pair in kept:
            return kept[pair]
        found = read(pair)
        size = sum(part.nbytes for part in found if part is not None)
        if used + size <= budget:
            used += size
            kept[pair] = found
        return found

    return read_once


def usable_of(
    pairs: Sequence[Pair], read: Callable[[Pair], Sample], shape: Shape
) -> tuple[list[Pair], list[str]]:
    """The pairs to use, and ``name: reason`` of all others."""
    usable, skipped = [], []
    scale = shape.scale
    for pair in pairs:
        try:
            x, y = read(pair)
        except image_files.ImageError as error:
            skipped.append(f"{pair.x.name}: {error}")
            continue
        if x is not None and y.shape[:2] != (scale * x.shape[0], scale * x.shape[1]):
            names = pair.x.name if pair.y is None else f"{pair.x} and {pair.y}"
            raise image_files.ImageError(
                f"y must have {scale} times the height and width of x, as the model makes it. "
                f"Received: x of {x.shape[0]} x {x.shape[1]} pixels and y of {y.shape[0]} x "
                f"{y.shape[1]}, from {names}"
            )
        height, width = y.shape[0] // scale, y.shape[1] // scale
        if height < shape.height or width < shape.width:
            skipped.append(
                f"{pair.x.name}: {height} x {width} pixels, smaller than the crop of "
                f"{shape.height} x {shape.width}"
            )
        elif not all(part is None or np.isfinite(part).all() for part in (x, y)):
            skipped.append(f"{pair.x.name}: holds NaN or inf")
        else:
            usable.append(pair)
    if len(usable) < 2:
        reasons = "".join(f"\n  {reason}" for reason in skipped[:5])
        raise image_files.ImageError(
            "inputs must have at least 2 pictures that can be used. "
            f"Received: {len(usable)} of {len(pairs)}{reasons}"
        )
    return usable, skipped


def cut(sample: Sample, shape: Shape, top: int, left: int) -> list[np.ndarray]:
    """A crop of y, or of x and y, whose corner is given in pixels of x."""
    x, y = sample
    scale = shape.scale
    rows = slice(scale * top, scale * (top + shape.height))
    columns = slice(scale * left, scale * (left + shape.width))
    if x is None:
        return [y[rows, columns]]
    return [x[top : top + shape.height, left : left + shape.width], y[rows, columns]]


def centre(sample: Sample, shape: Shape) -> list[np.ndarray]:
    """The middle of y, or of x and y; of what x has, where that is less than the shape."""
    height, width = (side // shape.scale for side in sample[1].shape[:2])
    shape = Shape(min(height, shape.height), min(width, shape.width), shape.scale)
    top, left = (spare // 2 for spare in room(sample, shape))
    # Copies, so that the whole pictures need not stay in memory.
    return [part.copy() for part in cut(sample, shape, top, left)]


def room(sample: Sample, shape: Shape) -> tuple[int, int]:
    """By how many pixels of x a crop can be shifted down and right."""
    height, width = (size // shape.scale for size in sample[1].shape[:2])
    return height - shape.height, width - shape.width


@functools.lru_cache(maxsize=2)
def _order(count: int, seed: int, turn: int) -> np.ndarray:
    return np.random.default_rng((seed, turn, 1)).permutation(count)


def pairs_of_step(pairs: Sequence[Pair], batch_size: int, seed: int, step: int) -> list[Pair]:
    """Where the rows of a batch of `random_crops` come from."""
    places = (divmod(step * batch_size + row, len(pairs)) for row in range(batch_size))
    return [pairs[_order(len(pairs), seed, turn)[place]] for turn, place in places]


def random_crops(
    pairs: Sequence[Pair],
    read: Callable[[Pair], Sample],
    shape: Shape,
    make_input: Any,
    batch_size: int,
    seed: int,
) -> Callable[[int, int], tf.data.Dataset]:
    """A function from a first step and the one after the last to their batches.

    Crops and flips are random, and each picture is drawn once before any is drawn again.
    """
    first = cut(read(pairs[0]), shape, 0, 0)

    def batch(step: np.ndarray) -> list[np.ndarray]:
        rng = np.random.default_rng((seed, int(step)))
        made = [np.empty((batch_size, *part.shape), np.float32) for part in first]
        for row, pair in enumerate(pairs_of_step(pairs, batch_size, seed, int(step))):
            sample = read(pair)
            top, left = (int(rng.integers(spare + 1)) for spare in room(sample, shape))
            flip = -1 if rng.integers(2) else 1
            for whole, part in zip(made, cut(sample, shape, top, left)):
                whole[row] = part[:, ::flip]
        return made

    def tensors(step: tf.Tensor) -> tuple[tf.Tensor, ...]:
        # Not a generator: that slows the whole process of TensorFlow 2.21 (docs/design.md).
        made = tf.numpy_function(batch, [step], [tf.float32] * len(first))
        return tuple(
            tf.ensure_shape(tensor, (batch_size, *part.shape)) for tensor, part in zip(made, first)
        )

    def with_input(step: tf.Tensor, parts: tuple[tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        (y,) = parts
        return seeding.call_in_training(make_input, y, tf.stack([seed, step])), y

    def dataset(start: int, stop: int) -> tf.data.Dataset:
        made = tf.data.Dataset.range(start, stop).map(tensors, num_parallel_calls=2)
        if make_input is not None:
            # One by one: what keeps a random state would draw in any order.
            made = made.enumerate(start).map(with_input)
        return made.prefetch(2)

    return dataset


def centre_crops(
    pairs: Sequence[Pair],
    read: Callable[[Pair], Sample],
    shape: Shape,
    make_input: Any,
    batch_size: int,
) -> tf.data.Dataset:
    """The centres of pictures, always the same."""
    cuts = [centre(read(pair), shape) for pair in pairs]
    parts = [np.stack(column) for column in zip(*cuts)]
    if make_input is not None:
        x = seeding.call_in_training(make_input, tf.constant(parts[0]), (0, 0))
        parts.insert(0, x.numpy())
    return tf.data.Dataset.from_tensor_slices(tuple(parts)).batch(batch_size)
