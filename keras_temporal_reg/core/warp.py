"""The warp in plain TensorFlow ops, which compile under XLA, and its exact adjoint.

`image.transform` runs on it under XLA and for every gradient. docs/performance.md has the
measurements behind its formulation.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf


class Sampling(NamedTuple):
    """How images are read between and beyond their pixels; see `image.transform`."""

    interpolation: str
    fill_mode: str
    fill_value: Any = 0.0


class Points(NamedTuple):
    """The input point of each output pixel: x and y ``(batch, height, width)`` float32.

    `finite` is False where the point lies at infinity; None where all points are finite.
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
    """The input points that a warp reads.

    Args:
        transforms: ``(batch, 8)`` float32.
        output_shape: height and width of the result.
        affine: promises that `is_affine` holds, which saves two divisions per pixel.
    """
    rows, columns = grid(*output_shape)
    a0, a1, a2, b0, b1, b2, c0, c1 = _per_image(transforms)
    # The order of operations of TensorFlow's own op, so that both round alike.
    x = a0 * columns + a1 * rows + a2
    y = b0 * columns + b1 * rows + b2
    if affine:
        return Points(x, y, None)
    depth = c0 * columns + c1 * rows + 1.0
    finite = tf.not_equal(depth, 0.0)
    depth = tf.where(finite, depth, 1.0)
    return Points(x / depth, y / depth, finite)


def sample(images: tf.Tensor, points: Points, sampling: Sampling) -> tf.Tensor:
    """Read `images` at `points`.

    Args:
        images: ``(batch, height, width, channels)``, any dtype that `image.transform` takes.
        points: of each output pixel.
        sampling: interpolation and fill.

    Returns:
        ``(batch, *shape of the points, channels)``, the dtype of `images`.
    """
    height, width = spatial_shape(images)
    interpolation, fill_mode, fill_value = sampling
    dtype = images.dtype if interpolation == "nearest" else _compute_dtype(images.dtype)
    fill = tf.cast(tf.cast(fill_value, images.dtype), dtype)
    rows = _taps(points.y, height, sampling)
    columns = _taps(points.x, width, sampling)
    pixels = _read(
        tf.cast(images, dtype), rows.first, columns.first, _offsets(rows, columns, width)
    )
    if interpolation == "nearest":
        (warped,) = pixels
    else:
        weights = _pixel_weights(rows, columns, dtype)
        warped = tf.add_n([_per_pixel(w) * p for w, p in zip(weights, pixels)])
        if fill_mode == "constant" and not _is_zero(fill_value):
            warped += _per_pixel(1.0 - tf.add_n(weights)) * fill
    found = _and(_and(rows.found, columns.found), points.finite)
    if found is not None:
        warped = tf.where(_per_pixel(found), warped, fill)
    warped = tf.cast(warped, images.dtype)
    return tf.ensure_shape(
        warped, (images.shape[0], points.x.shape[1], points.x.shape[2], images.shape[3])
    )


def keep_dtype(function: Callable[[tf.Tensor], tf.Tensor], images: Any) -> tf.Tensor:
    """Apply a function of float images to images of any dtype; whole numbers are rounded."""
    images = tf.convert_to_tensor(images)
    if images.dtype.is_floating:
        return function(images)
    return tf.cast(tf.round(function(tf.cast(images, tf.float32))), images.dtype)


def adjoint(
    upstream: tf.Tensor,
    transforms: tf.Tensor,
    image_size: tuple[Any, Any],
    sampling: Sampling,
) -> tf.Tensor:
    """The transpose of the warp, which is its gradient: exact for every transform.

    Args:
        upstream: ``(batch, height, width, channels)``, in the place of the warp's output.
        transforms: ``(1, 8)`` or ``(batch, 8)`` float32.
        image_size: height and width of the images that were warped.
        sampling: of the warp; its fill value has no effect.

    Returns:
        ``(batch, *image_size, channels)``, the dtype of `upstream`.
    """

    def by_scatter() -> tf.Tensor:
        points = source_points(transforms, spatial_shape(upstream))
        return _scatter(upstream, image_size, points, sampling)

    if sampling.interpolation == "nearest" or sampling.fill_mode != "constant":
        return by_scatter()
    return tf.cond(
        _near_identity(transforms, spatial_shape(upstream)),
        lambda: _gather_adjoint(upstream, transforms, image_size),
        by_scatter,
    )


@functools.cache
def adjoint_graph(dtype: tf.DType, sampling: Sampling) -> Callable[..., tf.Tensor]:
    """`adjoint` as a graph for images of all sizes: an eager call runs its ops one by one."""

    def call(upstream: tf.Tensor, transforms: tf.Tensor, image_size: tf.Tensor) -> tf.Tensor:
        return adjoint(upstream, transforms, (image_size[0], image_size[1]), sampling)

    signature = [
        tf.TensorSpec((None, None, None, None), dtype),
        tf.TensorSpec((None, 8)),
        tf.TensorSpec((2,), tf.int32),
    ]
    return tf.function(call, input_signature=signature, autograph=False)


class _Taps(NamedTuple):
    """The one or two input pixels along one axis that an output pixel is made of.

    All of them exist: a neighbour beyond the edge is replaced by one of weight 0. `found` is
    False where the single pixel does not exist; it is None for two pixels.
    """

    first: tf.Tensor  # float32 index
    step: Any  # from there to the second: 1 pixel, or 0 where the axis has a single one
    weights: list[tf.Tensor]  # float32, of the first and the second; empty for a single pixel
    found: tf.Tensor | None


def _taps(x: tf.Tensor, size: Any, sampling: Sampling) -> _Taps:
    fill_mode = sampling.fill_mode
    last = tf.cast(size, tf.float32) - 1.0
    if fill_mode == "reflect":
        x = _reflect(x, last + 1.0)
    elif fill_mode == "wrap":
        x = _wrap(x, last + 1.0)
    if fill_mode != "constant":
        x = tf.clip_by_value(x, 0.0, last)
    if sampling.interpolation == "nearest":
        pixel = _round(x)
        found = (pixel >= 0.0) & (pixel <= last) if fill_mode == "constant" else None
        return _Taps(tf.clip_by_value(pixel, 0.0, last), 0, [], found)
    first = tf.clip_by_value(tf.floor(x), 0.0, tf.maximum(last - 1.0, 0.0))
    step = min(size - 1, 1) if isinstance(size, int) else tf.minimum(size - 1, 1)
    weights = [_tent(x - first), _tent(x - first - 1.0) * tf.cast(step, tf.float32)]
    return _Taps(first, step, weights, None)


def _offsets(rows: _Taps, columns: _Taps, width: Any) -> list[Any]:
    """From the first of the input pixels to each of them, in the flattened image; ascending."""
    if not rows.weights:
        return [0]
    return [i * rows.step * width + j * columns.step for i in (0, 1) for j in (0, 1)]


def _pixel_weights(rows: _Taps, columns: _Taps, dtype: tf.DType) -> list[tf.Tensor]:
    """Bilinear weights of the four input pixels, in the order of `_offsets`."""
    return [tf.cast(top * left, dtype) for top in rows.weights for left in columns.weights]


def _read(images: tf.Tensor, row: tf.Tensor, column: tf.Tensor, offsets: list[Any]) -> list[Any]:
    """The pixels at ``(row, column)``, and those at fixed offsets from there.

    Args:
        images: ``(batch, height, width, channels)``.
        row: float32 whole numbers, ``(batch, output height, output width)``.
        column: likewise.
        offsets: from ``(row, column)`` in the flattened image; the last is the largest.

    Returns:
        For each offset, ``(batch, output height, output width, channels)``.
    """
    pixels = tf.reshape(images, (-1, tf.shape(images)[3]))
    index = _flat_index(tf.shape(images)[0], row, column, spatial_shape(images))
    # Slices of one length in place of sums of indices: XLA computes and clamps one index for
    # all reads.
    length = tf.shape(pixels)[0] - offsets[-1]
    return [tf.gather(pixels[offset : offset + length], index) for offset in offsets]


def _per_pixel(values: tf.Tensor) -> tf.Tensor:
    """One value per pixel, for all of its channels."""
    return values[..., tf.newaxis]


def _flat_index(
    batch: Any, row: tf.Tensor, column: tf.Tensor, image_size: tuple[Any, Any]
) -> tf.Tensor:
    """Index of pixels in a flattened batch, int32; XLA writes any other index to memory."""
    height, width = image_size
    if isinstance(height, int) and isinstance(width, int) and height * width <= 2**24:
        index = tf.cast(row * width + column, tf.int32)  # exact in float32; saves a cast
    else:
        index = tf.cast(row, tf.int32) * width + tf.cast(column, tf.int32)
    return tf.range(batch)[:, tf.newaxis, tf.newaxis] * (height * width) + index


def _tent(distance: tf.Tensor) -> tf.Tensor:
    """The weight of a pixel in bilinear interpolation, by its distance along one axis."""
    return tf.maximum(1.0 - tf.abs(distance), 0.0)


def _reflect(x: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    period = 2.0 * size
    x = tf.where(x < 0.0, -x - 1.0, x)
    # Times 1 / period, since XLA would write quotients to memory. The mirror images meet at the
    # edges, so that a rounded floor makes no difference.
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
    # The slack covers rounding; NaN and a determinant of 0 compare as False.
    near = (reach < 1.49 * determinant) & (determinant > 0.0)
    room = (tf.convert_to_tensor(output_shape[0]) >= 3) & (output_shape[1] >= 3)
    return is_affine(transforms) & tf.reduce_all(near) & room


def _gather_adjoint(
    upstream: tf.Tensor, transforms: tf.Tensor, image_size: tuple[Any, Any]
) -> tf.Tensor:
    """Each input pixel collects its share of the 3 x 3 output pixels that may have read it."""
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
    neighbours = [(row, column) for row in range(3) for column in range(3)]
    offsets = [row * width + column for row, column in neighbours]
    gradient: Any = 0.0
    for (row, column), values in zip(
        neighbours, _read(tf.cast(upstream, dtype), out_y, out_x, offsets)
    ):
        weight = _tent(distance_x + (a0 * column + a1 * row))
        weight *= _tent(distance_y + (b0 * column + b1 * row))
        gradient += _per_pixel(tf.cast(weight, dtype)) * values
    gradient = tf.cast(gradient, upstream.dtype)
    return tf.ensure_shape(gradient, _static_shape(upstream, image_size))


def _scatter(
    upstream: tf.Tensor, image_size: tuple[Any, Any], points: Points, sampling: Sampling
) -> tf.Tensor:
    """Each output pixel returns its value to the pixels that it read: exact for every warp."""
    batch, channels = tf.shape(upstream)[0], tf.shape(upstream)[3]
    height, width = image_size
    dtype = _compute_dtype(upstream.dtype)
    values = tf.cast(upstream, dtype)
    rows = _taps(points.y, height, sampling)
    columns = _taps(points.x, width, sampling)
    found = _and(_and(rows.found, columns.found), points.finite)
    if found is not None:
        values = tf.where(_per_pixel(found), values, tf.zeros((), dtype))
    first = _flat_index(batch, rows.first, columns.first, image_size)
    shares = [values]
    if rows.weights:
        shares = [_per_pixel(w) * values for w in _pixel_weights(rows, columns, dtype)]
    sums = [
        tf.math.unsorted_segment_sum(
            tf.reshape(share, (-1, channels)),
            tf.reshape(first + offset, (-1,)),
            batch * height * width,
        )
        for share, offset in zip(shares, _offsets(rows, columns, width))
    ]
    gradient = tf.add_n(sums)
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


def _static_shape(upstream: tf.Tensor, image_size: tuple[Any, Any]) -> list[int | None]:
    height, width = (size if isinstance(size, int) else None for size in image_size)
    return [upstream.shape[0], height, width, upstream.shape[3]]
