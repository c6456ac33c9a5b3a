"""Distances between images: by the name of a Keras loss, a Keras loss, "ssim", or a callable."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeAlias

import tensorflow as tf
from tensorflow import keras

Distance: TypeAlias = str | keras.losses.Loss | Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
DistanceMap: TypeAlias = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


def as_map(name: str, distance: Distance) -> DistanceMap:
    """A distance as a function of ``(y_true, y_pred)`` that returns ``(batch, height, width)``.

    Args:
        name: of the argument, for messages.
        distance: returns one value per channel, per pixel or per sample.

    Raises:
        ValueError: if `distance` is none of the accepted kinds; on a call, for other shapes.
    """
    function: Any = distance
    if isinstance(distance, str):
        function = ssim_distance if distance == "ssim" else _keras_loss(name, distance)
    if isinstance(function, keras.losses.Loss):
        function = function.call
    if not callable(function):
        raise ValueError(
            f"{name} must be the name of a Keras loss, a Keras loss, 'ssim' or a callable. "
            f"Received: {distance!r}"
        )

    def distance_map(y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        values = tf.cast(function(y_true, y_pred), y_pred.dtype)
        rank = values.shape.rank
        if rank == 4:
            return tf.reduce_mean(values, axis=-1)
        if rank == 1:
            values = values[:, tf.newaxis, tf.newaxis]
        elif rank not in (0, 3):
            raise ValueError(
                f"{name} must return one value per pixel or per sample. Received: {distance!r}, "
                f"which returned shape {values.shape}"
            )
        return tf.broadcast_to(values, tf.shape(y_pred)[:3])

    return distance_map


def _keras_loss(name: str, value: str) -> Any:
    try:
        found = keras.losses.get(value)
    except ValueError:
        found = None
    if found is None:
        raise ValueError(
            f"{name} must be the name of a Keras loss, such as 'mse' or 'mae', or 'ssim'. "
            f"Received: {value!r}"
        )
    return found() if isinstance(found, type) else found


def gains_from_xla(distance: Distance) -> bool:
    """Whether it surely compiles and is then faster: SSIM's convolutions are slow under XLA."""
    if isinstance(distance, str):
        return distance != "ssim"
    owner = distance if inspect.isfunction(distance) else type(distance)
    return owner.__module__.split(".")[0] == keras.Model.__module__.split(".")[0]


def ssim_distance(y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
    """1 - SSIM of images in [0, 1], per pixel; its window is 11 pixels wide, or as large as fits.

    From Wang, Bovik, Sheikh and Simoncelli, "Image Quality Assessment: From Error Visibility to
    Structural Similarity", 2004.
    """
    window = 11
    sizes = [size for size in y_pred.shape[1:3] if size is not None]
    window = min([window, *sizes])
    index = tf.image.ssim(y_true, y_pred, max_val=1.0, filter_size=window, return_index_map=True)
    # The map is smaller than the image by window - 1; the edge repeats its nearest value.
    low, high = (window - 1) // 2, window // 2
    while low > 0 or high > 0:
        step_low, step_high = (min(pad, 1) for pad in (low, high))
        padding = [[0, 0], [step_low, step_high], [step_low, step_high]]
        index = tf.pad(index, padding, mode="SYMMETRIC")
        low, high = low - step_low, high - step_high
    return 1.0 - index


def contrast_error(y: tf.Tensor, output: tf.Tensor) -> tf.Tensor:
    """Squared difference in contrast of two batches of images, a scalar.

    Contrast is the standard deviation over an image's pixels, averaged over the batch: matching it
    image by image would have the output vary where the target is ambiguous, which costs PSNR.
    """

    def contrast(images: tf.Tensor) -> tf.Tensor:
        # The square root has no finite gradient at 0.
        deviations = tf.sqrt(tf.math.reduce_variance(images, axis=(1, 2)) + 1e-8)
        return tf.reduce_mean(deviations, axis=0)

    return tf.reduce_mean(tf.square(contrast(output) - contrast(y)))


def serialize(distance: Distance) -> Any:
    """A name as it is; the config of a Keras object."""
    return distance if isinstance(distance, str) else keras.utils.serialize_keras_object(distance)


def deserialize(config: Any) -> Any:
    """The distance that `serialize` gave `config` for."""
    if not isinstance(config, dict):
        return config
    if config["class_name"] == "function":
        return keras.utils.deserialize_keras_object(config)
    # Classes by way of keras.losses: the .h5 files of Keras 2 do not name their module.
    return keras.losses.deserialize(config)
