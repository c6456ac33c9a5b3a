"""Warp batches of images: the geometric transform T, exact in both directions.

Conventions, used everywhere in this package:

* Images are NHWC. A point is ``(x, y)``: ``x`` counts columns, ``y`` counts rows.
* Pixel centres lie at integers: the top left pixel is ``(0, 0)``, the image centre is
  ``((width - 1) / 2, (height - 1) / 2)``.
* A transform is eight numbers ``[a0, a1, a2, b0, b1, b2, c0, c1]`` that map a point of the
  *output* to the point of the *input* that it shows: ``x' = (a0 x + a1 y + a2) / k``,
  ``y' = (b0 x + b1 y + b2) / k``, ``k = c0 x + c1 y + 1``, as in ``tfa.image.transform``.
* Coordinates are float32 for images of every dtype.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from keras_temporal_reg.core import gradients, validation, warp, xla
from keras_temporal_reg.core.deprecation import renamed_names
from keras_temporal_reg.core.warp import spatial_shape as spatial_shape

INTERPOLATIONS = ("nearest", "bilinear")
FILL_MODES = ("constant", "reflect", "wrap", "nearest")
BACKENDS = ("auto", "xla", "op", "tfa")

_backend = "auto"
_log = logging.getLogger(__name__)


def set_backend(name: str) -> None:
    """Choose the implementation of `transform`, for functions that are traced from now on.

    Args:
        name: ``"auto"``: the fastest that runs in the context, XLA included; ``"xla"``: plain
            TensorFlow ops, which compile; ``"op"``: TensorFlow's own
            ``ImageProjectiveTransformV3``; ``"tfa"``: ``tfa.image.transform``. The last two
            have no XLA kernel: compiled functions use the plain ops instead. The gradient is
            the exact adjoint with each of them.

    Raises:
        ValueError: if `name` is none of these.
        ImportError: if `name` is ``"tfa"`` and TensorFlow Addons cannot be imported.

    Example:
        >>> import keras_temporal_reg as ktr
        >>> ktr.image.set_backend("xla")
        >>> ktr.image.get_backend()
        'xla'
        >>> ktr.image.set_backend("auto")
    """
    global _backend
    validation.one_of("name", name, BACKENDS)
    if name == "tfa":
        _tfa_transform()
    _backend = name


def get_backend() -> str:
    """The name of the current backend; ``"auto"`` by default. See `set_backend`."""
    return _backend


def transform(
    images: Any,
    transforms: Any,
    interpolation: str = "nearest",
    fill_mode: str = "constant",
    output_shape: Any = None,
    name: str | None = None,
    fill_value: Any = 0.0,
) -> tf.Tensor:
    """Warp images by projective transforms, as `tfa.image.transform` does.

    It differs from that function in three ways: it compiles under ``jit_compile=True``, its
    gradient in `images` is the exact adjoint of the warp, at every order and under any tape,
    and it accepts bfloat16.

    Args:
        images: ``(batch, height, width, channels)``, ``(height, width, channels)`` or
            ``(height, width)``; any float dtype, uint8, int32 or int64.
        transforms: ``(8,)`` or ``(1, 8)`` for all images, or ``(batch, 8)``, one per image.
            They map output points to input points (see the conventions of this module). No
            gradient flows into them.
        interpolation: ``"nearest"`` or ``"bilinear"``.
        fill_mode: what points outside the image show: ``"constant"`` (`fill_value`),
            ``"reflect"`` (d c b a | a b c d | d c b a), ``"wrap"`` (a b c d | a b c d),
            ``"nearest"`` (a a a a | a b c d | d d d d).
        output_shape: ``[height, width]`` of the result; that of `images` by default.
        name: a name for the operation.
        fill_value: the fill of ``fill_mode="constant"``, and in every mode of points that a
            projective transform maps to infinity.

    Returns:
        The warped images: dtype and rank of `images`, height and width `output_shape`.

    Raises:
        ValueError: for an unknown mode, or arguments whose shapes do not fit.
        TypeError: for images of an unsupported dtype.

    Example:
        >>> import tensorflow as tf, keras_temporal_reg as ktr
        >>> image = tf.reshape(tf.range(4.0), (1, 1, 4, 1))
        >>> shift = [1, 0, 0.5, 0, 1, 0, 0, 0]  # the input point is half a pixel to the right
        >>> out = ktr.image.transform(image, shift, "bilinear", "nearest")
        >>> out[0, 0, :, 0].numpy().tolist()
        [0.5, 1.5, 2.5, 3.0]
    """
    validation.one_of("interpolation", interpolation, INTERPOLATIONS)
    validation.one_of("fill_mode", fill_mode, FILL_MODES)
    with tf.name_scope(name or "transform"):
        images = tf.convert_to_tensor(images)
        if not (images.dtype.is_floating or images.dtype in (tf.uint8, tf.int32, tf.int64)):
            raise TypeError(
                f"images must have a float dtype, uint8, int32 or int64. "
                f"Received: {images.dtype.name}"
            )
        rank = images.shape.rank
        if rank not in (2, 3, 4):
            raise ValueError(
                f"images must have rank 2 (HW), 3 (HWC) or 4 (NHWC). Received: rank {rank}"
            )
        if rank == 2:
            images = images[tf.newaxis, ..., tf.newaxis]
        elif rank == 3:
            images = images[tf.newaxis]
        transforms = _as_transforms(transforms, images)
        if output_shape is None:
            output_shape = spatial_shape(images)
        elif isinstance(output_shape, tf.Tensor):
            output_shape = tf.unstack(output_shape, num=2)
        elif len(output_shape) != 2:
            raise ValueError(
                f"output_shape must be [height, width]. Received: {list(output_shape)}"
            )
        sampling = warp.Sampling(interpolation, fill_mode, fill_value)
        warped = _warp(images, transforms, output_shape, sampling)
        if rank == 2:
            return warped[0, ..., 0]
        return warped[0] if rank == 3 else warped


def warp_by_flow(images: tf.Tensor, flow: tf.Tensor, fill_mode: str = "nearest") -> tf.Tensor:
    """Read every image bilinearly at ``point + flow``.

    Args:
        images: ``(batch, height, width, channels)``, float.
        flow: ``(batch, height, width, 2)``, float32, ``(dx, dy)`` in pixels.
        fill_mode: what points outside the image show, as in `transform`; by default the nearest
            border pixel.

    Returns:
        ``(batch, height, width, channels)``, the dtype of `images`. Gradients flow into
        `images` and into `flow`.

    Raises:
        ValueError: for an unknown mode.

    Example:
        >>> import tensorflow as tf, keras_temporal_reg as ktr
        >>> image = tf.reshape(tf.range(3.0), (1, 1, 3, 1))
        >>> to_the_right = tf.tile([[[[0.5, 0.0]]]], (1, 1, 3, 1))
        >>> ktr.image.warp_by_flow(image, to_the_right)[0, 0, :, 0].numpy().tolist()
        [0.5, 1.5, 2.0]
    """
    validation.one_of("fill_mode", fill_mode, FILL_MODES)
    points = warp.Points(*_flow_points(flow), None)
    return warp.sample(images, points, warp.Sampling("bilinear", fill_mode))


def warp_by_motion(images: tf.Tensor, motion: tf.Tensor, fill_mode: str = "nearest") -> tf.Tensor:
    """Warp bilinearly by transforms or by flow: `transform`, or `warp_by_flow`.

    Args:
        images: ``(batch, height, width, channels)``, float.
        motion: ``(batch, 8)``, or ``(batch, height, width, 2)``; float32.
        fill_mode: what points outside the image show, as in `transform`.
    """
    if motion.shape.rank == 4:
        return warp_by_flow(images, motion, fill_mode)
    return transform(images, motion, "bilinear", fill_mode)


def flow_valid_mask(flow: tf.Tensor, border: int = 0) -> tf.Tensor:
    """Where `warp_by_flow` reads inside the frame: ``(batch, height, width)`` float32, 0 or 1.

    Args:
        flow: ``(batch, height, width, 2)``, float32, ``(dx, dy)`` in pixels.
        border: width in pixels of the frame's edge that is invalid too, as in `valid_mask`.
    """
    height, width = spatial_shape(flow)
    return _off_border(*_flow_points(flow), height, width, border)


def valid_mask(transforms: tf.Tensor, height: Any, width: Any, border: int = 0) -> tf.Tensor:
    """Where a warp shows content of the frame: ``(batch, height, width)`` float32, 0 or 1.

    Args:
        transforms: ``(batch, 8)``, or a flow ``(batch, height, width, 2)``; float32.
        height: rows of the frame, in pixels.
        width: columns of the frame, in pixels.
        border: width in pixels of the frame's edge that is invalid too, both where its pixels
            come from and where they are shown.

    Example:
        >>> import tensorflow as tf, keras_temporal_reg as ktr
        >>> shift = tf.constant([[1.0, 0, 1, 0, 1, 0, 0, 0]])  # one pixel in x
        >>> ktr.image.valid_mask(shift, 1, 3).numpy().tolist()
        [[[1.0, 1.0, 0.0]]]
    """
    if transforms.shape.rank == 4:
        return flow_valid_mask(transforms, border)
    points = warp.source_points(transforms, (height, width))
    mask = _off_border(points.x, points.y, height, width, border)
    return mask if points.finite is None else mask * tf.cast(points.finite, tf.float32)


# Names of version 0.1.
__getattr__ = renamed_names(
    __name__,
    {
        "displace": "warp_by_flow",
        "displacement_inside": "flow_valid_mask",
        "inside": "valid_mask",
    },
)


def _flow_points(flow: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    rows, columns = warp.grid(*spatial_shape(flow))
    return columns + flow[..., 0], rows + flow[..., 1]


def _as_transforms(transforms: Any, images: tf.Tensor) -> tf.Tensor:
    transforms = tf.stop_gradient(tf.cast(tf.convert_to_tensor(transforms), tf.float32))
    if transforms.shape.rank == 1:
        transforms = transforms[tf.newaxis]
    if transforms.shape.rank != 2 or transforms.shape[1] not in (8, None):
        raise ValueError(
            f"transforms must have shape (8,), (1, 8) or (batch, 8). Received: {transforms.shape}"
        )
    count, batch = transforms.shape[0], images.shape[0]
    if count is not None and batch is not None and count not in (1, batch):
        raise ValueError(
            f"transforms must hold one transform, or one for each of the {batch} images. "
            f"Received: {count} transforms"
        )
    return transforms


def _warp(
    images: tf.Tensor, transforms: tf.Tensor, output_shape: Any, sampling: warp.Sampling
) -> tf.Tensor:
    forward, image_size = _forward_function(images), spatial_shape(images)
    linear = sampling._replace(fill_value=0.0)

    def adjoint(upstream: tf.Tensor) -> tf.Tensor:
        if xla.should_compile(images, upstream):
            return _compiled_adjoint(upstream, transforms, image_size, linear)
        if tf.executing_eagerly():
            return _eager_adjoint(upstream.dtype, image_size, linear)(upstream, transforms)
        return warp.adjoint(upstream, transforms, image_size, linear)

    warped = gradients.with_adjoint(
        lambda images: forward(images, transforms, output_shape, sampling),
        adjoint,
        lambda images: forward(images, transforms, output_shape, linear),
    )
    return warped(images)


def _forward_function(images: tf.Tensor) -> Callable[..., tf.Tensor]:
    if xla.is_tracing():
        if _backend in ("op", "tfa"):
            _log_fallback(_backend)
        return _forward_plain
    if _backend == "tfa":
        return _forward_tfa
    if compiles_here(images):
        return _forward_compiled
    return _forward_plain if _backend == "xla" else _forward_op


def compiles_here(*images: tf.Tensor) -> bool:
    """Whether `transform` becomes an XLA program of its own in the current context.

    Not in eager calls, each of which may have images of a new size, nor on GPUs, for which
    TensorFlow's op has a fast kernel.
    """
    if not may_compile() or tf.executing_eagerly() or not xla.should_compile(*images):
        return False
    return _backend == "xla" or not tf.config.list_physical_devices("GPU")


def may_compile() -> bool:
    """Whether parts of a step may be XLA programs, for which TensorFlow's op has no kernel."""
    return _backend in ("auto", "xla")


@functools.cache  # so that each backend is logged once
def _log_fallback(backend: str) -> None:
    _log.warning(
        "image backend %r has no XLA kernel; compiled functions use plain TensorFlow ops.",
        backend,
    )


def _forward_plain(
    images: tf.Tensor, transforms: tf.Tensor, output_shape: Any, sampling: warp.Sampling
) -> tf.Tensor:
    def warped(affine: bool) -> tf.Tensor:
        points = warp.source_points(transforms, output_shape, affine)
        return warp.sample(images, points, sampling)

    return tf.cond(warp.is_affine(transforms), lambda: warped(True), lambda: warped(False))


# XLA programs of their own, for use in functions that are not compiled.
_forward_compiled = xla.compiled(_forward_plain)
_compiled_adjoint = xla.compiled(warp.adjoint)


@functools.cache
def _eager_adjoint(
    dtype: tf.DType, image_size: tuple[int, int], sampling: warp.Sampling
) -> Callable[..., tf.Tensor]:
    """`warp.adjoint` of upstream and transforms, for eager calls."""

    graph = warp.adjoint_graph(dtype, sampling)
    return xla.compiled_when_repeated(
        lambda upstream, transforms: warp.adjoint(upstream, transforms, image_size, sampling),
        lambda upstream, transforms: graph(upstream, transforms, image_size),
    )


def _forward_op(
    images: tf.Tensor, transforms: tf.Tensor, output_shape: Any, sampling: warp.Sampling
) -> tf.Tensor:
    warped = tf.raw_ops.ImageProjectiveTransformV3(
        images=_widened(images),
        transforms=transforms,
        output_shape=tf.stack(output_shape),
        fill_value=tf.cast(sampling.fill_value, tf.float32),
        interpolation=sampling.interpolation.upper(),
        fill_mode=sampling.fill_mode.upper(),
    )
    return tf.cast(warped, images.dtype)


def _forward_tfa(
    images: tf.Tensor, transforms: tf.Tensor, output_shape: Any, sampling: warp.Sampling
) -> tf.Tensor:
    warped = _tfa_transform()(
        _widened(images),
        transforms,
        sampling.interpolation,
        sampling.fill_mode,
        tf.stack(output_shape),
        fill_value=sampling.fill_value,
    )
    return tf.cast(warped, images.dtype)


def _widened(images: tf.Tensor) -> tf.Tensor:
    """TensorFlow's op has no bfloat16 kernel, and computes in float32 anyway."""
    return tf.cast(images, tf.float32) if images.dtype == tf.bfloat16 else images


def _tfa_transform() -> Callable[..., tf.Tensor]:
    try:
        import tensorflow_addons as tfa
    except ImportError as error:
        raise ImportError(
            'the "tfa" backend needs TensorFlow Addons, which imports beside TensorFlow 2.15 '
            "or older only: pip install keras-temporal-reg[addons]"
        ) from error
    return tfa.image.transform


def _off_border(x: tf.Tensor, y: tf.Tensor, height: Any, width: Any, border: int) -> tf.Tensor:
    """Where points, and the pixels that show them, are farther from the edge than `border`."""
    mask = _within(x, y, height, width, border)
    if border:
        rows, columns = warp.grid(height, width)
        mask *= _within(columns, rows, height, width, border)
    return mask


def _within(x: tf.Tensor, y: tf.Tensor, height: Any, width: Any, border: int) -> tf.Tensor:
    def along_axis(point: tf.Tensor, size: Any) -> tf.Tensor:
        slack = 1e-3  # pixels; float32 rounding must not drop the edge under the identity
        last = tf.cast(size, tf.float32) - 1.0
        return (point >= border - slack) & (point <= last - border + slack)

    return tf.cast(along_axis(x, width) & along_axis(y, height), tf.float32)
