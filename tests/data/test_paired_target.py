"""Tests of the paired target: what `encode` writes, `decode` reads and the header recognizes."""

import numpy as np
import pytest
import tensorflow as tf
from helpers.pairing import MOTION, drawn, in_order_of, pair, random_batch, warped
from hypothesis import given
from hypothesis import strategies as st
from tensorflow import keras

import keras_temporal_reg as ktr
from keras_temporal_reg import transforms
from keras_temporal_reg.data import _paired_target as paired_target

FRACTIONS = st.one_of(
    st.floats(0.01, 1.0),
    st.sampled_from([0.1, 0.2, 0.25, 0.3, 1 / 3, 0.5, 0.6, 0.7, 0.75, 0.9, 1.0]),
)


def test_decode_inverts_encode():
    y = random_batch()
    decoded = paired_target.decode(pair(y, y)[1])
    rows = drawn(3, 6, 8)
    np.testing.assert_array_equal(decoded.y[::2], y)
    np.testing.assert_allclose(decoded.y[1::2], warped(y, rows), atol=1e-6)
    np.testing.assert_allclose(decoded.transforms[1::2], rows, atol=1e-6)
    np.testing.assert_array_equal(decoded.transforms[::2], transforms.identity(3))
    np.testing.assert_array_equal(decoded.is_counterpart, [False, True] * 3)
    np.testing.assert_allclose(decoded.weight, 2.0)
    assert decoded.transforms.dtype == tf.float32


@pytest.mark.parametrize("size", [(4, 5), (5, 4), (20, 1)])
def test_the_smallest_y_carries_the_header_and_T(size):
    y = random_batch(2, *size)
    decoded = paired_target.decode(pair(y, y)[1])
    np.testing.assert_allclose(decoded.transforms[1::2], drawn(2, *size), atol=1e-6)


@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16])
def test_transforms_survive_half_precision(dtype):
    y = random_batch(8, 64, 64, 1)
    y_true = tf.cast(pair(y, y)[1], dtype)  # as Keras 2 does under a mixed policy
    read, rows = paired_target.decode(y_true), drawn(8, 64, 64)
    corners = np.array([[0, 0, 1], [63, 0, 1], [0, 63, 1], [63, 63, 1]], np.float64).T
    of_read, of_rows = (
        np.asarray(t, np.float64)[:, :6].reshape(-1, 2, 3) @ corners
        for t in (read.transforms[1::2], rows)
    )
    assert np.abs(of_read - of_rows).max() < 1e-4 * 64 / 10  # a thousandth of a pixel at most
    shifts = np.abs(read.transforms[1::2] - rows)[:, [2, 5]]
    assert shifts.max() < 1e-4
    np.testing.assert_array_equal(read.is_counterpart, [False, True] * 8)
    np.testing.assert_allclose(read.weight, 2.0)


@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16])
def test_weights_survive_half_precision(dtype):
    y = random_batch(7)
    y_true = tf.cast(pair(y, y, pair_fraction=0.4)[1], dtype)
    read = paired_target.decode(y_true)
    np.testing.assert_allclose(read.weight, [10 / 7, 10 / 3] * 3 + [10 / 7] * 4, rtol=1e-4)


def test_half_precision_targets_keep_their_dtype():
    y = tf.cast(random_batch(), tf.float16)
    x, y_true, _ = pair(y, y)
    assert x.dtype == y_true.dtype == tf.float16
    np.testing.assert_allclose(
        paired_target.decode(y_true).transforms[1::2], drawn(3, 6, 8), atol=1e-4
    )


@given(batch=st.integers(1, 40), fraction=FRACTIONS)
def test_weights_make_the_mean_over_rows_the_mean_over_each_role(batch, fraction):
    y = tf.zeros((batch, 4, 5, 1))
    y_true = pair(y, y, pair_fraction=fraction, transform=None)[1]
    read = paired_target.decode(y_true)
    rows = y_true.shape[0] or len(y_true)
    for role in (False, True):
        weights = read.weight[read.is_counterpart == role]
        np.testing.assert_allclose(np.sum(weights), rows, rtol=1e-5)
        np.testing.assert_allclose(weights, weights[0])


@given(batch=st.integers(1, 40), fraction=FRACTIONS)
def test_selected_samples_are_those_that_were_paired(batch, fraction):
    y = tf.reshape(tf.range(batch * 20.0), (batch, 4, 5, 1))
    y_true = pair(y, y, pair_fraction=fraction)[1]
    count = len(y_true) - batch
    assert count - 1 < batch * fraction < count + 1e-3  # the least that is this share
    y = in_order_of(y_true[..., :-1], y)
    np.testing.assert_array_equal(paired_target.select_samples(y_true, fraction)[..., :-1], y)


@pytest.mark.parametrize("fraction", [0.1, 0.25, 1 / 3, 0.5, 0.7, 0.9, 1.0])
def test_samples_are_selected_in_large_batches_too(fraction):
    for batch in (100, 128, 300, 512, 1000, 1024):
        count = int(np.ceil(batch * fraction - 1e-6))
        rows = np.full(batch + count, -1)
        rows[: 2 * count : 2] = np.arange(count)
        rows[2 * count :] = np.arange(count, batch)
        found = paired_target.select_samples(tf.constant(rows), fraction)
        np.testing.assert_array_equal(found, np.arange(batch))


def test_channel_difference_of_paired_and_plain_targets():
    plain = random_batch()
    assert paired_target.channel_difference(plain, plain) == 0
    assert paired_target.channel_difference(tf.zeros((3, 6, 8, 3)), plain) == 1


@pytest.mark.parametrize(
    ("y_true", "match"),
    [
        (np.zeros((2, 6, 8, 3)), "the target must have the channels of the model's output, 1"),
        (np.zeros((2, 6, 8)), "y_true must be a batch of images of rank 4"),
    ],
)
def test_channels_that_fit_neither_are_rejected(y_true, match):
    with pytest.raises(ValueError, match=match):
        paired_target.channel_difference(tf.constant(y_true), tf.zeros((2, 6, 8, 1)))


def paired_target_of(images, fraction=1.0):
    return pair(images, images, pair_fraction=fraction)[1]


LOSSES = [ktr.losses.TransformInvarianceLoss(), ktr.losses.SparseJacobianLoss()]


def assert_refused(y_true, y_pred, match):
    """Eager calls and graphs raise; XLA has no assertions and gives NaN, gradients too."""
    for loss in LOSSES:
        with pytest.raises(tf.errors.InvalidArgumentError, match=match):
            loss(y_true, y_pred)
    loss = LOSSES[1]
    with pytest.raises(tf.errors.InvalidArgumentError, match=match):
        tf.function(loss)(y_true, y_pred)

    @tf.function(jit_compile=True)
    def compiled(y_pred):
        with tf.GradientTape() as tape:
            tape.watch(y_pred)
            value = loss(y_true, y_pred)
        return value, tape.gradient(value, y_pred)

    value, gradient = compiled(tf.convert_to_tensor(y_pred))
    assert np.isnan(value)
    assert np.all(np.isnan(gradient))


def test_an_rgba_target_of_an_rgb_model_is_refused():
    rgba = random_batch(4, channels=4)
    opaque = tf.concat([rgba[..., :3], tf.ones((4, 6, 8, 1))], axis=-1)
    for target in (rgba, 255.0 * opaque):
        assert_refused(target, rgba[..., :3], "no pairing header.*RGBA target for an RGB model")


CHANGES = {
    "scaled": lambda y: y * 255.0,
    "normalized": lambda y: (y - 0.5) / 0.25,
    "clipped": lambda y: tf.clip_by_value(y, -1.0, 1.0),
    "rounded": tf.round,
    "flipped": lambda y: y[:, :, ::-1],
    "cropped": lambda y: y[:, :, :7],
    "noisy": lambda y: y + 0.01,
    "not finite": lambda y: y + float("nan"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_target_that_was_changed_after_pairing_is_not_intact(change):
    y_true = paired_target_of(random_batch(), 0.5)
    assert bool(paired_target.is_intact(y_true, y_true[..., :-1]))
    changed = CHANGES[change](y_true)
    assert not bool(paired_target.is_intact(changed, changed[..., :-1]))


def test_a_target_that_was_scaled_after_pairing_is_refused():
    y_true = paired_target_of(random_batch()) * 255.0
    assert_refused(y_true, y_true[..., :-1], r"no pairing header.*changed after pairing \(scaled")


def test_a_paired_target_of_one_channel_less_than_the_output_is_refused():
    y_true = paired_target_of(random_batch())
    assert_refused(y_true, tf.zeros_like(y_true), "paired target, whose last channel carries T")


def test_split_pairs_are_refused():
    y_true = paired_target_of(random_batch())
    # As a division of the six rows between two replicas leaves the second: it begins with T(y1).
    second = y_true[3:]
    assert bool(paired_target.has_split_pairs(second))
    assert not bool(paired_target.has_split_pairs(y_true))
    assert_refused(second, second[..., :-1], "split pairs")


@pytest.mark.parametrize("jit_compile", [False, True])
def test_targets_are_recognized_if_channels_are_unknown_while_tracing(jit_compile):
    signature = [tf.TensorSpec([None, 6, 8, None]), tf.TensorSpec([None, 6, 8, 2])]

    @tf.function(input_signature=signature, jit_compile=jit_compile)
    def traced(y_true, y_pred):
        return [loss(y_true, y_pred) for loss in LOSSES]

    y = random_batch()
    y_true = paired_target_of(y)
    twice = tf.repeat(y, 2, axis=0) + 0.1
    for target in (y_true, y_true[..., :-1]):
        expected = [loss(target, twice) for loss in LOSSES]
        np.testing.assert_allclose(traced(target, twice), expected, rtol=1e-5)
    rgb = tf.concat([twice, twice[..., :1]], axis=-1)
    if jit_compile:
        assert np.all(np.isnan(traced(rgb, twice)))
        return
    with pytest.raises(tf.errors.InvalidArgumentError, match="no pairing header"):
        traced(rgb, twice)
    with pytest.raises(tf.errors.InvalidArgumentError, match="target must have the channels"):
        traced(tf.concat([twice, twice], axis=-1), twice)


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: type(loss).__name__)
@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16, tf.float64])
def test_a_target_cast_after_pairing_gives_the_same_loss(loss, dtype):
    y_true = paired_target_of(random_batch(channels=1))
    y_pred = tf.cast(tf.cast(y_true[..., :-1], tf.float16), tf.float32) + 0.25
    cast = tf.cast(y_true, dtype)
    tolerance = {tf.float16: 2e-3, tf.bfloat16: 2e-2, tf.float64: 1e-6}[dtype]
    np.testing.assert_allclose(loss(cast, y_pred), loss(y_true, y_pred), rtol=tolerance)


@pytest.mark.parametrize("size", [(1, 1), (3, 4), (19, 1)])
def test_plain_images_too_small_for_a_header_are_plain(size):
    images = random_batch(2, *size)
    assert bool(paired_target.is_intact(images, images))
    with pytest.raises(tf.errors.InvalidArgumentError, match="no pairing header"):
        LOSSES[0](images, images[..., :-1])


def rgb_network():
    return keras.Sequential([keras.Input((6, 8, 3)), keras.layers.Conv2D(3, 1)])


def test_rgba_targets_are_refused_on_the_data_route():
    rgba = random_batch(4, channels=4)
    dataset = tf.data.Dataset.from_tensors((rgba[..., :3], rgba))
    paired = ktr.data.pair_with_transformed(dataset, MOTION)
    # Of a paired target the channels tell while tracing, of a plain one its header at run time.
    for data, error in ((dataset, tf.errors.InvalidArgumentError), (paired, ValueError)):
        network = rgb_network()
        network.compile("sgd", LOSSES[1], jit_compile=False)
        with pytest.raises(error, match="RGBA target for an RGB model"):
            network.fit(data, verbose=0)


def test_rgba_targets_are_refused_by_a_regularized_model_under_xla_too():
    rgba = random_batch(4, channels=4)
    model = ktr.RegularizedModel(rgb_network())
    model.compile("sgd", LOSSES[1], jit_compile=True)
    with pytest.raises(ValueError, match="RGBA target for an RGB model has one too many"):
        model.fit(rgba[..., :3], rgba, verbose=0)


def test_a_target_scaled_after_pairing_is_refused_by_fit():
    images = random_batch(4, channels=3)
    dataset = tf.data.Dataset.from_tensors((images, images))
    paired = ktr.data.pair_with_transformed(dataset, MOTION).map(lambda x, y: (x, 255.0 * y))
    network = rgb_network()
    before = [np.array(w) for w in network.get_weights()]
    network.compile("sgd", LOSSES[0], jit_compile=False)
    with pytest.raises(tf.errors.InvalidArgumentError, match="changed after pairing"):
        network.fit(paired, verbose=0)
    for a, b in zip(before, network.get_weights()):
        np.testing.assert_array_equal(a, b)


def test_mixed_precision_trains_on_paired_targets():
    policy = keras.mixed_precision.global_policy()
    keras.mixed_precision.set_global_policy("mixed_float16")  # Keras 2 casts y_true to float16
    try:
        images = random_batch(4, channels=3)
        paired = ktr.data.pair_with_transformed(
            tf.data.Dataset.from_tensors((images, images)), MOTION
        )
        network = rgb_network()
        network.compile("sgd", LOSSES[1], jit_compile=False)
        assert np.isfinite(network.fit(paired, verbose=0).history["loss"][0])
    finally:
        keras.mixed_precision.set_global_policy(policy)
