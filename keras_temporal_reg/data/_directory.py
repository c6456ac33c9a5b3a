"""Training data from folders of images."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from keras_temporal_reg import tasks
from keras_temporal_reg.data import _crops, _pairing, _sample_cache
from keras_temporal_reg.io import image_files


class Pair(NamedTuple):
    """The files of a sample: one, or one for x and one for y."""

    x: Path
    y: Path | None


def from_directory(
    inputs: Any,
    targets: Any = None,
    *,
    task: str | tasks.Task = "restoration",
    crop: int | None = 64,
    batch_size: int = 8,
    augmentation: _pairing.ImageFunction | None = None,
    transform: Any = None,
    perturbation: _pairing.ImageFunction | None = None,
    pair_fraction: float = 1.0,
    shuffle: bool = True,
    seed: int | None = None,
    drop_remainder: bool = False,
) -> tf.data.Dataset:
    """Make a training data set from folders of images: cropped, augmented, paired, prefetched.

    An epoch has each image once, in a new order and with a new crop. Images are decoded when they
    are needed, and up to 1 GiB of them is kept. Needs the extra ``video``::

        dataset = ktr.data.from_directory("low", "high", transform=ktr.RandomAffine())
        model.compile("adam", ktr.losses.SparseJacobianLoss(alpha=0.9))
        model.fit(dataset, epochs=10)

    Args:
        inputs: a folder of images.
        targets: a folder of images with the same names, of the same size or a whole multiple.
            None: `task` makes x and y from each image of `inputs`.
        task: a task's name, its dotted path, or a `tasks.Task`; see `tasks.find`. "restoration"
            takes RGB in [0, 1] unchanged.
        crop: height and width of the crops, in pixels of x, at least 8. None: whole images,
            which must all have one size.
        batch_size: samples per batch, not counting counterparts.
        augmentation: a Keras or KerasCV layer, or a function, that changes x and y alike; see
            `data.augment`. Where the task makes x from y, it changes y before that.
        transform: draws T, such as `RandomAffine`. Without a transform and a perturbation,
            batches are not paired, as `RegularizedModel` takes them.
        perturbation: a layer or function applied to the counterparts' x only.
        pair_fraction: share of each batch that gets a counterpart, in (0, 1].
        shuffle: False for validation: images in their order, and the center of each.
        seed: fixes order, crops and T (unless `transform` has its own seed), given the global
            seed of TensorFlow; layers have their own seeds.
        drop_remainder: leave out the last batch of an epoch if it is smaller.

    Returns:
        Batches ``(x, y)``, float32: ``(batch_size, crop, crop, channels)`` before pairing. See
        `data.pair_with_transformed` for paired ones.

    Raises:
        TypeError: if `augmentation` cannot be called, or `task` is not a task.
        ValueError: if a folder is missing or empty, or if images lack their counterpart, cannot
            be read, or have sizes that do not fit; with their names.
        ImportError: if a package of the extra ``video`` is missing.

    Warns:
        UserWarning: where a folder holds pictures that are not read; it says how many and which.

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
    task = tasks.find(task)
    if not isinstance(task, tasks.Task):
        raise TypeError(
            f"task must be a name or a keras_temporal_reg.tasks.Task. Received: {task!r}"
        )
    pairs = pairs_in(Path(inputs), None if targets is None else Path(targets))
    skipped = image_files.describe_skipped(inputs, targets)
    if not pairs:
        raise image_files.ImageError(
            f"inputs must hold images ({', '.join(image_files.SUFFIXES)}). Received: {inputs}. "
            f"{skipped or ''}".rstrip()
        )
    if skipped is not None:
        warnings.warn(skipped, stacklevel=2)
    read = loader(task)
    shape = _shape_of(pairs, read(pairs[0]), task.scale, crop)

    def load(pair: Pair) -> _crops.Sample:
        sample = read(pair)
        _check_sample(pair, sample, shape)
        return sample

    samples = _crops.from_loader(pairs, load, shape)
    return _crops.epochs(samples, options, task.make_input if targets is None else None)


def pairs_in(inputs: Path, targets: Path | None) -> list[Pair]:
    """The images of a folder, each with the one of the same name in `targets`, if given.

    Raises:
        ImageError: if a folder is missing, or an image lacks its counterpart.
    """
    if targets is None:
        return [Pair(path, None) for path in image_files.list_images(inputs)]
    x_files, y_files = _by_stem(inputs), _by_stem(targets)
    for folder, missing in (
        (targets, [name for name in x_files if name not in y_files]),
        (inputs, [name for name in y_files if name not in x_files]),
    ):
        if missing:
            names = ", ".join(missing[:5]) + (", ..." if len(missing) > 5 else "")
            raise image_files.ImageError(
                "inputs and targets must hold images with the same names, apart from the suffix. "
                f"{folder} lacks {len(missing)}: {names}"
            )
    return [Pair(path, y_files[name]) for name, path in x_files.items()]


def _by_stem(folder: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in image_files.list_images(folder):
        if path.stem in found:
            raise image_files.ImageError(
                f"folder {folder} must have one image of each name. "
                f"Received: {found[path.stem].name} and {path.name}"
            )
        found[path.stem] = path
    return found


def loader(task: tasks.Task, cache_bytes: float | None = None) -> Callable[[Pair], _crops.Sample]:
    """A function that reads the sample of a pair of files, and keeps up to so many bytes.

    None: half of the memory that is free. x is None where it is to be made from each crop of y.
    """
    return _sample_cache.cached(lambda pair: read_sample(pair, task), cache_bytes)


def read_sample(pair: Pair, task: tasks.Task) -> _crops.Sample:
    """Read x and y, float32; x is None where it is to be made from each crop of y."""
    rgb = image_files.read(pair.x)
    x: Any
    if pair.y is not None:
        x, y = task.input(rgb), task.target(image_files.read(pair.y))
    elif task.make_input is not None:
        x, y = None, task.target(rgb)
    else:
        x, y = task.encode(rgb)
    return None if x is None else np.asarray(x, np.float32), np.asarray(y, np.float32)


def usable_pairs(
    inputs: Path,
    targets: Path | None,
    load: Callable[[Pair], _crops.Sample],
    shape: _crops.CropShape,
) -> tuple[list[Pair], list[str]]:
    """The pairs that crops can be taken from, and ``name: reason`` for each of the others.

    Raises:
        ImageError: as `pairs_in`, if x and y do not fit, or fewer than 2 pairs are usable.
    """
    pairs = pairs_in(inputs, targets)
    usable, skipped = [], [*filter(None, [image_files.describe_skipped(inputs, targets)])]
    for pair in pairs:
        try:
            sample = load(pair)
        except image_files.ImageError as error:
            skipped.append(f"{pair.x.name}: {error}")
            continue
        reason = _why_unusable(pair, sample, shape)
        if reason is None:
            usable.append(pair)
        else:
            skipped.append(f"{pair.x.name}: {reason}")
    if len(usable) < 2:
        reasons = "".join(f"\n  {reason}" for reason in skipped[:5])
        raise image_files.ImageError(
            "inputs must have at least 2 usable images. "
            f"Received: {len(usable)} of {len(pairs)}{reasons}"
        )
    return usable, skipped


def _why_unusable(pair: Pair, sample: _crops.Sample, shape: _crops.CropShape) -> str | None:
    x, y = sample
    scale = shape.scale
    if x is not None and y.shape[:2] != (scale * x.shape[0], scale * x.shape[1]):
        names = pair.x.name if pair.y is None else f"{pair.x} and {pair.y}"
        # An error and not a reason to skip: the images do not fit the model at all.
        raise image_files.ImageError(
            f"y must have {scale} times the height and width of x, the scale of the model. "
            f"Received: x of {x.shape[0]} x {x.shape[1]} pixels and y of {y.shape[0]} x "
            f"{y.shape[1]}, from {names}"
        )
    height, width = y.shape[0] // scale, y.shape[1] // scale
    if height < shape.height or width < shape.width:
        return f"{height} x {width} pixels, smaller than the crop of {shape.height} x {shape.width}"
    if not all(part is None or np.isfinite(part).all() for part in sample):
        return "holds NaN or infinity"
    return None


def _shape_of(
    pairs: list[Pair], first: _crops.Sample, scale: int, crop: int | None
) -> _crops.CropShape:
    """The size of the crops, which all images can hold according to the heads of their files."""
    x, y = first
    sizes = {path: image_files.size(path) for pair in pairs for path in pair if path is not None}
    size = sizes[pairs[0].x]
    if x is None:
        reduced = scale
    else:
        # A task can make x smaller than the image.
        scale, reduced = (max(1, height // x.shape[0]) for height in (y.shape[0], size[0]))
    _refuse(
        [p for p in pairs if p.y and sizes[p.x] != tuple(side // scale for side in sizes[p.y])],
        "targets must have the height and width of their inputs"
        + (f", times {scale} as {pairs[0].y} has" if scale > 1 else ", or a whole multiple"),
        sizes,
    )
    if crop is None:
        _refuse(
            [pair for pair in pairs if sizes[pair.x] != size],
            "images must have one size where there is no crop, "
            f"{size[0]} x {size[1]} as {pairs[0].x} has",
            sizes,
        )
        return _crops.CropShape(size[0] // reduced, size[1] // reduced, scale)
    _refuse(
        [pair for pair in pairs if min(sizes[pair.x]) < reduced * crop],
        f"images must be no smaller than the crop, {reduced * crop} x {reduced * crop}",
        sizes,
    )
    return _crops.CropShape(crop, crop, scale)


def _refuse(wrong: list[Pair], requirement: str, sizes: dict[Path, tuple[int, int]]) -> None:
    if not wrong:
        return
    named = [
        " and ".join(f"{path} of {sizes[path][0]} x {sizes[path][1]}" for path in pair if path)
        for pair in wrong[:5]
    ]
    more = f"; and {len(wrong) - 5} more" if len(wrong) > 5 else ""
    raise image_files.ImageError(f"{requirement}. Received: {'; '.join(named)}{more}")


def _check_sample(pair: Pair, sample: _crops.Sample, shape: _crops.CropShape) -> None:
    """Check what the heads of the files do not say: the sizes that the task makes."""
    x, y = sample
    height, width = (side // shape.scale for side in y.shape[:2])
    fits = x is None or y.shape[:2] == (shape.scale * x.shape[0], shape.scale * x.shape[1])
    if not fits or height < shape.height or width < shape.width:
        sizes = " and y of ".join(f"{p.shape[0]} x {p.shape[1]}" for p in sample if p is not None)
        raise image_files.ImageError(
            f"samples must have y of {shape.scale} times the height and width of x, and hold a "
            f"crop of {shape.height} x {shape.width}. Received: x of {sizes}, from {pair.x}"
        )
