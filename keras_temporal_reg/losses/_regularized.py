"""The two regularized losses, as ordinary Keras losses.

Both are ``L = (1 - alpha) * L_vis + alpha * L_reg`` (Eilertsen, Mantiuk and Unger, "Single-frame
Regularization for Temporally Stable CNNs", CVPR 2019; section II of its poster) and differ in what
`L_reg` compares. They take a paired target (`data.pair_with_transformed`, `RegularizedModel`); with
a plain one, as in validation, they are `L_vis`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf
from tensorflow import keras

from keras_temporal_reg import image
from keras_temporal_reg.core import validation, xla
from keras_temporal_reg.data import _paired_target
from keras_temporal_reg.losses import _distances
from keras_temporal_reg.losses._distances import Distance


def transform_invariance(
    y: tf.Tensor,
    moved_y: tf.Tensor,
    output: tf.Tensor,
    moved_output: tf.Tensor,
    transforms: tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor]:
    """f(T(x)) and T(f(x)), which transform invariance makes equal.

    Args:
        y: y, ``(batch, height, width, channels)``; not used.
        moved_y: T(y), likewise; not used.
        output: f(x), likewise.
        moved_output: f(T(x)), likewise.
        transforms: T, ``(batch, 8)`` float32, or a flow ``(batch, height, width, 2)``.

    Returns:
        The two image tensors to compare, each ``(batch, height, width, channels)``.

    Example:
        >>> import tensorflow as tf, keras_temporal_reg as ktr
        >>> image, identity = tf.ones((1, 8, 8, 3)), ktr.transforms.identity(1)
        >>> a, b = ktr.losses.transform_invariance(image, image, image, image, identity)
        >>> bool(tf.reduce_all(a == b))
        True
    """
    del y, moved_y
    # Pixels from outside the frame are masked; the warp's gradient is fastest with a constant fill.
    return moved_output, image.warp_by_motion(output, transforms, fill_mode="constant")


def sparse_jacobian(
    y: tf.Tensor,
    moved_y: tf.Tensor,
    output: tf.Tensor,
    moved_output: tf.Tensor,
    transforms: tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor]:
    """f(T(x)) - f(x) and T(y) - y, which the sparse Jacobian makes equal.

    Arguments and result are those of `transform_invariance`; `transforms` is not used.
    """
    del transforms
    return moved_output - output, moved_y - y


class _RegularizedLoss(keras.losses.Loss):
    """What the two losses share: all but what they compare."""

    compared: Callable[..., tuple[tf.Tensor, tf.Tensor]]

    def __init__(
        self,
        alpha: float = 0.9,
        reconstruction: Distance = "mse",
        distance: Distance = "mse",
        border: int = 0,
        contrast: float = 0.0,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        _check_removed(kwargs)
        super().__init__(name=name, **kwargs)
        self.alpha = validation.fraction("alpha", alpha, "[", ")")
        self.border = validation.whole_number("border", border, 0)
        self.contrast = validation.not_negative("contrast", contrast)
        self.reconstruction = reconstruction
        self.distance = distance
        for argument, value in (("reconstruction", reconstruction), ("distance", distance)):
            if is_regularized(value):
                raise ValueError(
                    f"{argument} must not be a regularized loss itself. Received: {value!r}"
                )
        self._reconstruction_map = _distances.as_map("reconstruction", reconstruction)
        self._distance_map = _distances.as_map("distance", distance)
        self._gains_from_xla = all(map(_distances.gains_from_xla, (reconstruction, distance)))
        self._fused_paired = xla.fused(self._paired)

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> tf.Tensor:
        if sample_weight is not None:
            sample_weight = self._weights(
                tf.convert_to_tensor(y_true),
                tf.convert_to_tensor(y_pred),
                tf.convert_to_tensor(sample_weight),
            )
        return super().__call__(y_true, y_pred, sample_weight)

    def call(self, y_true: Any, y_pred: Any) -> tf.Tensor:
        """The loss per pixel.

        Args:
            y_true: a paired target ``(R, height, width, channels + 1)``, three more channels
                where T is a flow, or a plain one
                ``(R, height, width, channels)``.
            y_pred: ``(R, height, width, channels)``.

        Returns:
            ``(R, height, width)`` float32 (float64 for float64 outputs), whose mean is L.
        """
        y_pred = _in_full_precision(y_pred)
        y_true = tf.cast(y_true, y_pred.dtype)
        y_true = _paired_target.check(y_true, y_pred)

        def paired() -> tf.Tensor:
            fuse = (
                self._gains_from_xla and image.may_compile() and xla.should_compile(y_true, y_pred)
            )
            return (self._fused_paired if fuse else self._paired)(y_true, y_pred)

        def plain() -> tf.Tensor:
            y = _paired_target.images_of(y_true, y_pred)
            loss = self._reconstruction_map(y, y_pred)
            return loss * _paired_target.one_or_nan(y_true, y_pred)

        return _paired_target.if_paired(y_true, y_pred, paired, plain)

    def _paired(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        target = _paired_target.decode(y_true, _paired_target.has_flow(y_true, y_pred))
        reconstruction = self._reconstruction_map(target.y, y_pred)
        # If only a part of the batch is paired, the last of these pairs hold two samples; they get
        # no share of the regularizer, by `of_reg` below.
        first, second = slice(None, -1, 2), slice(1, None, 2)
        regularizer = self._regularizer(
            y=target.y[first],
            moved_y=target.y[second],
            output=y_pred[first],
            moved_output=y_pred[second],
            transforms=target.transforms[second],
        )
        both = tf.stack([tf.zeros_like(regularizer), regularizer], axis=1)
        both = tf.reshape(both, (-1, *image.spatial_shape(y_pred)))
        odd_row = tf.shape(y_pred)[0] % 2
        regularizer = tf.pad(both, [[0, odd_row], [0, 0], [0, 0]])
        is_counterpart = tf.cast(target.is_counterpart, y_pred.dtype)
        weight = tf.cast(target.weight, y_pred.dtype)
        weight *= _paired_target.one_or_nan(y_true, y_pred)
        of_vis = (1.0 - self.alpha) * weight * (1.0 - is_counterpart)
        of_reg = self.alpha * weight * is_counterpart
        return (
            of_vis[:, tf.newaxis, tf.newaxis] * reconstruction
            + of_reg[:, tf.newaxis, tf.newaxis] * regularizer
        )

    def _regularizer(
        self,
        *,
        y: tf.Tensor,
        moved_y: tf.Tensor,
        output: tf.Tensor,
        moved_output: tf.Tensor,
        transforms: tf.Tensor,
    ) -> tf.Tensor:
        """L_reg as a map ``(pairs, height, width)``, whose mean over a pair is its L_reg."""
        a, b = type(self).compared(y, moved_y, output, moved_output, transforms)
        height, width = image.spatial_shape(output)
        valid = tf.cast(image.valid_mask(transforms, height, width, self.border), output.dtype)
        # A distance that looks at more than one pixel sees no difference where pixels are masked.
        a = valid[..., tf.newaxis] * a + (1.0 - valid[..., tf.newaxis]) * b
        share = tf.reduce_mean(valid, axis=(1, 2), keepdims=True)
        values = tf.math.divide_no_nan(valid * self._distance_map(b, a), share)
        if self.contrast:
            frames = tf.concat([y, moved_y], axis=0), tf.concat([output, moved_output], axis=0)
            values += self.contrast * _distances.contrast_error(*frames)
        return values

    def _weights(self, y_true: tf.Tensor, y_pred: tf.Tensor, sample_weight: tf.Tensor) -> tf.Tensor:
        """The weights of the loss map, from those given: one per sample, or one per pixel."""
        if sample_weight.shape.rank in (1, 2):
            # Keras 2 would align the samples with the last axis of the map, its columns.
            sample_weight = tf.reshape(sample_weight, (-1, 1, 1))
        return sample_weight

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config.update(
            alpha=self.alpha,
            reconstruction=_distances.serialize(self.reconstruction),
            distance=_distances.serialize(self.distance),
            border=self.border,
            contrast=self.contrast,
        )
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> _RegularizedLoss:
        given = {n: config[n] for n in ("reconstruction", "distance") if n in config}
        return cls(**{**config, **{n: _distances.deserialize(v) for n, v in given.items()}})


@keras.utils.register_keras_serializable(package="keras_temporal_reg")
class TransformInvarianceLoss(_RegularizedLoss):
    """``(1 - alpha) * L_vis + alpha * || f(T(x)) - T(f(x)) ||``.

    From Eilertsen, Mantiuk and Unger, CVPR 2019. It stabilizes most, and softens the output if T is
    large, since T(f(x)) is interpolated.

    `y_true` and `y_pred` are image tensors ``(rows, height, width, channels)`` of any float dtype.
    `y_true` has one more channel if it is paired (`data.pair_with_transformed`,
    `RegularizedModel`); with a plain target the loss is `L_vis`. `L_vis` is computed on x alone,
    `L_reg` on the pixels that T does not bring in from outside the frame.

    Args:
        alpha: strength of the regularizer, in [0, 1).
        reconstruction: `L_vis`: the name of a Keras loss, a Keras loss, ``"ssim"`` (images in
            [0, 1]), or a callable of ``(y_true, y_pred)`` that returns one value per pixel or per
            sample.
        distance: measures the differences in `L_reg`; the same choices. It also sets the scale of
            alpha. A value per sample sees no difference at masked pixels, but its mean is over all
            pixels.
        border: pixels along the edge that `L_reg` leaves out, at least 0.
        contrast: at least 0; adds to `L_reg` this many times the squared difference in contrast
            between outputs and targets (the standard deviation over the pixels of a frame, mean
            over the frames of the batch; mean over channels). It keeps the contrast that strong
            regularization takes away; 0.1 is a good start. Not in the paper.
        name: a name for the loss.
        **kwargs: `reduction`, and on Keras 3 `dtype`, as for any Keras loss.

    Raises:
        ValueError: if alpha is outside [0, 1), border is not an integer of at least 0, contrast is
            negative, or a distance has an unknown name; on a call, if channels or ranks do not fit.
        tf.errors.InvalidArgumentError: on a call, if a target with one more channel than the output
            was not paired (such as RGBA for an RGB model), was changed after pairing, or holds
            split pairs. XLA cannot raise errors; the loss is then NaN.

    Example:
        >>> import tensorflow as tf, keras_temporal_reg as ktr
        >>> loss = ktr.losses.TransformInvarianceLoss(alpha=0.9, reconstruction="mae")
        >>> float(loss(tf.zeros((1, 8, 8, 3)), tf.ones((1, 8, 8, 3))))  # a plain target
        1.0
    """

    compared = staticmethod(transform_invariance)


@keras.utils.register_keras_serializable(package="keras_temporal_reg")
class SparseJacobianLoss(_RegularizedLoss):
    """``(1 - alpha) * L_vis + alpha * || (f(T(x)) - f(x)) - (T(y) - y) ||``.

    From Eilertsen, Mantiuk and Unger, CVPR 2019. It keeps contrast and sharpness better than
    transform invariance and is less sensitive to alpha. With weights per pixel, a pixel of `L_reg`
    has the larger of its weights in the two frames.

    Args:
        alpha: strength of the regularizer, in [0, 1).
        reconstruction: `L_vis`, as in `TransformInvarianceLoss`.
        distance: measures the differences in `L_reg`, likewise.
        border: pixels along the edge that `L_reg` leaves out, at least 0.
        contrast: weight of the difference in contrast, likewise.
        name: a name for the loss.
        **kwargs: `reduction`, and on Keras 3 `dtype`, as for any Keras loss.

    Raises:
        ValueError: as `TransformInvarianceLoss`.
        tf.errors.InvalidArgumentError: likewise.

    Example:
        >>> import keras_temporal_reg as ktr
        >>> loss = ktr.losses.SparseJacobianLoss(alpha=0.8, distance="mae")
        >>> loss.get_config()["alpha"]
        0.8
    """

    compared = staticmethod(sparse_jacobian)

    def _weights(self, y_true: tf.Tensor, y_pred: tf.Tensor, sample_weight: tf.Tensor) -> tf.Tensor:
        sample_weight = super()._weights(y_true, y_pred, sample_weight)

        def joined() -> tf.Tensor:
            shape = tf.concat([[-1], tf.ones_like(tf.shape(sample_weight)[1:])], axis=0)
            is_counterpart = tf.reshape(_paired_target.decode(y_true).is_counterpart, shape)
            before = tf.roll(sample_weight, shift=1, axis=0)
            return tf.where(is_counterpart, tf.maximum(sample_weight, before), sample_weight)

        return _paired_target.if_paired(y_true, y_pred, joined, lambda: sample_weight)


def is_regularized(loss: Any) -> bool:
    """Whether `loss` is a `TransformInvarianceLoss` or a `SparseJacobianLoss`.

    Example:
        >>> import keras_temporal_reg as ktr
        >>> ktr.losses.is_regularized(ktr.losses.SparseJacobianLoss())
        True
    """
    return isinstance(loss, _RegularizedLoss)


def _in_full_precision(tensor: Any) -> tf.Tensor:
    tensor = tf.convert_to_tensor(tensor)
    return tensor if tensor.dtype == tf.float64 else tf.cast(tensor, tf.float32)


def _check_removed(kwargs: dict[str, Any]) -> None:
    """Take the option `normalize` of version 0.1 out of `kwargs`; saved configs hold it."""
    if kwargs.pop("normalize", False):
        raise ValueError(
            "normalize was removed, since it lost PSNR in the project's experiments. Leave it out; "
            "contrast=0.1 keeps contrast under strong regularization. Received: normalize=True"
        )
