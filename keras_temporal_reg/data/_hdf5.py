"""Training data from HDF5 files."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import h5py
import numpy as np
import tensorflow as tf

from keras_temporal_reg.core import validation
from keras_temporal_reg.data import _crops, _pairing

MAX_SAMPLES = 2**24  # shuffling holds the index of each in memory
MAX_VALUES = 2**28  # of a crop or of a whole image
MAX_CHUNK = 2**30  # bytes of a compressed chunk, which is unpacked for each crop from it


def from_hdf5(
    path: Any,
    x: str | None = "x",
    y: str = "y",
    sample_weight: str | None = None,
    *,
    crop: int | None = None,
    batch_size: int = 8,
    augmentation: _pairing.ImageFunction | None = None,
    transform: Any = None,
    perturbation: _pairing.ImageFunction | None = None,
    make_input: _pairing.ImageFunction | None = None,
    pair_fraction: float = 1.0,
    shuffle: bool = True,
    seed: int | None = None,
    drop_remainder: bool = False,
) -> tf.data.Dataset:
    """Make a training data set from arrays in an HDF5 file, which may be larger than memory.

    Like `from_directory`, but x and y are HDF5 data sets. Each batch opens the file, reads its
    crops and closes the file, so that several readers, in threads or processes, do not disturb
    one another. In files that are compressed or chunked, let a chunk hold one image.

    Args:
        path: the file.
        x: name of the HDF5 data set of inputs, ``(count, height, width, channels)`` numbers. None:
            `make_input` makes x from y.
        y: name of the one of targets, ``(count, height, width, channels)``; to be cropped, it must
            have the size of x or a whole multiple.
        sample_weight: name of the one of weights: per sample, ``(count,)``, or per pixel of y,
            ``(count, height, width)`` or ``(count, height, width, 1)``.
        crop: height and width of the crops, in pixels of x (of y if x is None), at least 8.
            None: whole images.
        batch_size: samples per batch, not counting counterparts.
        augmentation: a Keras or KerasCV layer, or a function, that changes x and y alike; see
            `data.augment`. Values come as they are stored: ``keras.layers.Rescaling(1 / 255)``
            brings bytes to [0, 1].
        transform: draws T, such as `RandomAffine`. Without a transform and a perturbation,
            batches are not paired, as `RegularizedModel` takes them.
        perturbation: a layer or function applied to the counterparts' x only.
        make_input: makes x from y, as in `data.pair_with_transformed`.
        pair_fraction: share of each batch that gets a counterpart, in (0, 1].
        shuffle: False for validation: images in their order, and the center of each.
        seed: fixes order, crops and T (unless `transform` has its own seed), given the global
            seed of TensorFlow; layers have their own seeds.
        drop_remainder: leave out the last batch of an epoch if it is smaller.

    Returns:
        Batches ``(x, y)`` or ``(x, y, sample_weight)``, float32. See
        `data.pair_with_transformed` for paired ones.

    Raises:
        TypeError: if `augmentation` cannot be called.
        ValueError: if the file cannot be read, or its data sets are missing, do not hold images,
            or do not fit one another or the crop; with their names.

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
    options = _crops.EpochOptions(
        crop,
        batch_size,
        augmentation,
        transform,
        perturbation,
        pair_fraction,
        shuffle,
        seed,
        drop_remainder,
    )
    if x is None and make_input is None:
        raise ValueError(
            "x must be the name of an HDF5 data set where there is no make_input. Received: None"
        )
    samples = _samples_in(path, x, y, sample_weight, crop)
    return _crops.epochs(samples, options, make_input)


def _samples_in(
    path: Any, x: str | None, y: str, sample_weight: str | None, crop: int | None
) -> _crops.Samples:
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
                f"{name} in {path} must have at most {MAX_VALUES} values per crop. "
                f"Received: {' x '.join(map(str, shape))}"
            )

    def read(indices: Iterable[int], corner: _crops.Corner) -> Iterator[list[np.ndarray]]:
        with _readable(path) as file:
            for index in indices:
                at = corner(height - shapes[0][0], width - shapes[0][1])
                parts = []
                for name, scale, shape in zip(names, scales, shapes):
                    window = [slice(scale * a, scale * a + n) for a, n in zip(at, shape)]
                    parts.append(file[name][tuple([index, *window])])
                yield parts

    return _crops.Samples(sizes[0][0], shapes, read, has_input=x is not None)


def _sizes_in(path: Any, images: Sequence[str], sample_weight: str | None) -> list[tuple[int, ...]]:
    """Return the shapes of HDF5 data sets, after checks that they hold samples that fit."""
    names = [*images] if sample_weight is None else [*images, sample_weight]
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
            dtypes = [stored[name].dtype for name in names]
            chunks = [_bytes_unpacked_at_once(stored[name]) for name in names]
    if missing:
        raise ValueError(
            f"{path} must hold the HDF5 data sets {', '.join(names)}. Received: without "
            f"{', '.join(missing)}, with {', '.join(found) or 'none'}"
        )
    for name, size, dtype, chunk in zip(names, sizes, dtypes, chunks):
        if dtype.kind not in "biuf":
            raise ValueError(f"{name} in {path} must hold numbers. Received: {dtype}")
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
        y_size = sizes[-2][1:3]
        if sizes[-1][1:] not in ((), y_size, (*y_size, 1)):
            raise ValueError(
                f"{sample_weight} in {path} must hold weights per sample, (count,), or per pixel "
                f"of {images[-1]}, {y_size[0]} x {y_size[1]}. Received: shape {sizes[-1]}"
            )
    if len({size[0] for size in sizes}) > 1:
        lengths = ", ".join(f"{size[0]} in {name}" for name, size in zip(names, sizes))
        raise ValueError(f"{', '.join(names)} in {path} must have one length. Received: {lengths}")
    return sizes


def _bytes_unpacked_at_once(stored: h5py.Dataset) -> int:
    """Bytes of a chunk that must be unpacked whole; 0 where there is none."""
    compressed = stored.chunks and stored.id.get_create_plist().get_nfilters()
    return math.prod(stored.chunks) * stored.dtype.itemsize if compressed else 0


@contextlib.contextmanager
def _readable(path: Any) -> Iterator[h5py.File]:
    """Open the HDF5 file at `path`; errors in it name the file."""
    try:
        with h5py.File(path, "r") as file:
            yield file
    # Broken files raise what HDF5 met: OSError, RuntimeError, KeyError, TypeError, ...
    except Exception as error:
        raise ValueError(f"path must be a whole HDF5 file. Received: {path} ({error})") from error
