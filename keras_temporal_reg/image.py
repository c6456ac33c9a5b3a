"""Warp batches of images: the geometric transform T, exact in both directions.

Conventions, used everywhere in this package:

* Images are NHWC. A point is ``(x, y)``: ``x`` counts columns, ``y`` counts rows.
* Pixel centres lie at integers: the top left pixel is ``(0, 0)``, the image centre is
  ``((width - 1) / 2, (height - 1) / 2)``.
* A transform is eight numbers ``[a0, a1, a2, b0, b1, b2, c0, c1]`` that map a point of the
  *output* to the point of the *input* that is shown there: ``x' = (a0 x + a1 y + a2) / k``,
  ``y' = (b0 x + b1 y + b2) / k``, ``k = c0 x + c1 y + 1``. It is the convention of
  ``tfa.image.transform``.
* Coordinates are float32 whatever the dtype of the images is.
"""

from __future__ import annotations

import logging
from typing import Any, Callable, NamedTuple

import tensorflow as tf

# Private, because TensorFlow has no public way to ask "is this being traced for XLA?", and
# its own projective-transform op has no XLA kernel.
from tensorflow.python.ops.control_flow_util import GraphOrParentsInXlaContext

from keras_temporal_reg import checks

INTERPOLATIONS = ("nearest", "bilinear")
FILL_MODES = ("constant", "reflect", "wrap", "nearest")
BACKENDS = ("auto", "xla", "op", "tfa")

_backend = "auto"
_log = logging.getLogger(__name__)


def set_backend(name: str) -> None:
    """Choose what `transform` runs on. Takes effect when a function is traced.

    Args:
        name: ``"auto"``: the fastest that the context allows, never failing under XLA;
            ``"xla"``: plain TensorFlow ops, which compile; ``"op"``: TensorFlow's own
            ``ImageProjectiveTransformV3``; ``"tfa"``: ``tfa.image.transform``. The last two
            have no XLA kernel: inside a compiled function the plain ops run in their place.
            The gradient is the exact adjoint with each of them.

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
    checks.one_of("name", name, BACKENDS)
    if name == "tfa":
        _tfa_transform()
    _backend = name


def get_backend() -> str:
    """The name last given to `set_backend`; ``"auto"`` at first."""
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
    gradient in `images` is the exact adjoint of the warp, and it takes bfloat16 too.

    Args:
        images: ``(batch, height, width, channels)``, ``(height, width, channels)`` or
            ``(height, width)``; any float dtype, uint8, int32 or int64.
        transforms: ``(8,)`` or ``(1, 8)`` for all images, or ``(batch, 8)``, one an image;
            they map output points to input points (see the conventions of this module). No
            gradient flows into them.
        interpolation: ``"nearest"`` or ``"bilinear"``.
        fill_mode: what lies outside of the image: ``"constant"`` (`fill_value`),
            ``"reflect"`` (d c b a | a b c d | d c b a), ``"wrap"`` (a b c d | a b c d),
            ``"nearest"`` (a a a a | a b c d | d d d d).
        output_shape: ``[height, width]`` of the result; that of `images` by default.
        name: a name for the operation.
        fill_value: the number used by ``fill_mode="constant"``, and in every mode where a
            projective transform sends a point to infinity.

    Returns:
        The warped images: dtype and rank of `images`, height and width of `output_shape`.

    Raises:
        ValueError: for an unknown mode, or arguments whose shapes do not fit.
        TypeError: for a dtype that is not an image's.

    Example:
        >>> import tensorflow as tf, keras_temporal_reg as ktr
        >>> image = tf.reshape(tf.range(4.0), (1, 1, 4, 1))
        >>> shift = [1, 0, 0.5, 0, 1, 0, 0, 0]  # the input point is half a pixel to the right
        >>> out = ktr.image.transform(image, shift, "bilinear", "nearest")
        >>> out[0, 0, :, 0].numpy().tolist()
        [0.5, 1.5, 2.5, 3.0]
    """
    checks.one_of("interpolation", interpolation, INTERPOLATIONS)
    checks.one_of("fill_mode", fill_mode, FILL_MODES)
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
        warped = _warp(images, transforms, interpolation, fill_mode, output_shape, fill_value)
        return {2: lambda: warped[0, ..., 0], 3: lambda: warped[0], 4: lambda: warped}[rank]()


def displace(images: tf.Tensor, flow: tf.Tensor) -> tf.Tensor:
    """Bilinear look-up of every image at ``point + flow``; outside counts as the border pixel.

    Args:
        images: ``(batch, height, width, channels)``, float.
        flow: ``(batch, height, width, 2)``, float32, ``(dx, dy)`` in pixels.

    Returns:
        ``(batch, height, width, channels)``, the dtype of `images`.
    """
    height, width = spatial_shape(images)
    rows, columns = _grid(height, width)
    points = _Points(columns + flow[..., 0], rows + flow[..., 1], None)
    return _gather(images, points, "bilinear", "nearest", 0.0)


def displacement_inside(flow: tf.Tensor) -> tf.Tensor:
    """Where `displace` looks inside of the frame: ``(batch, height, width)`` float32, 0 or 1."""
    height, width = spatial_shape(flow)
    rows, columns = _grid(height, width)
    return _inside(columns + flow[..., 0], rows + flow[..., 1], height, width, 0)


def inside(transforms: tf.Tensor, height: Any, width: Any, border: int = 0) -> tf.Tensor:
    """Where a warp shows what was in the frame: ``(batch, height, width)`` float32, 0 or 1.

    Args:
        transforms: ``(batch, 8)`` float32.
        height: rows of the frame, in pixels.
        width: columns of the frame, in pixels.
        border: pixels along the edge of the frame that do not count either, neither where
            they are shown nor where they come from.
    """
    points = _source_points(transforms, (height, width))
    mask = _inside(points.x, points.y, height, width, border)
    if points.finite is not None:
        mask *= tf.cast(points.finite, tf.float32)
    if border:
        rows, columns = _grid(height, width)
        mask *= _inside(columns, rows, height, width, border)
    return mask


def spatial_shape(images: tf.Tensor) -> tuple[Any, Any]:
    """Height and width of NHWC images: ints where known, else scalar tensors."""
    dynamic = None
    sizes = []
    for axis in (1, 2):
        size = images.shape[axis]
        if size is None:
            dynamic = tf.shape(images) if dynamic is None else dynamic
            size = dynamic[axis]
        sizes.append(size)
    return sizes[0], sizes[1]


class _Points(NamedTuple):
    """Where each output pixel looks: x and y ``(batch, height, width)``; finite where k != 0."""

    x: tf.Tensor
    y: tf.Tensor
    finite: tf.Tensor | None


class _Tap(NamedTuple):
    """One of the input pixels along one axis that make up an output pixel."""

    index: tf.Tensor  # int32, always a pixel that exists
    weight: tf.Tensor | None  # float; None stands for 1
    exists: tf.Tensor | None  # bool; None where no pixel can lie outside


def _as_transforms(transforms: Any, images: tf.Tensor) -> tf.Tensor:
    transforms = tf.cast(tf.convert_to_tensor(transforms), tf.float32)
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
    images: tf.Tensor,
    transforms: tf.Tensor,
    interpolation: str,
    fill_mode: str,
    output_shape: Any,
    fill_value: Any,
) -> tf.Tensor:
    forward = _forward_function()
    if not images.dtype.is_floating:
        return forward(images, transforms, interpolation, fill_mode, output_shape, fill_value)

    @tf.custom_gradient
    def warp(images: tf.Tensor) -> tuple[tf.Tensor, Callable[..., tf.Tensor]]:
        def gradient(upstream: tf.Tensor) -> tf.Tensor:
            points = _source_points(transforms, output_shape)
            return _scatter(upstream, tf.shape(images), points, interpolation, fill_mode)

        warped = forward(images, transforms, interpolation, fill_mode, output_shape, fill_value)
        return warped, gradient

    return warp(images)


def _forward_function() -> Callable[..., tf.Tensor]:
    compiled = not tf.executing_eagerly() and GraphOrParentsInXlaContext(
        tf.compat.v1.get_default_graph()
    )
    if _backend == "xla" or (_backend == "auto" and compiled):
        return _forward_gather
    if compiled:
        _log_fallback(_backend)
        return _forward_gather
    return _forward_tfa if _backend == "tfa" else _forward_op


_fallbacks_logged: set[str] = set()


def _log_fallback(backend: str) -> None:
    if backend not in _fallbacks_logged:
        _fallbacks_logged.add(backend)
        _log.warning(
            "image backend %r has no XLA kernel; compiled functions use plain TensorFlow ops.",
            backend,
        )


def _forward_gather(
    images: tf.Tensor,
    transforms: tf.Tensor,
    interpolation: str,
    fill_mode: str,
    output_shape: Any,
    fill_value: Any,
) -> tf.Tensor:
    points = _source_points(transforms, output_shape)
    return _gather(images, points, interpolation, fill_mode, fill_value)


def _forward_op(
    images: tf.Tensor,
    transforms: tf.Tensor,
    interpolation: str,
    fill_mode: str,
    output_shape: Any,
    fill_value: Any,
) -> tf.Tensor:
    # The op has no bfloat16 kernel, and computes in float32 anyway.
    dtype = tf.float32 if images.dtype == tf.bfloat16 else images.dtype
    warped = tf.raw_ops.ImageProjectiveTransformV3(
        images=tf.cast(images, dtype),
        transforms=transforms,
        output_shape=tf.stack(output_shape),
        fill_value=tf.cast(fill_value, tf.float32),
        interpolation=interpolation.upper(),
        fill_mode=fill_mode.upper(),
    )
    return tf.cast(warped, images.dtype)


def _tfa_transform() -> Callable[..., tf.Tensor]:
    try:
        import tensorflow_addons as tfa
    except ImportError as error:
        raise ImportError(
            'the "tfa" backend needs TensorFlow Addons, which imports beside TensorFlow 2.15 '
            "or older only: pip install keras-temporal-reg[addons]"
        ) from error
    return tfa.image.transform


def _forward_tfa(
    images: tf.Tensor,
    transforms: tf.Tensor,
    interpolation: str,
    fill_mode: str,
    output_shape: Any,
    fill_value: Any,
) -> tf.Tensor:
    dtype = tf.float32 if images.dtype == tf.bfloat16 else images.dtype
    warped = _tfa_transform()(
        tf.cast(images, dtype),
        transforms,
        interpolation,
        fill_mode,
        tf.stack(output_shape),
        fill_value=fill_value,
    )
    return tf.cast(warped, images.dtype)


def _grid(height: Any, width: Any) -> tuple[tf.Tensor, tf.Tensor]:
    rows = tf.cast(tf.range(height), tf.float32)[tf.newaxis, :, tf.newaxis]
    columns = tf.cast(tf.range(width), tf.float32)[tf.newaxis, tf.newaxis, :]
    return rows, columns


def _source_points(transforms: tf.Tensor, output_shape: Any) -> _Points:
    rows, columns = _grid(*output_shape)
    a0, a1, a2, b0, b1, b2, c0, c1 = (
        t[:, tf.newaxis, tf.newaxis] for t in tf.unstack(transforms, num=8, axis=1)
    )
    depth = c0 * columns + c1 * rows + 1.0
    finite = tf.not_equal(depth, 0.0)
    depth = tf.where(finite, depth, 1.0)
    # The op's own order of operations, so that both round alike.
    x = (a0 * columns + a1 * rows + a2) / depth
    y = (b0 * columns + b1 * rows + b2) / depth
    return _Points(x, y, finite)


def _inside(x: tf.Tensor, y: tf.Tensor, height: Any, width: Any, border: int) -> tf.Tensor:
    def within(point: tf.Tensor, size: Any) -> tf.Tensor:
        slack = 1e-3  # pixels; float32 rounding must not drop the edge under the identity
        last = tf.cast(size, tf.float32) - 1.0
        return (point >= border - slack) & (point <= last - border + slack)

    return tf.cast(within(x, width) & within(y, height), tf.float32)


def _reflect(x: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    period = 2.0 * size
    below = x + period * tf.floor(-x / period)
    below = tf.where(below < -size, below + period, -below - 1.0)
    above = x - period * tf.floor(x / period)
    above = tf.where(above >= size, period - above - 1.0, above)
    return tf.where(x < 0.0, below, tf.where(x > size - 1.0, above, x))


def _wrap(x: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    gap = tf.maximum(size - 1.0, 1.0)
    below = x + size * (tf.floor(-x / gap) + 1.0)
    above = x - size * tf.floor(x / gap)
    return tf.where(x < 0.0, below, tf.where(x > size - 1.0, above, x))


def _round(x: tf.Tensor) -> tf.Tensor:
    """Halves away from zero, as C's round(); tf.round would send them to the even neighbour."""
    floor = tf.floor(x)
    fraction = x - floor
    up = (fraction > 0.5) | ((fraction == 0.5) & (x > 0.0))
    return tf.where(up, floor + 1.0, floor)


def _taps(x: tf.Tensor, size: Any, interpolation: str, fill_mode: str) -> list[_Tap]:
    """The pixels along one axis, and their weights, that interpolation at `x` reads."""
    size = tf.cast(size, tf.float32)
    last = size - 1.0
    if fill_mode == "reflect":
        x = _reflect(x, size)
    elif fill_mode == "wrap":
        x = _wrap(x, size)
    if fill_mode != "constant":
        x = tf.clip_by_value(x, 0.0, last)

    def tap(pixel: tf.Tensor, weight: tf.Tensor | None) -> _Tap:
        exists = (pixel >= 0.0) & (pixel <= last) if fill_mode == "constant" else None
        return _Tap(tf.cast(tf.clip_by_value(pixel, 0.0, last), tf.int32), weight, exists)

    if interpolation == "nearest":
        return [tap(_round(x), None)]
    low = tf.floor(x)
    high = low + 1.0
    return [tap(low, high - x), tap(high, x - low)]


def _and(a: tf.Tensor | None, b: tf.Tensor | None) -> tf.Tensor | None:
    return b if a is None else a if b is None else a & b


def _compute_dtype(dtype: tf.DType) -> tf.DType:
    return tf.float64 if dtype == tf.float64 else tf.float32


def _gather(
    images: tf.Tensor, points: _Points, interpolation: str, fill_mode: str, fill_value: Any
) -> tf.Tensor:
    height, width = spatial_shape(images)
    batch, channels = tf.shape(images)[0], tf.shape(images)[3]
    dtype = images.dtype if interpolation == "nearest" else _compute_dtype(images.dtype)
    fill = tf.cast(tf.cast(fill_value, images.dtype), dtype)
    pixels = tf.reshape(images, (batch, height * width, channels))
    shape = tf.shape(points.x)
    out_shape = (batch, shape[1], shape[2], channels)

    def read(row: _Tap, column: _Tap) -> tf.Tensor:
        index = tf.broadcast_to(row.index * width + column.index, out_shape[:3])
        index = tf.reshape(index, (batch, shape[1] * shape[2]))
        value = tf.reshape(tf.gather(pixels, index, batch_dims=1), out_shape)
        exists = _and(row.exists, column.exists)
        value = tf.cast(value, dtype)
        return value if exists is None else tf.where(exists[..., tf.newaxis], value, fill)

    def blend(taps: list[_Tap], values: list[tf.Tensor]) -> tf.Tensor:
        if len(taps) == 1:
            return values[0]
        (a, b), (u, v) = taps, values
        weight_a, weight_b = (tf.cast(t.weight, dtype)[..., tf.newaxis] for t in (a, b))
        return weight_a * u + weight_b * v

    rows = _taps(points.y, height, interpolation, fill_mode)
    columns = _taps(points.x, width, interpolation, fill_mode)
    warped = blend(rows, [blend(columns, [read(r, c) for c in columns]) for r in rows])
    if points.finite is not None:
        warped = tf.where(points.finite[..., tf.newaxis], warped, fill)
    warped = tf.cast(warped, images.dtype)
    return tf.ensure_shape(
        warped, (images.shape[0], points.x.shape[1], points.x.shape[2], images.shape[3])
    )


def _scatter(
    upstream: tf.Tensor,
    image_shape: tf.Tensor,
    points: _Points,
    interpolation: str,
    fill_mode: str,
) -> tf.Tensor:
    """The adjoint of `_gather`: what each output pixel holds goes back to where it was read."""
    batch, height, width, channels = tf.unstack(image_shape, num=4)
    dtype = _compute_dtype(upstream.dtype)
    values = tf.cast(upstream, dtype)
    if points.finite is not None:
        values = tf.where(points.finite[..., tf.newaxis], values, 0.0)
    first_pixel = tf.range(batch)[:, tf.newaxis, tf.newaxis] * (height * width)
    gradient = tf.zeros((batch * height * width, channels), dtype)
    for row in _taps(points.y, height, interpolation, fill_mode):
        for column in _taps(points.x, width, interpolation, fill_mode):
            share = values
            for weight in (row.weight, column.weight):
                if weight is not None:
                    share = tf.cast(weight, dtype)[..., tf.newaxis] * share
            exists = _and(row.exists, column.exists)
            if exists is not None:
                share = tf.where(exists[..., tf.newaxis], share, tf.zeros((), dtype))
            index = first_pixel + row.index * width + column.index
            gradient += tf.math.unsorted_segment_sum(
                tf.reshape(share, (-1, channels)),
                tf.reshape(index, (-1,)),
                batch * height * width,
            )
    return tf.cast(tf.reshape(gradient, image_shape), upstream.dtype)
