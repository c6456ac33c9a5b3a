"""T: small random motions. Drawing one is apart from applying it.

The numbers and their direction follow the conventions of `keras_temporal_reg.image`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Union

import tensorflow as tf
from tensorflow import keras

from keras_temporal_reg import image
from keras_temporal_reg.core import seeding, validation

Range = Union[float, Sequence[float]]

IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0)


@keras.utils.register_keras_serializable(package="keras_temporal_reg")
class RandomAffine:
    """Random small affine motions, as between two neighbouring frames of a video.

    The defaults are those of the authors' training code (Eilertsen, Mantiuk and Unger,
    "Single-frame Regularization for Temporally Stable CNNs", CVPR 2019). Every range is a
    number, meaning plus/minus that, or a pair ``(low, high)``; draws are uniform.

    Args:
        translation: pixels, x and y drawn apart.
        rotation: degrees about the image centre; positive turns the picture counter-clockwise.
        zoom: fraction; the map is scaled by ``1 + zoom``, so positive zooms out, as in
            `keras.layers.RandomZoom`.
        shear: degrees, x and y drawn apart.
        fill_mode: what comes in from outside of the frame: ``"constant"``, ``"reflect"``,
            ``"wrap"`` or ``"nearest"``.
        fill_value: the number that ``fill_mode="constant"`` fills with.
        interpolation: ``"bilinear"`` or ``"nearest"``, for `apply`. The losses warp what
            the model returns bilinearly in any case, since that has a useful gradient.
        seed: whole number; draws then repeat, and are the same under XLA. None: taken from Python's
            random numbers at first use, so `keras.utils.set_random_seed` governs it.

    Raises:
        ValueError: for a range that is not a number or an ordered pair, a zoom that would
            turn the picture inside out, a shear of 90 degrees or more, or an unknown mode.

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
        """Draw one transform for each image of a batch.

        Args:
            batch_size: number of transforms; a number or a scalar tensor.
            height: rows of the images, in pixels; a number or a scalar tensor.
            width: columns of the images, in pixels; likewise.
            seed: two whole numbers that fix the draw, as for `tf.random.stateless_uniform`.
                None: each call draws anew, repeatably where this object was given a seed.

        Returns:
            ``(batch_size, 8)`` float32, output point to input point, about the image centre.
        """
        if seed is None:
            seed = self._next_seed()
        seed = tf.cast(seed, tf.int32)
        # Whole numbers, since TensorFlow's floats of one seed are others under XLA.
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
            images: ``(batch, height, width, channels)``, float or uint8; whole-number dtypes
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
        """The same with every range times `factor`: the magnitude of transformations."""
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
    """``(batch_size, 8)`` float32 transforms that move nothing."""
    return tf.tile(tf.constant([IDENTITY], tf.float32), (batch_size, 1))


def carry_over(
    transforms: tf.Tensor, from_size: Sequence[Any], to_size: Sequence[Any]
) -> tf.Tensor:
    """The same motion on another pixel grid of the same picture.

    Pixel ``i`` of ``n`` covers ``[i, i + 1] / n`` of the picture, so its centre stands at
    ``(i + 1/2) / n`` on any grid.

    Args:
        transforms: ``(batch, 8)`` float32, for images of `from_size`.
        from_size: ``(height, width)`` in pixels.
        to_size: ``(height, width)`` in pixels.

    Returns:
        ``(batch, 8)`` float32, for images of `to_size`.

    Example:
        >>> import tensorflow as tf, keras_temporal_reg as ktr
        >>> shift = tf.constant([[1.0, 0, 3, 0, 1, 0, 0, 0]])  # three pixels in x
        >>> ktr.transforms.carry_over(shift, (8, 8), (16, 16))[0, 2].numpy().item()  # are six there
        6.0
    """
    if all(isinstance(n, int) for n in (*from_size, *to_size)) and [*from_size] == [*to_size]:
        return transforms
    scale_y, scale_x = (
        tf.cast(to, tf.float32) / tf.cast(start, tf.float32)
        for start, to in zip(from_size, to_size)
    )
    matrices = tf.reshape(tf.pad(transforms, [[0, 0], [0, 1]], constant_values=1.0), (-1, 3, 3))
    there = _grid_change(scale_x, scale_y)
    back = _grid_change(1.0 / scale_x, 1.0 / scale_y)
    carried = tf.reshape(_product(_product(there, matrices), back), (-1, 9))
    return carried[:, :8] / carried[:, 8:]


def _grid_change(scale_x: tf.Tensor, scale_y: tf.Tensor) -> tf.Tensor:
    """``(1, 3, 3)``: points of one grid to those of a grid finer by the scales."""
    row_x = tf.stack([scale_x, 0.0, (scale_x - 1.0) / 2.0])
    row_y = tf.stack([0.0, scale_y, (scale_y - 1.0) / 2.0])
    return tf.stack([row_x, row_y, tf.constant([0.0, 0.0, 1.0])])[tf.newaxis]


def _product(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """Product of 3 x 3 matrices. Not tf.matmul, which a GPU may run with 10-bit factors."""
    return tf.reduce_sum(a[..., tf.newaxis] * b[..., tf.newaxis, :, :], axis=-2)


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
