"""T as one affine motion of the whole image."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import tensorflow as tf
from tensorflow import keras

from keras_temporal_reg import image
from keras_temporal_reg.core import seeding, validation, warp

Range = float | Sequence[float]


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
        self.fill_mode = fill_mode
        self.fill_value = float(fill_value)
        self.interpolation = interpolation
        self.seed = seeding.checked(seed)
        self._seeds = seeding.Draws(self)

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
        seed = self._seeds.next() if seed is None else seed
        uniform = seeding.uniform((batch_size, 6), seed)
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
        return warp.keep_dtype(
            lambda frames: image.transform(
                frames,
                transforms,
                interpolation=self.interpolation,
                fill_mode=self.fill_mode,
                fill_value=self.fill_value,
            ),
            images,
        )

    def scaled(self, factor: float) -> RandomAffine:
        """A copy with every range multiplied by `factor`."""
        config = self.get_config()
        for name in ("translation", "rotation", "zoom", "shear"):
            low, high = config[name]
            config[name] = sorted((low * factor, high * factor))
        return RandomAffine(**config)

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
