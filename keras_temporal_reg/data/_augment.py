"""Augment x and y of a data set alike."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from keras_temporal_reg.core import seeding, validation
from keras_temporal_reg.data._batches import (
    ImageFunction,
    check_batches,
    is_image,
    is_weight_per_pixel,
)
from keras_temporal_reg.data._paired_target import axis_size


def augment(dataset: tf.data.Dataset, layer: ImageFunction) -> tf.data.Dataset:
    """Augment batches with a preprocessing layer that changes x and y by the same random draw.

    All images of a batch, x and y, and weights per pixel pass through the layer as channels of one
    image. This suits layers that move pixels (flips, crops and shears that keep the size) or that
    change each channel alike (brightness, contrast), which then change y too; noise differs in
    each channel. To change x only, use a `perturbation`, or your own `Dataset.map`. Augment before
    pairing::

        dataset = ktr.data.augment(dataset, keras.layers.RandomFlip("horizontal"))
        model.fit(ktr.data.pair_with_transformed(dataset, ktr.RandomAffine()))

    On Keras 2, the random numbers of layers without a generator of their own, such as
    GaussianNoise and some of KerasCV, can repeat from epoch to epoch here.

    Args:
        dataset: batches ``(x, y)`` or ``(x, y, sample_weight)``, as for `pair_with_transformed`;
            the images of x, y and the weights per pixel have one height and width.
        layer: a Keras or KerasCV preprocessing layer, or a function, from a batch of images with
            any number of channels to one of the same shape; layers are called with
            ``training=True``.

    Returns:
        A data set of the same elements. Integer images become float32.

    Raises:
        TypeError: if `dataset` is not a `tf.data.Dataset`, or `layer` cannot be called.
        ValueError: if the elements are not such batches, if x and y differ in size, or if the
            layer changes the shape or does not take that many channels.

    Example:
        >>> import tensorflow as tf, keras_temporal_reg as ktr
        >>> images = tf.random.uniform((4, 16, 16, 3))
        >>> dataset = tf.data.Dataset.from_tensor_slices((images, images)).batch(2)
        >>> x, y = next(iter(ktr.data.augment(dataset, keras.layers.RandomFlip())))
        >>> bool(tf.reduce_all(x == y))
        True
    """
    check_batches(dataset)
    check_augmentation("layer", layer)
    # Not in parallel: layers that keep a random state would draw the same twice.
    return dataset.map(lambda *element: augment_batch(layer, *element))


def check_augmentation(name: str, layer: Any) -> None:
    """Refuse what cannot be called."""
    if not callable(layer):
        raise TypeError(
            f"{name} must be a preprocessing layer or a function of images. Received: {layer!r}"
        )


def augment_batch(
    layer: ImageFunction, x: Any, y: Any, sample_weight: Any = None
) -> tuple[Any, ...]:
    """Augment one batch, as `augment` does.

    Args:
        layer: as in `augment`.
        x: any nest of tensors, ``()`` for none.
        y: ``(batch, height, width, channels)``, or a list or dict for several outputs.
        sample_weight: one number per sample or per pixel.

    Returns:
        ``(x, y)``, or ``(x, y, sample_weight)`` if that was given.
    """
    if not tf.nest.is_nested(y):
        validation.image_batch("y", y)
    if tf.nest.is_nested(sample_weight):
        raise ValueError(
            "sample_weight must be one tensor to be augmented with the images. Received: a "
            f"{type(sample_weight).__name__}"
        )
    parts = (x, y) if sample_weight is None else (x, y, sample_weight)
    flat = tf.nest.flatten(parts)
    chosen = [n for n, tensor in enumerate(flat) if is_image(tensor)]
    if sample_weight is not None:
        last = len(flat) - 1
        chosen = [n for n in chosen if n < last]
        if is_weight_per_pixel(sample_weight):
            chosen.append(last)
    images = [flat[n] if is_image(flat[n]) else flat[n][..., tf.newaxis] for n in chosen]
    for n, augmented in zip(chosen, _augment_as_one(layer, images)):
        flat[n] = augmented if is_image(flat[n]) else augmented[..., 0]
    return tf.nest.pack_sequence_as(parts, flat)


def _augment_as_one(layer: ImageFunction, images: list[tf.Tensor]) -> list[tf.Tensor]:
    """Each of the images augmented, by one call of the layer."""
    floats = [t if t.dtype.is_floating else tf.cast(t, tf.float32) for t in images]
    for t in floats[1:]:
        if not t.shape[1:3].is_compatible_with(floats[0].shape[1:3]):
            raise ValueError(
                "x, y and weights per pixel must have one height and width, so that one draw of "
                "the augmentation changes all of them. Received: shapes "
                f"{', '.join(str(t.shape) for t in images)}"
            )
    stacked = tf.concat([tf.cast(t, floats[0].dtype) for t in floats], axis=-1)
    augmented = _call_layer(layer, stacked)
    parts = tf.split(augmented, [axis_size(t, 3) for t in floats], axis=-1)
    return [tf.ensure_shape(tf.cast(part, t.dtype), t.shape) for part, t in zip(parts, floats)]


def _call_layer(layer: ImageFunction, images: tf.Tensor) -> tf.Tensor:
    """The layer's output; errors name the layer if it fails or changes the shape."""
    name = getattr(layer, "name", None) or getattr(layer, "__name__", repr(layer))
    try:
        augmented = tf.cast(seeding.call_in_training(layer, images), images.dtype)
    except Exception as error:
        raise ValueError(
            "augmentation must take images with any number of channels, since x and y pass "
            f"through it as one image. Received: {name}, which fails on images of shape "
            f"{images.shape}: {error}"
        ) from error
    kept = "augmentation must keep the size and the channels of images"
    if not augmented.shape.is_compatible_with(images.shape):
        raise ValueError(
            f"{kept}. Received: {name}, which returns images of shape {augmented.shape} for "
            f"images of shape {images.shape}"
        )
    # Some layers of KerasCV lose the static shape; then it is checked at run time.
    same_shape = tf.debugging.assert_equal(
        tf.shape(augmented), tf.shape(images), f"{kept}. Received: {name}, which changes them"
    )
    with tf.control_dependencies([same_shape] if same_shape is not None else []):
        return tf.ensure_shape(tf.identity(augmented), images.shape)
