"""The tf.data route: augment the samples and pair them, in the input pipeline."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from keras_temporal_reg.core import seeding, validation
from keras_temporal_reg.data import _pairing as pairing

# Made of what lies in layers below; imported when it is first used.
_LATER = ("from_directory", "from_hdf5")


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module("keras_temporal_reg.sources"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_LATER])


def pair_with_transformed(
    dataset: tf.data.Dataset,
    transform: Any,
    perturbation: pairing.ImageFunction | None = None,
    make_input: pairing.ImageFunction | None = None,
    pair_fraction: float = 1.0,
    seed: int | None = None,
) -> tf.data.Dataset:
    """Pair each sample of a data set with its transformed counterpart.

    Then any Keras model trains on it with one of the losses of this package::

        model.compile("adam", loss=ktr.losses.SparseJacobianLoss(alpha=0.9))
        model.fit(ktr.data.pair_with_transformed(dataset, ktr.RandomAffine()))

    Draws of T are anew in each epoch, and repeat in another run where there is a seed. Metrics of
    the model see the paired target: wrap them in `metrics.Unpaired`.

    Args:
        dataset: batches ``(x, y)`` or ``(x, y, sample_weight)``: image tensors; x may be any
            nest of tensors, `sample_weight` one number a sample or a pixel.
        transform: draws T, see `RandomAffine`; None stands for the identity.
        perturbation: a layer or function applied to the transformed images only. On Keras 2
            a layer's own random numbers can repeat from epoch to epoch here.
        make_input: makes the transformed input from T(y), in place of T(x). Where it, or
            `perturbation`, takes a `seed`, that is two whole numbers, other ones each batch.
        pair_fraction: share of each batch that gets a counterpart, in (0, 1]; which part it is
            changes from batch to batch.
        seed: for the draws of T, where `transform` has no seed of its own.

    Returns:
        A data set whose batches have twice the rows, ``x0, T(x0), x1, ...``, or as many more as
        `pair_fraction` says, the pairs first; `y` has one more channel, which carries T to the
        loss. Where a distribution strategy divides such batches, make their size a multiple of
        the number of replicas, and drop the remainder: a sample that is torn from its counterpart
        is an error, and under XLA a loss of NaN.

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
    pair_fraction = validation.fraction("pair_fraction", pair_fraction, "(", "]")
    seeds = seeding.seed_pairs(seeding.chosen_seed(transform, seed))

    def pair(element: tuple[Any, ...], drawn: tf.Tensor) -> tuple[Any, ...]:
        paired = pairing.pair(
            *element,
            transform=transform,
            seed=drawn,
            perturbation=perturbation,
            make_input=make_input,
            pair_fraction=pair_fraction,
        )
        return paired[: len(element)]

    # Layers that keep a random state would race for it, and draw the same twice.
    stateless = perturbation is None and make_input is None
    parallel = tf.data.AUTOTUNE if stateless else None
    return tf.data.Dataset.zip((dataset, seeds)).map(pair, num_parallel_calls=parallel)


def augment(dataset: tf.data.Dataset, layer: pairing.ImageFunction) -> tf.data.Dataset:
    """Augment batches by a preprocessing layer, whose one draw changes x and y alike.

    All images of a batch, x and y, go through the layer as channels of one image; weights of
    pixels too. That is for layers that move pixels (flips, crops and shears that keep the size),
    or that change each channel alike (brightness, contrast), then of y too; noise is another in
    each channel. What is to change x alone is a `perturbation`, or a `Dataset.map` of your own.
    Augment before you pair::

        dataset = ktr.data.augment(dataset, keras.layers.RandomFlip("horizontal"))
        model.fit(ktr.data.pair_with_transformed(dataset, ktr.RandomAffine()))

    On Keras 2 the random numbers of layers that have no generator of their own, such as
    GaussianNoise and some of KerasCV, can repeat from epoch to epoch here.

    Args:
        dataset: batches ``(x, y)`` or ``(x, y, sample_weight)``, as `pair_with_transformed`
            takes them; the images of x, y and the weights of pixels are of one size.
        layer: a Keras or KerasCV preprocessing layer, or a function, from a batch of images of
            any number of channels to one of the same shape; layers are called with
            ``training=True``.

    Returns:
        A data set of the same elements. Images of whole numbers become float32.

    Raises:
        TypeError: if `dataset` is no `tf.data.Dataset`, or `layer` cannot be called.
        ValueError: if the elements are not such batches, if x and y differ in size, or if the
            layer changes the shape or does not take so many channels.

    Example:
        >>> import tensorflow as tf, keras_temporal_reg as ktr
        >>> images = tf.random.uniform((4, 16, 16, 3))
        >>> dataset = tf.data.Dataset.from_tensor_slices((images, images)).batch(2)
        >>> x, y = next(iter(ktr.data.augment(dataset, keras.layers.RandomFlip())))
        >>> bool(tf.reduce_all(x == y))
        True
    """
    _check(dataset)
    check_augmentation("layer", layer)
    # One by one: layers that keep a random state would race for it, and draw the same twice.
    return dataset.map(lambda *element: augmented(layer, *element))


def check_augmentation(name: str, layer: Any) -> None:
    """Refuse what cannot be called."""
    if not callable(layer):
        raise TypeError(
            f"{name} must be a preprocessing layer or a function of images. Received: {layer!r}"
        )


def augmented(
    layer: pairing.ImageFunction, x: Any, y: tf.Tensor, sample_weight: Any = None
) -> tuple[Any, ...]:
    """One batch, as `augment` makes it; without `sample_weight` where there was none.

    Args:
        layer: as in `augment`.
        x: any nest of tensors, ``()`` for none.
        y: ``(B, height, width, channels)``.
        sample_weight: one number a sample or a pixel.
    """
    validation.image_batch("y", y)
    parts = (x, y) if sample_weight is None else (x, y, sample_weight)
    flat = tf.nest.flatten(parts)
    chosen = [n for n, tensor in enumerate(flat) if pairing.is_image(tensor)]
    if sample_weight is not None:
        last = len(flat) - 1
        chosen = [n for n in chosen if n < last]
        if pairing.weighs_pixels(sample_weight):
            chosen.append(last)
    images = [flat[n] if flat[n].shape.rank == 4 else flat[n][..., tf.newaxis] for n in chosen]
    for n, made in zip(chosen, _moved_alike(layer, images)):
        flat[n] = made if flat[n].shape.rank == 4 else made[..., 0]
    return tf.nest.pack_sequence_as(parts, flat)


def _moved_alike(layer: pairing.ImageFunction, images: list[tf.Tensor]) -> list[tf.Tensor]:
    floats = [t if t.dtype.is_floating else tf.cast(t, tf.float32) for t in images]
    for t in floats[1:]:
        if not t.shape[1:3].is_compatible_with(floats[0].shape[1:3]):
            raise ValueError(
                "x, y and weights of pixels must be of one height and width, so that one draw of "
                "the augmentation changes all of them. Received: shapes "
                f"{', '.join(str(t.shape) for t in images)}"
            )
    stacked = tf.concat([tf.cast(t, floats[0].dtype) for t in floats], axis=-1)
    name = getattr(layer, "name", None) or getattr(layer, "__name__", repr(layer))
    try:
        made = tf.cast(seeding.call_in_training(layer, stacked), stacked.dtype)
    except Exception as error:
        raise ValueError(
            "augmentation must take images of any number of channels, since those of x and y go "
            f"through it as one. Received: {name}, which fails on images of shape "
            f"{stacked.shape}: {error}"
        ) from error
    kept = "augmentation must keep the size and the channels of images"
    if not made.shape.is_compatible_with(stacked.shape):
        raise ValueError(
            f"{kept}. Received: {name}, which makes images of shape {made.shape} of those of "
            f"shape {stacked.shape}"
        )
    # Some layers of KerasCV lose the shape, so that only the run can tell.
    unchanged = tf.debugging.assert_equal(
        tf.shape(made), tf.shape(stacked), f"{kept}. Received: {name}, which changes them"
    )
    with tf.control_dependencies([unchanged] if unchanged is not None else []):
        made = tf.ensure_shape(tf.identity(made), stacked.shape)
    parts = tf.split(made, [pairing.size(t, 3) for t in floats], axis=-1)
    return [tf.ensure_shape(tf.cast(part, t.dtype), t.shape) for part, t in zip(parts, floats)]


def check_numerics(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Stop before a batch that holds NaN or infinity, and say where.

    Keras would train on it, and have no weights any more. A look at each number costs little beside
    a training step. Check before you pair; `callbacks.CheckNumerics` watches what comes out::

        dataset = ktr.data.check_numerics(dataset)
        model.fit(ktr.data.pair_with_transformed(dataset, ktr.RandomAffine()))

    Args:
        dataset: batches ``(x, y)`` or ``(x, y, sample_weight)``, as `pair_with_transformed` takes
            them.

    Returns:
        A data set of the same elements, which raises `tf.errors.InvalidArgumentError` in place of
        such a batch. It says whether that is x, y or sample_weight, which batch it is, and in which
        rows, both counted from 0.

    Raises:
        TypeError: if `dataset` is no `tf.data.Dataset`.
        ValueError: if its elements are not such batches.

    Example:
        >>> import numpy as np, tensorflow as tf, keras_temporal_reg as ktr
        >>> y = np.zeros((4, 16, 16, 1), "float32")
        >>> y[3, 0, 0, 0] = np.nan
        >>> dataset = tf.data.Dataset.from_tensor_slices((y, y)).batch(2)
        >>> len(list(ktr.data.check_numerics(dataset).take(1)))
        1
        >>> list(ktr.data.check_numerics(dataset))
        Traceback (most recent call last):
        ...
        tensorflow.python.framework.errors_impl.InvalidArgumentError: ...
    """
    _check(dataset)

    def checked(number: tf.Tensor, element: tuple[Any, ...]) -> Any:
        checks_of_parts = []
        for name, part in zip(("x", "y", "sample_weight"), element):
            for tensor in tf.nest.flatten(part):
                if tensor.dtype.is_floating:
                    others = list(range(1, tensor.shape.rank))
                    bad = tf.reduce_any(~tf.math.is_finite(tensor), axis=others)
                    said = f"{name} must be finite. Received: NaN or inf in this batch and its rows"
                    words = [said, number, tf.where(bad)[:, 0]]
                    checks_of_parts.append(tf.debugging.Assert(~tf.reduce_any(bad), words, 100))
        with tf.control_dependencies(checks_of_parts):
            return tf.nest.map_structure(tf.identity, element)

    return dataset.enumerate().map(checked)


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
