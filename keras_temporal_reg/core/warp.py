"""The warp in plain TensorFlow ops, which compile under XLA, and its exact adjoint.

What `image.transform` runs on under XLA, and for every gradient. docs/performance.md tells
why each part is written as it is.
"""

from __future__ import annotations

import functools
from typing import Any, Callable, NamedTuple

import tensorflow as tf

from keras_temporal_reg.core import xla


class Points(NamedTuple):
    """Where each output pixel looks: x and y ``(batch, height, width)`` float32.

    `finite` is False where the point lies at infinity; None where none can.
    """

    x: tf.Tensor
    y: tf.Tensor
    finite: tf.Tensor | None


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


def grid(height: Any, width: Any) -> tuple[tf.Tensor, tf.Tensor]:
    """Rows ``(1, height, 1)`` and columns ``(1, 1, width)`` of all pixels, float32."""
    rows = tf.cast(tf.range(height), tf.float32)[tf.newaxis, :, tf.newaxis]
    columns = tf.cast(tf.range(width), tf.float32)[tf.newaxis, tf.newaxis, :]
    return rows, columns


def is_affine(transforms: tf.Tensor) -> tf.Tensor:
    """Whether none of the transforms ``(batch, 8)`` has a projective part: a scalar bool."""
    return tf.reduce_all(tf.equal(transforms[:, 6:], 0.0))


def source_points(transforms: tf.Tensor, output_shape: Any, affine: bool = False) -> Points:
    """Where a warp looks for each of its output pixels.

    Args:
        transforms: ``(batch, 8)`` float32.
        output_shape: height and width of the result.
        affine: True promises that `is_affine` holds, which spares two divisions a pixel.
    """
    rows, columns = grid(*output_shape)
    a0, a1, a2, b0, b1, b2, c0, c1 = _per_image(transforms)
    # The order of operations is that of TensorFlow's own op, so that both round alike.
    x = a0 * columns + a1 * rows + a2
    y = b0 * columns + b1 * rows + b2
    if affine:
        return Points(x, y, None)
    depth = c0 * columns + c1 * rows + 1.0
    finite = tf.not_equal(depth, 0.0)
    depth = tf.where(finite, depth, 1.0)
    return Points(x / depth, y / depth, finite)


def sample(
    images: tf.Tensor, points: Points, interpolation: str, fill_mode: str, fill_value: Any
) -> tf.Tensor:
    """Read `images` at `points`.

    Args:
        images: ``(batch, height, width, channels)``, any dtype that `image.transform` takes.
        points: of each output pixel.
        interpolation: ``"nearest"`` or ``"bilinear"``.
        fill_mode: as in `image.transform`.
        fill_value: as in `image.transform`.

    Returns:
        ``(batch, *shape of the points, channels)``, the dtype of `images`.
    """
    height, width = spatial_shape(images)
    batch, channels = tf.shape(images)[0], tf.shape(images)[3]
    dtype = images.dtype if interpolation == "nearest" else _compute_dtype(images.dtype)
    fill = tf.cast(tf.cast(fill_value, images.dtype), dtype)
    pixels = tf.reshape(images, (-1, channels))
    rows = _taps(points.y, height, interpolation, fill_mode)
    columns = _taps(points.x, width, interpolation, fill_mode)
    first = _flat_index(batch, rows.first, columns.first, height, width)
    found = _and(rows.found, columns.found)
    if interpolation == "nearest":
        warped = _read(pixels, first, 1)
    else:
        top, bottom = (tf.cast(weight, dtype) for weight in rows.weights)
        left, right = (tf.cast(weight, dtype) for weight in columns.weights)
        upper = tf.cast(_read(pixels, first, 2, columns.step), dtype)
        lower = tf.cast(_read(pixels, first + rows.step * width, 2, columns.step), dtype)
        # Rows first: XLA then blends both columns of a row at once.
        blend = _spread(top) * upper + _spread(bottom) * lower
        warped = _spread(left) * blend[..., :channels] + _spread(right) * blend[..., channels:]
        if fill_mode == "constant" and not _is_zero(fill_value):
            warped += _spread(1.0 - (top + bottom) * (left + right)) * fill
    found = _and(found, points.finite)
    if found is not None:
        warped = tf.where(found[..., tf.newaxis], warped, fill)
    warped = tf.cast(warped, images.dtype)
    return tf.ensure_shape(
        warped, (images.shape[0], points.x.shape[1], points.x.shape[2], images.shape[3])
    )


def adjoint(
    upstream: tf.Tensor,
    transforms: tf.Tensor,
    image_size: tuple[Any, Any],
    interpolation: str,
    fill_mode: str,
) -> tf.Tensor:
    """The transpose of the warp, which is what its gradient is: exact for every transform.

    Args:
        upstream: ``(batch, height, width, channels)``, of the warp's output.
        transforms: ``(1, 8)`` or ``(batch, 8)`` float32.
        image_size: height and width of the images that were warped.
        interpolation: of the warp.
        fill_mode: of the warp.

    Returns:
        ``(batch, *image_size, channels)``, the dtype of `upstream`.
    """

    def by_scatter() -> tf.Tensor:
        points = source_points(transforms, spatial_shape(upstream))
        return _scatter(upstream, image_size, points, interpolation, fill_mode)

    if interpolation == "nearest" or fill_mode != "constant":
        return by_scatter()
    return tf.cond(
        _near_identity(transforms, spatial_shape(upstream)),
        lambda: _gather_adjoint(upstream, transforms, image_size),
        by_scatter,
    )


class _Taps(NamedTuple):
    """The input pixels along one axis that make up an output pixel: one or two of them.

    All exist: a neighbour beyond the edge is replaced by one that gets no weight. `found` is
    False where a single one does not exist; else it is None.
    """

    first: tf.Tensor  # int32 index
    step: Any  # from there to the second: 1 pixel, or 0 where there is but one
    weights: list[tf.Tensor]  # float32, of the first and the second
    found: tf.Tensor | None


def _taps(x: tf.Tensor, size: Any, interpolation: str, fill_mode: str) -> _Taps:
    last = tf.cast(size, tf.float32) - 1.0
    if fill_mode == "reflect":
        x = _reflect(x, last + 1.0)
    elif fill_mode == "wrap":
        x = _wrap(x, last + 1.0)
    if fill_mode != "constant":
        x = tf.clip_by_value(x, 0.0, last)
    if interpolation == "nearest":
        pixel = _round(x)
        found = (pixel >= 0.0) & (pixel <= last) if fill_mode == "constant" else None
        return _Taps(_as_int(tf.clip_by_value(pixel, 0.0, last)), 0, [], found)
    first = tf.clip_by_value(tf.floor(x), 0.0, tf.maximum(last - 1.0, 0.0))
    step = min(size - 1, 1) if isinstance(size, int) else tf.minimum(size - 1, 1)
    weights = [_tent(x - first), _tent(x - first - 1.0) * tf.cast(step, tf.float32)]
    return _Taps(_as_int(first), step, weights, None)


def _as_int(whole: tf.Tensor) -> tf.Tensor:
    """float32 whole numbers from 0 to 2**23 - 1 as int32, by their bits.

    A cast has to think of NaN and overflow, which keeps XLA from doing several at once.
    """
    return tf.bitcast(whole + 2.0**23, tf.int32) - tf.constant(0x4B000000, tf.int32)


def _read(pixels: tf.Tensor, index: tf.Tensor, count: int, step: Any = 1) -> tf.Tensor:
    """The pixels at `index`, and their followers in memory, `step` apart.

    Args:
        pixels: ``(n, channels)``.
        index: int32, any shape.
        count: how many from each index on.
        step: 1, or 0 to read the same one again.

    Returns:
        ``(*shape of index, count * channels)``.
    """
    shape = (*_shape(index), count * tf.shape(pixels)[1])
    together = count > 1 and isinstance(step, int) and step == 1 and pixels.shape[1] is not None
    gather = _xla_gather() if together and xla.is_tracing() else None
    if gather is None:
        places = [tf.reshape(index + i * step, (-1,)) for i in range(count)]
        runs = tf.concat([tf.gather(pixels, place) for place in places], axis=1)
    else:
        # One read of neighbours that lie side by side; XLA would not join two.
        runs = gather(pixels, tf.reshape(index, (-1, 1)), count)
    return tf.reshape(runs, shape)


def _spread(weight: tf.Tensor) -> tf.Tensor:
    """One weight a pixel, for all of its channels."""
    return weight[..., tf.newaxis]


@functools.cache
def _xla_gather() -> Callable[[tf.Tensor, tf.Tensor, int], tf.Tensor] | None:
    """XLA's own gather, which reads runs of rows; None where TensorFlow has moved it."""
    try:
        from tensorflow.compiler.tf2xla.python import xla as xla_ops
        from tensorflow.compiler.xla import xla_data_pb2
    except ImportError:
        return None
    dimensions = xla_data_pb2.GatherDimensionNumbers(
        offset_dims=[1, 2], start_index_map=[0], index_vector_dim=1
    )
    return lambda rows, starts, count: xla_ops.gather(
        rows, starts, dimensions, [count, rows.shape[1]], indices_are_sorted=False
    )


def _flat_index(batch: Any, row: tf.Tensor, column: tf.Tensor, height: Any, width: Any) -> Any:
    """Of pixels in a batch laid out as one list. XLA would first write out any other index."""
    return tf.range(batch)[:, tf.newaxis, tf.newaxis] * (height * width) + (row * width + column)


def _tent(distance: tf.Tensor) -> tf.Tensor:
    """The weight of a pixel in bilinear interpolation, by its distance along one axis."""
    return tf.maximum(1.0 - tf.abs(distance), 0.0)


def _reflect(x: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    period = 2.0 * size
    x = tf.where(x < 0.0, -x - 1.0, x)
    # Times 1 / period, since XLA would write quotients to memory; the edges meet, so that a
    # rounded floor does no harm.
    x -= period * tf.floor(x * (1.0 / period))
    return tf.where(x >= size, period - x - 1.0, x)


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


def _near_identity(transforms: tf.Tensor, output_shape: Any) -> tf.Tensor:
    """Whether `_gather_adjoint` is exact for all of the transforms: a scalar bool.

    The output pixels that read an input pixel p lie where ``|A o + t - p| < 1`` along both
    axes, so within the largest row sum of ``|inverse of A|`` around p's image under the
    inverse map. Within 1.5 of it, they are among the 3 x 3 around the nearest pixel.
    """
    a0, a1, _, b0, b1, _, _, _ = tf.unstack(transforms, num=8, axis=1)
    determinant = tf.abs(a0 * b1 - a1 * b0)
    reach = tf.maximum(tf.abs(b1) + tf.abs(a1), tf.abs(b0) + tf.abs(a0))
    # The slack is for rounding; NaN and a determinant of 0 compare as False.
    near = (reach < 1.49 * determinant) & (determinant > 0.0)
    room = (tf.convert_to_tensor(output_shape[0]) >= 3) & (output_shape[1] >= 3)
    return is_affine(transforms) & tf.reduce_all(near) & room


def _gather_adjoint(
    upstream: tf.Tensor, transforms: tf.Tensor, image_size: tuple[Any, Any]
) -> tf.Tensor:
    """Each input pixel collects its share of the 3 x 3 output pixels that may have read it."""
    batch, channels = tf.shape(upstream)[0], tf.shape(upstream)[3]
    height, width = spatial_shape(upstream)
    dtype = _compute_dtype(upstream.dtype)
    rows, columns = grid(*image_size)
    a0, a1, a2, b0, b1, b2, _, _ = _per_image(transforms)
    determinant = a0 * b1 - a1 * b0
    from_x, from_y = columns - a2, rows - b2
    out_x = (b1 / determinant) * from_x - (a1 / determinant) * from_y
    out_y = (a0 / determinant) * from_y - (b0 / determinant) * from_x

    def first(nearest: tf.Tensor, size: Any) -> tf.Tensor:
        return tf.clip_by_value(tf.round(nearest) - 1.0, 0.0, tf.cast(size, tf.float32) - 3.0)

    out_x, out_y = first(out_x, width), first(out_y, height)
    distance_x = a0 * out_x + a1 * out_y + a2 - columns
    distance_y = b0 * out_x + b1 * out_y + b2 - rows
    corner = _flat_index(batch, _as_int(out_y), _as_int(out_x), height, width)
    pixels = tf.reshape(upstream, (-1, channels))
    gradient: Any = 0.0
    for row in range(3):
        for column in range(3):
            values = tf.cast(_read(pixels, corner + (row * width + column), 1), dtype)
            weight = _tent(distance_x + (a0 * column + a1 * row))
            weight *= _tent(distance_y + (b0 * column + b1 * row))
            gradient += _spread(tf.cast(weight, dtype)) * values
    gradient = tf.cast(gradient, upstream.dtype)
    return tf.ensure_shape(gradient, _static_shape(upstream, image_size))


def _scatter(
    upstream: tf.Tensor,
    image_size: tuple[Any, Any],
    points: Points,
    interpolation: str,
    fill_mode: str,
) -> tf.Tensor:
    """What each output pixel holds goes back to where it was read: right for every warp."""
    batch, channels = tf.shape(upstream)[0], tf.shape(upstream)[3]
    height, width = image_size
    dtype = _compute_dtype(upstream.dtype)
    values = tf.cast(upstream, dtype)
    rows = _taps(points.y, height, interpolation, fill_mode)
    columns = _taps(points.x, width, interpolation, fill_mode)
    found = _and(_and(rows.found, columns.found), points.finite)
    if found is not None:
        values = tf.where(found[..., tf.newaxis], values, tf.zeros((), dtype))
    first = _flat_index(batch, rows.first, columns.first, height, width)

    def put(share: tf.Tensor, offset: Any) -> tf.Tensor:
        return tf.math.unsorted_segment_sum(
            tf.reshape(share, (-1, channels)),
            tf.reshape(first + offset, (-1,)),
            batch * height * width,
        )

    if interpolation == "nearest":
        gradient = put(values, 0)
    else:
        shares = [
            put(
                _spread(tf.cast(top * left, dtype)) * values,
                i * rows.step * width + j * columns.step,
            )
            for i, top in enumerate(rows.weights)
            for j, left in enumerate(columns.weights)
        ]
        gradient = sum(shares[1:], shares[0])
    gradient = tf.reshape(gradient, tf.stack([batch, height, width, channels]))
    return tf.ensure_shape(tf.cast(gradient, upstream.dtype), _static_shape(upstream, image_size))


def _per_image(transforms: tf.Tensor) -> list[tf.Tensor]:
    return [t[:, tf.newaxis, tf.newaxis] for t in tf.unstack(transforms, num=8, axis=1)]


def _compute_dtype(dtype: tf.DType) -> tf.DType:
    return tf.float64 if dtype == tf.float64 else tf.float32


def _is_zero(value: Any) -> bool:
    static = tf.get_static_value(tf.convert_to_tensor(value))
    return static is not None and static == 0


def _and(a: tf.Tensor | None, b: tf.Tensor | None) -> tf.Tensor | None:
    return b if a is None else a if b is None else a & b


def _shape(tensor: tf.Tensor) -> list[tf.Tensor]:
    return tf.unstack(tf.shape(tensor), num=tensor.shape.rank)


def _static_shape(upstream: tf.Tensor, image_size: tuple[Any, Any]) -> list[int | None]:
    height, width = (size if isinstance(size, int) else None for size in image_size)
    return [upstream.shape[0], height, width, upstream.shape[3]]
