"""The crop pipeline: random or central crops of samples, in batches.

All training data of the package comes from here, in three steps::

    samples = from_arrays([(x, y), ...], CropShape(64, 64))     # a source of crops
    indices = by_step(samples.count, batch_size=8, seed=0)      # which samples, in which order
    dataset = batches(samples, indices, flips=True)             # (x, y) or (x, y, sample_weight)

A sample is one ``(x, y)``, each ``(height, width, channels)``. Where x is made from y, it is None
in the sample, and `batches` takes `make_input`, which makes it from each batch of crops.

* Sources: `from_arrays` (in memory), `from_loader` (anything that a function loads by an item, such
  as pairs of files); `data._hdf5` makes its own `Samples`.
* Orders: `by_epoch` draws a new order for each iteration. `by_step` is a pure function of the seed
  and the step, so that a run that is resumed at step `start` sees the same bits.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from keras_temporal_reg.core import seeding, validation
from keras_temporal_reg.data import _augment, _pairing

Sample = tuple[np.ndarray | None, np.ndarray]
# From the free space below and to the right of a crop, in pixels of x, to its top left corner.
Corner = Callable[[int, int], "tuple[int, int]"]

_ENDLESS = 2**62


class CropShape(NamedTuple):
    """The size of a crop.

    Attributes:
        height: of x, in pixels.
        width: of x, in pixels.
        scale: pixels of y per pixel of x, along an axis.
    """

    height: int
    width: int
    scale: int = 1


@dataclasses.dataclass(frozen=True)
class Samples:
    """A source of crops.

    Attributes:
        count: number of samples.
        shapes: shape of each part of a crop, in the order x, y, sample_weight.
        read: crops of the samples with these indices, one list of parts per sample; calls the
            `Corner` once per sample.
        has_input: False where x is not among the parts, since it is made from y.
    """

    count: int
    shapes: Sequence[tuple[int, ...]]
    read: Callable[[Iterable[int], Corner], Iterator[list[np.ndarray]]]
    has_input: bool = True


def from_loader(items: Sequence[Any], load: Callable[[Any], Sample], shape: CropShape) -> Samples:
    """Samples that `load` returns for each of the items, at least as large as the crop.

    Args:
        items: one per sample, for instance a pair of paths.
        load: from an item to its sample; called for each crop, by several threads.
        shape: size of the crops.
    """
    first = load(items[0])

    def read(indices: Iterable[int], corner: Corner) -> Iterator[list[np.ndarray]]:
        for index in indices:
            sample = load(items[index])
            yield crop_at(sample, shape, *corner(*_free_space(sample, shape)))

    shapes = [part.shape for part in crop_at(first, shape, 0, 0)]
    return Samples(len(items), shapes, read, has_input=first[0] is not None)


def from_arrays(samples: Sequence[Sample], shape: CropShape) -> Samples:
    """Samples in memory.

    Args:
        samples: ``(x, y)``, or ``(None, y)`` where x is made from y.
        shape: size of the crops.

    Raises:
        ValueError: if a sample holds NaN or infinity, or is smaller than the crop.
    """
    for number, sample in enumerate(samples):
        if min(_free_space(sample, shape)) < 0:
            raise ValueError(
                f"samples must have at least the size of the crop, {shape.height} x {shape.width} "
                f"pixels of x. Received: y of shape {sample[1].shape} in sample {number}"
            )
        for name, part in zip("xy", sample):
            if part is not None and not np.isfinite(part).all():
                raise ValueError(
                    f"{name} of all samples must be finite. Received: NaN or infinity in sample "
                    f"{number}"
                )
    return from_loader(samples, lambda sample: sample, shape)


def by_epoch(
    count: int,
    batch_size: int,
    seed: int,
    shuffle: bool = True,
    drop_remainder: bool = False,
) -> tf.data.Dataset:
    """Indices of one epoch: each sample once, in a new order at each iteration.

    Args:
        count: number of samples.
        batch_size: samples per batch.
        seed: fixes the orders and the seeds of the batches.
        shuffle: False for the order of the samples.
        drop_remainder: leave out a last batch that is smaller.

    Returns:
        ``(indices, seed)`` per batch, int64: ``(batch_size,)`` and ``(2,)``.
    """
    indices = tf.data.Dataset.range(count)
    if shuffle:
        indices = indices.shuffle(count, seed)
    indices = indices.batch(batch_size, drop_remainder)
    return tf.data.Dataset.zip((indices, seeding.seed_pairs(seed)))


def by_step(
    count: int, batch_size: int, seed: int, start: int = 0, stop: int = _ENDLESS
) -> tf.data.Dataset:
    """Indices of the steps from `start` to before `stop`, as a function of seed and step alone.

    Each sample comes once before any comes again.

    Returns:
        ``(indices, seed)`` per step, int64: ``(batch_size,)`` and ``(2,)``.
    """

    def of_step(step: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        indices = tf.numpy_function(
            lambda n: np.array(indices_of_step(count, batch_size, seed, int(n)), np.int64),
            [step],
            tf.int64,
        )
        return tf.ensure_shape(indices, (batch_size,)), tf.stack([seed, step])

    return tf.data.Dataset.range(start, stop).map(of_step)


def indices_of_step(count: int, batch_size: int, seed: int, step: int) -> list[int]:
    """The samples of one step of `by_step`, in the order of their rows."""
    places = (divmod(step * batch_size + row, count) for row in range(batch_size))
    return [int(_order(count, seed, turn)[place]) for turn, place in places]


@functools.lru_cache(maxsize=2)
def _order(count: int, seed: int, turn: int) -> np.ndarray:
    return np.random.default_rng((seed, turn, 1)).permutation(count)


def batches(
    samples: Samples,
    indices: tf.data.Dataset,
    *,
    center: bool = False,
    flips: bool = False,
    augmentation: _pairing.ImageFunction | None = None,
    make_input: _pairing.ImageFunction | None = None,
    sample_weight: Callable[[tf.Tensor], tf.Tensor] | None = None,
) -> tf.data.Dataset:
    """Make batches of crops.

    Args:
        samples: where the crops come from.
        indices: ``(indices, seed)`` per batch, from `by_epoch` or `by_step`.
        center: take the center of each sample in place of a random crop.
        flips: mirror every second crop from left to right, at random.
        augmentation: a layer or function that changes x and y alike, see `data.augment`; comes
            before `make_input`.
        make_input: makes x from the crops of y; gets the batch's seed if it has a `seed` argument.
        sample_weight: makes weights from the crops of y.

    Returns:
        Batches ``(x, y)``, or ``(x, y, sample_weight)`` where the samples have weights or a
        function makes them; float32.
    """
    shapes = samples.shapes

    def load(indices: np.ndarray, seed: np.ndarray) -> list[np.ndarray]:
        rng = np.random.default_rng(seed)

        def corner(down: int, right: int) -> tuple[int, int]:
            if center:
                return down // 2, right // 2
            return int(rng.integers(down + 1)), int(rng.integers(right + 1))

        whole = [np.empty((len(indices), *shape), np.float32) for shape in shapes]
        for row, parts in enumerate(samples.read(indices, corner)):
            flipped = flips and rng.integers(2)
            for rows, part in zip(whole, parts):
                rows[row] = part[:, ::-1] if flipped and part.ndim > 1 else part
        return whole

    def crops(indices: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tuple[tf.Tensor, ...]]:
        # Not a generator: that slows the whole process of TensorFlow 2.21 (docs/design.md).
        parts = tf.numpy_function(load, [indices, seed], [tf.float32] * len(shapes))
        rows = indices.shape[0]
        return seed, tuple(tf.ensure_shape(p, (rows, *s)) for p, s in zip(parts, shapes))

    def complete(seed: tf.Tensor, parts: tuple[tf.Tensor, ...]) -> tuple[Any, ...]:
        x, y, *weights = parts if samples.has_input else ((), *parts)
        if augmentation is not None:
            x, y, *weights = _augment.augment_batch(augmentation, x, y, *weights)
        if not samples.has_input and make_input is not None:
            x = seeding.call_in_training(make_input, y, seed)
        if sample_weight is not None:
            weights = [sample_weight(y)]
        return (x, y, *weights)

    # The second one by one: what keeps a random state would draw in any order.
    dataset = indices.map(crops, num_parallel_calls=tf.data.AUTOTUNE).map(complete)
    return dataset.prefetch(2)


def crop_at(sample: Sample, shape: CropShape, top: int, left: int) -> list[np.ndarray]:
    """The crop of y, or of x and y, with this corner in pixels of x; views."""
    x, y = sample
    scale = shape.scale
    rows = slice(scale * top, scale * (top + shape.height))
    columns = slice(scale * left, scale * (left + shape.width))
    if x is None:
        return [y[rows, columns]]
    return [x[top : top + shape.height, left : left + shape.width], y[rows, columns]]


def center_crop(sample: Sample, shape: CropShape) -> list[np.ndarray]:
    """A copy of the center of y, or of x and y; at most what the sample has."""
    height, width = (side // shape.scale for side in sample[1].shape[:2])
    shape = CropShape(min(height, shape.height), min(width, shape.width), shape.scale)
    top, left = (space // 2 for space in _free_space(sample, shape))
    # Copies, so that the whole images need not stay in memory.
    return [part.copy() for part in crop_at(sample, shape, top, left)]


def _free_space(sample: Sample, shape: CropShape) -> tuple[int, int]:
    """By how many pixels of x a crop can be shifted down and right."""
    height, width = (side // shape.scale for side in sample[1].shape[:2])
    return height - shape.height, width - shape.width


@dataclasses.dataclass(frozen=True)
class EpochOptions:
    """What `from_directory` and `from_hdf5` share; see there.

    Raises:
        TypeError: if `augmentation` cannot be called.
        ValueError: for an option out of its range.
    """

    crop: int | None
    batch_size: int
    augmentation: _pairing.ImageFunction | None
    transform: Any
    perturbation: _pairing.ImageFunction | None
    pair_fraction: float
    shuffle: bool
    seed: int | None
    drop_remainder: bool

    def __post_init__(self) -> None:
        if self.crop is not None:
            validation.whole_number("crop", self.crop, 8)
        validation.whole_number("batch_size", self.batch_size, 1)
        if self.augmentation is not None:
            _augment.check_augmentation("augmentation", self.augmentation)
        fraction = validation.fraction("pair_fraction", self.pair_fraction, "(", "]")
        if fraction != 1.0 and not self.paired:
            raise ValueError(
                "pair_fraction must be 1 without a transform or a perturbation, since batches are "
                f"then not paired. Received: {self.pair_fraction}"
            )
        if self.seed is not None:
            validation.whole_number("seed", self.seed, 0)

    @property
    def paired(self) -> bool:
        return self.transform is not None or self.perturbation is not None


def epochs(
    samples: Samples, options: EpochOptions, make_input: _pairing.ImageFunction | None
) -> tf.data.Dataset:
    """A data set of one epoch per iteration: cropped, augmented, paired and prefetched."""
    if options.drop_remainder and samples.count < options.batch_size:
        raise ValueError(
            f"batch_size must be at most the number of samples, {samples.count}, where the "
            f"remainder is dropped. Received: {options.batch_size}"
        )
    seed = seeding.chosen_seed(None, options.seed)
    dataset = batches(
        samples,
        by_epoch(samples.count, options.batch_size, seed, options.shuffle, options.drop_remainder),
        center=not options.shuffle,
        augmentation=options.augmentation,
        make_input=make_input,
    )
    if not options.paired:
        return dataset
    return _pairing.pair_with_transformed(
        dataset,
        options.transform,
        options.perturbation,
        make_input,
        options.pair_fraction,
        seed,
    ).prefetch(tf.data.AUTOTUNE)
