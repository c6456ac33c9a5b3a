"""Tests of the two losses against NumPy and SciPy, and of what Keras asks of a loss."""

import numpy as np
import pytest
import scipy.ndimage
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from tensorflow import keras

import keras_temporal_reg as ktr
from keras_temporal_reg import image
from keras_temporal_reg.data import _pairing as pairing
from keras_temporal_reg.losses import _regularized as losses
from keras_temporal_reg.losses._regularized import SparseJacobianLoss, TransformInvarianceLoss

BOTH = [TransformInvarianceLoss, SparseJacobianLoss]
HEIGHT, WIDTH, CHANNELS = 9, 10, 2
SEED = (5, 6)
MOTION = ktr.RandomAffine(translation=2, rotation=5, zoom=0.1, shear=5, seed=0)


def random_images(count, seed, channels=CHANNELS):
    shape = (count, HEIGHT, WIDTH, channels)
    return np.random.default_rng(seed).uniform(0, 1, shape).astype(np.float32)


def paired_batch(batch=3, fraction=1.0, weight=None, motion=MOTION):
    """A paired target, outputs for all of its rows, the paired weights."""
    y = random_images(batch, seed=1)
    _, y_true, weight = pairing.pair(y, y, motion, SEED, weight, pair_fraction=fraction)
    return y_true, random_images(len(y_true), seed=2), weight


def no_reconstruction(y_true, y_pred):
    return tf.zeros_like(y_pred[..., 0])


def regularizer(loss_class, y_true, y_pred, **kwargs):
    """L_reg alone: of a loss that has no L_vis, half."""
    loss = loss_class(alpha=0.5, reconstruction=no_reconstruction, **kwargs)
    return 2.0 * float(loss(y_true, y_pred))


# The oracle: the formulas of the paper, one sample at a time, in float64.


def source_points(row):
    a0, a1, a2, b0, b1, b2, c0, c1 = np.asarray(row, np.float64)
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float64)
    k = c0 * x + c1 * y + 1.0
    return (a0 * x + a1 * y + a2) / k, (b0 * x + b1 * y + b2) / k


def valid_pixels(row, border):
    """Pixels outside the border that show pixels of the frame outside the border."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    mask = np.ones((HEIGHT, WIDTH), bool)
    for px, py in (source_points(row), (x, y)):
        mask &= (px >= border - 1e-3) & (px <= WIDTH - 1 - border + 1e-3)
        mask &= (py >= border - 1e-3) & (py <= HEIGHT - 1 - border + 1e-3)
    return mask


def warped(img, row):
    x, y = source_points(row)
    channels = [
        scipy.ndimage.map_coordinates(img[..., c], [y, x], order=1, mode="nearest")
        for c in range(img.shape[-1])
    ]
    return np.stack(channels, axis=-1)


def square(a, b):
    return np.mean((a - b) ** 2, axis=-1)


def compared(loss_class, row, y, moved_y, output, moved_output):
    if loss_class is TransformInvarianceLoss:
        return moved_output, warped(output, row)
    return moved_output - output, moved_y - y


def expected_parts(loss_class, y_true, y_pred, batch=3, border=0, weight=None, distance=square):
    """L_vis and L_reg of a paired batch: the mean over samples of the mean over pixels."""
    y, f = np.asarray(y_true, np.float64)[..., :-1], np.asarray(y_pred, np.float64)
    count = len(y) - batch
    motions = MOTION.sample(count, HEIGHT, WIDTH, seed=SEED)
    weight = np.ones((len(y), 1, 1)) if weight is None else np.asarray(weight, np.float64)
    if weight.ndim == 1:
        weight = weight[:, np.newaxis, np.newaxis]
    vis_rows = [2 * i if i < count else i + count for i in range(batch)]
    vis = [np.mean(weight[r] * square(y[r], f[r])) for r in vis_rows]
    reg = []
    for i in range(count):
        one, two = 2 * i, 2 * i + 1
        mask = valid_pixels(motions[i], border)
        a, b = compared(loss_class, motions[i], y[one], y[two], f[one], f[two])
        of_pixels = weight[two]
        if loss_class is SparseJacobianLoss:
            of_pixels = np.maximum(weight[one], weight[two])
        value = np.mean((of_pixels * distance(a, b))[mask])
        reg.append(value)
    return np.mean(vis), np.mean(reg)


def expected_loss(loss_class, y_true, y_pred, alpha, **kwargs):
    vis, reg = expected_parts(loss_class, y_true, y_pred, **kwargs)
    return (1 - alpha) * vis + alpha * reg


def test_the_motions_of_these_tests_bring_some_pixels_in_from_outside():
    for row in MOTION.sample(3, HEIGHT, WIDTH, seed=SEED):
        assert 0.3 < valid_pixels(row, 0).mean() < 0.98


@pytest.mark.parametrize("loss_class", BOTH)
@pytest.mark.parametrize("border", [0, 1, 2])
@pytest.mark.parametrize("alpha", [0.3, 0.9])
def test_loss_is_the_formula(loss_class, border, alpha):
    y_true, y_pred, _ = paired_batch()
    expected = expected_loss(loss_class, y_true, y_pred, alpha, border=border)
    loss = loss_class(alpha=alpha, border=border)
    np.testing.assert_allclose(loss(y_true, y_pred), expected, rtol=1e-4)


@pytest.mark.parametrize("loss_class", BOTH)
@pytest.mark.parametrize("fraction", [0.2, 0.5, 0.75])
def test_loss_is_the_formula_where_a_part_is_paired(loss_class, fraction):
    y_true, y_pred, _ = paired_batch(5, fraction)
    assert len(y_true) < 10
    expected = expected_loss(loss_class, y_true, y_pred, 0.8, batch=5)
    np.testing.assert_allclose(loss_class(alpha=0.8)(y_true, y_pred), expected, rtol=1e-4)


@pytest.mark.parametrize("loss_class", BOTH)
@pytest.mark.parametrize("fraction", [0.5, 1.0])
@pytest.mark.parametrize("shape", [(), (1, 1)])
def test_weights_per_sample_weigh_both_parts(loss_class, fraction, shape):
    weight = np.reshape(np.float32([0.5, 2.0, 3.0]), (3, *shape))
    y_true, y_pred, weights = paired_batch(3, fraction, weight)
    of_rows = np.reshape(weights, (-1,))
    expected = expected_loss(loss_class, y_true, y_pred, 0.8, weight=of_rows)
    got = loss_class(alpha=0.8)(y_true, y_pred, weights)
    np.testing.assert_allclose(got, expected, rtol=1e-4)


@pytest.mark.parametrize("loss_class", BOTH)
@pytest.mark.parametrize("fraction", [0.5, 1.0])
@pytest.mark.parametrize("channel", [(), (1,)])
def test_weights_per_pixel_weigh_both_parts(loss_class, fraction, channel):
    weight = random_images(3, seed=3, channels=1).reshape(3, HEIGHT, WIDTH, *channel)
    y_true, y_pred, weights = paired_batch(3, fraction, weight)
    of_rows = np.reshape(weights, (-1, HEIGHT, WIDTH))
    expected = expected_loss(loss_class, y_true, y_pred, 0.8, weight=of_rows)
    got = loss_class(alpha=0.8)(y_true, y_pred, weights)
    np.testing.assert_allclose(got, expected, rtol=1e-4)


@pytest.mark.parametrize("loss_class", BOTH)
def test_contrast_adds_the_difference_in_contrast_of_the_batch(loss_class):
    y_true, y_pred, _ = paired_batch()
    y = np.asarray(y_true, np.float64)[..., :-1]
    contrasts = [np.std(f, axis=(1, 2)).mean(axis=0) for f in (y, np.float64(y_pred))]
    lost = np.mean((contrasts[0] - contrasts[1]) ** 2)
    _, reg = expected_parts(loss_class, y_true, y_pred)
    got = regularizer(loss_class, y_true, y_pred, contrast=3.0)
    np.testing.assert_allclose(got, reg + 3.0 * lost, rtol=1e-4)


@pytest.mark.parametrize("loss_class", BOTH)
def test_contrast_does_not_let_the_output_fade(loss_class):
    y_true, _, _ = paired_batch()
    y = y_true[..., :-1]
    faded = 0.5 * y + 0.5 * tf.reduce_mean(y, axis=(1, 2), keepdims=True)
    with tf.GradientTape() as tape:
        tape.watch(faded)
        value = loss_class(alpha=0.99, contrast=1e3)(y_true, faded)
    step = faded - 1e-2 * tape.gradient(value, faded)
    before, after = (np.std(images, axis=(1, 2)) for images in (faded, step))
    assert np.all(after > before)


@pytest.mark.parametrize("loss_class", BOTH)
def test_a_border_that_leaves_nothing_leaves_no_regularizer(loss_class):
    y_true, y_pred, _ = paired_batch()
    assert regularizer(loss_class, y_true, y_pred, border=5) == 0.0


@pytest.mark.parametrize("loss_class", BOTH)
@pytest.mark.parametrize("options", [{}, {"contrast": 1.0}])
def test_constant_outputs_give_finite_values_and_gradients(loss_class, options):
    y_true, _, _ = paired_batch()
    y_pred = tf.fill((6, HEIGHT, WIDTH, CHANNELS), 0.5)
    with tf.GradientTape() as tape:
        tape.watch(y_pred)
        value = loss_class(**options)(y_true, y_pred)
    assert np.isfinite(value)
    assert np.all(np.isfinite(tape.gradient(value, y_pred)))


@pytest.mark.parametrize("loss_class", BOTH)
def test_alpha_0_is_the_reconstruction_loss_of_x(loss_class):
    y_true, y_pred, _ = paired_batch(5, 0.5)
    expected, _ = expected_parts(loss_class, y_true, y_pred, batch=5)
    np.testing.assert_allclose(loss_class(alpha=0.0)(y_true, y_pred), expected, rtol=1e-5)


RECONSTRUCTIONS = [
    ("mse", keras.losses.MeanSquaredError),
    ("mae", keras.losses.MeanAbsoluteError),
    ("mean_absolute_error", keras.losses.MeanAbsoluteError),
    (keras.losses.Huber(0.2), lambda: keras.losses.Huber(0.2)),
]


@pytest.mark.parametrize("loss_class", BOTH)
@pytest.mark.parametrize(("reconstruction", "keras_loss"), RECONSTRUCTIONS)
def test_a_plain_target_gives_the_reconstruction_loss(loss_class, reconstruction, keras_loss):
    y, y_pred = random_images(4, seed=1), random_images(4, seed=2)
    loss = loss_class(alpha=0.9, reconstruction=reconstruction)
    np.testing.assert_allclose(loss(y, y_pred), keras_loss()(y, y_pred), rtol=1e-6)
    for shape in [(4, 1, 1), (4, HEIGHT, WIDTH)]:
        weight = np.random.default_rng(3).uniform(0, 2, shape).astype(np.float32)
        expected = keras_loss()(y, y_pred, weight)
        np.testing.assert_allclose(loss(y, y_pred, weight), expected, rtol=1e-6)


@pytest.mark.parametrize("loss_class", BOTH)
def test_a_plain_target_with_one_weight_per_sample(loss_class):
    y, y_pred = random_images(4, seed=1), random_images(4, seed=2)
    weight = np.float32([0.5, 1.0, 2.0, 0.0])
    expected = np.mean(weight * np.mean((y - y_pred) ** 2, axis=(1, 2, 3)))
    np.testing.assert_allclose(loss_class()(y, y_pred, weight), expected, rtol=1e-5)


def huber(a, b):
    d = np.abs(a - b)
    return np.mean(np.where(d <= 0.2, 0.5 * d**2, 0.2 * d - 0.02), axis=-1)


def quartic(a, b):
    return np.mean((a - b) ** 4, axis=-1)


DISTANCES = {
    "mse": ("mse", square),
    "mae": ("mae", lambda a, b: np.mean(np.abs(a - b), axis=-1)),
    "a Keras loss": (keras.losses.Huber(0.2), huber),
    "a value per pixel": (lambda t, p: tf.reduce_mean((t - p) ** 4, axis=-1), quartic),
    "a value per channel": (lambda t, p: (t - p) ** 4, quartic),
}


@pytest.mark.parametrize("loss_class", BOTH)
@pytest.mark.parametrize("kind", DISTANCES)
def test_distance_can_be_given_in_many_ways(loss_class, kind):
    given_distance, oracle = DISTANCES[kind]
    y_true, y_pred, _ = paired_batch()
    _, expected = expected_parts(loss_class, y_true, y_pred, distance=oracle)
    got = regularizer(loss_class, y_true, y_pred, distance=given_distance)
    np.testing.assert_allclose(got, expected, rtol=1e-4)


@pytest.mark.parametrize("loss_class", BOTH)
def test_distance_of_a_whole_sample_sees_no_difference_where_none_counts(loss_class):
    y_true, y_pred, _ = paired_batch()
    largest = regularizer(
        loss_class,
        y_true,
        y_pred,
        distance=lambda t, p: tf.reduce_max(tf.abs(t - p), axis=(1, 2, 3)),
    )
    expected = []
    for i, row in enumerate(MOTION.sample(3, HEIGHT, WIDTH, seed=SEED)):
        y, f = y_true[2 * i : 2 * i + 2, ..., :-1].numpy(), y_pred[2 * i : 2 * i + 2]
        a, b = compared(loss_class, row, *y, *f)
        expected.append(np.abs(a - b)[valid_pixels(row, 0)].max())
    np.testing.assert_allclose(largest, np.mean(expected), rtol=1e-4)


def test_ssim_compares_the_outputs():
    y_true, y_pred, _ = paired_batch(motion=None)
    got = regularizer(TransformInvarianceLoss, y_true, y_pred, distance="ssim")
    plain = TransformInvarianceLoss(reconstruction="ssim")
    np.testing.assert_allclose(got, plain(y_pred[::2], y_pred[1::2]), rtol=1e-5)


@pytest.mark.parametrize("loss_class", BOTH)
@pytest.mark.parametrize("distance", ["mse", "ssim"])
def test_pixels_from_outside_the_frame_are_masked(loss_class, distance):
    y_true, y_pred, _ = paired_batch()
    changed = y_pred.copy()
    for i, row in enumerate(MOTION.sample(3, HEIGHT, WIDTH, seed=SEED)):
        changed[2 * i + 1][~valid_pixels(row, 1)] += 3.0
    assert not np.array_equal(changed, y_pred)
    kwargs = {"distance": distance, "border": 1}
    before, after = (regularizer(loss_class, y_true, p, **kwargs) for p in (y_pred, changed))
    np.testing.assert_allclose(after, before, rtol=1e-5)


MIX = np.float32([[0.7, -0.3], [0.2, 1.1]])


@pytest.mark.slow
@given(seed=st.integers(0, 10_000), gain=st.floats(-2, 2, width=32))
def test_a_pointwise_linear_network_has_no_regularizer(seed, gain):
    def network(images):
        return gain * images @ MIX + 0.1

    x = tf.constant(random_images(2, seed=seed))
    x_rows, y_true, _ = pairing.pair(x, network(x), transform=MOTION, seed=(seed, 1))
    for loss_class in BOTH:
        # At the edge, pixels read up to 1e-3 outside of the frame count, and take that share of a
        # constant.
        for border, atol in ((0, 1e-6), (1, 1e-9)):
            value = regularizer(loss_class, y_true, network(x_rows), border=border)
            np.testing.assert_allclose(value, 0.0, atol=atol)


@given(dx=st.integers(-4, 4), dy=st.integers(-4, 4))
def test_a_pointwise_network_has_no_regularizer_for_whole_pixels(dx, dy):
    def network(images):
        return tf.sin(5.0 * images) * images

    class Shift(ktr.RandomAffine):
        def sample(self, batch_size, height, width, seed=None):
            return tf.tile([[1.0, 0, dx, 0, 1, dy, 0, 0]], (batch_size, 1))

    x = tf.constant(random_images(2, seed=0))
    x_rows, y_true, _ = pairing.pair(x, network(x), transform=Shift(), seed=SEED)
    for loss_class in BOTH:
        value = regularizer(loss_class, y_true, network(x_rows))
        np.testing.assert_allclose(value, 0.0, atol=1e-9)


@pytest.mark.parametrize("loss_class", BOTH)
def test_the_order_of_samples_makes_no_difference(loss_class):
    y_true, y_pred, _ = paired_batch(4)
    loss = loss_class(alpha=0.7, border=1, contrast=1.0)
    order = np.array([4, 5, 0, 1, 6, 7, 2, 3])
    of_all = loss.call(y_true, y_pred).numpy()
    permuted = loss.call(y_true.numpy()[order], y_pred[order])
    assert of_all.shape == (8, HEIGHT, WIDTH)
    np.testing.assert_allclose(permuted, of_all[order], rtol=1e-5, atol=1e-7)


@pytest.mark.slow
def test_graph_and_xla_give_what_eager_gives():
    y_true, y_pred, weights = paired_batch(3, 0.5, random_images(3, 3, 1))
    both = [
        TransformInvarianceLoss(0.8, border=1),
        SparseJacobianLoss(0.8),
        SparseJacobianLoss(0.8, contrast=0.5),
    ]

    def values(y_true, y_pred, weights):
        with tf.GradientTape() as tape:
            tape.watch(y_pred)
            each = [loss(y_true, y_pred, weights) for loss in both]
            total = tf.add_n(each)
        return each, tape.gradient(total, y_pred)

    y_pred = tf.constant(y_pred)
    eager = values(y_true, y_pred, weights)
    for jit_compile in (False, True):
        traced = tf.function(values, jit_compile=jit_compile)(y_true, y_pred, weights)
        for a, b in zip(tf.nest.flatten(traced), tf.nest.flatten(eager)):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-7)


@pytest.mark.slow
@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("sides", ["y_true", "both"])
def test_channels_may_be_unknown_while_tracing(sides, jit_compile):
    of_pred = None if sides == "both" else CHANNELS
    signature = [
        tf.TensorSpec([None, HEIGHT, WIDTH, None]),
        tf.TensorSpec([None, HEIGHT, WIDTH, of_pred]),
        tf.TensorSpec([None]),
    ]

    @tf.function(input_signature=signature, jit_compile=jit_compile)
    def traced(y_true, y_pred, weights):
        return [loss_class(alpha=0.8)(y_true, y_pred, weights) for loss_class in BOTH]

    y_true, y_pred, weights = paired_batch(3, 0.5, np.float32([1, 2, 3]))
    plain = y_true[..., :-1]
    for target in (y_true, plain):
        for loss_class, got in zip(BOTH, traced(target, y_pred, weights)):
            expected = loss_class(alpha=0.8)(target, y_pred, weights)
            np.testing.assert_allclose(got, expected, rtol=1e-5)


def test_sizes_may_be_unknown_while_tracing():
    signature = [tf.TensorSpec([None, None, None, None])] * 2

    @tf.function(input_signature=signature)
    def traced(y_true, y_pred):
        return [loss_class(alpha=0.8, border=1)(y_true, y_pred) for loss_class in BOTH]

    y_true, y_pred, _ = paired_batch(3, 0.5)
    for loss_class, got in zip(BOTH, traced(y_true, y_pred)):
        expected = expected_loss(loss_class, y_true, y_pred, 0.8, border=1)
        np.testing.assert_allclose(got, expected, rtol=1e-4)


@pytest.mark.parametrize("loss_class", BOTH)
@pytest.mark.parametrize("target_dtype", [tf.float16, tf.float32])
def test_half_precision_outputs_are_compared_in_float32(loss_class, target_dtype):
    y_true, y_pred, _ = paired_batch()
    half_true, half_pred = tf.cast(y_true, target_dtype), tf.cast(y_pred, tf.float16)
    loss = loss_class(alpha=0.8)
    values = loss.call(half_true, half_pred)
    assert values.dtype == tf.float32
    np.testing.assert_allclose(tf.reduce_mean(values), loss(y_true, y_pred), rtol=5e-3)
    np.testing.assert_allclose(loss(half_true, half_pred), loss(y_true, y_pred), rtol=5e-3)


@pytest.mark.parametrize("loss_class", BOTH)
def test_float64_stays_float64(loss_class):
    y_true, y_pred, _ = paired_batch()
    values = loss_class(alpha=0.8).call(np.float64(y_true), np.float64(y_pred))
    assert values.dtype == tf.float64
    expected = expected_loss(loss_class, y_true, y_pred, 0.8)
    np.testing.assert_allclose(np.mean(values), expected, rtol=1e-4)


@pytest.mark.parametrize("loss_class", BOTH)
def test_gradient_agrees_with_finite_differences(loss_class):
    y_true, y_pred, _ = paired_batch()
    y_true, y_pred = tf.cast(y_true, tf.float64), tf.cast(y_pred, tf.float64)
    image.set_backend("xla")  # TensorFlow's op computes in float32 whatever it is given
    loss = loss_class(alpha=0.8, border=1)

    def value(y_pred):
        return tf.reduce_mean(loss.call(y_true, y_pred))

    with tf.GradientTape() as tape:
        tape.watch(y_pred)
        total = value(y_pred)
    gradient = tape.gradient(total, y_pred)
    for seed in range(3):
        direction, step = np.random.default_rng(seed).normal(size=y_pred.shape), 1e-4
        difference = (value(y_pred + step * direction) - value(y_pred - step * direction)) / (
            2 * step
        )
        np.testing.assert_allclose(np.sum(gradient * direction), difference, rtol=1e-5, atol=1e-9)


@keras.utils.register_keras_serializable(package="tests_of_losses")
def cubic(y_true, y_pred):
    return tf.reduce_mean(tf.abs(y_true - y_pred) ** 3, axis=-1)


@pytest.mark.parametrize("loss_class", BOTH)
@pytest.mark.parametrize("distance", ["mae", "ssim", keras.losses.LogCosh(), cubic])
def test_config_round_trips(loss_class, distance):
    loss = loss_class(0.7, distance, distance, border=2, contrast=0.5, name="steady")
    y_true, y_pred, _ = paired_batch()
    stored = keras.utils.serialize_keras_object(loss)
    for again in (
        loss_class.from_config(loss.get_config()),
        keras.utils.deserialize_keras_object(stored),
    ):
        assert type(again) is loss_class
        assert again.get_config() == loss.get_config()
        assert again.name == "steady"
        np.testing.assert_allclose(again(y_true, y_pred), loss(y_true, y_pred), rtol=1e-6)


def test_defaults_are_those_documented():
    config = TransformInvarianceLoss().get_config()
    documented = {
        "alpha": 0.9,
        "reconstruction": "mse",
        "distance": "mse",
        "border": 0,
        "contrast": 0.0,
    }
    assert {name: config[name] for name in documented} == documented


@pytest.mark.parametrize("loss_class", BOTH)
def test_reduction_is_that_of_keras(loss_class):
    y_true, y_pred, _ = paired_batch()
    total = loss_class(reduction="sum")(y_true, y_pred)
    values = loss_class().call(y_true, y_pred)
    np.testing.assert_allclose(total, np.sum(values), rtol=1e-5)


def test_is_regularized_accepts_the_two():
    assert all(losses.is_regularized(loss_class()) for loss_class in BOTH)
    assert not losses.is_regularized(keras.losses.MeanSquaredError())
    assert not losses.is_regularized("mse")


@pytest.mark.parametrize("loss_class", BOTH)
@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"alpha": 1.0}, "alpha must be a number in"),
        ({"alpha": -0.1}, "alpha must be a number in"),
        ({"alpha": float("nan")}, "alpha must be a number in"),
        ({"alpha": "0.5"}, "alpha must be a number in"),
        ({"border": -1}, "border must be a whole number"),
        ({"border": 0.5}, "border must be a whole number"),
        ({"contrast": -1.0}, "contrast must be a number of at least 0"),
        ({"contrast": float("nan")}, "contrast must be a number of at least 0"),
        ({"reconstruction": "mean_sqared"}, "reconstruction must be the name of a Keras loss"),
        ({"distance": "lpips"}, "distance must be the name of a Keras loss"),
        ({"distance": 3}, "distance must be the name of a Keras loss"),
        ({"reconstruction": None}, "reconstruction must be the name of a Keras loss"),
        ({"reconstruction": SparseJacobianLoss()}, "reconstruction must not be a regularized"),
    ],
)
def test_wrong_arguments_are_named(loss_class, arguments, match):
    with pytest.raises(ValueError, match=match):
        loss_class(**arguments)


@pytest.mark.parametrize("loss_class", BOTH)
@pytest.mark.parametrize(
    ("y_true", "y_pred", "match"),
    [
        ((2, 5, 6, 5), (2, 5, 6, 3), "the target must have the channels of the model's output, 3"),
        ((2, 5, 6, 2), (2, 5, 6, 3), "the target must have the channels of the model's output, 3"),
        ((2, 5, 6), (2, 5, 6, 3), "y_true must be a batch of images of rank 4"),
        ((2, 5, 6, 3), (2, 5, 6), "y_pred must be a batch of images of rank 4"),
    ],
)
def test_shapes_that_do_not_fit_are_named(loss_class, y_true, y_pred, match):
    with pytest.raises(ValueError, match=match):
        loss_class()(tf.zeros(y_true), tf.zeros(y_pred))


def test_a_config_of_version_0_1_loads_without_normalize():
    config = SparseJacobianLoss(0.7).get_config()
    assert "normalize" not in config
    again = SparseJacobianLoss.from_config({**config, "normalize": False})
    assert again.get_config() == config
    with pytest.raises(ValueError, match=r"normalize was removed.*Received: normalize=True"):
        SparseJacobianLoss.from_config({**config, "normalize": True})


def gan_steps(loss, y_true, weights, mode):
    """Gradients of a generator and a critic under two tapes, as GAN loops have them."""

    def step(y_pred):
        with tf.GradientTape() as of_generator, tf.GradientTape(persistent=True) as of_critic:
            of_generator.watch(y_pred)
            of_critic.watch(y_pred)
            value = loss(y_true, y_pred, weights)
            critic = value**2
        return (
            of_generator.gradient(value, y_pred),
            of_critic.gradient(critic, y_pred),
            of_critic.gradient(value, y_pred),
        )

    return traced(step, mode)


def traced(function, mode):
    return function if mode == "eager" else tf.function(function, jit_compile=mode == "xla")


TAPES = [
    TransformInvarianceLoss(0.8, contrast=0.5),
    SparseJacobianLoss(0.8, border=1, contrast=0.5),
]


@pytest.mark.parametrize("mode", ["eager", "graph", "xla"])
@pytest.mark.parametrize("loss", TAPES, ids=lambda loss: type(loss).__name__)
def test_nested_and_persistent_tapes_give_the_gradient_of_one_tape(loss, mode):
    y_true, y_pred, weights = paired_batch(3, 0.5, np.float32([0.5, 1.0, 2.0]))
    y_pred = tf.constant(y_pred)
    with tf.GradientTape() as tape:
        tape.watch(y_pred)
        value = loss(y_true, y_pred, weights)
    expected = tape.gradient(value, y_pred)
    generator, critic, again = gan_steps(loss, y_true, weights, mode)(y_pred)
    for got, want in ((generator, expected), (again, expected), (critic, 2 * value * expected)):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-8)


@pytest.mark.slow
# Of 64 pixels, parts of a graph are XLA programs of their own.
@pytest.mark.parametrize(
    ("loss", "mode", "size"),
    [
        *((loss, mode, HEIGHT) for loss in TAPES for mode in ("eager", "graph", "xla")),
        pytest.param(TAPES[0], "graph", 64, marks=pytest.mark.slow),
        (TAPES[1], "graph", 64),
    ],
    ids=lambda value: value if isinstance(value, (str, int)) else type(value).__name__,
)
def test_second_derivatives_agree_with_finite_differences(loss, mode, size):
    """The gradient penalty of a GAN: the derivative of the squared norm of the gradient."""
    rng = np.random.default_rng(0)
    y = tf.constant(rng.uniform(size=(2, size, size + 1, 1)), tf.float32)
    _, y_true, _ = pairing.pair(y, y, transform=MOTION, seed=SEED)
    y_pred = tf.constant(rng.uniform(size=[*y_true.shape[:3], 1]), tf.float32)
    direction = tf.constant(rng.choice([-1.0, 1.0], size=y_pred.shape), tf.float32)

    def gradient(y_pred):
        with tf.GradientTape() as tape:
            tape.watch(y_pred)
            value = loss(y_true, y_pred)
        return tape.gradient(value, y_pred)

    def penalty_gradient(y_pred):
        with tf.GradientTape() as tape:
            tape.watch(y_pred)
            penalty = tf.reduce_sum(gradient(y_pred) ** 2)
        return tape.gradient(penalty, y_pred)

    # The derivative of g . g in a direction d is 2 g . (H d); H d is a difference of gradients.
    step = 1e-2
    difference = (gradient(y_pred + step * direction) - gradient(y_pred - step * direction)) / (
        2 * step
    )
    expected = 2.0 * tf.reduce_sum(gradient(y_pred) * difference)
    got = tf.reduce_sum(traced(penalty_gradient, mode)(y_pred) * direction)
    scale = 2.0 * tf.norm(gradient(y_pred)) * tf.norm(difference)
    np.testing.assert_allclose(got / scale, expected / scale, atol=2e-3)
    assert abs(float(expected / scale)) > 1e-3


def test_second_derivatives_of_constant_outputs_are_finite():
    y_true, _, _ = paired_batch()
    loss = TransformInvarianceLoss(0.8, contrast=1.0)

    def second(y_pred):
        with tf.GradientTape() as outer:
            outer.watch(y_pred)
            with tf.GradientTape() as inner:
                inner.watch(y_pred)
                value = loss(y_true, y_pred)
            norm = tf.reduce_sum(inner.gradient(value, y_pred) ** 2)
        return outer.gradient(norm, y_pred)

    y_pred = tf.fill((6, HEIGHT, WIDTH, CHANNELS), 0.5)
    assert np.all(np.isfinite(second(y_pred)))
