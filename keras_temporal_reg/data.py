"""The tf.data route: pair the samples in the input pipeline."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from keras_temporal_reg import checks, pairing, transforms


def pair_with_transformed(
    dataset: tf.data.Dataset,
    transform: Any,
    perturbation: pairing.ImageFunction | None = None,
    make_input: pairing.ImageFunction | None = None,
    pair_fraction: float = 1.0,
) -> tf.data.Dataset:
    """Pair each sample of a data set with its transformed counterpart.

    Then any Keras model trains on it with one of the losses of this package::

        model.compile("adam", loss=ktr.losses.SparseJacobianLoss(alpha=0.9))
        model.fit(ktr.data.pair_with_transformed(dataset, ktr.RandomAffine()))

    Draws of T are anew in each epoch, and repeat where `transform` was given a seed. Metrics of the
    model see the paired target: wrap them in `metrics.Unpaired`.

    Args:
        dataset: batches ``(x, y)`` or ``(x, y, sample_weight)``: image tensors; x may be any
            nest of tensors, `sample_weight` one number a sample or a pixel.
        transform: draws T, see `RandomAffine`; None stands for the identity.
        perturbation: a layer or function applied to the transformed images only. On Keras 2
            a layer's own random numbers can repeat from epoch to epoch here.
        make_input: makes the transformed input from T(y), in place of T(x).
        pair_fraction: share of each batch that gets a counterpart, in (0, 1]; which part it is
            changes from batch to batch.

    Returns:
        A data set whose batches have twice the rows, ``x0, T(x0), x1, ...``, or as many more as
        `pair_fraction` says, the pairs first; `y` has one more channel, which carries T to the
        loss. Where a distribution strategy divides such a batch, each replica needs an even
        number of rows: the loss is NaN where a sample and its counterpart were torn apart.

    Raises:
        TypeError: if `dataset` is no `tf.data.Dataset`.
        ValueError: if its elements are not such batches, or pair_fraction is outside of (0, 1].

    Example:
        >>> import tensorflow as tf, keras_temporal_reg as ktr
        >>> images = tf.random.uniform((4, 16, 16, 1))
        >>> dataset = tf.data.Dataset.from_tensor_slices((images, images)).batch(2)
        >>> x, y = next(iter(ktr.data.pair_with_transformed(dataset, ktr.RandomAffine())))
        >>> x.shape, y.shape
        (TensorShape([4, 16, 16, 1]), TensorShape([4, 16, 16, 2]))
    """
    _check(dataset)
    pair_fraction = checks.fraction("pair_fraction", pair_fraction, "(", "]")
    seeds = seed_pairs(transforms.chosen_seed(transform))

    def pair(element: tuple[Any, ...], seed: tf.Tensor) -> tuple[Any, ...]:
        paired = pairing.pair(
            *element,
            transform=transform,
            seed=seed,
            perturbation=perturbation,
            make_input=make_input,
            pair_fraction=pair_fraction,
        )
        return paired[: len(element)]

    # Layers that keep a random state would race for it, and draw the same twice.
    stateless = perturbation is None and make_input is None
    parallel = tf.data.AUTOTUNE if stateless else None
    return tf.data.Dataset.zip((dataset, seeds)).map(pair, num_parallel_calls=parallel)


def seed_pairs(seed: int) -> tf.data.Dataset:
    """Seeds for stateless random numbers, ``(2,)`` int64 each: other ones in each epoch."""
    numbers = tf.data.Dataset.random(seed, rerandomize_each_iteration=True)
    # They are whole numbers below 2**32; seeds take half of those.
    return numbers.map(lambda n: tf.bitwise.right_shift(n, tf.constant(1, tf.int64))).batch(
        2, drop_remainder=True
    )


def _check(dataset: Any) -> None:
    if not isinstance(dataset, tf.data.Dataset):
        raise TypeError(f"dataset must be a tf.data.Dataset. Received: {type(dataset).__name__}")
    spec = dataset.element_spec
    if not isinstance(spec, tuple) or len(spec) not in (2, 3):
        raise ValueError(
            f"dataset must have elements (x, y) or (x, y, sample_weight). Received: {spec}"
        )
    y = spec[1]
    if isinstance(y, tf.TensorSpec) and y.shape.rank == 3:
        raise ValueError(
            f"dataset must be batched: call .batch(...) on it first. Received: y of shape {y.shape}"
        )
