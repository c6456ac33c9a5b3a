"""T as smooth local displacements, which differ from place to place of the image."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import tensorflow as tf
from tensorflow import keras

from keras_temporal_reg import image
from keras_temporal_reg.core import seeding, validation, warp

_STEEPEST = 0.25  # magnitude over scale up to which no two points can change places


@keras.utils.register_keras_serializable(package="keras_temporal_reg")
class RandomFlow:
    """Random smooth displacements, as of things that move and deform on their own.

    The displacements are a cubic B-spline over a grid of uniform random numbers. Use it in place of
    `RandomAffine`. Not in the paper.

    Args:
        magnitude: pixels, at least 0; no point moves farther, in x or in y. Half of the
            displacements are below a quarter of it.
        scale: pixels between the nodes of the grid, at least 4 times the magnitude, so that the
            image does not fold; parts farther apart than four times as many move independently.
        fill_mode: what fills points outside the frame: ``"constant"`` (zeros), ``"reflect"``,
            ``"wrap"`` or ``"nearest"``.
        seed: integer of at least 0; draws then repeat, and are the same under XLA. None: taken
            from Python's random numbers at first use, so that `keras.utils.set_random_seed`
            determines it.

    Raises:
        ValueError: for a magnitude below 0 or above a quarter of `scale`, an unknown mode, or a
            seed below 0.

    Example:
        >>> import keras_temporal_reg as ktr
        >>> motion = ktr.RandomFlow(magnitude=2.0, scale=16.0, seed=1)
        >>> flow = motion.sample(batch_size=4, height=32, width=48)
        >>> flow.shape
        TensorShape([4, 32, 48, 2])
        >>> moved = motion.apply(tf.zeros((4, 32, 48, 3)), flow)
    """

    def __init__(
        self,
        magnitude: float = 2.0,
        scale: float = 16.0,
        fill_mode: str = "reflect",
        seed: int | None = None,
    ) -> None:
        self.magnitude = validation.not_negative("magnitude", magnitude)
        self.scale = validation.not_negative("scale", scale)
        if not 0.0 < self.scale < math.inf or self.magnitude > _STEEPEST * self.scale:
            raise ValueError(
                "scale must be above 0 and at least 4 times the magnitude, or the image folds. "
                f"Received: magnitude {magnitude!r} and scale {scale!r}"
            )
        validation.one_of("fill_mode", fill_mode, image.FILL_MODES)
        self.fill_mode = fill_mode
        self.seed = seeding.checked(seed)
        self._seeds = seeding.Draws(self)

    def sample(self, batch_size: Any, height: Any, width: Any, seed: Any = None) -> tf.Tensor:
        """Draw one field of displacements per image of a batch.

        Args:
            batch_size: number of fields; a number or a scalar tensor.
            height: rows of the images, in pixels; a number or a scalar tensor.
            width: columns of the images, in pixels; likewise.
            seed: two integers that determine the draw, as for `tf.random.stateless_uniform`.
                None: each call draws anew, repeatably if this object has a seed.

        Returns:
            ``(batch_size, height, width, 2)`` float32, ``(dx, dy)`` from each output point to the
            input point that it shows.
        """
        seed = self._seeds.next() if seed is None else seed
        of_rows, of_columns = self._spline(height), self._spline(width)
        nodes = tf.shape(of_rows)[1], tf.shape(of_columns)[1]
        static = of_rows.shape[1], of_columns.shape[1]
        nodes = tuple(s if s is not None else n for s, n in zip(static, nodes))
        drawn = 2.0 * seeding.uniform((batch_size, *nodes, 2), seed) - 1.0
        # One axis after the other: the sums over all nodes at once would be several times as long.
        along_rows = tf.einsum("hk,bkld->bhld", of_rows, drawn)
        return self.magnitude * tf.einsum("wl,bhld->bhwd", of_columns, along_rows)

    def apply(self, images: Any, flow: tf.Tensor) -> tf.Tensor:
        """Warp `images` by `flow`, with this object's fill.

        Args:
            images: ``(batch, height, width, channels)``, float or integer; integer dtypes are
                rounded.
            flow: ``(batch, height, width, 2)`` as from `sample`.

        Returns:
            The warped images, shape and dtype of `images`.
        """
        flow = tf.stop_gradient(flow)
        return warp.keep_dtype(
            lambda frames: image.warp_by_flow(frames, flow, self.fill_mode), images
        )

    def scaled(self, factor: float) -> RandomFlow:
        """A copy with `magnitude` multiplied by `factor`."""
        return RandomFlow(self.magnitude * abs(factor), self.scale, self.fill_mode, self.seed)

    def _spline(self, size: Any) -> tf.Tensor:
        """Weight of each node for each pixel of an axis, ``(size, nodes)`` float32.

        The weights of a pixel are those of a cubic B-spline: none is negative, and they sum to 1.
        """
        if isinstance(size, int):
            count: Any = math.ceil((size - 1) / self.scale) + 3
        else:
            last = tf.cast(size, tf.float32) - 1.0
            count = tf.cast(tf.math.ceil(last / self.scale), tf.int32) + 3
        pixels = tf.cast(tf.range(size), tf.float32)[:, tf.newaxis] / self.scale
        nodes = tf.cast(tf.range(count), tf.float32)[tf.newaxis] - 1.0
        distance = tf.abs(pixels - nodes)
        near = (4.0 - 6.0 * distance**2 + 3.0 * distance**3) / 6.0
        far = tf.maximum(2.0 - distance, 0.0) ** 3 / 6.0
        return tf.where(distance < 1.0, near, far)

    def get_config(self) -> dict[str, Any]:
        return {
            "magnitude": self.magnitude,
            "scale": self.scale,
            "fill_mode": self.fill_mode,
            "seed": self.seed,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> RandomFlow:
        return cls(**config)


def rescale_flow(flow: tf.Tensor, to_size: Sequence[Any]) -> tf.Tensor:
    """The same displacements on another pixel grid of the same image.

    Args:
        flow: ``(batch, height, width, 2)`` float32, ``(dx, dy)`` in pixels.
        to_size: ``(height, width)`` in pixels; numbers or scalar tensors.

    Returns:
        ``(batch, *to_size, 2)`` float32, interpolated bilinearly between pixel centres.

    Example:
        >>> import tensorflow as tf, keras_temporal_reg as ktr
        >>> shift = tf.ones((1, 8, 8, 2))
        >>> float(ktr.transforms.rescale_flow(shift, (16, 8))[0, 0, 0, 1])  # two pixels in y
        2.0
    """
    from_size = image.spatial_shape(flow)
    sizes = (*from_size, *to_size)
    if not any(tf.is_tensor(size) for size in sizes) and from_size == tuple(to_size):
        return flow
    scale = [tf.cast(to, tf.float32) / tf.cast(n, tf.float32) for n, to in zip(from_size, to_size)]
    resized = tf.image.resize(flow, tf.stack([tf.cast(size, tf.int32) for size in to_size]))
    static = (size if isinstance(size, int) else None for size in to_size)
    return tf.ensure_shape(resized * tf.stack(scale[::-1]), (flow.shape[0], *static, 2))
