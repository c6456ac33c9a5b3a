"""Tests of pairing: what stands in a paired batch, and that it can be read again."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from tensorflow import keras

import keras_temporal_reg as ktr
from keras_temporal_reg import image, transforms
from keras_temporal_reg.data import _pairing as pairing

SEED = (3, 4)
MOTION = ktr.RandomAffine(translation=2, rotation=5, zoom=0.1, shear=5, seed=0)


def random_batch(batch=3, height=6, width=8, channels=2, seed=0):
    shape = (batch, height, width, channels)
    return tf.constant(np.random.default_rng(seed).uniform(0, 1, shape), tf.float32)


def pair(x, y, *args, transform=MOTION, seed=SEED, **kwargs):
    return pairing.pair(x, y, *args, transform=transform, seed=seed, **kwargs)


def drawn(batch, height, width):
    """The oracle of T: what the motion draws for this seed."""
    return MOTION.sample(batch, height, width, seed=SEED)


def in_order_of(paired, samples, values=None):
    """`samples`, or a value of each, beginning with the sample that was paired first."""
    (start,) = np.flatnonzero((np.asarray(samples) == np.asarray(paired[0])).all(axis=(1, 2, 3)))
    return np.roll(samples if values is None else values, -start, axis=0)


def warped(images, rows):
    return image.transform(images, rows, "bilinear", "reflect")


def test_samples_and_counterparts_stand_in_turn():
    x, y = random_batch(channels=3), random_batch(channels=2, seed=1)
    paired_x, y_true, weight = pair(x, y)
    rows = drawn(3, 6, 8)
    assert paired_x.shape == (6, 6, 8, 3)
    assert y_true.shape == (6, 6, 8, 3)  # one more channel than y
    assert weight is None
    np.testing.assert_array_equal(paired_x[::2], x)
    np.testing.assert_array_equal(y_true[::2, ..., :2], y)
    np.testing.assert_allclose(paired_x[1::2], warped(x, rows), atol=1e-6)
    np.testing.assert_allclose(y_true[1::2, ..., :2], warped(y, rows), atol=1e-6)


def test_unpack_gives_back_what_was_packed():
    y = random_batch()
    unpacked = pairing.unpack(pair(y, y)[1])
    rows = drawn(3, 6, 8)
    np.testing.assert_array_equal(unpacked.y[::2], y)
    np.testing.assert_allclose(unpacked.y[1::2], warped(y, rows), atol=1e-6)
    np.testing.assert_allclose(unpacked.transforms[1::2], rows, atol=1e-6)
    np.testing.assert_array_equal(unpacked.transforms[::2], transforms.identity(3))
    np.testing.assert_array_equal(unpacked.is_counterpart, [0, 1, 0, 1, 0, 1])
    np.testing.assert_allclose(unpacked.weight, 2.0)
    assert unpacked.transforms.dtype == tf.float32


@pytest.mark.parametrize("size", [(4, 5), (5, 4), (20, 1)])
def test_the_smallest_y_carries_all(size):
    y = random_batch(2, *size)
    unpacked = pairing.unpack(pair(y, y)[1])
    np.testing.assert_allclose(unpacked.transforms[1::2], drawn(2, *size), atol=1e-6)


@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16])
def test_transforms_survive_half_precision(dtype):
    y = random_batch(8, 64, 64, 1)
    y_true = tf.cast(pair(y, y)[1], dtype)  # as Keras 2 does under a mixed policy
    read, rows = pairing.unpack(y_true), drawn(8, 64, 64)
    corners = np.array([[0, 0, 1], [63, 0, 1], [0, 63, 1], [63, 63, 1]], np.float64).T
    of_read, of_rows = (
        np.asarray(t, np.float64)[:, :6].reshape(-1, 2, 3) @ corners
        for t in (read.transforms[1::2], rows)
    )
    assert np.abs(of_read - of_rows).max() < 1e-4 * 64 / 10  # a thousandth of a pixel at most
    shifts = np.abs(read.transforms[1::2] - rows)[:, [2, 5]]
    assert shifts.max() < 1e-4
    np.testing.assert_array_equal(read.is_counterpart, [0, 1] * 8)
    np.testing.assert_allclose(read.weight, 2.0)


@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16])
def test_weights_survive_half_precision(dtype):
    y = random_batch(7)
    y_true = tf.cast(pair(y, y, pair_fraction=0.4)[1], dtype)
    read = pairing.unpack(y_true)
    np.testing.assert_allclose(read.weight, [10 / 7, 10 / 3] * 3 + [10 / 7] * 4, rtol=1e-4)


def test_targets_of_half_precision_stay_so():
    y = tf.cast(random_batch(), tf.float16)
    x, y_true, _ = pair(y, y)
    assert x.dtype == y_true.dtype == tf.float16
    np.testing.assert_allclose(pairing.unpack(y_true).transforms[1::2], drawn(3, 6, 8), atol=1e-4)


@pytest.mark.parametrize(
    ("batch", "fraction", "count"),
    [(4, 0.5, 2), (5, 0.25, 2), (3, 0.01, 1), (10, 0.3, 3), (1, 0.5, 1)],
)
def test_pair_fraction_pairs_the_first_and_appends_the_rest(batch, fraction, count):
    x = random_batch(batch)
    paired_x, y_true, _ = pair(x, x, pair_fraction=fraction)
    x = in_order_of(paired_x, x)
    rows = drawn(count, 6, 8)
    for paired in (paired_x, y_true[..., :-1]):
        assert paired.shape[0] == batch + count
        np.testing.assert_array_equal(paired[: 2 * count : 2], x[:count])
        np.testing.assert_allclose(paired[1 : 2 * count : 2], warped(x[:count], rows), atol=1e-6)
        np.testing.assert_array_equal(paired[2 * count :], x[count:])
    read = pairing.unpack(y_true)
    np.testing.assert_array_equal(read.is_counterpart, [0, 1] * count + [0] * (batch - count))
    np.testing.assert_allclose(read.transforms[1 : 2 * count : 2], rows, atol=1e-6)
    np.testing.assert_array_equal(read.transforms[2 * count :], transforms.identity(batch - count))


FRACTIONS = st.one_of(
    st.floats(0.01, 1.0),
    st.sampled_from([0.1, 0.2, 0.25, 0.3, 1 / 3, 0.5, 0.6, 0.7, 0.75, 0.9, 1.0]),
)


@given(batch=st.integers(1, 40), fraction=FRACTIONS)
def test_weights_make_the_mean_over_rows_the_mean_over_each_role(batch, fraction):
    y = tf.zeros((batch, 4, 5, 1))
    y_true = pair(y, y, pair_fraction=fraction, transform=None)[1]
    read = pairing.unpack(y_true)
    rows = y_true.shape[0] or len(y_true)
    for role in (0.0, 1.0):
        weights = read.weight[read.is_counterpart == role]
        np.testing.assert_allclose(np.sum(weights), rows, rtol=1e-5)
        np.testing.assert_allclose(weights, weights[0])


@given(batch=st.integers(1, 40), fraction=FRACTIONS)
def test_originals_are_what_was_paired(batch, fraction):
    y = tf.reshape(tf.range(batch * 20.0), (batch, 4, 5, 1))
    y_true = pair(y, y, pair_fraction=fraction)[1]
    count = len(y_true) - batch
    assert count - 1 < batch * fraction < count + 1e-3  # the least that is this share
    y = in_order_of(y_true[..., :-1], y)
    np.testing.assert_array_equal(pairing.originals(y_true, fraction)[..., :-1], y)


@pytest.mark.parametrize("batch", [5, 8])
def test_each_sample_is_as_likely_to_be_paired_as_the_others(batch):
    x = random_batch(batch)
    draws, counts = 400, np.zeros(batch)
    # Traced once, since eager calls of the whole pairing take a while.
    paired = tf.function(lambda seed: pair(x, x, pair_fraction=0.25, seed=seed)[0])
    for number in range(draws):
        rows = paired(tf.constant([3, number]))
        for sample in range(0, 2 * (len(rows) - batch), 2):
            counts += (np.asarray(x) == np.asarray(rows[sample])).all(axis=(1, 2, 3))
    share = counts / counts.sum()
    # Five standard deviations of a count with the chance 1 / batch.
    tolerance = 5.0 * np.sqrt((batch - 1) / batch**2 / draws)
    np.testing.assert_allclose(share, 1.0 / batch, atol=tolerance)


@pytest.mark.parametrize("fraction", [0.1, 0.25, 1 / 3, 0.5, 0.7, 0.9, 1.0])
def test_originals_are_found_in_large_batches_too(fraction):
    for batch in (100, 128, 300, 512, 1000, 1024):
        count = int(np.ceil(batch * fraction - 1e-6))
        rows = np.full(batch + count, -1)
        rows[: 2 * count : 2] = np.arange(count)
        rows[2 * count :] = np.arange(count, batch)
        found = pairing.originals(tf.constant(rows), fraction)
        np.testing.assert_array_equal(found, np.arange(batch))


def test_nests_of_inputs_keep_their_structure():
    a, b = random_batch(channels=3), random_batch(seed=1)
    rows = drawn(3, 6, 8)
    number, text = tf.constant([[1.0], [2.0], [3.0]]), tf.constant([1, 2, 3])
    paired, _, _ = pair({"a": a, "rest": (number, b, text)}, b)
    number_twice, moved_b, text_twice = paired["rest"]
    np.testing.assert_allclose(paired["a"][1::2], warped(a, rows), atol=1e-6)
    np.testing.assert_allclose(moved_b[1::2], warped(b, rows), atol=1e-6)
    np.testing.assert_array_equal(number_twice, [[1], [1], [2], [2], [3], [3]])
    np.testing.assert_array_equal(text_twice, [1, 1, 2, 2, 3, 3])
    assert text_twice.dtype == text.dtype


def test_a_tuple_of_inputs_may_begin_with_what_is_no_image():
    y = random_batch()
    (number, x), y_true, _ = pair((tf.range(3.0), y), y, pair_fraction=0.5)
    a, b, c = in_order_of(x, y, range(3))
    np.testing.assert_array_equal(number, [a, a, b, b, c])
    np.testing.assert_array_equal(x, y_true[..., :-1])


def test_each_resolution_gets_the_motion_on_its_own_grid():
    x, y = random_batch(), random_batch(height=12, width=16, seed=1)
    guide = random_batch(height=3, width=4, seed=2)
    (paired_x, paired_guide), y_true, _ = pair((x, guide), y)
    of_x = drawn(3, 6, 8)
    of_y = transforms.carry_over(of_x, (6, 8), (12, 16))
    of_guide = transforms.carry_over(of_x, (6, 8), (3, 4))
    read = pairing.unpack(y_true)
    np.testing.assert_allclose(paired_x[1::2], warped(x, of_x), atol=1e-5)
    np.testing.assert_allclose(paired_guide[1::2], warped(guide, of_guide), atol=1e-5)
    np.testing.assert_allclose(read.y[1::2], warped(y, of_y), atol=1e-5)
    np.testing.assert_allclose(read.transforms[1::2], of_y, atol=1e-5)


def test_perturbation_touches_counterparts_of_images_only():
    x, number = random_batch(), tf.constant([[1.0], [2.0], [3.0]])
    paired, y_true, _ = pair((x, number), x, perturbation=lambda images: images + 5.0)
    np.testing.assert_array_equal(paired[0][::2], x)
    np.testing.assert_allclose(paired[0][1::2], warped(x, drawn(3, 6, 8)) + 5.0, atol=1e-5)
    np.testing.assert_array_equal(paired[1][1::2], number)
    np.testing.assert_allclose(y_true[1::2, ..., :-1], warped(x, drawn(3, 6, 8)), atol=1e-6)


def test_layers_perturb_as_in_training():
    x = random_batch()
    paired, _, _ = pair(x, x, transform=None, perturbation=keras.layers.GaussianNoise(0.5))
    np.testing.assert_array_equal(paired[::2], x)
    assert np.std(paired[1::2] - x) > 0.2


def test_functions_that_take_training_are_told_of_it():
    told = []

    def perturbation(images, training=None):
        told.append(training)
        return images

    x = random_batch()
    pair(x, x, perturbation=perturbation)
    assert told == [True]


def test_make_input_makes_the_counterpart_from_the_moved_target():
    def pooled(images):
        return tf.nn.avg_pool2d(images, 2, 2, "VALID")

    y = random_batch(height=12, width=16)
    x = pooled(y)
    paired_x, y_true, _ = pair(x, y, make_input=pooled)
    of_y = transforms.carry_over(drawn(3, 6, 8), (6, 8), (12, 16))
    np.testing.assert_array_equal(paired_x[::2], x)
    np.testing.assert_allclose(y_true[1::2, ..., :-1], warped(y, of_y), atol=1e-5)
    np.testing.assert_allclose(paired_x[1::2], pooled(warped(y, of_y)), atol=1e-5)


def _noisy(images):
    return images + tf.random.normal(tf.shape(images))


@pytest.mark.parametrize("name", ["make_input", "perturbation"])
def test_noise_of_the_counterpart_is_not_that_of_the_sample(name):
    keras.utils.set_random_seed(5)
    y = tf.zeros((2, 64, 64, 1))
    dataset = tf.data.Dataset.from_tensors(y).map(lambda y: (_noisy(y), y)).repeat(2)
    given = {name: _noisy}
    if name == "perturbation":
        given["make_input"] = lambda y: y

    @tf.function
    def paired_in_a_step(x, y):
        return pair(x, y, transform=None, **given)[0]

    in_graph = [paired_in_a_step(x, y) for x, y in dataset]
    in_pipeline = [x for x, _ in ktr.data.pair_with_transformed(dataset, None, seed=1, **given)]
    for x in (*in_graph, *in_pipeline):
        correlation = np.corrcoef(x[::2].numpy().ravel(), x[1::2].numpy().ravel())
        # 8192 pixels: 0.011 is one standard deviation of what chance gives.
        assert abs(correlation[0, 1]) < 0.06


@pytest.mark.parametrize("name", ["make_input", "perturbation"])
def test_functions_that_take_a_seed_are_given_one_of_the_step(name):
    told = []

    def noisy(images, seed=None):
        told.append(seed.numpy().tolist())
        return images + tf.random.stateless_normal(tf.shape(images), seed)

    y = random_batch()
    first, again, other = (
        pair(y, y, seed=seed, **{name: noisy})[0] for seed in ((0, 5), (0, 5), (0, 6))
    )
    np.testing.assert_array_equal(first, again)
    assert np.std(first[1::2] - other[1::2]) > 1.0
    # Not the seed of T, whose draws must not be those of the noise.
    assert told[0] == told[1] != told[2] and [0, 5] not in told


def test_inputs_of_one_step_are_perturbed_apart():
    def noisy(images, seed):
        return images + tf.random.stateless_normal(tf.shape(images), seed)

    zero = tf.zeros((2, 8, 8, 1))
    (a, b), _, _ = pair((zero, zero), zero, transform=None, perturbation=noisy)
    assert np.std(a[1::2] - b[1::2]) > 1.0


def test_a_seed_of_ones_own_is_kept():
    def noisy(images, seed=3):
        return images + tf.random.stateless_normal(tf.shape(images), (seed, 0))

    zero = tf.zeros((2, 8, 8, 1))
    paired, _, _ = pair(zero, zero, transform=None, perturbation=noisy)
    np.testing.assert_array_equal(paired[1::2], noisy(zero))


def test_perturbation_comes_after_make_input():
    y = random_batch()
    paired_x, y_true, _ = pair(
        y, y, make_input=lambda images: images * 2.0, perturbation=lambda images: images + 1.0
    )
    np.testing.assert_allclose(paired_x[1::2], y_true[1::2, ..., :-1] * 2.0 + 1.0, atol=1e-6)


@pytest.mark.parametrize("shape", [(3,), (3, 1), (3, 1, 1)])
def test_weights_of_samples_are_repeated(shape):
    y, weight = random_batch(), tf.reshape([1.0, 2.0, 3.0], shape)
    paired_y, _, paired = pair(y, y, weight, pair_fraction=0.5)
    a, b, c = in_order_of(paired_y, y, [1.0, 2.0, 3.0])
    np.testing.assert_array_equal(paired, np.reshape([a, a, b, b, c], (5, *shape[1:])))


@pytest.mark.parametrize("channel", [(), (1,)])
def test_weights_of_pixels_move_with_their_pixels(channel):
    y, weight = random_batch(), random_batch(channels=1, seed=5)
    paired = pair(y, y, tf.reshape(weight, (3, 6, 8, *channel)))[2]
    assert paired.shape == (6, 6, 8, *channel)
    paired = tf.reshape(paired, (6, 6, 8, 1))
    np.testing.assert_array_equal(paired[::2], weight)
    np.testing.assert_allclose(paired[1::2], warped(weight, drawn(3, 6, 8)), atol=1e-6)


def test_weights_of_pixels_move_on_the_grid_of_y():
    x, y = random_batch(), random_batch(height=12, width=16, seed=1)
    weight = random_batch(height=12, width=16, channels=1, seed=5)
    paired = pair(x, y, weight)[2]
    of_y = transforms.carry_over(drawn(3, 6, 8), (6, 8), (12, 16))
    np.testing.assert_allclose(paired[1::2], warped(weight, of_y), atol=1e-5)


def test_no_transform_is_the_identity():
    y, weight = random_batch(), random_batch(channels=1, seed=5)
    x, y_true, weight_twice = pair(y, y, weight, transform=None)
    read = pairing.unpack(y_true)
    for paired, single in ((x, y), (read.y, y), (weight_twice, weight)):
        np.testing.assert_array_equal(paired, np.repeat(single, 2, axis=0))
    np.testing.assert_array_equal(read.transforms, transforms.identity(6))


def test_uint8_images_are_moved_as_uint8_and_targets_become_float():
    x = tf.cast(random_batch() * 255.0, tf.uint8)
    paired_x, y_true, _ = pair(x, x)
    assert (paired_x.dtype, y_true.dtype) == (tf.uint8, tf.float32)
    expected = warped(tf.cast(x, tf.float32), drawn(3, 6, 8))
    np.testing.assert_array_equal(paired_x[::2], x)
    assert np.abs(tf.cast(paired_x[1::2], tf.float32) - expected).max() <= 0.5001
    np.testing.assert_allclose(y_true[1::2, ..., :-1], expected, atol=1e-3)


def test_numpy_arrays_are_taken():
    y = random_batch()
    expected = pair(y, y, tf.ones(3))
    for got, want in zip(pair(y.numpy(), y.numpy(), np.ones(3, np.float32)), expected):
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("fraction", [1.0, 0.4])
@pytest.mark.parametrize("shape", [[None, None, None, 2], [None, 6, 8, 2], [5, None, None, 2]])
def test_shapes_may_be_unknown_in_a_graph(shape, fraction):
    signature = [tf.TensorSpec(shape), tf.TensorSpec(shape), tf.TensorSpec([*shape[:3], 1])]

    @tf.function(input_signature=signature)
    def traced(x, y, weight):
        paired_x, y_true, weight = pair(x, y, weight, pair_fraction=fraction)
        assert paired_x.shape[1:].as_list() == shape[1:]
        return paired_x, y_true, weight, pairing.originals(y_true, fraction), pairing.unpack(y_true)

    for batch in (5,) if shape[0] else (5, 1):
        x, y, weight = random_batch(batch), random_batch(batch, seed=1), tf.ones((batch, 6, 8, 1))
        got, want = traced(x, y, weight), pair(x, y, weight, pair_fraction=fraction)
        for a, b in zip(got, want):
            np.testing.assert_allclose(a, b, atol=1e-5)
        np.testing.assert_array_equal(got[3][..., :-1], in_order_of(got[1][..., :-1], y))
        np.testing.assert_allclose(got[4].transforms, pairing.unpack(want[1]).transforms, atol=1e-6)


def test_resolutions_may_be_unknown_in_a_graph():
    signature = [tf.TensorSpec([None, None, None, 2])] * 2
    traced = tf.function(lambda x, y: pair(x, y)[:2], input_signature=signature)
    x, y = random_batch(), random_batch(height=12, width=16, seed=1)
    for a, b in zip(traced(x, y), pair(x, y)):
        np.testing.assert_allclose(a, b, atol=1e-4)


@pytest.mark.parametrize("fraction", [1.0, 0.4])
def test_pairing_compiles(fraction):
    @tf.function(jit_compile=True)
    def compiled(x, y, weight):
        paired = pair(x, y, weight, pair_fraction=fraction)
        return paired, pairing.originals(paired[1], fraction), pairing.unpack(paired[1])

    x, y, weight = random_batch(5), random_batch(5, seed=1), tf.range(5.0)
    paired, originals, read = compiled(x, y, weight)
    for a, b in zip(paired, pair(x, y, weight, pair_fraction=fraction)):
        np.testing.assert_allclose(a, b, atol=1e-4)
    np.testing.assert_array_equal(originals[..., :-1], in_order_of(paired[1][..., :-1], y))
    expected = drawn(len(paired[1]) - 5, 6, 8)
    np.testing.assert_allclose(
        read.transforms[: 2 * len(expected)][1::2], expected, rtol=1e-5, atol=1e-5
    )


def test_extra_channels_tells_paired_from_plain():
    plain = random_batch()
    assert pairing.extra_channels(plain, plain) == 0
    assert pairing.extra_channels(tf.zeros((3, 6, 8, 3)), plain) == 1


IMAGES = np.zeros((2, 6, 8, 1), np.float32)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"y": IMAGES[..., 0]}, "y must be a batch of images of rank 4"),
        ({"y": [IMAGES, IMAGES]}, "y must be one batch of images; models with several outputs"),
        ({"y": {"a": IMAGES}}, "y must be one batch of images; models with several outputs"),
        ({"x": IMAGES[..., 0]}, "x must hold a batch of images of rank 4"),
        ({"x": {"a": IMAGES[:, 0, 0]}}, "x must hold a batch of images of rank 4"),
        ({"y": np.zeros((2, 12, 8, 1))}, "y must have the aspect of x"),
        ({"x": IMAGES[:, :3, :6], "y": IMAGES[:, :3, :6]}, "y must have at least 20 pixels"),
        ({"sample_weight": np.ones((2, 3, 4))}, "sample_weight of rank 3 must have the height"),
        ({"sample_weight": np.ones((2, 3, 4, 1))}, "sample_weight of rank 4 must have the height"),
        ({"make_input": lambda y: y[:, :3]}, "the counterpart of x must have the shape of x"),
        ({"perturbation": lambda x: x[:, :3]}, "the counterpart of x must have the shape of x"),
    ],
)
def test_wrong_arguments_are_named(arguments, match):
    with pytest.raises(ValueError, match=match):
        pair(**{"x": IMAGES, "y": IMAGES, **arguments})


@pytest.mark.parametrize(
    ("y_true", "match"),
    [
        (np.zeros((2, 6, 8, 3)), "the target must have the channels of the model's output, 1"),
        (np.zeros((2, 6, 8)), "y_true must be a batch of images of rank 4"),
    ],
)
def test_extra_channels_refuses_what_fits_neither(y_true, match):
    with pytest.raises(ValueError, match=match):
        pairing.extra_channels(tf.constant(y_true), tf.constant(IMAGES))
