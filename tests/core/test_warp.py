"""Tests of the plain warp and of its adjoint: a gather near the identity, else a scatter."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from keras_temporal_reg import image, transforms
from keras_temporal_reg.core import warp

HEIGHT, WIDTH = 9, 11


def matrix(zoom=1.0, degrees=0.0, shear=0.0, shift=(0.0, 0.0), projective=(0.0, 0.0)):
    """A transform about the centre; zoom 2 shows twice as much, 0.5 half as much."""
    angle = np.deg2rad(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    a = zoom * turn @ np.array([[1.0, shear], [0.0, 1.0]])
    centre = np.array([(WIDTH - 1) / 2, (HEIGHT - 1) / 2])
    t = centre - a @ centre + shift
    return np.array([*a[0], t[0], *a[1], t[1], *projective], np.float32)


def random(*shape, seed=0):
    return tf.constant(np.random.default_rng(seed).normal(size=shape), tf.float32)


def dense(transform, output_shape, fill_mode="constant"):
    """The oracle: the warp as a matrix, column by column from pictures with one bright pixel."""
    pixels = tf.reshape(tf.eye(HEIGHT * WIDTH), (-1, HEIGHT, WIDTH, 1))
    with tf.device("cpu"):
        columns = tf.raw_ops.ImageProjectiveTransformV3(
            images=pixels,
            transforms=[transform],
            output_shape=output_shape,
            fill_value=0.0,
            interpolation="BILINEAR",
            fill_mode=fill_mode.upper(),
        )
    return np.reshape(columns, (HEIGHT * WIDTH, -1)).T.astype(np.float64)


def expected_adjoint(upstream, transform, fill_mode="constant"):
    batch, *output_shape, channels = upstream.shape
    flat = np.reshape(upstream, (batch, -1, channels)).astype(np.float64)
    back = np.einsum("oi,boc->bic", dense(transform, output_shape, fill_mode), flat)
    return back.reshape(batch, HEIGHT, WIDTH, channels)


NEAR = [
    matrix(),
    matrix(shift=(0.5, -1.25)),
    matrix(degrees=3, zoom=1.03, shear=0.05, shift=(1.7, 2.0)),
    matrix(degrees=-10, zoom=0.9),
    matrix(degrees=45),
    matrix(degrees=120, shift=(1.0, -0.5)),
    matrix(zoom=0.7, shift=(0.3, 0.3)),
    matrix(zoom=2.0, shift=(0.1, 0.4)),
    matrix(zoom=-1.0),  # half a turn
    matrix(shift=(20.0, 0.0)),  # nothing of the image is left
]
FAR = [
    matrix(zoom=0.5, shift=(0.2, 0.3)),
    matrix(zoom=0.66),
    matrix(degrees=45, zoom=0.9),
    matrix(shear=0.6),
    matrix(zoom=1e-3),
    matrix(projective=(1e-3, 0.0)),
    matrix(projective=(0.0, -2e-2), degrees=5),
    np.zeros(8, np.float32),  # all show one point
    np.array([0, 0, 3, 0, 0, 2, 0.01, 0], np.float32),
]


def is_near(transform, output_shape=(HEIGHT, WIDTH)):
    return bool(warp._near_identity(tf.constant([transform]), output_shape))


@pytest.mark.parametrize("transform", NEAR)
def test_near_transforms_are_gathered(transform):
    assert is_near(transform)


@pytest.mark.parametrize("transform", FAR)
def test_far_transforms_are_scattered(transform):
    assert not is_near(transform)


def test_nan_is_not_near():
    assert not is_near(np.full(8, np.nan, np.float32))


def test_an_output_of_less_than_3_pixels_is_scattered():
    assert is_near(matrix(), (3, 3))
    assert not is_near(matrix(), (2, 9))
    assert not is_near(matrix(), (9, 2))


def test_one_far_transform_sends_the_whole_batch_to_the_scatter():
    assert not bool(warp._near_identity(tf.constant([NEAR[0], FAR[0]]), (HEIGHT, WIDTH)))


SHAPES = [(14, 5), (3, 3), (2, 1)]


@pytest.mark.parametrize(
    "transform, output_shape",
    [(t, (HEIGHT, WIDTH)) for t in (*NEAR, *FAR)] + [(t, s) for t in NEAR[2:4] for s in SHAPES],
)
def test_adjoint_is_the_transpose_of_the_op(transform, output_shape):
    upstream = random(2, *output_shape, 3)
    got = warp.adjoint(
        upstream, tf.constant([transform]), (HEIGHT, WIDTH), warp.Sampling("bilinear", "constant")
    )
    np.testing.assert_allclose(got, expected_adjoint(upstream, transform), atol=2e-5)


@pytest.mark.parametrize("fill_mode", ["reflect", "nearest", "wrap"])
@pytest.mark.parametrize("transform", [NEAR[2], FAR[0], FAR[6]])
def test_adjoint_is_the_transpose_of_the_op_in_every_fill_mode(transform, fill_mode):
    upstream = random(2, HEIGHT, WIDTH, 3)
    got = warp.adjoint(
        upstream, tf.constant([transform]), (HEIGHT, WIDTH), warp.Sampling("bilinear", fill_mode)
    )
    np.testing.assert_allclose(got, expected_adjoint(upstream, transform, fill_mode), atol=2e-5)


@given(
    zoom=st.floats(0.5, 2.0),
    degrees=st.floats(-180, 180),
    shear=st.floats(-0.5, 0.5),
    shift=st.tuples(st.floats(-5, 5), st.floats(-5, 5)),
    projective=st.sampled_from([(0.0, 0.0), (1e-3, 2e-3)]),
)
def test_adjoint_is_the_transpose_of_the_op_for_any_warp(**motion):
    transform, upstream = matrix(**motion), random(1, HEIGHT, WIDTH, 2)
    got = warp.adjoint(
        upstream, tf.constant([transform]), (HEIGHT, WIDTH), warp.Sampling("bilinear", "constant")
    )
    np.testing.assert_allclose(got, expected_adjoint(upstream, transform), atol=1e-4)


@pytest.mark.parametrize("transform", [NEAR[2], NEAR[5], FAR[0], FAR[6]])
def test_gradient_is_that_of_finite_differences(transform):
    images, upstream = random(1, HEIGHT, WIDTH, 1), random(1, HEIGHT, WIDTH, 1, seed=1)
    images, upstream = tf.cast(images, tf.float64), tf.cast(upstream, tf.float64)

    def value(images):
        return tf.reduce_sum(image.transform(images, [transform], "bilinear") * upstream)

    with tf.GradientTape() as tape:
        tape.watch(images)
        whole = value(images)
    gradient = tape.gradient(whole, images)
    # The warp is linear, so that a large step has no error of its own; points are float32.
    one_by_one = np.reshape(np.eye(HEIGHT * WIDTH), (-1, 1, HEIGHT, WIDTH, 1))
    differences = [float(value(images + pixel) - whole) for pixel in one_by_one]
    np.testing.assert_allclose(np.ravel(gradient), differences, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("transform", [NEAR[2], FAR[0]])
def test_adjoint_compiles_to_the_same(transform):
    upstream = random(2, HEIGHT, WIDTH, 3)

    @tf.function(jit_compile=True)
    def compiled(upstream, transform):
        return warp.adjoint(
            upstream, transform, (HEIGHT, WIDTH), warp.Sampling("bilinear", "constant")
        )

    got = compiled(upstream, tf.constant([transform]))
    np.testing.assert_allclose(got, expected_adjoint(upstream, transform), atol=2e-5)


def test_a_batch_of_a_training_step_is_gathered():
    """What the whole is for: the default motion at usual sizes must be near the identity."""
    for size in (32, 256, 2048):
        motions = transforms.RandomAffine(seed=0).sample(256, size, size)
        assert bool(warp._near_identity(motions, (size, size)))


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (7, 1), (2, 2)])
@pytest.mark.parametrize("compiled", [True, False])
def test_images_of_a_single_row_or_column(shape, compiled):
    images = random(2, *shape, 2)
    rows = np.stack([[1, 0.1, 0.3, 0.1, 1, -0.4, 0, 0], [1, 0, -0.6, 0, 1, 0.2, 0, 0]])
    rows = tf.constant(rows, tf.float32)
    sampling = warp.Sampling("bilinear", "constant", 0.5)
    got = tf.function(image._forward_plain, jit_compile=compiled)(images, rows, shape, sampling)
    expected = image._forward_op(images, rows, shape, sampling)
    np.testing.assert_allclose(got, expected, atol=1e-5)


@pytest.mark.parametrize("size", [(4096, 4096), (4097, 4096)])
def test_pixels_of_large_images_have_exact_indices(size):
    height, width = size
    row, column = tf.constant([[[height - 1.0, height - 1.0]]]), tf.constant([[[width - 1.0, 1.0]]])
    got = warp._flat_index(1, row, column, size)
    last_row = (height - 1) * width
    np.testing.assert_array_equal(got, [[[last_row + width - 1, last_row + 1]]])


def test_affine_points_are_those_of_the_general_case():
    rows = transforms.RandomAffine(seed=0).sample(4, HEIGHT, WIDTH)
    assert bool(warp.is_affine(rows))
    general = warp.source_points(rows, (HEIGHT, WIDTH))
    affine = warp.source_points(rows, (HEIGHT, WIDTH), affine=True)
    np.testing.assert_array_equal(general.x, affine.x)
    np.testing.assert_array_equal(general.y, affine.y)
    assert not bool(warp.is_affine(tf.constant([NEAR[0], FAR[5]])))
