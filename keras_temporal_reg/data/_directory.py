"""Data sets to train on, from folders of pictures and from HDF5 files: `ktr.data.from_...`."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Callable

import h5py
import numpy as np
import tensorflow as tf

from keras_temporal_reg.core import seeding, validation
from keras_temporal_reg.data import _augment as data
from keras_temporal_reg.data import _crops as crops
from keras_temporal_reg.data import _pairing as pairing
from keras_temporal_reg.io import image_files
from keras_temporal_reg.tasks import _task as tasks

MAX_SAMPLES = 2**24  # in an HDF5 file; shuffling holds the number of each in memory
MAX_VALUES = 2**28  # of a crop or of a whole image, in an HDF5 file
MAX_CHUNK = 2**30  # bytes of a compressed chunk, which is unpacked for each crop out of it

# The room for a crop, down and right, to its corner.
Corner = Callable[[int, int], "tuple[int, int]"]
# Which samples, and where to cut them, to the parts of one after the other.
Read = Callable[[Iterable[int], Corner], Iterator["list[np.ndarray]"]]


def from_directory(
    inputs: Any,
    targets: Any = None,
    *,
    task: str | tasks.Task = "restoration",
    crop: int | None = 64,
    batch_size: int = 8,
    augmentation: pairing.ImageFunction | None = None,
    transform: Any = None,
    perturbation: pairing.ImageFunction | None = None,
    pair_fraction: float = 1.0,
    shuffle: bool = True,
    seed: int | None = None,
    drop_remainder: bool = False,
) -> tf.data.Dataset:
    """A data set to train on, from folders of pictures: cropped, augmented, paired, prefetched.

    An epoch has each picture once, in an order and with a crop drawn anew. Pictures are read
    when they are needed, and kept up to 1 GiB. Needs the extra ``video``::

        dataset = ktr.data.from_directory("low", "high", transform=ktr.RandomAffine())
        model.compile("adam", ktr.losses.SparseJacobianLoss(alpha=0.9))
        model.fit(dataset, epochs=10)

    Args:
        inputs: a folder of pictures.
        targets: a folder of pictures of the same names, of the same size or a whole multiple.
            None: `task` makes x and y of each picture of `inputs`.
        task: the name of one, its dotted path, or itself; see `tasks.find`. "restoration" takes
            RGB in [0, 1] as it is.
        crop: height and width of the crops, in pixels of x, at least 8. None: whole pictures,
            which must be of one size.
        batch_size: samples in a batch, counterparts not counted.
        augmentation: a Keras or KerasCV layer, or a function, for x and y alike; see
            `data.augment`. Where the task makes x from y, it changes y before that.
        transform: draws T, such as `RandomAffine`. None, and no perturbation: batches are not
            paired, as `RegularizedModel` takes them.
        perturbation: a layer or function applied to the counterparts' x only.
        pair_fraction: share of each batch that gets a counterpart, in (0, 1].
        shuffle: False for validation: pictures in their order, and the centre of each.
        seed: fixes order, crops and T, unless `transform` has its own, for one global seed of
            TensorFlow; layers have their own seeds.
        drop_remainder: leave out the last batch of an epoch if it is smaller.

    Returns:
        Batches ``(x, y)``, float32: ``(batch_size, crop, crop, channels)`` before they are
        paired. See `data.pair_with_transformed` for paired ones.

    Raises:
        TypeError: if `augmentation` cannot be called, or `task` is no task.
        ValueError: if a folder is missing or empty, if pictures lack their counterpart, cannot be
            read, or are of sizes that do not fit; with their names.
        ImportError: if a package of the extra ``video`` is missing.

    Example:
        >>> import pathlib, tempfile
        >>> folder = pathlib.Path(tempfile.mkdtemp())
        >>> for n in range(3):
        ...     image_files.write(folder / f"{n}.png", np.full((24, 32, 3), 0.5))
        >>> dataset = ktr.data.from_directory(
        ...     folder, task="colorization", crop=16, transform=ktr.RandomAffine()
        ... )
        >>> for x, y in dataset:
        ...     print(x.shape, y.shape)
        (6, 16, 16, 1) (6, 16, 16, 3)
    """
    paired = transform is not None or perturbation is not None
    _check_options(crop, batch_size, augmentation, paired, pair_fraction, seed)
    task = tasks.find(task) if isinstance(task, str) else task
    if not isinstance(task, tasks.Task):
        raise TypeError(
            f"task must be a name or a keras_temporal_reg.tasks.Task. Received: {task!r}"
        )
    pairs = crops.pairs_in(Path(inputs), None if targets is None else Path(targets))
    if not pairs:
        raise image_files.ImageError(
            f"inputs must hold pictures ({', '.join(image_files.SUFFIXES)}). Received: {inputs}"
        )
    make_input = task.make_input if targets is None else None
    read_once = crops.cached(lambda pair: crops.sample(pair, task), crops.CACHE_BYTES)
    first = read_once(pairs[0])
    shape = _shape_of(pairs, first, task.scale, crop)

    def read(places: Iterable[int], corner: Corner) -> Iterator[list[np.ndarray]]:
        for place in places:
            sample = read_once(pairs[place])
            _check_sample(pairs[place], sample, shape)
            yield crops.cut(sample, shape, *corner(*crops.room(sample, shape)))

    _check_sample(pairs[0], first, shape)
    return _batches(
        read,
        len(pairs),
        [part.shape for part in crops.cut(first, shape, 0, 0)],
        makes_x=first[0] is None,
        batch_size=batch_size,
        augmentation=augmentation,
        transform=transform,
        perturbation=perturbation,
        make_input=make_input,
        pair_fraction=pair_fraction,
        shuffle=shuffle,
        seed=seed,
        drop_remainder=drop_remainder,
    )


def from_hdf5(
    path: Any,
    x: str | None = "x",
    y: str = "y",
    sample_weight: str | None = None,
    *,
    crop: int | None = None,
    batch_size: int = 8,
    augmentation: pairing.ImageFunction | None = None,
    transform: Any = None,
    perturbation: pairing.ImageFunction | None = None,
    make_input: pairing.ImageFunction | None = None,
    pair_fraction: float = 1.0,
    shuffle: bool = True,
    seed: int | None = None,
    drop_remainder: bool = False,
) -> tf.data.Dataset:
    """A data set to train on, from arrays in an HDF5 file that may be larger than the memory.

    As `from_directory`, but x and y are HDF5 data sets. Each batch opens the file, reads its own
    crops and closes it: several readers, in threads or processes, do not disturb one another.
    In files that are compressed or chunked, let a chunk hold one image.

    Args:
        path: the file.
        x: name of the HDF5 data set of inputs, ``(count, height, width, channels)`` numbers. None:
            `make_input` makes x from y.
        y: name of that of targets, ``(count, height, width, channels)``; to be cropped, it has
            the size of x or a whole multiple.
        sample_weight: name of that of weights: ``(count,)``, or one for each pixel of y,
            ``(count, height, width)`` or ``(count, height, width, 1)``.
        crop: height and width of the crops, in pixels of x (of y, where x is None), at least 8.
            None: whole images.
        batch_size: samples in a batch, counterparts not counted.
        augmentation: a Keras or KerasCV layer, or a function, for x and y alike; see
            `data.augment`. Values are as they are stored: ``keras.layers.Rescaling(1 / 255)``
            brings bytes to [0, 1].
        transform: draws T, such as `RandomAffine`. None, and no perturbation: batches are not
            paired, as `RegularizedModel` takes them.
        perturbation: a layer or function applied to the counterparts' x only.
        make_input: makes x from y, as in `data.pair_with_transformed`.
        pair_fraction: share of each batch that gets a counterpart, in (0, 1].
        shuffle: False for validation: images in their order, and the centre of each.
        seed: fixes order, crops and T, unless `transform` has its own, for one global seed of
            TensorFlow; layers have their own seeds.
        drop_remainder: leave out the last batch of an epoch if it is smaller.

    Returns:
        Batches ``(x, y)`` or ``(x, y, sample_weight)``, float32. See
        `data.pair_with_transformed` for paired ones.

    Raises:
        TypeError: if `augmentation` cannot be called.
        ValueError: if the file cannot be read, or its data sets are missing, hold no images, or
            do not fit one another or the crop; with their names.

    Example:
        >>> import h5py, os, tempfile
        >>> path = os.path.join(tempfile.mkdtemp(), "images.h5")
        >>> with h5py.File(path, "w") as file:
        ...     file["low"] = np.zeros((5, 24, 32, 3), "uint8")
        ...     file["high"] = np.zeros((5, 48, 64, 3), "uint8")
        >>> dataset = ktr.data.from_hdf5(path, "low", "high", crop=16, batch_size=4)
        >>> for x, y in dataset:
        ...     print(x.shape, y.shape)
        (4, 16, 16, 3) (4, 32, 32, 3)
        (1, 16, 16, 3) (1, 32, 32, 3)
    """
    paired = transform is not None or perturbation is not None
    _check_options(crop, batch_size, augmentation, paired, pair_fraction, seed)
    if x is None and make_input is None:
        raise ValueError("x must be the name of an HDF5 data set where there is no make_input")
    images = [y] if x is None else [x, y]
    names = images if sample_weight is None else [*images, sample_weight]
    sizes = _sizes_in(path, images, sample_weight)
    height, width = sizes[0][1:3]
    y_size = sizes[len(images) - 1][1:3]
    scale = y_size[0] // height
    if crop is not None and crop > min(height, width):
        raise ValueError(
            f"crop must be at most the size of the images of {images[0]} in {path}, "
            f"{height} x {width}. Received: {crop}"
        )
    if crop is not None and y_size != (scale * height, scale * width):
        raise ValueError(
            f"{y} in {path} must have the height and width of {x}, {height} x {width}, or a whole "
            f"multiple, to be cropped. Received: {y_size[0]} x {y_size[1]}"
        )
    validation.same_aspect(f"{images[0]} in {path}", (height, width), y, y_size)
    scales = [1 if name == x else scale for name in names]
    shapes = [
        size[1:] if crop is None or len(size) == 1 else (scale * crop, scale * crop, *size[3:])
        for size, scale in zip(sizes, scales)
    ]
    for name, shape in zip(names, shapes):
        if math.prod(shape) > MAX_VALUES:
            raise ValueError(
                f"{name} in {path} must have at most {MAX_VALUES} values in what is read of an "
                f"image. Received: {' x '.join(map(str, shape))}"
            )

    def read(places: Iterable[int], corner: Corner) -> Iterator[list[np.ndarray]]:
        with _readable(path) as file:
            for place in places:
                at = corner(height - shapes[0][0], width - shapes[0][1])
                parts = []
                for name, k, shape in zip(names, scales, shapes):
                    window = [slice(k * start, k * start + n) for start, n in zip(at, shape)]
                    parts.append(file[name][tuple([place, *window])])
                yield parts

    return _batches(
        read,
        sizes[0][0],
        shapes,
        makes_x=x is None,
        batch_size=batch_size,
        augmentation=augmentation,
        transform=transform,
        perturbation=perturbation,
        make_input=make_input,
        pair_fraction=pair_fraction,
        shuffle=shuffle,
        seed=seed,
        drop_remainder=drop_remainder,
    )


def _check_options(
    crop: Any, batch_size: Any, augmentation: Any, paired: bool, pair_fraction: Any, seed: Any
) -> None:
    if crop is not None:
        validation.whole_number("crop", crop, 8)
    validation.whole_number("batch_size", batch_size, 1)
    if augmentation is not None:
        data.check_augmentation("augmentation", augmentation)
    if validation.fraction("pair_fraction", pair_fraction, "(", "]") != 1.0 and not paired:
        raise ValueError(
            "pair_fraction must be 1 where there is no transform and no perturbation, and so no "
            f"pairs. Received: {pair_fraction}"
        )
    if seed is not None:
        validation.whole_number("seed", seed, 0)


def _batches(
    read: Read,
    count: int,
    shapes: list[tuple[int, ...]],
    *,
    makes_x: bool,
    batch_size: int,
    augmentation: pairing.ImageFunction | None,
    transform: Any,
    perturbation: pairing.ImageFunction | None,
    make_input: pairing.ImageFunction | None,
    pair_fraction: float,
    shuffle: bool,
    seed: int | None,
    drop_remainder: bool,
) -> tf.data.Dataset:
    """What both sources share: which samples are read when, and what becomes of them."""
    if drop_remainder and count < batch_size:
        raise ValueError(
            f"batch_size must be at most the number of samples, {count}, where the remainder is "
            f"dropped. Received: {batch_size}"
        )
    seed = seeding.chosen_seed(None, seed)

    def batch(places: np.ndarray, numbers: np.ndarray) -> list[np.ndarray]:
        rng = np.random.default_rng(numbers)

        def corner(down: int, right: int) -> tuple[int, int]:
            if not shuffle:
                return down // 2, right // 2
            return int(rng.integers(down + 1)), int(rng.integers(right + 1))

        made = [np.empty((len(places), *shape), np.float32) for shape in shapes]
        for row, parts in enumerate(read(places, corner)):
            for whole, part in zip(made, parts):
                whole[row] = part
        return made

    rows = batch_size if drop_remainder else None

    def tensors(places: tf.Tensor, numbers: tf.Tensor) -> tuple[Any, ...]:
        # Not a generator: that slows the whole process of TensorFlow 2.21 (docs/design.md).
        made = tf.numpy_function(batch, [places, numbers], [tf.float32] * len(shapes))
        parts = (tf.ensure_shape(part, (rows, *shape)) for part, shape in zip(made, shapes))
        return numbers, tuple(parts)

    def finished(numbers: tf.Tensor, parts: tuple[tf.Tensor, ...]) -> tuple[Any, ...]:
        element: tuple[Any, ...] = ((), *parts) if makes_x else parts
        if augmentation is not None:
            element = data.augmented(augmentation, *element)
        if makes_x and make_input is not None:
            x = seeding.call_in_training(make_input, element[1], numbers)
            element = (x, *element[1:])
        return element

    places = tf.data.Dataset.range(count)
    if shuffle:
        places = places.shuffle(count, seed)
    places = places.batch(batch_size, drop_remainder)
    dataset = tf.data.Dataset.zip((places, seeding.seed_pairs(seed)))
    # The second one by one: what keeps a random state would draw in any order.
    dataset = dataset.map(tensors, num_parallel_calls=tf.data.AUTOTUNE).map(finished)
    if transform is not None or perturbation is not None:
        dataset = data.pair_with_transformed(
            dataset, transform, perturbation, make_input, pair_fraction, seed
        )
    return dataset.prefetch(tf.data.AUTOTUNE)


def _shape_of(
    pairs: list[crops.Pair], first: crops.Sample, scale: int, crop: int | None
) -> crops.Shape:
    """The sizes of crops, which all pictures hold, as the heads of their files tell."""
    x, y = first
    sizes = {path: image_files.size(path) for pair in pairs for path in pair if path is not None}
    own = sizes[pairs[0].x]
    if x is None:
        reduced = scale
    else:
        # A task can make x smaller than the picture.
        scale, reduced = (max(1, tall // x.shape[0]) for tall in (y.shape[0], own[0]))
    _refuse(
        [p for p in pairs if p.y and sizes[p.x] != tuple(side // scale for side in sizes[p.y])],
        "targets must have the height and width of their inputs"
        + (f", times {scale} as {pairs[0].y} has" if scale > 1 else ", or a whole multiple"),
        sizes,
    )
    if crop is None:
        _refuse(
            [pair for pair in pairs if sizes[pair.x] != own],
            "pictures must be of one size where there is no crop, "
            f"{own[0]} x {own[1]} as {pairs[0].x} is",
            sizes,
        )
        return crops.Shape(own[0] // reduced, own[1] // reduced, scale)
    _refuse(
        [pair for pair in pairs if min(sizes[pair.x]) < reduced * crop],
        f"pictures must be no smaller than the crop, {reduced * crop} x {reduced * crop}",
        sizes,
    )
    return crops.Shape(crop, crop, scale)


def _refuse(wrong: list[crops.Pair], what: str, sizes: dict[Path, tuple[int, int]]) -> None:
    if not wrong:
        return
    listed = [
        " and ".join(f"{path} of {sizes[path][0]} x {sizes[path][1]}" for path in pair if path)
        for pair in wrong[:5]
    ]
    more = f"; and {len(wrong) - 5} more" if len(wrong) > 5 else ""
    raise image_files.ImageError(f"{what}. Received: {'; '.join(listed)}{more}")


def _check_sample(pair: crops.Pair, sample: crops.Sample, shape: crops.Shape) -> None:
    """What the heads of files do not tell: what the task makes of them."""
    x, y = sample
    height, width = (side // shape.scale for side in y.shape[:2])
    fits = x is None or y.shape[:2] == (shape.scale * x.shape[0], shape.scale * x.shape[1])
    if not fits or height < shape.height or width < shape.width:
        sizes = " and y of ".join(f"{p.shape[0]} x {p.shape[1]}" for p in sample if p is not None)
        raise image_files.ImageError(
            f"samples must have y of {shape.scale} times the height and width of x, and hold a "
            f"crop of {shape.height} x {shape.width}. Received: x of {sizes}, from {pair.x}"
        )


def _sizes_in(path: Any, images: list[str], sample_weight: str | None) -> list[tuple[int, ...]]:
    """Shapes of the HDF5 data sets, which fit one another."""
    names = images if sample_weight is None else [*images, sample_weight]
    with _readable(path) as file:
        stored = {name: file.get(name) for name in names}
        missing = [name for name in names if not isinstance(stored[name], h5py.Dataset)]
        found: list[str] = []
        if missing:
            file.visititems(
                lambda name, item: found.append(name) if isinstance(item, h5py.Dataset) else None
            )
        else:
            sizes = [stored[name].shape or () for name in names]  # None where it is empty
            kinds = [stored[name].dtype for name in names]
            chunks = [_unpacked_at_once(stored[name]) for name in names]
    if missing:
        raise ValueError(
            f"{path} must hold the HDF5 data sets {', '.join(names)}. Received: without "
            f"{', '.join(missing)}, with {', '.join(found) or 'none'}"
        )
    for name, size, kind, chunk in zip(names, sizes, kinds, chunks):
        if kind.kind not in "biuf":
            raise ValueError(f"{name} in {path} must hold numbers. Received: {kind}")
        if name in images and (len(size) != 4 or 0 in size):
            raise ValueError(
                f"{name} in {path} must hold images, (count, height, width, channels). "
                f"Received: shape {size}"
            )
        if size and size[0] > MAX_SAMPLES:
            raise ValueError(
                f"{name} in {path} must hold at most {MAX_SAMPLES} samples. Received: {size[0]}"
            )
        if chunk > MAX_CHUNK:
            raise ValueError(
                f"{name} in {path} must have compressed chunks of at most {MAX_CHUNK // 2**20} "
                f"MiB, best of one image. Received: {chunk // 2**20} MiB"
            )
    if sample_weight is not None:
        high = sizes[-2][1:3]
        if sizes[-1][1:] not in ((), high, (*high, 1)):
            raise ValueError(
                f"{sample_weight} in {path} must be (count,), one weight a sample, or one a "
                f"pixel of {images[-1]}, {high[0]} x {high[1]}. Received: shape {sizes[-1]}"
            )
    if len({size[0] for size in sizes}) > 1:
        lengths = ", ".join(f"{size[0]} in {name}" for name, size in zip(names, sizes))
        raise ValueError(f"{', '.join(names)} in {path} must be of one length. Received: {lengths}")
    return sizes


def _unpacked_at_once(stored: h5py.Dataset) -> int:
    """Bytes of a chunk that must be unpacked whole; 0 where there is none."""
    compressed = stored.chunks and stored.id.get_create_plist().get_nfilters()
    return math.prod(stored.chunks) * stored.dtype.itemsize if compressed else 0


@contextlib.contextmanager
def _readable(path: Any) -> Iterator[h5py.File]:
    """The HDF5 file at `path`; what goes wrong in it is told with its name."""
    try:
        with h5py.File(path, "r") as file:
            yield file
    # Broken files raise what HDF5 met: OSError, RuntimeError, KeyError, TypeError, ...
    except Exception as error:
        raise ValueError(f"path must be a whole HDF5 file. Received: {path} ({error})") from error
