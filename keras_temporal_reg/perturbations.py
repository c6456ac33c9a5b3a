"""What real video has besides motion: changes for the `perturbation` of a paired batch.

Each is a function of images that draws new numbers for each batch, from a seed, and compiles under
XLA. The images are in [0, 1] unless `value_range` says otherwise, and so is the result. How much
each helps, and against what: docs/how-to/perturbation.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow import keras

from keras_temporal_reg.core import degradations, seeding, validation

_register = keras.utils.register_keras_serializable(package="keras_temporal_reg")
# Quantization of the 8 x 8 frequencies at quality 50: ITU-T T.81, tables K.1 and K.2.
_LUMA_TABLE = """
    16 11 10 16 24 40 51 61  12 12 14 19 26 58 60 55  14 13 16 24 40 57 69 56
    14 17 22 29 51 87 80 62  18 22 37 56 68 109 103 77  24 35 55 64 81 104 113 92
    49 64 78 87 103 121 120 101  72 92 95 98 112 100 103 99
"""
_CHROMA_TABLE = """
    17 18 24 47 99 99 99 99  18 21 26 66 99 99 99 99  24 26 56 99 99 99 99 99
    47 66 99 99 99 99 99 99  99 99 99 99 99 99 99 99  99 99 99 99 99 99 99 99
    99 99 99 99 99 99 99 99  99 99 99 99 99 99 99 99
"""
_BLOCK = 8
# RGB to luma and two differences of colour, full range: ITU-T T.871.
_TO_YCC = np.array(
    [[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]], np.float32
)


class _Perturbation:
    """What all of them share: the range of values, and the float32 in between."""

    def __init__(self, value_range: Sequence[float]) -> None:
        low, high = (float(value) for value in value_range)
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise ValueError(
                f"value_range must be two finite numbers, low < high. Received: {value_range!r}"
            )
        self.value_range = (low, high)

    def __call__(self, images: Any, seed: Any = None) -> tf.Tensor:
        """Change a batch of images.

        Args:
            images: ``(batch, height, width, channels)``, float.
            seed: two integers that determine what is drawn; None: TensorFlow's global seed.

        Returns:
            The changed images, shape and dtype of `images`, within `value_range`.
        """
        images = tf.convert_to_tensor(images)
        validation.image_batch("images", images)
        low, high = self.value_range
        unit = (tf.cast(images, tf.float32) - low) / (high - low)
        changed = tf.clip_by_value(self._change(unit, seed), 0.0, 1.0)
        return tf.cast(changed * (high - low) + low, images.dtype)

    def _change(self, unit: tf.Tensor, seed: Any) -> tf.Tensor:
        """Change images in [0, 1]."""
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        return {"value_range": list(self.value_range)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        return cls(**config)


@_register
class SensorNoise(_Perturbation):
    """Noise of a camera: its variance rises with the light (shot noise) from a floor (read noise).

    The variance at the value v of [0, 1] is ``level**2 * (shot**2 * v + read**2)``, where `level`
    is drawn from [0, 1) for each image.

    Args:
        shot: standard deviation of the shot noise at white, at least 0.
        read: standard deviation of the read noise, at least 0.
        value_range: the values of black and white.

    Raises:
        ValueError: for a negative deviation or a wrong range.

    Example:
        >>> import tensorflow as tf, keras_temporal_reg as ktr
        >>> noisy = ktr.perturbations.SensorNoise(shot=0.05)(tf.ones((1, 8, 8, 3)) / 2, seed=(1, 2))
        >>> bool(tf.math.reduce_std(noisy) > 0.001)
        True
    """

    def __init__(
        self, shot: float = 0.03, read: float = 0.01, value_range: Sequence[float] = (0.0, 1.0)
    ) -> None:
        super().__init__(value_range)
        self.shot = validation.not_negative("shot", shot)
        self.read = validation.not_negative("read", read)

    def _change(self, unit: tf.Tensor, seed: Any) -> tf.Tensor:
        of_level, of_noise = seeding.split(seed, 2)
        level = _per_image(unit, of_level)
        return degradations.add_sensor_noise(unit, of_noise, level * self.shot, level * self.read)

    def get_config(self) -> dict[str, Any]:
        return {"shot": self.shot, "read": self.read, **super().get_config()}


@_register
class ExposureDrift(_Perturbation):
    """All of an image brighter or darker, as from automatic exposure or a flickering lamp.

    Args:
        stops: at least 0; the values are multiplied by ``2**d``, with d drawn from plus/minus
            `stops` for each image.
        value_range: the values of black and white.

    Raises:
        ValueError: for negative stops or a wrong range.

    Example:
        >>> import tensorflow as tf, keras_temporal_reg as ktr
        >>> changed = ktr.perturbations.ExposureDrift(0.1)(tf.ones((1, 8, 8, 3)) / 2, seed=(1, 2))
        >>> 0.46 < float(changed[0, 0, 0, 0]) < 0.54
        True
    """

    def __init__(self, stops: float = 0.1, value_range: Sequence[float] = (0.0, 1.0)) -> None:
        super().__init__(value_range)
        self.stops = validation.not_negative("stops", stops)

    def _change(self, unit: tf.Tensor, seed: Any) -> tf.Tensor:
        (seed,) = seeding.split(seed, 1)
        return unit * tf.pow(2.0, self.stops * (2.0 * _per_image(unit, seed) - 1.0))

    def get_config(self) -> dict[str, Any]:
        return {"stops": self.stops, **super().get_config()}


@_register
class WhiteBalanceDrift(_Perturbation):
    """Channels brighter or darker against each other, as from automatic white balance.

    Args:
        amount: at least 0, below 1; each channel of each image is multiplied by a number drawn from
            1 plus/minus `amount`, and all by one number that keeps the mean of the factors at 1.
        value_range: the values of black and white.

    Raises:
        ValueError: for an amount outside [0, 1) or a wrong range.

    Example:
        >>> import tensorflow as tf, keras_temporal_reg as ktr
        >>> grey = tf.ones((1, 8, 8, 3)) / 2
        >>> changed = ktr.perturbations.WhiteBalanceDrift(0.1)(grey, seed=(1, 2))
        >>> abs(float(tf.reduce_mean(changed)) - 0.5) < 1e-4
        True
    """

    def __init__(self, amount: float = 0.03, value_range: Sequence[float] = (0.0, 1.0)) -> None:
        super().__init__(value_range)
        self.amount = validation.fraction("amount", amount, "[", ")")

    def _change(self, unit: tf.Tensor, seed: Any) -> tf.Tensor:
        (seed,) = seeding.split(seed, 1)
        drawn = seeding.uniform((tf.shape(unit)[0], 1, 1, tf.shape(unit)[3]), seed)
        gains = 1.0 + self.amount * (2.0 * drawn - 1.0)
        return unit * gains / tf.reduce_mean(gains, axis=-1, keepdims=True)

    def get_config(self) -> dict[str, Any]:
        return {"amount": self.amount, **super().get_config()}


@_register
class Defocus(_Perturbation):
    """A Gaussian blur, as from a lens that searches for focus.

    Args:
        sigma: pixels, above 0; the blur of each image is drawn from 0 to `sigma`.
        value_range: the values of black and white.

    Raises:
        ValueError: for a sigma that is not above 0, or a wrong range.

    Example:
        >>> import tensorflow as tf, keras_temporal_reg as ktr
        >>> ktr.perturbations.Defocus(1.0)(tf.ones((1, 8, 8, 3)), seed=(1, 2)).shape
        TensorShape([1, 8, 8, 3])
    """

    def __init__(self, sigma: float = 1.0, value_range: Sequence[float] = (0.0, 1.0)) -> None:
        super().__init__(value_range)
        self.sigma = validation.positive("sigma", sigma)

    def _change(self, unit: tf.Tensor, seed: Any) -> tf.Tensor:
        (seed,) = seeding.split(seed, 1)
        return degradations.blur(unit, self.sigma * _per_image(unit, seed), self.sigma)

    def get_config(self) -> dict[str, Any]:
        return {"sigma": self.sigma, **super().get_config()}


@_register
class CompressionArtifacts(_Perturbation):
    """Blocks and ringing of a video or JPEG codec: rounded frequencies of 8 x 8 pixels.

    RGB is coded as luma and two differences of colour, at full resolution. The grid of the blocks
    starts at another pixel for each batch.

    Args:
        quality: a pair ``(low, high)`` from 1 to 100, or one number for both; that of each image is
            drawn between them. The scale is that of libjpeg.
        value_range: the values of black and white.

    Raises:
        ValueError: for a quality outside [1, 100], or a wrong range.

    Example:
        >>> import tensorflow as tf, keras_temporal_reg as ktr
        >>> image = tf.random.stateless_uniform((1, 20, 20, 3), (1, 2))
        >>> ktr.perturbations.CompressionArtifacts((30, 60))(image, seed=(1, 2)).shape
        TensorShape([1, 20, 20, 3])
    """

    def __init__(
        self,
        quality: float | Sequence[float] = (30.0, 90.0),
        value_range: Sequence[float] = (0.0, 1.0),
    ) -> None:
        super().__init__(value_range)
        pair = (quality, quality) if isinstance(quality, (int, float)) else quality
        low, high = (float(value) for value in pair)
        if not 1.0 <= low <= high <= 100.0:
            raise ValueError(
                "quality must be a number, or a pair (low, high) with low <= high, of 1 to 100. "
                f"Received: {quality!r}"
            )
        self.quality = (low, high)

    def _change(self, unit: tf.Tensor, seed: Any) -> tf.Tensor:
        of_quality, of_grid = seeding.split(seed, 2)
        low, high = self.quality
        quality = low + (high - low) * _per_image(unit, of_quality)
        start = tf.cast(_BLOCK * seeding.uniform((2,), of_grid), tf.int32)
        return _compress(unit, quality, start)

    def get_config(self) -> dict[str, Any]:
        return {"quality": list(self.quality), **super().get_config()}


@_register
class Chain:
    """Several perturbations, one after the other.

    Args:
        perturbations: of this module, or any function of ``(images, seed)``.

    Raises:
        TypeError: for one that cannot be called.

    Example:
        >>> import tensorflow as tf, keras_temporal_reg as ktr
        >>> chain = ktr.perturbations.Chain(
        ...     [ktr.perturbations.ExposureDrift(), ktr.perturbations.SensorNoise()]
        ... )
        >>> chain(tf.ones((1, 8, 8, 3)) / 2, seed=(1, 2)).shape
        TensorShape([1, 8, 8, 3])
    """

    def __init__(self, perturbations: Sequence[Callable[..., tf.Tensor]]) -> None:
        self.perturbations = list(perturbations)
        for each in self.perturbations:
            if not callable(each):
                raise TypeError(f"perturbations must be functions. Received: {each!r}")

    def __call__(self, images: Any, seed: Any = None) -> tf.Tensor:
        """Change a batch of images by each in turn; see `SensorNoise`."""
        seeds = seeding.split(seed, max(len(self.perturbations), 1))
        for perturbation, own in zip(self.perturbations, seeds):
            images = seeding.call_in_training(perturbation, images, own)
        return tf.convert_to_tensor(images)

    def get_config(self) -> dict[str, Any]:
        serialize = keras.utils.serialize_keras_object
        return {"perturbations": [serialize(each) for each in self.perturbations]}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Chain:
        restore = keras.utils.deserialize_keras_object
        return cls([restore(each) for each in config["perturbations"]])


def _per_image(images: tf.Tensor, seed: Any) -> tf.Tensor:
    """One number of [0, 1) for each image, ``(batch, 1, 1, 1)``."""
    return seeding.uniform((tf.shape(images)[0], 1, 1, 1), seed)


def _compress(unit: tf.Tensor, quality: tf.Tensor, start: tf.Tensor) -> tf.Tensor:
    """Round the frequencies of blocks.

    Args:
        unit: images in [0, 1].
        quality: ``(batch, 1, 1, 1)``, of 1 to 100.
        start: row and column of the first whole block, each below 8.
    """
    height, width = tf.shape(unit)[1], tf.shape(unit)[2]
    # A border of a block or more on each side, so that what the roll takes around is not shown.
    rows, columns = (
        tf.clip_by_value(tf.range(-_BLOCK, n + _BLOCK + (-n) % _BLOCK), 0, n - 1)
        for n in (height, width)
    )
    padded = tf.gather(tf.gather(unit, rows, axis=1), columns, axis=2)
    values = tf.roll(255.0 * padded, -start, axis=[1, 2])
    is_color = unit.shape[3] == 3
    middle = tf.constant([128.0, 0.0, 0.0] if is_color else [128.0])
    if is_color:
        values = tf.einsum("bhwc,dc->bhwd", values, _TO_YCC)
    values -= middle
    luma, chroma = (np.array(t.split(), np.float32) for t in (_LUMA_TABLE, _CHROMA_TABLE))
    tables = np.stack([luma, chroma, chroma] if is_color else [luma], axis=-1)
    percent = tf.where(quality < 50.0, 5000.0 / quality, 200.0 - 2.0 * quality)
    steps = tables.reshape(1, 1, _BLOCK, 1, _BLOCK, -1) * percent[..., tf.newaxis, tf.newaxis]
    steps = tf.clip_by_value(tf.floor((steps + 50.0) / 100.0), 1.0, 255.0)
    shape = tf.shape(values)
    blocks = (shape[0], shape[1] // _BLOCK, _BLOCK, shape[2] // _BLOCK, _BLOCK, shape[3])
    basis = _cosines()
    coded = tf.einsum("ui,vj,bricjd->brucvd", basis, basis, tf.reshape(values, blocks))
    coded = steps * tf.round(coded / steps)
    values = tf.reshape(tf.einsum("ui,vj,brucvd->bricjd", basis, basis, coded), shape)
    values += middle
    if is_color:
        values = tf.einsum("bhwd,cd->bhwc", values, np.linalg.inv(_TO_YCC))
    values = tf.roll(values, start, axis=[1, 2])
    shown = values[:, _BLOCK : _BLOCK + height, _BLOCK : _BLOCK + width] / 255.0
    return tf.ensure_shape(shown, unit.shape)


def _cosines() -> np.ndarray:
    """The orthonormal cosine transform of a block: ``(frequency, pixel)`` float32."""
    frequency, pixel = np.mgrid[:_BLOCK, :_BLOCK]
    basis = np.cos(math.pi * frequency * (2 * pixel + 1) / (2 * _BLOCK)) * math.sqrt(2 / _BLOCK)
    basis[0] /= math.sqrt(2.0)
    return basis.astype(np.float32)
