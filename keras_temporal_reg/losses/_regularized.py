"""The two regularized losses, as ordinary Keras losses.

Both are ``L = (1 - alpha) * L_vis + alpha * L_reg`` (Eilertsen, Mantiuk and Unger,
"Single-frame Regularization for Temporally Stable CNNs", CVPR 2019; section II of its poster) and
differ in what `L_reg` compares. They take a target that `pairing.pair` made; given a plain one, as
in validation, they are `L_vis`.
"""

from __future__ import annotations

import inspect
from typing import Any, Callable, Union

import tensorflow as tf
from tensorflow import keras

from keras_temporal_reg import image
from keras_temporal_reg.core import validation, xla
from keras_temporal_reg.data import _pairing as pairing

Distance = Union[str, keras.losses.Loss, Callable[[tf.Tensor, tf.Tensor], tf.Tensor]]


def transform_invariance(
    y: tf.Tensor,
    moved_y: tf.Tensor,
    output: tf.Tensor,
    moved_output: tf.Tensor,
    transforms: tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor]:
    """f(T(x)) and T(f(x)), which transform invariance wants to be equal.

    Args:
        y: y, ``(batch, height, width, channels)``; not used.
        moved_y: T(y), likewise; not used.
        output: f(x), likewise.
        moved_output: f(T(x)), likewise.
        transforms: T, ``(batch, 8)`` float32.

    Returns:
        The two image tensors to compare, each ``(batch, height, width, channels)``.
    """
    del y, moved_y
    # What comes in from outside of the frame does not count; filled with a constant, the warp
    # has the fastest gradient.
    warped = image.transform(output, transforms, interpolation="bilinear")
    return moved_output, warped


def sparse_jacobian(
    y: tf.Tensor,
    moved_y: tf.Tensor,
    output: tf.Tensor,
    moved_output: tf.Tensor,
    transforms: tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor]:
    """f(T(x)) - f(x) and T(y) - y, which the sparse Jacobian wants to be equal.

    Arguments and result are those of `transform_invariance`; T itself is not used.
    """
    del transforms
    return moved_output - output, moved_y - y


class _RegularizedLoss(keras.losses.Loss):
    """All that the two losses share: everything but what they compare."""

    compared: Callable[..., tuple[tf.Tensor, tf.Tensor]]

    def __init__(
        self,
        alpha: float = 0.9,
        reconstruction: Distance = "mse",
        distance: Distance = "mse",
        normalize: bool = False,
        border: int = 0,
        name: str | None = None,
        contrast: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, **kwargs)
        self.alpha = validation.fraction("alpha", alpha, "[", ")")
        self.border = validation.whole_number("border", border, 0)
        self.normalize = bool(normalize)
        self.contrast = validation.not_negative("contrast", contrast)
        self.reconstruction = reconstruction
        self.distance = distance
        self._reconstruction_map = _as_map("reconstruction", reconstruction)
        self._distance_map = _as_map("distance", distance)
        self._fuses = _is_kerass_own(reconstruction) and _is_kerass_own(distance)
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
        """The loss of each pixel.

        Args:
            y_true: a paired target ``(R, height, width, channels + 1)``, or a plain one
                ``(R, height, width, channels)``.
            y_pred: ``(R, height, width, channels)``.

        Returns:
            ``(R, height, width)`` float32 (float64 for float64 outputs), whose mean is L.
        """
        y_true, y_pred = _in_full_precision(y_true), _in_full_precision(y_pred)

        def paired() -> tf.Tensor:
            fuses = self._fuses and image.may_compile() and xla.pays(y_true, y_pred)
            with tf.control_dependencies(_refused_if_torn(y_true)):
                target = tf.identity(y_true)
            return (self._fused_paired if fuses else self._paired)(target, y_pred)

        return _if_paired(
            y_true,
            y_pred,
            paired,
            lambda: self._reconstruction_map(_plain(y_true, y_pred), y_pred),
        )

    def _paired(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        rows = pairing.unpack(y_true)
        reconstruction = self._reconstruction_map(rows.y, y_pred)
        # Where only a part of the batch has counterparts, some of these pairs are none; their
        # rows have no share in the regularizer, by the roles below.
        first, second = slice(None, -1, 2), slice(1, None, 2)
        regularizer = self._regularizer(
            y=rows.y[first],
            moved_y=rows.y[second],
            output=y_pred[first],
            moved_output=y_pred[second],
            transforms=rows.transforms[second],
        )
        both = tf.stack([tf.zeros_like(regularizer), regularizer], axis=1)
        both = tf.reshape(both, (-1, *image.spatial_shape(y_pred)))
        odd_row_out = tf.shape(y_pred)[0] % 2
        regularizer = tf.pad(both, [[0, odd_row_out], [0, 0], [0, 0]])
        role = tf.cast(rows.is_counterpart, y_pred.dtype)
        weight = tf.cast(rows.weight, y_pred.dtype)
        # Rather no loss than a wrong one; under XLA nothing else could tell.
        torn = pairing.is_torn(y_true)
        weight += tf.where(torn, float("nan"), tf.zeros((), y_pred.dtype))
        of_vis = (1.0 - self.alpha) * weight * (1.0 - role)
        of_reg = self.alpha * weight * role
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
        counts = tf.cast(image.inside(transforms, height, width, self.border), output.dtype)
        inside = counts[..., tf.newaxis]
        # Distances that look at more than one pixel find no difference where none counts.
        a = inside * a + (1.0 - inside) * b
        share = tf.reduce_mean(counts, axis=(1, 2), keepdims=True)
        values = tf.math.divide_no_nan(counts * self._distance_map(b, a), share)
        if self.normalize:
            true = type(self).compared(y, moved_y, y, moved_y, transforms)
            energies = [self._energy(images, inside) for images in (a, b, *true)]
            energy, true_energy = sum(energies[:2]), sum(energies[2:])
            # Scaled by the energy of the ground truth, so that alpha keeps its meaning.
            values *= tf.math.divide_no_nan(true_energy, energy + 1e-3 * true_energy)
        if self.contrast:
            frames = tf.concat([y, moved_y], axis=0), tf.concat([output, moved_output], axis=0)
            values += self.contrast * _contrast_error(*frames)
        return values

    def _energy(self, images: tf.Tensor, inside: tf.Tensor) -> tf.Tensor:
        """Distance from an image to its own mean where it counts: ``(pairs, 1, 1)``."""
        pixels = tf.reduce_sum(inside, axis=(1, 2), keepdims=True)
        total = tf.reduce_sum(inside * images, axis=(1, 2), keepdims=True)
        mean = tf.math.divide_no_nan(total, pixels) * tf.ones_like(images)
        flat = inside * images + (1.0 - inside) * mean
        return tf.reduce_mean(self._distance_map(mean, flat), axis=(1, 2), keepdims=True)

    def _weights(self, y_true: tf.Tensor, y_pred: tf.Tensor, sample_weight: tf.Tensor) -> tf.Tensor:
        if sample_weight.shape.rank in (1, 2):
            # Keras 2 would line up the samples with the last axis of the map, its columns.
            sample_weight = tf.reshape(sample_weight, (-1, 1, 1))
        return sample_weight

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config.update(
            alpha=self.alpha,
            reconstruction=_serialized(self.reconstruction),
            distance=_serialized(self.distance),
            normalize=self.normalize,
            border=self.border,
            contrast=self.contrast,
        )
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> _RegularizedLoss:
        config = dict(config)
        for name in ("reconstruction", "distance"):
            if isinstance(config.get(name), dict):
                config[name] = keras.utils.deserialize_keras_object(config[name])
        return cls(**config)


@keras.utils.register_keras_serializable(package="keras_temporal_reg")
class TransformInvarianceLoss(_RegularizedLoss):
    """``(1 - alpha) * L_vis + alpha * || f(T(x)) - T(f(x)) ||``.

    From Eilertsen, Mantiuk and Unger, CVPR 2019. It steadies most, and softens the output
    where T is strong, since T(f(x)) is interpolated.

    `y_true` and `y_pred` are image tensors ``(rows, height, width, channels)`` of any float
    dtype; `y_true` has one more channel where it is paired (`data.pair_with_transformed`,
    `RegularizedModel`). With a plain target the loss is `L_vis`. `L_vis` is taken on x alone,
    `L_reg` on the pixels that T does not bring in from outside of the frame.

    Args:
        alpha: strength of the regularizer, in [0, 1).
        reconstruction: `L_vis`: a Keras loss name, a Keras loss, ``"ssim"`` (images in [0, 1]),
            or a callable of ``(y_true, y_pred)`` that returns one value a pixel or a sample.
        distance: what `L_reg` measures differences by; the same choices. Another distance
            gives alpha another scale. One that returns a value a sample sees no difference
            where pixels do not count; its mean still is over all of them.
        normalize: divide `L_reg` by the energy of what it compares (its distance from its own
            mean), relative to the energy of the same in the ground truth, so that lowering
            the contrast of the output no longer lowers it.
        border: pixels along the edge that do not count in `L_reg` either.
        name: a name for the loss.
        contrast: at least 0: adds to `L_reg` so many times the squared difference in contrast
            between outputs and targets: the standard deviation over the pixels of a frame, mean
            over the frames of the batch; mean of channels. Keeps the contrast that strong
            regularization takes, at less cost than `normalize`; 0.1 is a start. Not in the paper.
        **kwargs: `reduction`, and on Keras 3 `dtype`, as for any Keras loss.

    Raises:
        ValueError: if alpha is outside of [0, 1), border is no whole number of at least 0,
            contrast is below 0, or a distance has an unknown name; on a call, if channels or
            ranks do not fit.

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
    transform invariance and is less sensitive to alpha. A weight of pixels counts in `L_reg`
    where it is high in either of the two frames.

    Args:
        alpha: strength of the regularizer, in [0, 1).
        reconstruction: `L_vis`, as in `TransformInvarianceLoss`.
        distance: what `L_reg` measures differences by, likewise.
        normalize: divide `L_reg` by its energy, likewise.
        border: pixels along the edge that do not count in `L_reg`.
        name: a name for the loss.
        contrast: weight of the difference in contrast, likewise.
        **kwargs: `reduction`, and on Keras 3 `dtype`, as for any Keras loss.

    Raises:
        ValueError: as `TransformInvarianceLoss`.

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
            counterpart = pairing.unpack(y_true).is_counterpart
            shape = tf.concat([[-1], tf.ones_like(tf.shape(sample_weight)[1:])], axis=0)
            counterpart = tf.reshape(counterpart, shape) > 0.5
            before = tf.roll(sample_weight, shift=1, axis=0)
            return tf.where(counterpart, tf.maximum(sample_weight, before), sample_weight)

        return _if_paired(y_true, y_pred, joined, lambda: sample_weight)


def _contrast_error(y: tf.Tensor, output: tf.Tensor) -> tf.Tensor:
    """Squared difference in contrast of two batches of images, a scalar.

    Of the whole batch, not image by image: that would have the output vary where nobody can tell
    what the target is, at a cost of PSNR.
    """

    def contrast(images: tf.Tensor) -> tf.Tensor:
        # The root of 0 has no finite gradient.
        deviations = tf.sqrt(tf.math.reduce_variance(images, axis=(1, 2)) + 1e-8)
        return tf.reduce_mean(deviations, axis=0)

    return tf.reduce_mean(tf.square(contrast(output) - contrast(y)))


def _if_paired(
    y_true: tf.Tensor,
    y_pred: tf.Tensor,
    paired: Callable[[], tf.Tensor],
    plain: Callable[[], tf.Tensor],
) -> tf.Tensor:
    extra = pairing.extra_channels(y_true, y_pred)
    if isinstance(extra, int):
        return paired() if extra else plain()
    # Keras 3 can forget the number of channels while it traces; then only the run can tell.
    return tf.cond(tf.equal(extra, 1), paired, plain)


def _refused_if_torn(y_true: tf.Tensor) -> list[tf.Operation]:
    """An operation that fails where a pair was torn apart; XLA has none that does."""
    if xla.is_tracing():
        return []
    check = tf.debugging.Assert(
        tf.logical_not(pairing.is_torn(y_true)),
        [
            "y_true must have each counterpart right behind its sample. Received: a part of a "
            "paired batch in which they were torn apart, as a distribution strategy does whose "
            "replicas get an odd number of rows. Take batches of a multiple of the number of "
            "replicas, with drop_remainder=True, or RegularizedModel, which pairs on each replica"
        ],
    )
    return [] if check is None else [check]


def _plain(y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
    # Of a plain target this is all; it lets the branch not taken compile on a paired one.
    return y_true[..., : pairing.size(y_pred, -1)]


def _in_full_precision(tensor: Any) -> tf.Tensor:
    tensor = tf.convert_to_tensor(tensor)
    return tensor if tensor.dtype == tf.float64 else tf.cast(tensor, tf.float32)


def _as_map(name: str, value: Distance) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """Any way to name a distance, as a function that returns ``(batch, height, width)``."""
    function: Any = value
    if isinstance(value, str):
        function = _ssim_distance if value == "ssim" else _keras_loss(name, value)
    if isinstance(function, _RegularizedLoss):
        raise ValueError(f"{name} must not be a regularized loss itself. Received: {value!r}")
    if isinstance(function, keras.losses.Loss):
        function = function.call
    if not callable(function):
        raise ValueError(
            f"{name} must be the name of a Keras loss, a Keras loss, 'ssim' or a callable. "
            f"Received: {value!r}"
        )

    def as_map(y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        values = tf.cast(function(y_true, y_pred), y_pred.dtype)
        rank = values.shape.rank
        if rank == 4:
            return tf.reduce_mean(values, axis=-1)
        if rank == 1:
            values = values[:, tf.newaxis, tf.newaxis]
        elif rank not in (0, 3):
            raise ValueError(
                f"{name} must return one value a pixel or one a sample. Received: {value!r}, "
                f"which returned shape {values.shape}"
            )
        return tf.broadcast_to(values, tf.shape(y_pred)[:3])

    return as_map


def _is_kerass_own(value: Distance) -> bool:
    """Whether it surely compiles, and gains by it: SSIM's convolutions are slow under XLA."""
    if isinstance(value, str):
        return value != "ssim"
    owner = value if inspect.isfunction(value) else type(value)
    return owner.__module__.split(".")[0] == keras.Model.__module__.split(".")[0]


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


def _ssim_distance(y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
    """1 - SSIM of images in [0, 1]; its window is 11 pixels wide, or as large as fits."""
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


def _serialized(value: Distance) -> Any:
    return value if isinstance(value, str) else keras.utils.serialize_keras_object(value)


def is_regularized(loss: Any) -> bool:
    """Whether `loss` is one of this module's."""
    return isinstance(loss, _RegularizedLoss)
