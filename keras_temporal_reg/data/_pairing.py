"""Pair each sample with its transformed counterpart: one batch, and a tf.data data set.

A regularized step needs f(x) and f(T(x)) of the same sample. Samples and counterparts are therefore
interleaved along the batch axis, ``x0, T(x0), x1, T(x1), ...``, and `y_true` carries T (see
`_paired_target`). If only a part of the batch gets a counterpart, the batch is first rolled by a
random number of samples, so that each is equally likely to be paired:
``x5, T(x5), x6, T(x6), x7, x0, x1, ...``. The expected gradient is that of full pairing.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import tensorflow as tf

from keras_temporal_reg import image
from keras_temporal_reg.core import outputs, seeding, validation, xla
from keras_temporal_reg.data import _motion, _paired_target
from keras_temporal_reg.data._batches import (
    ImageFunction,
    as_tensor,
    check_batches,
    is_image,
    is_weight_per_pixel,
    warn_of_channels_first,
)
from keras_temporal_reg.data._motion import Motion


def pair_with_transformed(
    dataset: tf.data.Dataset,
    transform: Any,
    perturbation: ImageFunction | None = None,
    make_input: ImageFunction | None = None,
    pair_fraction: float = 1.0,
    seed: int | None = None,
) -> tf.data.Dataset:
    """Pair each sample of a data set with its transformed counterpart.

    Any Keras model can then train on it with one of the losses of this package::

        model.compile("adam", loss=ktr.losses.SparseJacobianLoss(alpha=0.9))
        model.fit(ktr.data.pair_with_transformed(dataset, ktr.RandomAffine()))

    Each epoch draws new transforms; with a seed, another run draws the same ones. The model's
    metrics see the paired target: wrap them in `metrics.Unpaired`. Scale and augment before
    pairing: a target that is changed afterwards is an error, and under XLA a loss of NaN. Losses
    that the model adds itself (activity regularizers) see samples and counterparts.

    Args:
        dataset: batches ``(x, y)`` or ``(x, y, sample_weight)``. x is an image tensor, or any nest
            of tensors with at least one; y is an image tensor of at least 20 pixels per image;
            `sample_weight` holds one number per sample or per pixel.
        transform: draws T, see `RandomAffine` and `RandomFlow`; None is the identity.
        perturbation: a layer or function applied to the transformed images only. On Keras 2, a
            layer's own random numbers can repeat from epoch to epoch here.
        make_input: makes the transformed input from T(y), in place of T(x). If it, or
            `perturbation`, has an argument `seed`, it gets two integers, new ones for each batch.
        pair_fraction: share of each batch that gets a counterpart, in (0, 1]; which part that is
            changes from batch to batch.
        seed: for the draws of T, if `transform` has no seed of its own.

    Returns:
        A data set whose batches have twice the rows, ``x0, T(x0), x1, ...``, or ``1 +
        pair_fraction`` times as many, pairs first. `y` has one more channel, which carries T to the
        loss, or three more with `RandomFlow`. If a distribution strategy divides the batches, make
        their size a multiple of the number of replicas and drop the remainder: a pair that is split
        between replicas is an error, and under XLA a loss of NaN.

    Raises:
        TypeError: if `dataset` is not a `tf.data.Dataset`, or an argument that must be callable is
            not.
        ValueError: if its elements are not such batches, or pair_fraction is outside (0, 1].

    Example:
        >>> import tensorflow as tf, keras_temporal_reg as ktr
        >>> images = tf.random.uniform((4, 16, 16, 1))
        >>> dataset = tf.data.Dataset.from_tensor_slices((images, images)).batch(2)
        >>> x, y = next(iter(ktr.data.pair_with_transformed(dataset, ktr.RandomAffine())))
        >>> x.shape, y.shape
        (TensorShape([4, 16, 16, 1]), TensorShape([4, 16, 16, 2]))
    """
    check_batches(dataset)
    y = dataset.element_spec[1]
    if outputs.count(y) > 1:
        raise ValueError(
            "dataset must have one y per sample: on paired data, Keras would train the other "
            "outputs of a model on the counterparts too. Use RegularizedModel(base_model, "
            f"output=...) for a model of several outputs. Received: y with {outputs.count(y)} parts"
        )
    options = Options(transform, perturbation, make_input, pair_fraction).checked()
    seeds = seeding.seed_pairs(seeding.chosen_seed(transform, seed))

    def paired(element: tuple[Any, ...], drawn: tf.Tensor) -> tuple[Any, ...]:
        x, y, weight = (*element, None)[:3]
        return pair(x, y, seed=drawn, sample_weight=weight, **options._asdict())[: len(element)]

    # Layers that keep a random state must not run in parallel: they would draw the same twice.
    stateless = perturbation is None and make_input is None
    parallel = tf.data.AUTOTUNE if stateless else None
    return tf.data.Dataset.zip((dataset, seeds)).map(paired, num_parallel_calls=parallel)


class Options(NamedTuple):
    """How to pair, as in `pair`."""

    transform: Any
    perturbation: ImageFunction | None = None
    make_input: ImageFunction | None = None
    pair_fraction: float = 1.0

    def checked(self) -> Options:
        """These options, or an error that names the one that does not fit."""
        _motion.check_transform(self.transform)
        for name in ("perturbation", "make_input"):
            value = getattr(self, name)
            if value is not None and not callable(value):
                raise TypeError(f"{name} must be a layer or a function. Received: {value!r}")
        fraction = validation.fraction("pair_fraction", self.pair_fraction, "(", "]")
        return self._replace(pair_fraction=fraction)

    def compiles(self) -> bool:
        """Whether no part is a user's own, which may not compile or may keep a state."""
        functions = (self.perturbation, self.make_input)
        return functions == (None, None) and _motion.is_built_in(self.transform)


def pair(
    x: Any,
    y: Any,
    transform: Any,
    seed: Any,
    sample_weight: Any = None,
    *,
    perturbation: ImageFunction | None = None,
    make_input: ImageFunction | None = None,
    pair_fraction: float = 1.0,
    output: str | int | None = None,
) -> tuple[Any, Any, Any]:
    """Pair one batch, for a training loop of your own.

    The losses of this package take what it returns: ``loss(y_true, model(x))``.

    Args:
        x: image tensor of B samples, or any nest of tensors with at least one image tensor. Images
            are moved by one T, each on its own pixel grid; other tensors are repeated.
        y: ``(B, height, width, channels)``, the target images; or a list or dict of the targets
            of several outputs, one of which are these images.
        transform: draws T, see `RandomAffine` and `RandomFlow`; None is the identity.
        seed: two integers that determine the draw of T, such as ``(0, step)``; new ones in each
            step.
        sample_weight: None, ``(B,)``, ``(B, height, width)`` or ``(B, height, width, 1)``; weights
            per pixel move with their pixels. For several outputs, one for all of them, or a list or
            dict like y.
        perturbation: a layer or function applied to the counterparts' images.
        make_input: makes the counterpart of x from T(y), in place of T(x). It and `perturbation`
            get two integers if they have an argument `seed`.
        pair_fraction: share of the samples that get a counterpart, in (0, 1].
        output: which target of several is paired, its key or its place in the list. The others
            keep one row per sample, and so do their weights.

    Returns:
        ``x``, ``y_true`` and ``sample_weight``, each sample followed by its counterpart, if it has
        one. `y_true` has one more channel, which carries T to the loss.

    Raises:
        ValueError: for tensors of the wrong rank, sparse or ragged tensors, sizes that one motion
            cannot fit, or several targets without `output`.

    Example:
        >>> import tensorflow as tf, keras_temporal_reg as ktr
        >>> images = tf.random.uniform((4, 16, 16, 3))
        >>> x, y_true, _ = ktr.pair(images, images, ktr.RandomAffine(), seed=(0, 1))
        >>> x.shape, y_true.shape
        (TensorShape([8, 16, 16, 3]), TensorShape([8, 16, 16, 4]))
    """
    options = Options(transform, perturbation, make_input, pair_fraction)
    key = outputs.key_of("y", y, output)
    target = _as_target(outputs.part(y, key))
    x = tf.nest.map_structure(as_tensor, x)
    first_image = _first_image(x)
    _check_sizes(image.spatial_shape(first_image), image.spatial_shape(target))
    warn_of_channels_first(x=first_image, y=target)
    y = outputs.mapped(y, key, lambda _: target, as_tensor)
    if outputs.count(y) > 1 and not outputs.is_nested(sample_weight):
        # Keras would take the weights of the paired rows for all outputs.
        sample_weight = outputs.mapped(y, key, lambda _: sample_weight, lambda _: sample_weight)
    sample_weight = outputs.in_structure_of(y, sample_weight)
    sample_weight = outputs.mapped(sample_weight, key, tf.convert_to_tensor, tf.convert_to_tensor)

    def pair_batch(x: Any, y: Any, sample_weight: Any, seed: Any) -> Any:
        return _pair(options, x, y, sample_weight, seed, key)

    numeric = all(t.dtype.is_floating or t.dtype.is_integer for t in tf.nest.flatten((x, y)))
    if options.compiles() and numeric and image.compiles_here(target, first_image):
        pair_batch = xla.compiled(pair_batch)
    return pair_batch(x, y, sample_weight, seed)


def _pair(
    options: Options, x: Any, y: Any, sample_weight: Any, seed: Any, key: Any
) -> tuple[Any, Any, Any]:
    batch = _paired_target.axis_size(outputs.part(y, key), 0)
    count = _number_of_counterparts(batch, options.pair_fraction)
    if options.pair_fraction < 1.0:
        x, y, sample_weight = _rolled((x, y, sample_weight), _random_start(seed, batch))
    target = outputs.part(y, key)
    motion = _motion.draw(options.transform, count, image.spatial_shape(_first_image(x)), seed)
    moved_x, moved_y = _counterparts(options, motion, x, target, seed)
    paired_x = tf.nest.map_structure(
        lambda a, b: _paired_target.interleave(a, b, count), x, moved_x
    )
    paired_y = _paired_target.interleave(target, moved_y, count)
    y_true = _paired_target.encode(paired_y, motion.on_grid_of(target), batch, count)

    def paired_weight(weight: tf.Tensor) -> tf.Tensor:
        moved_weight = _move_weight(weight, motion, image.spatial_shape(target))
        return _paired_target.interleave(weight, moved_weight, count)

    return (
        paired_x,
        outputs.mapped(y, key, lambda _: y_true, _unchanged),
        outputs.mapped(sample_weight, key, paired_weight, _unchanged),
    )


def _unchanged(tensor: tf.Tensor) -> tf.Tensor:
    return tensor


def _counterparts(
    options: Options, motion: Motion, x: Any, y: tf.Tensor, seed: Any
) -> tuple[Any, tf.Tensor]:
    """x and y of the counterparts."""
    if options.make_input is None:
        moved = motion.apply_to_each([t for t in (*tf.nest.flatten(x), y) if is_image(t)])
        moved_y = moved.pop()
        images = iter(moved)
        moved_x = tf.nest.map_structure(
            lambda t: next(images) if is_image(t) else t[: motion.count], x
        )
    else:
        moved_y = motion.apply(y)
        with _distinct_random_ops():
            moved_x = seeding.call_in_training(options.make_input, moved_y, _fold_in(seed, 1))
        tf.nest.assert_same_structure(x, moved_x)
    if options.perturbation is not None:
        moved_x = _perturb(options.perturbation, moved_x, seed)
    return tf.nest.map_structure(_as_counterpart, moved_x, x), moved_y


def _perturb(perturbation: ImageFunction, x: Any, seed: Any) -> Any:
    flat = tf.nest.flatten(x)
    with _distinct_random_ops():
        for number, tensor in enumerate(flat):
            if is_image(tensor):
                own_seed = _fold_in(seed, 2 + number)
                perturbed = seeding.call_in_training(perturbation, tensor, own_seed)
                flat[number] = _in_dtype_of(tensor, perturbed)
    return tf.nest.pack_sequence_as(x, flat)


def _as_target(y: Any) -> tf.Tensor:
    y = as_tensor(y)
    validation.image_batch("y", y)
    return y if y.dtype.is_floating else tf.cast(y, tf.float32)


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
    least = _paired_target.MIN_PIXELS
    if all(isinstance(size, int) for size in y_size) and math.prod(y_size) < least:
        raise ValueError(
            f"y must have at least {least} pixels per image, to carry T. "
            f"Received: {y_size[0]} x {y_size[1]}"
        )


@contextlib.contextmanager
def _distinct_random_ops() -> Iterator[None]:
    """Give random ops of this block seeds that the same ops elsewhere do not have.

    With a global seed, the first random op of each traced function draws the same numbers. If
    `make_input` made x too, the noise of T(x) would equal that of x, and the network would learn to
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


def _fold_in(seed: Any, number: int) -> tf.Tensor:
    """A seed for draws that are independent of T."""
    return tf.random.experimental.stateless_fold_in(tf.cast(seed, tf.int32), number)


def _number_of_counterparts(batch: Any, pair_fraction: float) -> Any:
    if pair_fraction == 1.0:
        return batch
    exact = tf.cast(batch, tf.float32) * pair_fraction
    count = tf.cast(tf.math.ceil(exact - 1e-4), tf.int32)
    static = tf.get_static_value(count)
    return count if static is None else int(static)


def _random_start(seed: Any, batch: Any) -> tf.Tensor:
    """The sample that comes first in a partly paired batch, uniform over the batch."""
    # Other numbers than those that T is drawn from.
    seed = tf.bitwise.bitwise_xor(tf.cast(seed, tf.int32), tf.constant([0x2545F491, 0]))
    bits = tf.random.stateless_uniform(
        (), seed, minval=None, maxval=None, dtype=tf.int32, alg="philox"
    )
    return tf.math.floormod(bits, batch)


def _rolled(tensors: Any, start: tf.Tensor) -> Any:
    """All tensors rolled along the batch axis, so that they begin with sample `start`."""

    def rolled(tensor: Any) -> Any:
        return None if tensor is None else tf.roll(tensor, -start, axis=0)

    # A branch, or XLA computes the order again for each pixel that the warp reads.
    return tf.cond(start > 0, lambda: tf.nest.map_structure(rolled, tensors), lambda: tensors)


def _in_dtype_of(tensor: tf.Tensor, made: Any) -> tf.Tensor:
    """Rounded and clipped for whole numbers, where a cast would cut off and wrap around."""
    if tensor.dtype.is_integer and made.dtype.is_floating:
        return tf.saturate_cast(tf.round(made), tensor.dtype)
    return tf.cast(made, tensor.dtype)


def _as_counterpart(made: Any, x: tf.Tensor) -> tf.Tensor:
    made = _in_dtype_of(x, made)
    if not made.shape[1:].is_compatible_with(x.shape[1:]):
        raise ValueError(
            "the counterpart of x must have the shape of x. Received: "
            f"{made.shape} from make_input or perturbation, for x of shape {x.shape}"
        )
    return made


def _move_weight(sample_weight: tf.Tensor, motion: Motion, y_size: tuple[Any, Any]) -> tf.Tensor:
    """Weights of the counterparts: T of weights per pixel, the sample's own otherwise."""
    if not is_weight_per_pixel(sample_weight):
        return sample_weight[: motion.count]
    rank = sample_weight.shape.rank
    images = sample_weight[..., tf.newaxis] if rank == 3 else sample_weight
    size = image.spatial_shape(images)
    if all(isinstance(s, int) for s in (*size, *y_size)) and size != y_size:
        raise ValueError(
            f"sample_weight of rank {rank} must have the height and width of y, "
            f"{y_size[0]} x {y_size[1]}. Received: {size[0]} x {size[1]}"
        )
    moved = motion.apply(images)
    return moved[..., 0] if rank == 3 else moved
