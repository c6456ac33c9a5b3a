"""How T travels inside `y_true`: encode, recognize and decode a paired target.

The rows of a paired batch are interleaved, ``y0, T(y0), y1, T(y1), ...``, followed by the samples
without a counterpart. `y_true` has one more channel than y, whose first pixels hold 20 numbers per
row: a mark that starts the header and tells sample from counterpart, the row's weight, T, and a
mark that ends the header. The marks are negative, fractional and exact in every float dtype, so
that images do not hold them, and scaling, clipping, rounding or cropping does not keep them.

A T that is a field of displacements takes two channels more, before that one: ``(dx, dy)``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

from keras_temporal_reg import image, transforms
from keras_temporal_reg.core import validation, xla

# Of at most 8 significant bits, as bfloat16 has.
_SAMPLE, _COUNTERPART, _END = -37.5, -21.25, -58.5
_NUMBERS = 9  # a weight, and T's difference from the identity
MIN_PIXELS = 2 + 2 * _NUMBERS  # two marks, and each number in two parts
# Channels beyond those of y: of a plain target, and where T is a transform or a flow.
_PLAIN, _TRANSFORM, _FLOW = 0, 1, 3


class PairedTarget(NamedTuple):
    """A decoded target of R rows.

    Attributes:
        y: ``(R, height, width, channels)``, y and T(y) interleaved.
        is_counterpart: ``(R,)`` bool, whether the row is the counterpart of the row before.
        weight: ``(R,)`` float32. The weights of the samples and those of the counterparts sum to
            R each, so that the mean over all rows of ``weight * value`` is the mean of `value`
            over the samples, or over the counterparts.
        transforms: ``(R, 8)``, or ``(R, height, width, 2)`` for a flow; float32, T on the pixel
            grid of y; the identity for samples.
    """

    y: tf.Tensor
    is_counterpart: tf.Tensor
    weight: tf.Tensor
    transforms: tf.Tensor


def interleave(samples: tf.Tensor, counterparts: tf.Tensor, count: Any) -> tf.Tensor:
    """``a0, b0, a1, b1, ...`` for the first `count` samples, then the other samples."""
    rest = tf.shape(samples)[1:]
    whole = isinstance(count, int) and count == samples.shape[0]
    # Not tf.stack(axis=1), which TensorFlow's graph optimizer breaks for vectors.
    pairs = tf.concat([samples[:count, tf.newaxis], counterparts[:, tf.newaxis]], axis=1)
    pairs = tf.reshape(pairs, tf.concat([[2 * count], rest], axis=0))
    rows = pairs if whole else tf.concat([pairs, samples[count:]], axis=0)
    return tf.ensure_shape(rows, [None, *samples.shape[1:]])


def encode(paired_y: tf.Tensor, motion: tf.Tensor, batch: Any, count: Any) -> tf.Tensor:
    """Append the channel that carries what the losses need to know about each row.

    Args:
        paired_y: ``(batch + count, height, width, channels)`` float, interleaved.
        motion: ``(count, 8)`` or ``(count, height, width, 2)`` float32, T on the pixel grid of y.
        batch: number of samples.
        count: number of counterparts.

    Returns:
        ``(batch + count, height, width, channels + 1)``, or ``+ 3`` for a flow; the dtype of
        `paired_y`.
    """
    height, width = image.spatial_shape(paired_y)
    parts = [paired_y]
    if motion.shape.rank == 4:
        still = tf.zeros(tf.stack([batch, height, width, 2]))
        parts.append(tf.cast(interleave(still, motion, count), paired_y.dtype))
        motion = transforms.identity(count)
    rows = tf.cast(batch + count, tf.float32)

    def numbers(mark: float, number: Any, difference: tf.Tensor) -> tf.Tensor:
        head = tf.stack([mark, rows / tf.cast(number, tf.float32)])
        return tf.concat([tf.tile(head[tf.newaxis], (number, 1)), difference], axis=1)

    of_samples = numbers(_SAMPLE, batch, tf.zeros((batch, 8)))
    difference = motion - tf.constant([transforms.IDENTITY], tf.float32)
    of_counterparts = numbers(_COUNTERPART, count, difference)
    header = interleave(of_samples, of_counterparts, count)
    # In two parts, since Keras 2 rounds `y_true` to the dtype of `y_pred`: the leading eight bits,
    # which every float dtype holds, and the rest.
    leading_bits = tf.bitwise.bitwise_and(tf.bitcast(header, tf.int32) + 0x8000, -0x10000)
    leading = tf.bitcast(leading_bits, tf.float32)
    end = tf.fill((batch + count, 1), _END)
    slots = tf.concat([leading, (header - leading)[:, 1:], end], axis=1)
    channel = tf.pad(slots, [[0, 0], [0, height * width - MIN_PIXELS]])
    channel = tf.reshape(channel, (-1, height, width, 1))
    return tf.concat([*parts, tf.cast(channel, paired_y.dtype)], axis=-1)


def decode(y_true: tf.Tensor, has_flow: bool = False) -> PairedTarget:
    """Take a paired target apart: the inverse of `encode`."""
    slots = _slots(y_true)
    numbers = slots[:, 1 : 1 + _NUMBERS] + slots[:, 1 + _NUMBERS : -1]
    identity = tf.constant([transforms.IDENTITY], tf.float32)
    is_counterpart = tf.equal(slots[:, 0], _COUNTERPART)
    y, motion = y_true[..., :-1], numbers[:, 1:] + identity
    if has_flow:
        y, motion = y[..., :-2], tf.cast(y[..., -2:], tf.float32)
    return PairedTarget(y, is_counterpart, numbers[:, 0], motion)


def has_flow(y_true: tf.Tensor, y_pred: tf.Tensor) -> bool:
    """Whether a paired target carries T as a flow; only where channels are known while tracing."""
    difference = channel_difference(y_true, y_pred)
    return isinstance(difference, int) and difference == _FLOW


def channel_difference(y_true: tf.Tensor, y_pred: tf.Tensor) -> Any:
    """Channels of `y_true` beyond those of `y_pred`: 1 or 3 for a paired target, 0 for a plain one.

    Returns:
        An int, or a scalar tensor where the channels are unknown while tracing.

    Raises:
        ValueError: if a tensor is not a batch of images, or the difference is none of these.
    """
    validation.image_batch("y_true", y_true)
    validation.image_batch("y_pred", y_pred)
    if y_true.shape[-1] is None or y_pred.shape[-1] is None:
        return tf.shape(y_true)[-1] - tf.shape(y_pred)[-1]
    difference = y_true.shape[-1] - y_pred.shape[-1]
    if difference not in (_PLAIN, _TRANSFORM, _FLOW):
        raise ValueError(_wrong_channels(y_true, y_pred))
    return difference


def is_intact(y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
    """Whether `y_true` is a plain target without, or a paired target with headers: scalar bool."""
    return tf.reduce_all([condition for condition, _ in _conditions(y_true, y_pred)])


def check(y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
    """`y_true`, with an operation that fails when it runs unless the target is intact.

    XLA has no assertions: there, multiply by `one_or_nan`.
    """
    if xla.is_tracing():
        return y_true
    checks = [tf.debugging.Assert(ok, [message]) for ok, message in _conditions(y_true, y_pred)]
    with tf.control_dependencies([operation for operation in checks if operation is not None]):
        return tf.identity(y_true)


def one_or_nan(y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
    """1, or NaN unless the target is intact: a factor that keeps XLA from training on it."""
    one = tf.ones((), y_pred.dtype)
    if not xla.is_tracing():
        return one
    return tf.where(is_intact(y_true, y_pred), one, tf.cast(float("nan"), one.dtype))


def if_paired(
    y_true: tf.Tensor,
    y_pred: tf.Tensor,
    paired: Callable[[], tf.Tensor],
    plain: Callable[[], tf.Tensor],
) -> tf.Tensor:
    """``paired()`` for a paired target, else ``plain()``; decided at run time where it must be."""
    difference = channel_difference(y_true, y_pred)
    if isinstance(difference, int):
        return paired() if difference else plain()
    return tf.cond(tf.equal(difference, _TRANSFORM), paired, plain)


def has_split_pairs(y_true: tf.Tensor) -> tf.Tensor:
    """Whether a paired target has a counterpart where only a sample can be: scalar bool."""
    return tf.reduce_any(tf.equal(_slots(y_true)[::2, 0], _COUNTERPART))


def images_of(y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
    """`y_true` without the channel that carries T, if it has one."""
    return y_true[..., : axis_size(y_pred, -1)]


def select_samples(tensor: tf.Tensor, pair_fraction: Any = 1.0) -> tf.Tensor:
    """The rows of a paired batch that are samples, in their order.

    Args:
        tensor: B + k rows.
        pair_fraction: that of the pairing; 0 for a tensor that is not paired. A scalar tensor
            where it is known only at run time.
    """
    if not isinstance(pair_fraction, tf.Tensor):
        if pair_fraction == 0:
            return tensor
        if pair_fraction == 1:
            return tensor[::2]
    rows = tf.cast(tf.shape(tensor)[0], tf.float32)
    pair_fraction = tf.cast(pair_fraction, tf.float32)
    # B + k rows with k = ceil(fraction B): B is the rows over 1 + fraction, rounded down.
    batch = tf.cast(tf.floor(rows / (1.0 + pair_fraction) + 1e-4), tf.int32)
    paired = 2 * (tf.shape(tensor)[0] - batch)
    kept = tf.concat([tensor[:paired:2], tensor[paired:]], axis=0)
    return tf.ensure_shape(kept, [None, *tensor.shape[1:]])


def fraction_of(y_true: tf.Tensor, y_pred: tf.Tensor, pair_fraction: float) -> Any:
    """For `select_samples`: `pair_fraction` if `y_true` is paired, else 0."""
    difference = channel_difference(y_true, y_pred)
    if isinstance(difference, tf.Tensor):
        return tf.cast(difference, tf.float32) * pair_fraction
    return pair_fraction if difference else 0


def axis_size(tensor: tf.Tensor, axis: int) -> Any:
    """Length of an axis: an int where it is known, else a scalar tensor."""
    static = tensor.shape[axis]
    return tf.shape(tensor)[axis] if static is None else static


def _slots(y_true: tf.Tensor) -> tf.Tensor:
    """The last channel's first pixels of each row, ``(R, MIN_PIXELS)`` float32.

    Fewer for images that are smaller, which are not paired.
    """
    lines = -(-MIN_PIXELS // axis_size(y_true, 2))
    pixels = tf.reshape(y_true[:, :lines, :, -1], (tf.shape(y_true)[0], -1))
    return tf.cast(pixels[:, :MIN_PIXELS], tf.float32)


def _conditions(y_true: tf.Tensor, y_pred: tf.Tensor) -> list[tuple[Any, str]]:
    """What must hold of an intact target, each as a scalar bool and the message if it does not."""
    difference = channel_difference(y_true, y_pred)
    slots = _slots(y_true)
    first, last = slots[:, 0], slots[:, -1]
    has_header = (tf.equal(first, _SAMPLE) | tf.equal(first, _COUNTERPART)) & tf.equal(last, _END)
    of_paired = [
        (tf.reduce_all(has_header), _no_header(y_true, y_pred)),
        (~has_split_pairs(y_true), _SPLIT_PAIRS),
    ]
    of_plain = [(~tf.reduce_any(has_header), _unexpected_header(y_true, y_pred))]
    if isinstance(difference, int):
        return of_paired if difference else of_plain
    is_paired, is_plain = tf.equal(difference, _TRANSFORM), tf.equal(difference, _PLAIN)
    return [
        (is_paired | is_plain, _wrong_channels(y_true, y_pred)),
        *((ok | ~is_paired, message) for ok, message in of_paired),
        *((ok | ~is_plain, message) for ok, message in of_plain),
    ]


def _received(y_true: tf.Tensor, y_pred: tf.Tensor) -> str:
    return f"Received: y_true of shape {y_true.shape} and y_pred of shape {y_pred.shape}"


def _wrong_channels(y_true: tf.Tensor, y_pred: tf.Tensor) -> str:
    return (
        f"the target must have the channels of the model's output, {y_pred.shape[-1]}, or one "
        "more if it is paired, three more with RandomFlow. An RGBA target for an RGB model has one "
        "channel too many before it is paired; a batch must be paired only once; RandomFlow needs "
        f"channels that are known while tracing. {_received(y_true, y_pred)}"
    )


def _no_header(y_true: tf.Tensor, y_pred: tf.Tensor) -> str:
    return (
        "y_true has more channels than the model's output and no pairing header. Either it is "
        "a target with a channel too many, such as an RGBA target for an RGB model: remove that "
        "channel. Or it was changed after pairing (scaled, normalized, clipped, cropped): do that "
        f"before pairing. {_received(y_true, y_pred)}"
    )


def _unexpected_header(y_true: tf.Tensor, y_pred: tf.Tensor) -> str:
    return (
        "y_true is a paired target, whose last channel carries T, but has no more channels than "
        "the model's output. Before pairing, a target must have the channels of the model's "
        f"output. {_received(y_true, y_pred)}"
    )


_SPLIT_PAIRS = (
    "y_true must have each counterpart directly after its sample. Received: a part of a paired "
    "batch with split pairs, as from a distribution strategy whose replicas get an odd number of "
    "rows. Make the batch size a multiple of the number of replicas and drop the remainder, or use "
    "RegularizedModel, which pairs on each replica"
)
