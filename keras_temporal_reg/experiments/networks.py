"""Reference networks of the demo and the experiments; Keras alone loads them."""

from __future__ import annotations

from typing import Any

import numpy as np
from tensorflow import keras

from keras_temporal_reg.core import validation
from keras_temporal_reg.experiments import scenes

_KNOTS = 48


def colorization_unet(channels: int = 16, levels: int = 3) -> keras.Model:
    """Colorization: a U-Net that works at half resolution, as video codecs keep chroma.

    The last layer is zero-initialised: random initialisation collapsed in 3 of 6 runs at the
    demo's learning rate.

    Args:
        channels: of the first level; each further level has twice as many.
        levels: number of poolings after the first one to half resolution; heights and widths must
            be multiples of ``2 ** (levels + 1)``.

    Returns:
        A model from Y, ``(batch, height, width, 1)`` in [0, 1], to Cb and Cr, ``(batch, height,
        width, 2)`` in [-0.5, 0.5].

    Raises:
        ValueError: if an argument is not a whole number of at least 1.

    Example:
        >>> from keras_temporal_reg.experiments import networks
        >>> networks.colorization_unet(channels=4, levels=2).output_shape
        (None, None, None, 2)
    """
    validation.whole_number("channels", channels, 1)
    validation.whole_number("levels", levels, 1)
    luma = keras.Input((None, None, 1))
    h = _unet_body(_convolved(luma, channels, size=5, strides=2), channels, levels)
    chroma = keras.layers.Conv2DTranspose(
        2, 4, strides=2, padding="same", kernel_initializer="zeros", dtype="float32"
    )(h)
    return keras.Model(luma, chroma, name="colorization_unet")


def hdr_unet(channels: int = 16, levels: int = 3) -> keras.Model:
    """HDR reconstruction: a U-Net whose output is used only where the input is saturated.

    Elsewhere the result is the linearized input, `scenes.linearized`. After Eilertsen, Kronander,
    Denes, Mantiuk and Unger, "HDR image reconstruction from a single exposure using deep CNNs",
    2017: an autoencoder with skip connections, an output in the log domain, and a blend by the
    mask ``clip((max_c(x) - 0.95) / 0.05, 0, 1)``.

    Args:
        channels: of the first level; each further level has twice as many.
        levels: number of poolings; heights and widths must be multiples of ``2 ** levels``.

    Returns:
        A model from ``(batch, height, width, 3)`` in [0, 1] to ``log(light + 1/255)`` in the same
        shape.

    Raises:
        ValueError: if an argument is not a whole number of at least 1.

    Example:
        >>> from keras_temporal_reg.experiments import networks
        >>> networks.hdr_unet(channels=4, levels=2).output_shape
        (None, None, None, 3)
    """
    validation.whole_number("channels", channels, 1)
    validation.whole_number("levels", levels, 1)
    layers = keras.layers
    ldr = keras.Input((None, None, 3))
    log = _log_light()(ldr)
    h = _unet_body(layers.Concatenate()([ldr, log]), channels, levels)
    predicted = layers.Conv2D(3, 1, dtype="float32")(h)
    # The blend log + mask (predicted - log), in float32 also under mixed precision.
    change = layers.Subtract(dtype="float32")([predicted, log])
    change = layers.Multiply(dtype="float32")([change, _saturation(ldr)])
    result = layers.Add(dtype="float32")([log, change])
    return keras.Model(ldr, result, name="hdr_unet")


def super_resolution_net(scale: int = 2, channels: int = 32, depth: int = 3) -> keras.Model:
    """Super-resolution: convolutions at low resolution, then one transposed convolution.

    After Dong, Loy and Tang, "Accelerating the super-resolution convolutional neural network",
    2016. The network predicts the difference from repeated pixels.

    Args:
        scale: height of the output over height of the input, at least 2; the same for the width.
        channels: of the layers.
        depth: number of convolutions between the first and the last layer.

    Returns:
        A model from ``(batch, height, width, 3)`` in [0, 1] to scale times the height and width.

    Raises:
        ValueError: if an argument is not a whole number, or too small.

    Example:
        >>> import numpy as np
        >>> from keras_temporal_reg.experiments import networks
        >>> network = networks.super_resolution_net(3, channels=4)
        >>> network(np.zeros((1, 5, 7, 3), "float32")).shape
        TensorShape([1, 15, 21, 3])
    """
    validation.whole_number("scale", scale, 2)
    validation.whole_number("channels", channels, 1)
    validation.whole_number("depth", depth, 1)
    layers = keras.layers
    small = keras.Input((None, None, 3))
    h = _convolved(small, channels, size=5)
    for _ in range(depth):
        h = _convolved(h, channels)
    # A kernel of twice the stride covers each output pixel evenly.
    detail = layers.Conv2DTranspose(
        3, 2 * scale, strides=scale, padding="same", kernel_initializer="zeros", dtype="float32"
    )(h)
    repeated = layers.UpSampling2D(scale, dtype="float32")(small)
    result = layers.Add(dtype="float32")([repeated, detail])
    return keras.Model(small, result, name=f"super_resolution_net_{scale}")


def denoising_net(channels: int = 24, depth: int = 4) -> keras.Model:
    """Denoising: convolutions that predict the noise, which is subtracted.

    After Zhang, Zuo, Chen, Meng and Zhang, "Beyond a Gaussian denoiser: residual learning of deep
    CNN for image denoising", 2017 (DnCNN), without its batch normalization and with fewer layers.
    The last layer is zero-initialised, so that the network begins as the identity.

    Args:
        channels: of the layers.
        depth: number of convolutions between the first and the last layer.

    Returns:
        A model from ``(batch, height, width, 3)`` in [0, 1] to the same shape, of any size.

    Raises:
        ValueError: if an argument is not a whole number of at least 1.

    Example:
        >>> from keras_temporal_reg.experiments import networks
        >>> networks.denoising_net(channels=4).output_shape
        (None, None, None, 3)
    """
    validation.whole_number("channels", channels, 1)
    validation.whole_number("depth", depth, 1)
    layers = keras.layers
    noisy = keras.Input((None, None, 3))
    h = noisy
    for _ in range(depth + 1):
        h = _convolved(h, channels)
    noise = layers.Conv2D(
        3, 3, padding="same", kernel_initializer="zeros", dtype="float32", name="noise"
    )(h)
    result = layers.Subtract(dtype="float32")([noisy, noise])
    return keras.Model(noisy, result, name="denoising_net")


def _unet_body(h: Any, channels: int, levels: int) -> Any:
    """Encoder and decoder with skip connections."""
    layers = keras.layers
    skips = []
    for level in range(levels):
        h = _convolved(h, channels * 2**level)
        skips.append(h)
        h = layers.MaxPooling2D()(h)
    h = _convolved(h, channels * 2**levels)
    for level in reversed(range(levels)):
        h = layers.Concatenate()([layers.UpSampling2D()(h), skips[level]])
        h = _convolved(h, channels * 2**level)
    return h


def _convolved(images: Any, filters: int, size: int = 3, strides: int = 1) -> Any:
    return keras.layers.Conv2D(
        filters,
        size,
        strides=strides,
        padding="same",
        activation="relu",
        kernel_initializer="he_normal",
    )(images)


def _log_light() -> keras.Model:
    """`scenes.linearized` on [0, 1], by frozen 1 x 1 convolutions.

    Keras has no logarithm layer, and Lambda layers would put code into the model's file. So this
    is piecewise linear: a sum of ``weight * relu(x - knot)``, exact to 0.01.
    """
    knots = np.linspace(0.0, 1.0, _KNOTS + 1) ** 1.5
    values = scenes.linearized(knots).astype(np.float64)
    slopes = np.diff(values) / np.diff(knots)
    changes = np.diff(slopes, prepend=0.0)
    # Each of the three channels has its own copy of the knots.
    first = np.kron(np.eye(3), np.ones((1, _KNOTS)))
    second = np.kron(np.eye(3), changes[:, np.newaxis])
    layers = keras.layers
    bend = layers.Conv2D(3 * _KNOTS, 1, activation="relu", dtype="float32", trainable=False)
    add = layers.Conv2D(3, 1, dtype="float32", trainable=False)
    network = keras.Sequential([keras.Input((None, None, 3)), bend, add], name="log_light")
    bend.set_weights([first[np.newaxis, np.newaxis], np.tile(-knots[:-1], 3)])
    add.set_weights([second[np.newaxis, np.newaxis], np.full(3, values[0])])
    return network


def _saturation(ldr: Any) -> Any:
    """``clip((max_c(x) - 0.95) / 0.05, 0, 1)``, ``(batch, height, width, 1)``."""
    layers = keras.layers
    # The largest channel: channels take the place of columns, over which is pooled.
    turned = layers.Permute((1, 3, 2))(ldr)
    largest = layers.Permute((1, 3, 2))(layers.MaxPooling2D((1, 3))(turned))
    span = 1.0 - scenes.SATURATION
    scaled = layers.Rescaling(1.0 / span, -scenes.SATURATION / span, dtype="float32")(largest)
    return layers.ReLU(max_value=1.0, dtype="float32")(scaled)
