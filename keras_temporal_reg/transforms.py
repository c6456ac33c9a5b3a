"""T: small random motions. Sampling a motion is separate from applying it.

The numbers and their direction follow the conventions of `keras_temporal_reg.image`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow import keras

from keras_temporal_reg import image
from keras_temporal_reg.core import seeding, validation
from keras_temporal_reg.core.deprecation import renamed_names

Range = float | Sequence[float]

IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0)


@keras.utils.register_keras_serializable(package="keras_temporal_reg")
class RandomAffine:
    """Random small affine motions, as between two neighbouring frames of a video.

    The defaults are those of the authors' training code (Eilertsen, Mantiuk and Unger,
    "Single-frame Regularization for Temporally Stable CNNs", CVPR 2019). Every range is a
    number, which means plus/minus that number, or a pair ``(low, high)``; draws are uniform.

    Args:
        translation: pixels; x and y are drawn independently.
        rotation: degrees about the image centre; positive turns the image counter-clockwise.
        zoom: fraction; the map is scaled by ``1 + zoom``, so positive zooms out, as in
            `keras.layers.RandomZoom`.
        shear: degrees; x and y are drawn independently.
        fill_mode: what fills points outside the frame: ``"constant"``, ``"reflect"``,
            ``"wrap"`` or ``"nearest"``.
        fill_value: the fill of ``fill_mode="constant"``.
        interpolation: ``"bilinear"`` or ``"nearest"``, for `apply`. The losses always warp
            the model's output bilinearly, since that has a useful gradient.
        seed: integer of at least 0; draws then repeat, and are the same under XLA. None: taken
            from Python's random numbers at first use, so that `keras.utils.set_random_seed`
            determines it.

    Raises:
        ValueError: for a range that is not a number or an ordered pair, a zoom of -1 or less,
            a shear of 90 degrees or more, an unknown mode, or a seed below 0.

    Example:
        >>> import keras_temporal_reg as ktr
        >>> motion = ktr.RandomAffine(translation=1.0, rotation=(0.0, 2.0), seed=1)
        >>> transforms = motion.sample(batch_size=4, height=32, width=48)
        >>> transforms.shape
        TensorShape([4, 8])
        >>> moved = motion.apply(tf.zeros((4, 32, 48, 3)), transforms)
    """

    def __init__(
        self,
        translation: Range = 2.0,
        rotation: Range = 1.0,
        zoom: Range = 0.03,
        shear: Range = 1.0,
        fill_mode: str = "reflect",
        fill_value: float = 0.0,
        interpolation: str = "bilinear",
        seed: int | None = None,
    ) -> None:
        self.translation = _as_range("translation", translation)
        self.rotation = _as_range("rotation", rotation)
        self.zoom = _as_range("zoom", zoom)
        self.shear = _as_range("shear", shear)
        if self.zoom[0] <= -1.0:
            raise ValueError(f"zoom must stay above -1. Received: {zoom!r}")
        if max(map(abs, self.shear)) >= 90.0:
            raise ValueError(f"shear must stay within 90 degrees. Received: {shear!r}")
        validation.one_of("fill_mode", fill_mode, image.FILL_MODES)
        validation.one_of("interpolation", interpolation, image.INTERPOLATIONS)
        if seed is not None:
            validation.whole_number("seed", seed, 0)
        self.fill_mode = fill_mode
        self.fill_value = float(fill_value)
        self.interpolation = interpolation
        self.seed = seed
        self._first_seed: int | None = None
        self._draws: tf.Variable | None = None

    def sample(self, batch_size: Any, height: Any, width: Any, seed: Any = None) -> tf.Tensor:
        """Draw one transform per image of a batch.

        Args:
            batch_size: number of transforms; a number or a scalar tensor.
            height: rows of the images, in pixels; a number or a scalar tensor.
            width: columns of the images, in pixels; likewise.
            seed: two integers that determine the draw, as for `tf.random.stateless_uniform`.
                None: each call draws anew, repeatably if this object has a seed.

        Returns:
            ``(batch_size, 8)`` float32, from output points to input points, about the image centre.
        """
        if seed is None:
            seed = self._next_seed()
        seed = tf.cast(seed, tf.int32)
        # Integers, since TensorFlow draws other floats from the same seed under XLA.
        bits = tf.random.stateless_uniform(
            (batch_size, 6), seed, minval=None, maxval=None, dtype=tf.int32, alg="philox"
        )
        uniform = tf.cast(tf.bitwise.bitwise_and(bits, 2**24 - 1), tf.float32) * 2.0**-24
        columns = tf.unstack(uniform, num=6, axis=1)
        ranges = (self.translation,) * 2 + (self.rotation, self.zoom) + (self.shear,) * 2
        shift_x, shift_y, angle, zoom, shear_x, shear_y = (
            low + (high - low) * column for column, (low, high) in zip(columns, ranges)
        )
        return _about_centre(shift_x, shift_y, angle, zoom, shear_x, shear_y, height, width)

    def apply(self, images: Any, transforms: Any) -> tf.Tensor:
        """Warp `images` by `transforms`, with this object's interpolation and fill.

        Args:
            images: ``(batch, height, width, channels)``, float or integer; integer dtypes
                are rounded, where `image.transform` truncates as TensorFlow's op does.
            transforms: ``(batch, 8)`` as from `sample`.

        Returns:
            The warped images, shape and dtype of `images`.
        """
        images = tf.convert_to_tensor(images)
        dtype = images.dtype
        if not dtype.is_floating:
            images = tf.cast(images, tf.float32)
        warped = image.transform(
            images,
            transforms,
            interpolation=self.interpolation,
            fill_mode=self.fill_mode,
            fill_value=self.fill_value,
        )
        return warped if dtype.is_floating else tf.cast(tf.round(warped), dtype)

    def scaled(self, factor: float) -> RandomAffine:
        """A copy with every range multiplied by `factor`."""
        config = self.get_config()
        for name in ("translation", "rotation", "zoom", "shear"):
            low, high = config[name]
            config[name] = sorted((low * factor, high * factor))
        return RandomAffine(**config)

    def _next_seed(self) -> tf.Tensor:
        if self._draws is None:
            self._first_seed = seeding.chosen_seed(self)
            with tf.init_scope():
                self._draws = tf.Variable(0, dtype=tf.int64, trainable=False)
        return tf.stack([tf.constant(self._first_seed, tf.int64), self._draws.assign_add(1)])

    def get_config(self) -> dict[str, Any]:
        return {
            "translation": list(self.translation),
            "rotation": list(self.rotation),
            "zoom": list(self.zoom),
            "shear": list(self.shear),
            "fill_mode": self.fill_mode,
            "fill_value": self.fill_value,
            "interpolation": self.interpolation,
            "seed": self.seed,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> RandomAffine:
        return cls(**config)


def identity(batch_size: Any) -> tf.Tensor:
    """``(batch_size, 8)`` float32 transforms that change nothing."""
    return tf.tile(tf.constant([IDENTITY], tf.float32), (batch_size, 1))


def rescale_transforms(transforms: Any, from_size: Sequence[Any], to_size: Sequence[Any]) -> Any:
    """The same motion on another pixel grid of the same image.

    Pixel ``i`` of ``n`` covers ``[i, i + 1] / n`` of the image, so its centre is at
    ``(i + 1/2) / n`` on every grid.

    Args:
        transforms: ``(batch, 8)`` for images of `from_size`; float32 tensor, NumPy array, or
            nested list, which becomes a tensor.
        from_size: ``(height, width)`` in pixels; numbers or scalar tensors. Only the ratio to
            `to_size` counts.
        to_size: ``(height, width)`` in pixels; likewise.

    Returns:
        ``(batch, 8)`` for images of `to_size`; tensor or array, and dtype, of `transforms`.

    Example:
        >>> import tensorflow as tf, keras_temporal_reg as ktr
        >>> shift = tf.constant([[1.0, 0, 3, 0, 1, 0, 0, 0]])  # three pixels in x
        >>> finer = ktr.transforms.rescale_transforms(shift, (8, 8), (16, 16))
        >>> finer[0, 2].numpy().item()  # six pixels there
        6.0
    """
    if not tf.is_tensor(transforms) and not isinstance(transforms, np.ndarray):
        transforms = tf.convert_to_tensor(transforms, tf.float32)
    sizes = (*from_size, *to_size)
    if not any(tf.is_tensor(size) for size in sizes):
        if sizes[:2] == sizes[2:]:
            return transforms
        scale_y, scale_x = (to / start for start, to in zip(from_size, to_size))
    else:
        scale_y, scale_x = (
            tf.cast(to, tf.float32) / tf.cast(start, tf.float32)
            for start, to in zip(from_size, to_size)
        )
    # A point p of the one grid is scale * p + offset on the other.
    offset_x, offset_y = (scale_x - 1.0) / 2.0, (scale_y - 1.0) / 2.0

    def of_output_points(p0: Any, p1: Any, p2: Any) -> tuple[Any, Any, Any]:
        """``p0 x + p1 y + p2`` as a function of points of the other grid."""
        q0, q1 = p0 / scale_x, p1 / scale_y
        return q0, q1, p2 - q0 * offset_x - q1 * offset_y

    a0, a1, a2, b0, b1, b2, c0, c1 = (transforms[:, i] for i in range(8))
    depth = of_output_points(c0, c1, 1.0)
    x, y = of_output_points(a0, a1, a2), of_output_points(b0, b1, b2)
    new = [scale_x * p + offset_x * d for p, d in zip(x, depth)]
    new += [scale_y * p + offset_y * d for p, d in zip(y, depth)]
    stack = np.stack if isinstance(transforms, np.ndarray) else tf.stack
    return stack([p / depth[2] for p in (*new, *depth[:2])], axis=1)


# Names of version 0.1.
__getattr__ = renamed_names(__name__, {"carry_over": "rescale_transforms"})


def _as_range(name: str, value: Range) -> tuple[float, float]:
    if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
        return (-abs(float(value)), abs(float(value)))
    try:
        low, high = (float(v) for v in value)  # type: ignore[union-attr]
        fits = math.isfinite(low) and math.isfinite(high) and low <= high
    except (TypeError, ValueError):
        fits = False
    if not fits:
        raise ValueError(
            f"{name} must be a finite number (plus/minus that) or a pair (low, high) with "
            f"low <= high. Received: {value!r}"
        )
    return (low, high)


def _about_centre(
    shift_x: tf.Tensor,
    shift_y: tf.Tensor,
    angle: tf.Tensor,
    zoom: tf.Tensor,
    shear_x: tf.Tensor,
    shear_y: tf.Tensor,
    height: Any,
    width: Any,
) -> tf.Tensor:
    """Matrices rotation @ shear * (1 + zoom) about the centre, then the shift."""
    degree = math.pi / 180.0
    cos, sin = tf.cos(angle * degree), tf.sin(angle * degree)
    tan_x, tan_y = tf.tan(shear_x * degree), tf.tan(shear_y * degree)
    scale = 1.0 + zoom
    a0, a1 = scale * (cos - sin * tan_y), scale * (cos * tan_x - sin)
    b0, b1 = scale * (sin + cos * tan_y), scale * (sin * tan_x + cos)
    centre_x = (tf.cast(width, tf.float32) - 1.0) / 2.0
    centre_y = (tf.cast(height, tf.float32) - 1.0) / 2.0
    a2 = centre_x - (a0 * centre_x + a1 * centre_y) + shift_x
    b2 = centre_y - (b0 * centre_x + b1 * centre_y) + shift_y
    zero = tf.zeros_like(a0)
    return tf.stack([a0, a1, a2, b0, b1, b2, zero, zero], axis=1)
