"""Tests of T: what is drawn, how draws repeat, and motions on another pixel grid."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from tensorflow import keras

import keras_temporal_reg as ktr
from keras_temporal_reg import image, transforms

STILL = {"translation": 0, "rotation": 0, "zoom": 0, "shear": 0}


def matrices(rows):
    """``(batch, 3, 3)`` float64: rows of eight as matrices."""
    rows = np.asarray(rows, np.float64)
    return np.concatenate([rows, np.ones((len(rows), 1))], axis=1).reshape(-1, 3, 3)


def move(matrix, x, y):
    x, y, k = matrix @ [x, y, 1.0]
    return np.array([x / k, y / k])


def draws(count=1000, height=31, width=41, seed=(1, 2), **ranges):
    motion = ktr.RandomAffine(**{**STILL, **ranges})
    return matrices(motion.sample(count, height, width, seed=seed))


def assert_fills_range(values, low, high):
    """Of 1000 uniform draws, none lies outside, and some are close to both ends."""
    slack, near = 1e-5, 0.02 * (high - low)
    assert low - slack <= values.min() <= low + near + slack
    assert high - near - slack <= values.max() <= high + slack
    if high > low:
        assert abs(values.mean() - (low + high) / 2) < 0.1 * (high - low)


def both_ways_to_give(size):
    """A number with the range it means, and a pair."""
    return [(size, -size, size), ((0.25 * size, 0.75 * size), 0.25 * size, 0.75 * size)]


def test_sample_is_one_float32_row_of_eight_per_image():
    rows = ktr.RandomAffine().sample(5, 32, 48)
    assert rows.shape == (5, 8)
    assert rows.dtype == tf.float32


def test_sample_takes_tensors_for_sizes():
    motion = ktr.RandomAffine()
    tensors = motion.sample(tf.constant(5), tf.constant(32), tf.constant(48), seed=(3, 4))
    np.testing.assert_array_equal(tensors, motion.sample(5, 32, 48, seed=(3, 4)))


def test_defaults_are_those_of_the_authors():
    config = ktr.RandomAffine().get_config()
    assert config["translation"] == [-2.0, 2.0]
    assert config["rotation"] == [-1.0, 1.0]
    assert config["zoom"] == [-0.03, 0.03]
    assert config["shear"] == [-1.0, 1.0]
    assert (config["interpolation"], config["fill_mode"]) == ("bilinear", "reflect")


def test_all_zero_is_the_identity():
    np.testing.assert_allclose(draws(3), np.tile(np.eye(3), (3, 1, 1)), atol=1e-6)


@pytest.mark.parametrize(("given", "low", "high"), both_ways_to_give(2.0))
def test_translation_is_honoured_and_nothing_else_moves(given, low, high):
    m = draws(translation=given)
    assert_fills_range(m[:, 0, 2], low, high)
    assert_fills_range(m[:, 1, 2], low, high)
    assert abs(np.corrcoef(m[:, 0, 2], m[:, 1, 2])[0, 1]) < 0.1  # drawn apart
    m[:, :2, 2] = 0.0
    np.testing.assert_allclose(m, np.tile(np.eye(3), (1000, 1, 1)), atol=1e-6)


@pytest.mark.parametrize(("given", "low", "high"), both_ways_to_give(10.0))
def test_rotation_is_honoured_and_keeps_lengths(given, low, high):
    m = draws(rotation=given)[:, :2, :2]
    assert_fills_range(np.degrees(np.arctan2(m[:, 1, 0], m[:, 0, 0])), low, high)
    np.testing.assert_allclose(
        m @ m.transpose(0, 2, 1), np.tile(np.eye(2), (1000, 1, 1)), atol=1e-6
    )


@pytest.mark.parametrize(("given", "low", "high"), both_ways_to_give(0.2))
def test_zoom_is_honoured_and_scales_both_axes(given, low, high):
    m = draws(zoom=given)[:, :2, :2]
    assert_fills_range(m[:, 0, 0], 1.0 + low, 1.0 + high)
    np.testing.assert_allclose(m, m[:, :1, :1] * np.eye(2), atol=1e-6)


@pytest.mark.parametrize(("given", "low", "high"), both_ways_to_give(10.0))
def test_shear_is_honoured_in_both_axes(given, low, high):
    m = draws(shear=given)[:, :2, :2]
    shear_x, shear_y = (np.degrees(np.arctan(m[:, i, 1 - i])) for i in (0, 1))
    assert_fills_range(shear_x, low, high)
    assert_fills_range(shear_y, low, high)
    assert abs(np.corrcoef(shear_x, shear_y)[0, 1]) < 0.1
    np.testing.assert_allclose(m[:, [0, 1], [0, 1]], 1.0, atol=1e-6)


def test_positive_zoom_zooms_out():
    # The output's corner shows a point further out than the corner of the input.
    m = draws(1, height=11, width=11, zoom=(0.2, 0.2))[0]
    np.testing.assert_allclose(move(m, 10, 10), [11, 11], atol=1e-5)


@pytest.mark.parametrize("size", [(31, 41), (8, 8), (1, 5)])
def test_the_centre_stays_where_it_is_without_translation(size):
    height, width = size
    ranges = {"rotation": 30, "zoom": 0.5, "shear": 20}
    centre = [(width - 1) / 2, (height - 1) / 2]
    for m in draws(20, height, width, **ranges):
        np.testing.assert_allclose(move(m, *centre), centre, atol=1e-4)
    moved = draws(20, height, width, translation=((3, 3)), **ranges)
    for m in moved:
        np.testing.assert_allclose(move(m, *centre), np.add(centre, 3), atol=1e-4)


def test_rotation_is_that_of_tfa():
    pytest.importorskip("tensorflow_addons")
    from tensorflow_addons.image.transform_ops import angles_to_projective_transforms

    expected = angles_to_projective_transforms(np.radians(17.0), 31, 41)
    m = draws(2, 31, 41, rotation=(17.0, 17.0))
    np.testing.assert_allclose(m, np.repeat(matrices(expected), 2, axis=0), atol=1e-4)


def test_positive_rotation_turns_the_picture_counter_clockwise():
    rows = ktr.RandomAffine(**{**STILL, "rotation": (90, 90)}).sample(1, 5, 5)
    picture = np.arange(25.0, dtype=np.float32).reshape(1, 5, 5, 1)
    turned = image.transform(picture, rows, "bilinear", "nearest")
    # np.rot90 turns counter-clockwise, as the array is printed.
    np.testing.assert_allclose(turned[0, ..., 0], np.rot90(picture[0, ..., 0]), atol=1e-4)


def test_the_parts_of_a_motion_combine_as_documented():
    # rotation @ shear * (1 + zoom), with one value to each range.
    m = draws(1, rotation=(30, 30), shear=(10, 10), zoom=(0.1, 0.1))[0, :2, :2]
    turn, tan = np.radians(30), np.tan(np.radians(10))
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    np.testing.assert_allclose(m, 1.1 * rotation @ [[1, tan], [tan, 1]], atol=1e-5)


def test_seeded_draws_repeat_and_differ_from_one_another():
    first, second = (ktr.RandomAffine(seed=3) for _ in range(2))
    a = [first.sample(4, 16, 16).numpy() for _ in range(3)]
    b = [second.sample(4, 16, 16).numpy() for _ in range(3)]
    np.testing.assert_array_equal(a, b)
    assert not np.allclose(a[0], a[1])
    assert not np.allclose(a[1], a[2])
    assert not np.allclose(a[0][0], a[0][1])


def test_different_seeds_differ():
    a, b = (ktr.RandomAffine(seed=s).sample(4, 16, 16).numpy() for s in (3, 4))
    assert not np.allclose(a, b)


def test_seeded_draws_are_the_same_in_a_graph():
    eager, traced = (ktr.RandomAffine(seed=3) for _ in range(2))
    sample = tf.function(lambda: traced.sample(4, 16, 20))
    for _ in range(3):
        np.testing.assert_allclose(sample(), eager.sample(4, 16, 20), rtol=1e-6, atol=1e-5)


def test_seeded_draws_repeat_under_xla():
    # TensorFlow's stateless numbers are others under XLA than outside of it; they must repeat.
    def compiled(seed):
        motion = ktr.RandomAffine(seed=seed)
        return tf.function(lambda: motion.sample(4, 16, 20), jit_compile=True)

    first, second, other = (compiled(seed) for seed in (3, 3, 4))
    a, b, c = ([draw().numpy() for _ in range(2)] for draw in (first, second, other))
    np.testing.assert_array_equal(a, b)
    assert not np.allclose(a[0], a[1])
    assert not np.allclose(a, c)


def test_set_random_seed_governs_unseeded_draws():
    drawn = []
    for seed in (5, 5, 6):
        keras.utils.set_random_seed(seed)
        motion = ktr.RandomAffine()
        drawn.append([motion.sample(4, 16, 16).numpy() for _ in range(2)])
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert not np.allclose(drawn[0], drawn[2])


def test_two_unseeded_motions_draw_apart():
    a, b = (ktr.RandomAffine().sample(4, 16, 16).numpy() for _ in range(2))
    assert not np.allclose(a, b)


def test_explicit_seed_fixes_the_draw_whatever_was_drawn_before():
    motion, other = ktr.RandomAffine(seed=1), ktr.RandomAffine()
    a = motion.sample(4, 16, 16, seed=(7, 8))
    motion.sample(4, 16, 16)
    np.testing.assert_array_equal(a, motion.sample(4, 16, 16, seed=tf.constant([7, 8])))
    np.testing.assert_array_equal(a, other.sample(4, 16, 16, seed=(7, 8)))
    assert not np.allclose(a, motion.sample(4, 16, 16, seed=(7, 9)))


def test_scaled_multiplies_all_ranges_and_keeps_the_rest():
    motion = ktr.RandomAffine(
        translation=(1, 3), rotation=2, zoom=0.1, shear=(0, 4), fill_mode="wrap", seed=9
    )
    config = motion.scaled(0.5).get_config()
    assert config["translation"] == [0.5, 1.5]
    assert config["rotation"] == [-1.0, 1.0]
    assert config["zoom"] == [-0.05, 0.05]
    assert config["shear"] == [0.0, 2.0]
    assert (config["fill_mode"], config["seed"]) == ("wrap", 9)
    assert motion.scaled(-1).get_config()["translation"] == [-3.0, -1.0]
    still = motion.scaled(0).sample(2, 8, 8)
    np.testing.assert_allclose(still, transforms.identity(2), atol=1e-6)


def every_argument():
    return ktr.RandomAffine((1, 3), 2, 0.1, (0, 4), "constant", 0.5, "nearest", seed=9)


def test_config_round_trip():
    motion = every_argument()
    again = ktr.RandomAffine.from_config(motion.get_config())
    assert again.get_config() == motion.get_config()
    np.testing.assert_array_equal(again.sample(3, 8, 8), motion.sample(3, 8, 8))


def test_keras_serialization_round_trip():
    motion = every_argument()
    stored = keras.utils.serialize_keras_object(motion)
    again = keras.utils.deserialize_keras_object(stored)
    assert type(again) is ktr.RandomAffine
    assert again.get_config() == motion.get_config()


def test_apply_is_the_warp_with_the_modes_of_the_motion():
    motion = every_argument()
    images = tf.random.stateless_uniform((3, 6, 7, 2), (1, 2))
    rows = motion.sample(3, 6, 7)
    expected = image.transform(images, rows, "nearest", "constant", fill_value=0.5)
    np.testing.assert_array_equal(motion.apply(images, rows), expected)
    smooth = ktr.RandomAffine()
    expected = image.transform(images, rows, "bilinear", "reflect")
    np.testing.assert_array_equal(smooth.apply(images, rows), expected)


@pytest.mark.parametrize("dtype", ["float16", "float64", "uint8"])
def test_apply_keeps_shape_and_dtype(dtype):
    images = tf.cast(tf.fill((2, 6, 7, 3), 20.0), dtype)
    motion = ktr.RandomAffine()
    moved = motion.apply(images, motion.sample(2, 6, 7))
    assert (moved.shape, moved.dtype) == (images.shape, dtype)


def test_apply_rounds_whole_numbers():
    images = tf.constant([[[[10], [13], [250], [255]]]], tf.uint8)
    by_nine_tenths = [[1, 0, 0.9, 0, 1, 0, 0, 0]]
    moved = ktr.RandomAffine().apply(images, by_nine_tenths)
    # 12.7, 226.3, 254.5 (a tie in this arithmetic or not) and 255 reflected.
    assert moved.numpy().ravel()[[0, 1, 3]].tolist() == [13, 226, 255]
    assert moved.numpy().ravel()[2] in (254, 255)


def test_identity_moves_nothing():
    images = tf.random.stateless_uniform((2, 5, 6, 1), (1, 2))
    rows = transforms.identity(2)
    assert rows.shape == (2, 8)
    np.testing.assert_array_equal(ktr.RandomAffine().apply(images, rows), images)


def rows_of_transforms():
    linear, shift = st.integers(-8, 8), st.integers(-40, 40)
    tilt = st.integers(-4, 4).map(lambda n: n / 1000)
    row = st.tuples(linear, linear, shift, linear, linear, shift, tilt, tilt)
    return row.map(
        lambda r: [1 + r[0] / 40, r[1] / 40, r[2] / 8, r[3] / 40, 1 + r[4] / 40, r[5] / 8, *r[6:]]
    )


SIZES = st.tuples(st.integers(2, 40), st.integers(2, 40))


@given(row=rows_of_transforms(), from_size=SIZES, to_size=SIZES)
def test_rescale_transforms_moves_the_same_place_of_the_picture(row, from_size, to_size):
    carried = matrices(transforms.rescale_transforms(tf.constant([row]), from_size, to_size))[0]
    scale_y, scale_x = np.divide(to_size, from_size)
    for x, y in [(0, 0), (to_size[1] - 1, 0), (1.5, to_size[0] - 1)]:
        # Half-pixel centres: the same place on the first grid, its source, and back.
        start = (x + 0.5) / scale_x - 0.5, (y + 0.5) / scale_y - 0.5
        source = move(matrices([row])[0], *start)
        expected = (source + 0.5) * [scale_x, scale_y] - 0.5
        np.testing.assert_allclose(move(carried, x, y), expected, rtol=1e-4, atol=1e-3)


@given(row=rows_of_transforms(), size=SIZES, factor=st.integers(1, 4))
def test_rescale_transforms_there_and_back_is_the_identity(row, size, factor):
    fine = (size[0] * factor, size[1] * factor)
    carried = transforms.rescale_transforms(tf.constant([row]), size, fine)
    np.testing.assert_allclose(
        transforms.rescale_transforms(carried, fine, size), [row], rtol=1e-3, atol=1e-4
    )


def test_rescale_transforms_of_a_shift_is_the_shift_times_the_scale():
    shift = tf.constant([[1.0, 0, 3, 0, 1, -2, 0, 0]])
    carried = transforms.rescale_transforms(shift, (8, 10), (16, 30))
    np.testing.assert_allclose(carried, [[1, 0, 9, 0, 1, -4, 0, 0]], atol=1e-5)


def test_rescale_transforms_takes_nested_lists():
    half_pixel = [[1.0, 0, 0.5, 0, 1, 0, 0, 0]]
    for size, expected in ((8, 0.5), (16, 1.0)):
        assert transforms.rescale_transforms(half_pixel, (8, 8), (size, size))[0, 2] == expected


def test_rescale_transforms_to_the_same_size_changes_nothing():
    rows = ktr.RandomAffine().sample(3, 8, 9)
    np.testing.assert_array_equal(transforms.rescale_transforms(rows, (8, 9), (8, 9)), rows)


def test_rescale_transforms_takes_tensors_for_sizes():
    rows = ktr.RandomAffine().sample(3, 8, 9)
    tensors = transforms.rescale_transforms(rows, tf.constant([8, 9]), tf.constant([16, 18]))
    np.testing.assert_array_equal(tensors, transforms.rescale_transforms(rows, (8, 9), (16, 18)))


@given(row=rows_of_transforms(), from_size=SIZES, to_size=SIZES)
def test_rescale_transforms_of_arrays_is_the_matrix_product_in_float64(row, from_size, to_size):
    scale_y, scale_x = np.divide(to_size, from_size)
    change = [[scale_x, 0, (scale_x - 1) / 2], [0, scale_y, (scale_y - 1) / 2], [0, 0, 1]]
    product = np.float64(change) @ matrices([row])[0] @ np.linalg.inv(change)
    got = transforms.rescale_transforms(np.array([row]), from_size, to_size)
    assert got.dtype == np.float64
    np.testing.assert_allclose(matrices(got)[0], product / product[2, 2], rtol=1e-9, atol=1e-9)


def test_carry_over_is_deprecated():
    with pytest.warns(DeprecationWarning, match="transforms.rescale_transforms$"):
        assert transforms.carry_over is transforms.rescale_transforms


def pooled(images):
    return tf.nn.avg_pool2d(images, 2, 2, "VALID")


@pytest.mark.parametrize(
    "row", [[1, 0, 1.3, 0, 1, -0.7, 0, 0], [0.8, 0.1, 2, -0.1, 0.9, 3, 2e-3, 0]]
)
def test_a_carried_motion_commutes_with_pooling(row):
    rows = tf.constant([row], tf.float32)
    carried = transforms.rescale_transforms(rows, (16, 20), (32, 40))
    y, x = np.mgrid[:32, :40]
    picture = np.stack([np.sin(x / 30 + y / 40), x / 40], axis=-1)[np.newaxis].astype(np.float32)

    def moved(images, rows):
        return image.transform(images, rows, "bilinear", "nearest")

    there = pooled(moved(picture, carried))
    here = moved(pooled(picture), rows)
    away_from_the_edge = np.s_[:, 3:-3, 3:-3]
    np.testing.assert_allclose(there[away_from_the_edge], here[away_from_the_edge], atol=1.5e-3)
    # A motion by half a pixel of the fine grid is seen by this test.
    off = pooled(moved(picture, tf.add(carried, [0, 0, 0.5, 0, 0, 0, 0, 0])))
    assert np.abs(off - here)[away_from_the_edge].max() > 5e-3


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"translation": (2, 1)}, "translation must be a finite number"),
        ({"translation": "far"}, "translation must be a finite number"),
        ({"translation": (1, 2, 3)}, "translation must be a finite number"),
        ({"translation": True}, "translation must be a finite number"),
        ({"rotation": float("nan")}, "rotation must be a finite number"),
        ({"rotation": (0, float("inf"))}, "rotation must be a finite number"),
        ({"zoom": None}, "zoom must be a finite number"),
        ({"zoom": 1.0}, "zoom must stay above -1"),
        ({"shear": (0, 90)}, "shear must stay within 90 degrees"),
        ({"shear": [1]}, "shear must be a finite number"),
        ({"fill_mode": "mirror"}, "fill_mode must be one of"),
        ({"interpolation": "cubic"}, "interpolation must be one of"),
        ({"seed": -1}, "seed must be a whole number"),
        ({"seed": 1.5}, "seed must be a whole number"),
    ],
)
def test_wrong_arguments_are_named(arguments, match):
    with pytest.raises(ValueError, match=match):
        ktr.RandomAffine(**arguments)
