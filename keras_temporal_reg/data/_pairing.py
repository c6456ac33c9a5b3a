"""Pair a batch with its transformed counterpart, and read a paired batch again.

A regularized step needs f(x) and f(T(x)) of the same sample. So samples and counterparts
stand in turn along the batch axis, ``x0, T(x0), x1, T(x1), ...``. Where only a part of the
batch gets a counterpart, that part starts at a sample drawn anew each time, so that each has the
same chance, and the other samples follow in a circle, ``x5, T(x5), x6, T(x6), x7, x0, x1, ...``:
the expected gradient is the one of full pairing. Each row of ``y_true`` carries, in one
more channel, what the losses need to know of it: its role, its weight in the mean, and T.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import Any, Callable, NamedTuple

import tensorflow as tf

from keras_temporal_reg import image, transforms
from keras_temporal_reg.core import seeding, validation, xla

ImageFunction = Callable[..., tf.Tensor]

# A role, a weight and T's difference from the identity, each in two parts (see `_pack`).
_NUMBERS = 10
_SLOTS = 2 * _NUMBERS


class Rows(NamedTuple):
    """A paired target, taken apart; R rows.

    Attributes:
        y: ``(R, height, width, channels)``: y and T(y) in turn.
        is_counterpart: ``(R,)`` float, 1 where the row is the counterpart of the one before.
        weight: ``(R,)`` float. Rows of each of the two roles sum up to R, so that a mean over
            all rows of ``weight * value`` is the mean of `value` over the rows of that role.
        transforms: ``(R, 8)`` float32, T on the pixel grid of y; the identity elsewhere.
    """

    y: tf.Tensor
    is_counterpart: tf.Tensor
    weight: tf.Tensor
    transforms: tf.Tensor


def pair(
    x: Any,
    y: Any,
    sample_weight: Any = None,
    *,
    transform: Any,
    seed: Any,
    perturbation: ImageFunction | None = None,
    make_input: ImageFunction | None = None,
    pair_fraction: float = 1.0,
) -> tuple[Any, tf.Tensor, Any]:
    """Pair a batch of B samples with k counterparts, k the least that is `pair_fraction` of B.

    Where k < B, chance decides which k neighbours in the batch get one, and they come first.

    Args:
        x: image tensor, or any nest of tensors with at least one image tensor. Images are
            moved by one T, each on its own pixel grid; other tensors are repeated.
        y: ``(B, height, width, channels)``, the target images.
        sample_weight: ``(B,)``, ``(B, height, width)`` or ``(B, height, width, 1)``; weights
            of pixels move with their pixels.
        transform: draws T, see `RandomAffine`. None stands for the identity.
        seed: two whole numbers that fix the draw of T.
        perturbation: a layer or function applied to the counterpart's images.
        make_input: makes the counterpart of x from T(y), in place of T(x). Either is given a
            `seed` where it has such an argument, see `call_in_training`.
        pair_fraction: in (0, 1].

    Returns:
        ``x``, ``y_true`` and ``sample_weight`` with B + k rows; `y_true` has one more channel.

    Raises:
        ValueError: for tensors of the wrong rank, or sizes that one motion cannot fit.
    """
    y = _as_target(y)
    x = tf.nest.map_structure(tf.convert_to_tensor, x)
    first_image = _first_image(x)
    _check_sizes(image.spatial_shape(first_image), image.spatial_shape(y))
    if sample_weight is not None:
        sample_weight = tf.convert_to_tensor(sample_weight)

    def pair_all(x: Any, y: tf.Tensor, sample_weight: Any, seed: Any) -> tuple[Any, tf.Tensor, Any]:
        return _pair(x, y, sample_weight, transform, seed, perturbation, make_input, pair_fraction)

    # What a user gives may not compile, or keep a state.
    own = perturbation is None and make_input is None and _is_own(transform)
    numbers = all(t.dtype.is_floating or t.dtype.is_integer for t in tf.nest.flatten(x))
    if own and numbers and image.compiles_here(y, first_image):
        pair_all = xla.compiled(pair_all)
    return pair_all(x, y, sample_weight, seed)


def extra_channels(y_true: tf.Tensor, y_pred: tf.Tensor) -> Any:
    """1 where `y_true` is paired, 0 where it is plain; a tensor while shapes are not known.

    Raises:
        ValueError: where the channels of the two fit neither.
    """
    for name, tensor in (("y_true", y_true), ("y_pred", y_pred)):
        validation.image_batch(name, tensor)
    true, predicted = y_true.shape[-1], y_pred.shape[-1]
    if true is None or predicted is None:
        return tf.shape(y_true)[-1] - tf.shape(y_pred)[-1]
    if true - predicted not in (0, 1):
        raise ValueError(
            f"the target must have the channels of the model's output, {predicted}, or one "
            f"more where it is paired. Received: y_true of shape {y_true.shape} and y_pred of "
            f"shape {y_pred.shape}"
        )
    return true - predicted


def paired_share(y_true: tf.Tensor, y_pred: tf.Tensor, pair_fraction: float) -> Any:
    """What `originals` is to be told: `pair_fraction` of a paired target, 0 of a plain one.

    A tensor while shapes are not known.
    """
    extra = extra_channels(y_true, y_pred)
    return (tf.cast(extra, tf.float32) if isinstance(extra, tf.Tensor) else extra) * pair_fraction


def unpack(y_true: tf.Tensor) -> Rows:
    """Take a paired target apart. The inverse of what `pair` does to y."""
    y, notes = y_true[..., :-1], y_true[..., -1]
    notes = tf.cast(tf.reshape(notes, (tf.shape(notes)[0], -1))[:, :_SLOTS], tf.float32)
    numbers = notes[:, :_NUMBERS] + notes[:, _NUMBERS:]
    identity = tf.constant([transforms.IDENTITY], tf.float32)
    return Rows(y, numbers[:, 0], numbers[:, 1], numbers[:, 2:] + identity)


def is_torn(y_true: tf.Tensor) -> tf.Tensor:
    """A scalar bool: whether a counterpart stands where only a sample can, in a paired target."""
    # The role's leading part is all of it.
    return tf.reduce_any(y_true[::2, 0, 0, -1] > 0.5)


def originals(tensor: tf.Tensor, pair_fraction: Any = 1.0) -> tf.Tensor:
    """The rows of a paired tensor that are no counterparts, in the order of their pairing.

    Args:
        tensor: B + k rows.
        pair_fraction: what `pair` was given; 0 for a tensor that is not paired. A scalar
            tensor where only the run can tell.
    """
    if not isinstance(pair_fraction, tf.Tensor):
        if pair_fraction == 0:
            return tensor
        if pair_fraction == 1:
            return tensor[::2]
    rows = tf.cast(tf.shape(tensor)[0], tf.float32)
    pair_fraction = tf.cast(pair_fraction, tf.float32)
    # B + k rows with k = ceil(fraction B): B is the rows over 1 + fraction, rounded down.
    batch = tf.cast(tf.floor(rows / (1.0 + pair_fraction) + 1e-4), tf.int32)
    paired = 2 * (tf.shape(tensor)[0] - batch)
    kept = tf.concat([tensor[:paired:2], tensor[paired:]], axis=0)
    return tf.ensure_shape(kept, [None, *tensor.shape[1:]])


def _pair(
    x: Any,
    y: tf.Tensor,
    sample_weight: Any,
    transform: Any,
    seed: Any,
    perturbation: ImageFunction | None,
    make_input: ImageFunction | None,
    pair_fraction: float,
) -> tuple[Any, tf.Tensor, Any]:
    x_size, y_size = image.spatial_shape(_first_image(x)), image.spatial_shape(y)
    batch = size(y, 0)
    count = _counterparts(batch, pair_fraction)
    if pair_fraction < 1.0:
        start = _first_paired(seed, batch)
        x, y, sample_weight = _starting_at((x, y, sample_weight), start)

    def head(tensor: tf.Tensor) -> tf.Tensor:
        return tensor[:count]

    if transform is None:
        x_motion = transforms.identity(count)
    else:
        x_motion = transform.sample(count, *x_size, seed=seed)

    def motion_for(images: tf.Tensor) -> tf.Tensor:
        return transforms.carry_over(x_motion, x_size, image.spatial_shape(images))

    def moved(images: tf.Tensor) -> tf.Tensor:
        return images if transform is None else transform.apply(images, motion_for(images))

    if make_input is None:
        moved_images = _moved_together(
            [head(t) for t in (*tf.nest.flatten(x), y) if is_image(t)], moved, transform
        )
        moved_y = moved_images.pop()
        moved_x = tf.nest.map_structure(
            lambda t: moved_images.pop(0) if is_image(t) else head(t), x
        )
    else:
        moved_y = moved(head(y))
        with _random_numbers_apart():
            moved_x = seeding.call_in_training(make_input, moved_y, _apart(seed, 1))
        tf.nest.assert_same_structure(x, moved_x)
    if perturbation is not None:

        def perturbed(images: tf.Tensor, number: int) -> tf.Tensor:
            made = seeding.call_in_training(perturbation, images, _apart(seed, 2 + number))
            return tf.cast(made, images.dtype)

        with _random_numbers_apart():
            flat = [
                perturbed(tensor, number) if is_image(tensor) else tensor
                for number, tensor in enumerate(tf.nest.flatten(moved_x))
            ]
        moved_x = tf.nest.pack_sequence_as(moved_x, flat)
    moved_x = tf.nest.map_structure(_like, moved_x, x)
    paired_x = tf.nest.map_structure(lambda a, b: _interleave(a, b, count), x, moved_x)
    paired_y = _interleave(y, moved_y, count)
    notes = _pack(batch, count, motion_for(y), paired_y)
    paired_y = tf.concat([paired_y, tf.cast(notes, paired_y.dtype)], axis=-1)
    if sample_weight is None:
        return paired_x, paired_y, None
    return paired_x, paired_y, _pair_weight(sample_weight, count, y_size, moved)


def _is_own(transform: Any) -> bool:
    return transform is None or type(transform) is transforms.RandomAffine


def _moved_together(
    images: list[tf.Tensor], moved: ImageFunction, transform: Any
) -> list[tf.Tensor]:
    """Each of the images moved. Those that fit become channels of one: T is worked out once."""
    fit = all(
        t.dtype == images[0].dtype
        and t.shape[1:3].is_fully_defined()
        and t.shape[1:3] == images[0].shape[1:3]
        and t.shape[3] is not None
        for t in images
    )
    # Someone's own transform may look at the number of channels.
    if not (fit and _is_own(transform)):
        return [moved(t) for t in images]
    return tf.split(moved(tf.concat(images, axis=-1)), [t.shape[3] for t in images], axis=-1)


def _as_target(y: Any) -> tf.Tensor:
    if tf.nest.is_nested(y):
        raise ValueError(
            f"y must be one batch of images; models with several outputs are not supported. "
            f"Received: a {type(y).__name__} of {len(tf.nest.flatten(y))} tensors"
        )
    y = tf.convert_to_tensor(y)
    validation.image_batch("y", y)
    return y if y.dtype.is_floating else tf.cast(y, tf.float32)


def is_image(tensor: tf.Tensor) -> bool:
    """Whether a tensor of x is a batch of images, which move."""
    return tensor.shape.rank == 4


def _first_image(x: Any) -> tf.Tensor:
    tensors = tf.nest.flatten(x)
    for tensor in tensors:
        if is_image(tensor):
            return tensor
    raise ValueError(
        "x must hold a batch of images of rank 4 (batch, height, width, channels). "
        f"Received: shapes {', '.join(str(t.shape) for t in tensors)}"
    )


def _check_sizes(x_size: tuple[Any, Any], y_size: tuple[Any, Any]) -> None:
    validation.same_aspect("x", x_size, "y", y_size)
    if all(isinstance(size, int) for size in y_size) and math.prod(y_size) < _SLOTS:
        raise ValueError(
            f"y must have at least {_SLOTS} pixels, to carry T. Received: {y_size[0]} x {y_size[1]}"
        )


@contextlib.contextmanager
def _random_numbers_apart() -> Iterator[None]:
    """Random ops in this block draw other numbers than the same ops in another function.

    Under a global seed the first random op of each traced function draws the same numbers. The
    noise of T(x) would be that of x where `make_input` made both, and a network would learn to
    keep it.
    """
    graph = tf.compat.v1.get_default_graph()
    seed = None if tf.executing_eagerly() else graph.seed
    if seed is None:
        yield
        return
    graph.seed = seed ^ 0x5A17  # any other seed
    try:
        yield
    finally:
        graph.seed = seed


def _apart(seed: Any, number: int) -> tf.Tensor:
    """Another seed than T is drawn from."""
    return tf.random.experimental.stateless_fold_in(tf.cast(seed, tf.int32), number)


def weighs_pixels(sample_weight: tf.Tensor) -> bool:
    """Whether weights are one a pixel, and not one a sample."""
    return sample_weight.shape.rank in (3, 4) and sample_weight.shape[1:3] != [1, 1]


def size(tensor: tf.Tensor, axis: int) -> Any:
    """Length of an axis: an int where it is known, else a scalar tensor."""
    static = tensor.shape[axis]
    return tf.shape(tensor)[axis] if static is None else static


def _counterparts(batch: Any, pair_fraction: float) -> Any:
    if pair_fraction == 1.0:
        return batch
    exact = tf.cast(batch, tf.float32) * pair_fraction
    count = tf.cast(tf.math.ceil(exact - 1e-4), tf.int32)
    static = tf.get_static_value(count)
    return count if static is None else int(static)


def _first_paired(seed: Any, batch: Any) -> tf.Tensor:
    """Which sample of a partly paired batch comes first: each as likely as the others."""
    # Other numbers than T is drawn from.
    seed = tf.bitwise.bitwise_xor(tf.cast(seed, tf.int32), tf.constant([0x2545F491, 0]))
    bits = tf.random.stateless_uniform(
        (), seed, minval=None, maxval=None, dtype=tf.int32, alg="philox"
    )
    return tf.math.floormod(bits, batch)


def _starting_at(tensors: Any, start: tf.Tensor) -> Any:
    """The rows of all tensors in a circle from `start` on."""

    def rolled(tensor: Any) -> Any:
        return None if tensor is None else tf.roll(tensor, -start, axis=0)

    # A branch of its own, or XLA works the order out anew for each pixel that the warp reads.
    return tf.cond(start > 0, lambda: tf.nest.map_structure(rolled, tensors), lambda: tensors)


def _like(made: Any, x: tf.Tensor) -> tf.Tensor:
    made = tf.cast(made, x.dtype)
    if not made.shape[1:].is_compatible_with(x.shape[1:]):
        raise ValueError(
            "the counterpart of x must have the shape of x. Received: "
            f"{made.shape} from make_input or perturbation, for x of shape {x.shape}"
        )
    return made


def _interleave(samples: tf.Tensor, counterparts: tf.Tensor, count: Any) -> tf.Tensor:
    """``a0, b0, a1, b1, ...`` for the first `count` samples, then the other samples."""
    rest = tf.shape(samples)[1:]
    whole = isinstance(count, int) and count == samples.shape[0]
    # Not tf.stack(axis=1), which TensorFlow's graph optimizer breaks for vectors.
    pairs = tf.concat([samples[:count, tf.newaxis], counterparts[:, tf.newaxis]], axis=1)
    pairs = tf.reshape(pairs, tf.concat([[2 * count], rest], axis=0))
    rows = pairs if whole else tf.concat([pairs, samples[count:]], axis=0)
    return tf.ensure_shape(rows, [None, *samples.shape[1:]])


def _pack(batch: Any, count: Any, motion: tf.Tensor, paired_y: tf.Tensor) -> tf.Tensor:
    """What the losses need to know of each row, as one channel: ``(R, height, width, 1)``.

    Each number is split in two, since Keras 2 rounds `y_true` to the dtype of `y_pred`: the
    first part keeps the eight leading bits, which every float dtype holds, the second the
    rest, so that T survives mixed precision.
    """
    rows = tf.cast(batch + count, tf.float32)
    sample = [0.0, rows / tf.cast(batch, tf.float32)] + [0.0] * 8
    sample = tf.tile(tf.stack(sample)[tf.newaxis], (batch, 1))
    head = tf.stack([1.0, rows / tf.cast(count, tf.float32)])
    head = tf.tile(head[tf.newaxis], (count, 1))
    difference = motion - tf.constant([transforms.IDENTITY], tf.float32)
    counterpart = tf.concat([head, difference], axis=1)
    numbers = _interleave(sample, counterpart, count)
    rounded = tf.bitcast(numbers, tf.int32) + 0x8000
    bits = tf.bitwise.bitwise_and(rounded, tf.constant(-0x10000, tf.int32))
    leading = tf.bitcast(bits, tf.float32)
    slots = tf.concat([leading, numbers - leading], axis=1)
    height, width = image.spatial_shape(paired_y)
    channel = tf.pad(slots, [[0, 0], [0, height * width - _SLOTS]])
    return tf.reshape(channel, (-1, height, width, 1))


def _pair_weight(
    sample_weight: tf.Tensor, count: Any, y_size: tuple[Any, Any], moved: ImageFunction
) -> tf.Tensor:
    counterpart = sample_weight[:count]
    rank = sample_weight.shape.rank
    if weighs_pixels(sample_weight):
        images = counterpart[..., tf.newaxis] if rank == 3 else counterpart
        size = image.spatial_shape(images)
        if all(isinstance(s, int) for s in (*size, *y_size)) and size != y_size:
            raise ValueError(
                f"sample_weight of rank {rank} must have the height and width of y, "
                f"{y_size[0]} x {y_size[1]}. Received: {size[0]} x {size[1]}"
            )
        images = moved(images)
        counterpart = images[..., 0] if rank == 3 else images
    return _interleave(sample_weight, counterpart, count)
