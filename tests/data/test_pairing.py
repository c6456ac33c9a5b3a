"""Tests of pairing: one batch, and the data sets of `pair_with_transformed`."""

import types

import numpy as np
import pytest
import tensorflow as tf
from helpers.pairing import drawn, in_order_of, pair, random_batch, warped
from tensorflow import keras

import keras_temporal_reg as ktr
from keras_temporal_reg import transforms
from keras_temporal_reg.data import _paired_target as paired_target


def test_samples_and_counterparts_are_interleaved():
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
    read = paired_target.decode(y_true)
    roles = [False, True] * count + [False] * (batch - count)
    np.testing.assert_array_equal(read.is_counterpart, roles)
    np.testing.assert_allclose(read.transforms[1 : 2 * count : 2], rows, atol=1e-6)
    np.testing.assert_array_equal(read.transforms[2 * count :], transforms.identity(batch - count))


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


def test_a_tuple_of_inputs_may_begin_with_a_non_image():
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
    of_y = transforms.rescale_transforms(of_x, (6, 8), (12, 16))
    of_guide = transforms.rescale_transforms(of_x, (6, 8), (3, 4))
    read = paired_target.decode(y_true)
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


def test_functions_that_take_training_get_it():
    seen = []

    def perturbation(images, training=None):
        seen.append(training)
        return images

    x = random_batch()
    pair(x, x, perturbation=perturbation)
    assert seen == [True]


def test_make_input_makes_the_counterpart_from_the_moved_target():
    def pooled(images):
        return tf.nn.avg_pool2d(images, 2, 2, "VALID")

    y = random_batch(height=12, width=16)
    x = pooled(y)
    paired_x, y_true, _ = pair(x, y, make_input=pooled)
    of_y = transforms.rescale_transforms(drawn(3, 6, 8), (6, 8), (12, 16))
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
def test_functions_that_take_a_seed_get_that_of_the_step(name):
    seen = []

    def noisy(images, seed=None):
        seen.append(seed.numpy().tolist())
        return images + tf.random.stateless_normal(tf.shape(images), seed)

    y = random_batch()
    first, again, other = (
        pair(y, y, seed=seed, **{name: noisy})[0] for seed in ((0, 5), (0, 5), (0, 6))
    )
    np.testing.assert_array_equal(first, again)
    assert np.std(first[1::2] - other[1::2]) > 1.0
    # Not the seed of T, whose draws must not be those of the noise.
    assert seen[0] == seen[1] != seen[2] and [0, 5] not in seen


def test_inputs_of_one_step_are_perturbed_independently():
    def noisy(images, seed):
        return images + tf.random.stateless_normal(tf.shape(images), seed)

    zero = tf.zeros((2, 8, 8, 1))
    (a, b), _, _ = pair((zero, zero), zero, transform=None, perturbation=noisy)
    assert np.std(a[1::2] - b[1::2]) > 1.0


def test_the_default_of_a_seed_is_kept():
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
def test_weights_per_sample_are_repeated(shape):
    y, weight = random_batch(), tf.reshape([1.0, 2.0, 3.0], shape)
    paired_y, _, paired = pair(y, y, weight, pair_fraction=0.5)
    a, b, c = in_order_of(paired_y, y, [1.0, 2.0, 3.0])
    np.testing.assert_array_equal(paired, np.reshape([a, a, b, b, c], (5, *shape[1:])))


@pytest.mark.parametrize("channel", [(), (1,)])
def test_weights_per_pixel_move_with_their_pixels(channel):
    y, weight = random_batch(), random_batch(channels=1, seed=5)
    paired = pair(y, y, tf.reshape(weight, (3, 6, 8, *channel)))[2]
    assert paired.shape == (6, 6, 8, *channel)
    paired = tf.reshape(paired, (6, 6, 8, 1))
    np.testing.assert_array_equal(paired[::2], weight)
    np.testing.assert_allclose(paired[1::2], warped(weight, drawn(3, 6, 8)), atol=1e-6)


def test_weights_per_pixel_move_on_the_grid_of_y():
    x, y = random_batch(), random_batch(height=12, width=16, seed=1)
    weight = random_batch(height=12, width=16, channels=1, seed=5)
    paired = pair(x, y, weight)[2]
    of_y = transforms.rescale_transforms(drawn(3, 6, 8), (6, 8), (12, 16))
    np.testing.assert_allclose(paired[1::2], warped(weight, of_y), atol=1e-5)


def test_no_transform_is_the_identity():
    y, weight = random_batch(), random_batch(channels=1, seed=5)
    x, y_true, weight_twice = pair(y, y, weight, transform=None)
    read = paired_target.decode(y_true)
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


def test_numpy_arrays_are_accepted():
    y = random_batch()
    expected = pair(y, y, tf.ones(3))
    for got, want in zip(pair(y.numpy(), y.numpy(), np.ones(3, np.float32)), expected):
        np.testing.assert_array_equal(got, want)


@pytest.mark.slow
@pytest.mark.parametrize("fraction", [1.0, 0.4])
@pytest.mark.parametrize("shape", [[None, None, None, 2], [None, 6, 8, 2], [5, None, None, 2]])
def test_shapes_may_be_unknown_in_a_graph(shape, fraction):
    signature = [tf.TensorSpec(shape), tf.TensorSpec(shape), tf.TensorSpec([*shape[:3], 1])]

    @tf.function(input_signature=signature)
    def traced(x, y, weight):
        paired_x, y_true, weight = pair(x, y, weight, pair_fraction=fraction)
        assert paired_x.shape[1:].as_list() == shape[1:]
        return (
            paired_x,
            y_true,
            weight,
            paired_target.select_samples(y_true, fraction),
            paired_target.decode(y_true),
        )

    for batch in (5,) if shape[0] else (5, 1):
        x, y, weight = random_batch(batch), random_batch(batch, seed=1), tf.ones((batch, 6, 8, 1))
        got, want = traced(x, y, weight), pair(x, y, weight, pair_fraction=fraction)
        for a, b in zip(got, want):
            np.testing.assert_allclose(a, b, atol=1e-5)
        np.testing.assert_array_equal(got[3][..., :-1], in_order_of(got[1][..., :-1], y))
        np.testing.assert_allclose(
            got[4].transforms, paired_target.decode(want[1]).transforms, atol=1e-6
        )


@pytest.mark.slow
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
        return (
            paired,
            paired_target.select_samples(paired[1], fraction),
            paired_target.decode(paired[1]),
        )

    x, y, weight = random_batch(5), random_batch(5, seed=1), tf.range(5.0)
    paired, originals, read = compiled(x, y, weight)
    for a, b in zip(paired, pair(x, y, weight, pair_fraction=fraction)):
        np.testing.assert_allclose(a, b, atol=1e-4)
    np.testing.assert_array_equal(originals[..., :-1], in_order_of(paired[1][..., :-1], y))
    expected = drawn(len(paired[1]) - 5, 6, 8)
    np.testing.assert_allclose(
        read.transforms[: 2 * len(expected)][1::2], expected, rtol=1e-5, atol=1e-5
    )


IMAGES = np.zeros((2, 6, 8, 1), np.float32)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"y": IMAGES[..., 0]}, "y must be a batch of images of rank 4"),
        ({"y": [IMAGES, IMAGES]}, r"output must say which one of y .* one of 0, 1\. Received"),
        ({"y": {"a": [IMAGES]}}, "y must be one value, or a flat list or dict"),
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


def samples(count=8, channels=2, size=16, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.uniform(size=(count, size, size, 3)).astype(np.float32)
    return x, rng.uniform(size=(count, size, size, channels)).astype(np.float32)


def dataset_of(*tensors, batch=4, drop_remainder=True):
    tensors = tensors or samples()
    return tf.data.Dataset.from_tensor_slices(tensors).batch(batch, drop_remainder)


def motions(dataset):
    """All T of a data set."""
    drawn = [paired_target.decode(element[1]).transforms[1::2] for element in dataset]
    return np.concatenate([t.numpy() for t in drawn])


def shift_right():
    """A transform of a user's own: every picture one pixel to the right."""

    def sample(batch_size, height, width, seed=None):
        return tf.tile(tf.constant([[1.0, 0, -1, 0, 1, 0, 0, 0]]), (batch_size, 1))

    def apply(images, transforms):
        return ktr.image.transform(images, transforms, "bilinear", "nearest")

    return types.SimpleNamespace(sample=sample, apply=apply)


def shifted(images):
    return np.concatenate([images[:, :, :1], images[:, :, :-1]], axis=2)


def network():
    keras.utils.set_random_seed(0)
    return keras.Sequential([keras.Input((16, 16, 3)), keras.layers.Conv2D(2, 3, padding="same")])


def test_data_set_is_interleaved():
    x, y = samples()
    paired = list(ktr.data.pair_with_transformed(dataset_of(x, y), shift_right()))
    assert len(paired) == 2
    paired_x = np.concatenate([element[0] for element in paired])
    paired_y = np.concatenate([element[1] for element in paired])
    np.testing.assert_array_equal(paired_x[::2], x)
    np.testing.assert_allclose(paired_x[1::2], shifted(x), atol=1e-6)
    np.testing.assert_array_equal(paired_y[::2, ..., :-1], y)
    np.testing.assert_allclose(paired_y[1::2, ..., :-1], shifted(y), atol=1e-6)


def test_element_spec_has_twice_the_rows_and_one_more_channel():
    paired = ktr.data.pair_with_transformed(dataset_of(), ktr.RandomAffine())
    x, y = paired.element_spec
    assert x.shape[1:].as_list() == [16, 16, 3] and y.shape[1:].as_list() == [16, 16, 3]
    assert x.shape[0] in (None, 8) and y.shape[0] in (None, 8)
    assert x.dtype == y.dtype == tf.float32
    assert all(element[0].shape == (8, 16, 16, 3) for element in paired)


def test_cardinality_is_kept():
    dataset = dataset_of(batch=3, drop_remainder=False)
    paired = ktr.data.pair_with_transformed(dataset, ktr.RandomAffine())
    assert int(paired.cardinality()) == int(dataset.cardinality()) == 3
    endless = ktr.data.pair_with_transformed(dataset.repeat(), ktr.RandomAffine())
    assert int(endless.cardinality()) == tf.data.INFINITE_CARDINALITY


def test_seeded_draws_repeat():
    first, again = (
        motions(ktr.data.pair_with_transformed(dataset_of(), ktr.RandomAffine(seed=7)))
        for _ in range(2)
    )
    np.testing.assert_array_equal(first, again)
    other = motions(ktr.data.pair_with_transformed(dataset_of(), ktr.RandomAffine(seed=8)))
    assert np.abs(first - other).max() > 1e-3


def test_draws_without_a_seed_follow_the_global_seed():
    drawn = []
    for seed in (1, 1, 2):
        keras.utils.set_random_seed(seed)
        drawn.append(motions(ktr.data.pair_with_transformed(dataset_of(), ktr.RandomAffine())))
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert np.abs(drawn[0] - drawn[2]).max() > 1e-3


@pytest.mark.parametrize("seed", [None, 3])
def test_every_sample_and_every_epoch_draws_anew(seed):
    paired = ktr.data.pair_with_transformed(dataset_of(), ktr.RandomAffine(seed=seed))
    drawn = np.concatenate([motions(paired), motions(paired), motions(paired.repeat(2))])
    assert drawn.shape == (32, 8)
    assert len(np.unique(drawn.round(5), axis=0)) == 32


def test_epochs_of_a_seeded_data_set_repeat_in_another_run():
    runs = []
    for _ in range(2):
        paired = ktr.data.pair_with_transformed(dataset_of(), ktr.RandomAffine(seed=3))
        runs.append(np.concatenate([motions(paired), motions(paired)]))
    np.testing.assert_array_equal(runs[0], runs[1])


def test_draws_stay_within_their_ranges():
    still = ktr.RandomAffine(translation=1.5, rotation=0, zoom=0, shear=0, seed=0)
    drawn = motions(ktr.data.pair_with_transformed(dataset_of(*samples(64)), still))
    np.testing.assert_allclose(drawn[:, [0, 1, 3, 4]] - [1, 0, 0, 1], 0, atol=1e-6)
    assert np.abs(drawn[:, [2, 5]]).max() <= 1.5 + 1e-5
    assert np.abs(drawn[:, [2, 5]]).max() > 1.0
    assert drawn[:, 2].min() < -0.5 and drawn[:, 5].min() < -0.5


def test_data_set_weights_of_samples_are_repeated():
    x, y = samples()
    weight = np.arange(8, dtype=np.float32)
    paired = ktr.data.pair_with_transformed(dataset_of(x, y, weight), ktr.RandomAffine(seed=0))
    assert len(paired.element_spec) == 3
    result = np.concatenate([element[2] for element in paired])
    np.testing.assert_array_equal(result, np.repeat(weight, 2))


@pytest.mark.parametrize("shape", [(8, 16, 16), (8, 16, 16, 1)])
def test_data_set_weights_of_pixels_move_with_their_pixels(shape):
    x, y = samples()
    weight = np.random.default_rng(1).uniform(size=shape).astype(np.float32)
    paired = ktr.data.pair_with_transformed(dataset_of(x, y, weight), shift_right())
    result = np.concatenate([element[2] for element in paired])
    np.testing.assert_array_equal(result[::2], weight)
    np.testing.assert_allclose(result[1::2], shifted(weight), atol=1e-6)


@pytest.mark.parametrize("names", [True, False], ids=["dict", "tuple"])
def test_inputs_of_several_tensors_move_alike(names):
    x, y = samples()
    level = np.arange(8, dtype=np.float32)[:, None]
    inputs = (x, x[..., :1], level)
    if names:
        inputs = dict(zip("abc", inputs))
    paired = ktr.data.pair_with_transformed(dataset_of(inputs, y), ktr.RandomAffine(seed=0))
    for paired_x, _ in paired:
        assert isinstance(paired_x, dict if names else tuple)
        a, b, c = paired_x.values() if names else paired_x
        np.testing.assert_array_equal(a[..., :1], b)
        np.testing.assert_array_equal(c[::2], c[1::2])
        assert np.abs(a[::2] - a[1::2]).max() > 1e-3


def test_last_batch_may_be_smaller():
    x, y = samples(7)
    dataset = dataset_of(x, y, batch=4, drop_remainder=False)
    paired = ktr.data.pair_with_transformed(dataset, shift_right())
    assert paired.element_spec[0].shape.as_list() == [None, 16, 16, 3]
    assert [len(element[0]) for element in paired] == [8, 6]
    paired_x = np.concatenate([element[0] for element in paired])
    np.testing.assert_array_equal(paired_x[::2], x)


def test_data_whose_shapes_are_not_known_are_paired():
    x, y = samples(4)
    spec = tf.TensorSpec((None, None, None, None), tf.float32)
    dataset = tf.data.Dataset.from_generator(lambda: [(x, y)], output_signature=(spec, spec))
    paired_x, paired_y = next(iter(ktr.data.pair_with_transformed(dataset, shift_right())))
    np.testing.assert_allclose(paired_x[1::2], shifted(x), atol=1e-6)
    np.testing.assert_allclose(paired_y[1::2, ..., :-1], shifted(y), atol=1e-6)


def test_perturbation_acts_on_the_counterparts_alone():
    x, y = samples()
    dataset = dataset_of(x, y)
    paired = ktr.data.pair_with_transformed(dataset, None, perturbation=lambda images: 1 - images)
    paired_x, paired_y = (np.concatenate(list(part)) for part in zip(*paired))
    np.testing.assert_array_equal(paired_x[::2], x)
    np.testing.assert_allclose(paired_x[1::2], 1 - x)
    np.testing.assert_array_equal(paired_y[1::2, ..., :-1], y)


def test_noise_layer_is_in_training_mode_and_draws_anew_each_batch():
    x, y = samples()
    noise = keras.layers.GaussianNoise(0.1)
    paired = ktr.data.pair_with_transformed(dataset_of(x, y), None, perturbation=noise)
    added = np.concatenate([element[0] for element in paired])[1::2] - x
    assert np.std(added) == pytest.approx(0.1, rel=0.1)
    assert np.abs(added[:4] - added[4:]).max() > 1e-3


def test_data_set_make_input_makes_the_counterpart_from_the_moved_target():
    _, y = samples(channels=3)
    dataset = dataset_of(0.5 * y, y)
    paired = ktr.data.pair_with_transformed(
        dataset, shift_right(), make_input=lambda images: 0.5 * images
    )
    paired_x = np.concatenate([element[0] for element in paired])
    np.testing.assert_allclose(paired_x[1::2], 0.5 * shifted(y), atol=1e-6)


@pytest.mark.parametrize(
    "loss_class", [ktr.losses.TransformInvarianceLoss, ktr.losses.SparseJacobianLoss]
)
def test_plain_model_trains_on_it_and_validates_on_plain_data(loss_class):
    x, y = samples()
    dataset = dataset_of(x, y)
    model = network()
    plain = np.mean((model.predict(x, verbose=0) - y) ** 2)
    model.compile(keras.optimizers.SGD(0.0), loss_class(alpha=0.9))
    paired = ktr.data.pair_with_transformed(dataset, ktr.RandomAffine(seed=0))
    history = model.fit(paired, validation_data=dataset, epochs=2, verbose=0).history
    assert history["val_loss"] == pytest.approx([plain] * 2, rel=1e-5)
    assert np.all(np.isfinite(history["loss"]))
    assert history["loss"][0] != history["loss"][1]  # another T


def test_training_lowers_the_loss():
    paired = ktr.data.pair_with_transformed(dataset_of(), ktr.RandomAffine(seed=0))
    model = network()
    loss = ktr.losses.TransformInvarianceLoss(alpha=0.5)
    model.compile(keras.optimizers.SGD(0.1), loss, jit_compile=False)
    history = model.fit(paired, epochs=5, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]


def test_weights_of_samples_reach_the_loss():
    x, y = samples()
    weight = np.repeat(np.array([0, 1], np.float32), 4)
    loss = ktr.losses.SparseJacobianLoss(alpha=0.5)
    losses = []
    for tensors in ((x, y, weight), (x[4:], y[4:])):
        model = network()
        model.compile(keras.optimizers.SGD(0.0), loss, jit_compile=False)
        batch = len(tensors[0])
        paired = ktr.data.pair_with_transformed(dataset_of(*tensors, batch=batch), shift_right())
        losses.append(model.fit(paired, verbose=0).history["loss"][0])
    assert losses[0] == pytest.approx(losses[1] / 2, rel=1e-5)


def test_weights_of_another_size_are_rejected():
    x, y = samples()
    dataset = dataset_of(x, y, np.zeros((8, 8, 8), np.float32))
    with pytest.raises(ValueError, match="sample_weight of rank 3 must have the height and width"):
        ktr.data.pair_with_transformed(dataset, ktr.RandomAffine())


@pytest.mark.parametrize("batch, counterparts", [(8, 2), (4, 1), (3, 1)])
def test_pair_fraction_pairs_that_part_of_each_batch(batch, counterparts):
    x, y = samples(batch)
    dataset = dataset_of(x, y, batch=batch)
    motion = ktr.RandomAffine(seed=0)
    (paired,) = ktr.data.pair_with_transformed(dataset, motion, pair_fraction=0.25)
    rows = paired_target.decode(paired[1])
    roles = [False, True] * counterparts + [False] * (batch - counterparts)
    np.testing.assert_array_equal(rows.is_counterpart, roles)
    (start,) = np.flatnonzero((x == paired[0][0].numpy()).all(axis=(1, 2, 3)))
    plain = ~np.array(roles)
    np.testing.assert_array_equal(paired[0].numpy()[plain], np.roll(x, -start, axis=0))
    np.testing.assert_array_equal(rows.y.numpy()[plain], np.roll(y, -start, axis=0))


def test_the_part_that_is_paired_changes_from_batch_to_batch():
    x, y = samples(4)
    dataset = dataset_of(x, y).repeat(32)
    paired = ktr.data.pair_with_transformed(dataset, ktr.RandomAffine(seed=0), pair_fraction=0.25)
    firsts = [np.flatnonzero((x == e[0][0].numpy()).all(axis=(1, 2, 3)))[0] for e in paired]
    assert set(firsts) == {0, 1, 2, 3}


@pytest.mark.slow
def test_a_model_trains_on_partly_paired_data():
    dataset = ktr.data.pair_with_transformed(
        dataset_of(*samples(8)), ktr.RandomAffine(seed=0), pair_fraction=0.25
    )
    model = network()
    metric = ktr.metrics.Unpaired("mae", name="mae", pair_fraction=0.25)
    model.compile("sgd", ktr.losses.SparseJacobianLoss(), metrics=[metric], jit_compile=False)
    x, y = samples(8)
    before = np.abs(model.predict(x, verbose=0) - y).mean()
    assert model.evaluate(dataset, verbose=0, return_dict=True)["mae"] == pytest.approx(
        before, rel=1e-5
    )
    history = model.fit(dataset, epochs=2, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    assert history["loss"][1] < history["loss"][0]


@pytest.mark.parametrize(
    "arguments, match",
    [
        ({"transform": 0.1}, r"transform must be None or have the methods .* Received: 0\.1"),
        ({"perturbation": 3}, "perturbation must be a layer or a function. Received: 3"),
        ({"make_input": "blur"}, "make_input must be a layer or a function. Received: 'blur'"),
    ],
)
def test_arguments_that_cannot_be_used_are_named(arguments, match):
    with pytest.raises(TypeError, match=match):
        ktr.data.pair_with_transformed(dataset_of(), **{"transform": None, **arguments})


@pytest.mark.parametrize("pair_fraction", [0, 1.5, "half"])
def test_pair_fraction_outside_of_its_interval_is_rejected(pair_fraction):
    with pytest.raises(ValueError, match=r"pair_fraction must be a number in \(0, 1\]"):
        ktr.data.pair_with_transformed(
            dataset_of(), ktr.RandomAffine(), pair_fraction=pair_fraction
        )


@pytest.mark.parametrize("name", ["RandomBrightness", "RandomGaussianBlur", "RandomJpegQuality"])
def test_keras_cv_layers_perturb_the_counterparts_alone(name):
    keras_cv = pytest.importorskip("keras_cv")
    settings = {
        "RandomBrightness": {"factor": (0.2, 0.2), "value_range": (0, 1)},
        "RandomGaussianBlur": {"kernel_size": 3, "factor": (1.0, 1.0)},
        "RandomJpegQuality": {"factor": (10, 20)},
    }
    layer = getattr(keras_cv.layers, name)(**settings[name])
    x, y = samples()
    paired = ktr.data.pair_with_transformed(dataset_of(x, y), None, perturbation=layer)
    paired_x, paired_y = (np.concatenate(part) for part in zip(*paired))
    np.testing.assert_array_equal(paired_x[::2], x)
    np.testing.assert_array_equal(paired_y[1::2, ..., :-1], y)
    changed = paired_x[1::2]
    assert np.abs(changed - x).max() > 0.05
    if name == "RandomBrightness":
        np.testing.assert_allclose(changed, np.clip(x + 0.2, 0, 1), atol=1e-6)
    elif name == "RandomGaussianBlur":
        assert changed.std() < 0.8 * x.std()


@pytest.mark.parametrize("name", ["GaussianNoise", "RandomBrightness", "RandomContrast"])
def test_keras_layers_perturb_the_counterparts_alone(name):
    settings = {
        "GaussianNoise": {"stddev": 0.1},
        "RandomBrightness": {"factor": (0.2, 0.2), "value_range": (0, 1)},
        "RandomContrast": {"factor": 0.5},
    }
    layer = getattr(keras.layers, name)(**settings[name])
    x, y = samples()
    paired = ktr.data.pair_with_transformed(dataset_of(x, y), None, perturbation=layer)
    paired_x, paired_y = (np.concatenate(part) for part in zip(*paired))
    np.testing.assert_array_equal(paired_x[::2], x)
    np.testing.assert_array_equal(paired_y[1::2, ..., :-1], y)
    assert np.abs(paired_x[1::2] - x).max() > 0.05
    if name == "RandomBrightness":
        np.testing.assert_allclose(paired_x[1::2], np.clip(x + 0.2, 0, 1), atol=1e-6)


def test_the_seed_of_the_route_serves_where_the_transform_has_none():
    def drawn(transform, seed):
        return motions(ktr.data.pair_with_transformed(dataset_of(), transform, seed=seed))

    first = drawn(ktr.RandomAffine(), 7)
    np.testing.assert_array_equal(first, drawn(ktr.RandomAffine(), 7))
    np.testing.assert_array_equal(first, drawn(ktr.RandomAffine(seed=7), 8))
    assert np.abs(first - drawn(ktr.RandomAffine(), 8)).max() > 1e-3
