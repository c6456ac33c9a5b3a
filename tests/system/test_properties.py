"""What holds for any picture, motion, batch and clip, against oracles that are not our own code.

`HYPOTHESIS_PROFILE=soak` draws a thousand examples of each, other ones every time.
"""

import cv2
import numpy as np
import pytest
import scipy.ndimage
import tensorflow as tf
from helpers.warps import parts, scipy_warp
from hypothesis import given
from hypothesis import strategies as st

import keras_temporal_reg as ktr
from keras_temporal_reg import image, metrics
from keras_temporal_reg.data import _pairing as pairing
from keras_temporal_reg.io import image_files
from keras_temporal_reg.losses._regularized import SparseJacobianLoss, TransformInvarianceLoss

SEEDS = st.integers(0, 2**31 - 1)
BOTH = [TransformInvarianceLoss, SparseJacobianLoss]
OPENCV_BORDERS = {
    "constant": cv2.BORDER_CONSTANT,
    "nearest": cv2.BORDER_REPLICATE,
    "reflect": cv2.BORDER_REFLECT,
}


def picture(seed, height, width, channels=3):
    return np.random.default_rng(seed).random((height, width, channels)).astype(np.float32)


def warp(img, transform, fill_mode):
    warped = image.transform(img[np.newaxis], [transform], "bilinear", fill_mode, fill_value=0.25)
    return warped[0].numpy()


@st.composite
def small_motions(draw):
    """A 3 x 3 matrix near the identity, as between two frames."""
    small = st.floats(-0.05, 0.05)
    matrix = np.eye(3)
    matrix[:2, :2] += [[draw(small), draw(small)], [draw(small), draw(small)]]
    matrix[:2, 2] = draw(st.floats(-3, 3)), draw(st.floats(-3, 3))
    return matrix


def row_of(matrix):
    return (matrix / matrix[2, 2]).ravel()[:8].astype(np.float32)


# The warp.


@pytest.mark.slow
@given(
    seed=SEEDS,
    sides=st.tuples(st.integers(1, 20), st.integers(1, 20)),
    row=st.tuples(*[parts(-2, 2, 64), parts(-2, 2, 64), parts(-30, 30, 16)] * 2),
    fill_mode=st.sampled_from(["constant", "nearest", "reflect"]),
    backend=st.sampled_from(["op", "xla"]),
)
def test_any_affine_warp_is_that_of_scipy(seed, sides, row, fill_mode, backend):
    image.set_backend(backend)
    img, transform = picture(seed, *sides), [*row, 0.0, 0.0]
    mode = {"constant": "grid-constant"}.get(fill_mode, fill_mode)
    expected = scipy_warp(img, transform, mode, sides, cval=0.25)
    np.testing.assert_allclose(warp(img, transform, fill_mode), expected, atol=1e-5)


@given(
    seed=SEEDS,
    sides=st.tuples(st.integers(2, 20), st.integers(2, 20)),
    row=st.tuples(*[parts(-2, 2, 32), parts(-2, 2, 32), parts(-20, 20, 32)] * 2),
    fill_mode=st.sampled_from([*OPENCV_BORDERS]),
)
def test_warps_on_opencvs_grid_are_those_of_opencv(seed, sides, row, fill_mode):
    # OpenCV rounds points to 1/32 of a pixel; these lie there.
    img, (a0, a1, a2, b0, b1, b2) = picture(seed, *sides), row
    y, x = np.mgrid[: sides[0], : sides[1]]
    points = (a0 * x + a1 * y + a2, b0 * x + b1 * y + b2)
    border = {"borderMode": OPENCV_BORDERS[fill_mode], "borderValue": (0.25,) * 3}
    maps = [points_.astype(np.float32) for points_ in points]
    expected = cv2.remap(img, *maps, cv2.INTER_LINEAR, **border)
    np.testing.assert_allclose(warp(img, [*row, 0.0, 0.0], fill_mode), expected, atol=1e-5)


@given(seed=SEEDS, motion=small_motions(), fill_mode=st.sampled_from([*OPENCV_BORDERS]))
def test_any_small_motion_is_that_of_opencv_but_for_its_rounding(seed, motion, fill_mode):
    img = picture(seed, 12, 15)
    expected = cv2.warpPerspective(
        img,
        motion,
        (15, 12),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=OPENCV_BORDERS[fill_mode],
        borderValue=(0.25,) * 3,
    )
    # Half of 1/32 of a pixel in x and in y, in a picture that changes by 1 a pixel at most.
    np.testing.assert_allclose(warp(img, row_of(motion), fill_mode), expected, atol=2 / 64 + 1e-4)


PERIOD = 24.0  # pixels, at least, of the waves of the smooth pictures
# Linear interpolation errs by at most an eighth of the second derivative, in x and in y.
ERROR = 2 * (2 * np.pi / PERIOD) ** 2 / 8


def waves(x, y, phase):
    k = 2 * np.pi / PERIOD
    return np.stack([np.sin(k * x + phase), np.sin(k * y - phase), np.cos(0.7 * k * (x + y))], -1)


def seen_through(motion, size=40):
    """The points of a picture that pixels show after a motion, in NumPy."""
    y, x = np.mgrid[:size, :size].astype(np.float64)
    return np.tensordot(motion, np.stack([x, y, np.ones_like(x)]), 1)[:2]


INSIDE = (slice(14, -14), slice(14, -14))  # no two small motions reach beyond the edge from there


@given(first=small_motions(), second=small_motions(), phase=st.floats(0, 6))
def test_one_motion_after_another_is_their_product(first, second, phase):
    y, x = np.mgrid[:40, :40].astype(np.float64)
    twice = warp(
        warp(waves(x, y, phase).astype(np.float32), row_of(first), "constant"),
        row_of(second),
        "constant",
    )
    expected = waves(*seen_through(first @ second), phase)
    np.testing.assert_allclose(twice[INSIDE], expected[INSIDE], atol=2 * ERROR)


@given(motion=small_motions(), phase=st.floats(0, 6))
def test_a_motion_and_its_inverse_leave_a_smooth_picture_as_it_was(motion, phase):
    y, x = np.mgrid[:40, :40].astype(np.float64)
    before = waves(x, y, phase).astype(np.float32)
    moved = warp(before, row_of(motion), "constant")
    back = warp(moved, row_of(np.linalg.inv(motion)), "constant")
    np.testing.assert_allclose(back[INSIDE], before[INSIDE], atol=2 * ERROR)


# The losses.


def paired(seed, batch, channels=2, motion=None):
    y = np.random.default_rng(seed).random((batch, 8, 9, channels)).astype(np.float32)
    motion = motion or ktr.RandomAffine(translation=2, rotation=5, zoom=0.1, shear=5)
    return pairing.pair(y, y, transform=motion, seed=(seed % 1000, 1))[:2]


@pytest.mark.slow
@given(
    seed=SEEDS,
    batch=st.integers(1, 5),
    alpha=st.floats(0, 0.99),
    border=st.integers(0, 2),
    distance=st.sampled_from(["mse", "mae", "huber", "ssim"]),
    data=st.data(),
)
@pytest.mark.parametrize("loss_class", BOTH)
def test_pairs_in_another_order_have_the_same_losses(
    loss_class, seed, batch, alpha, border, distance, data
):
    order = data.draw(st.permutations(range(batch)))
    _, y_true = paired(seed, batch)
    y_pred = np.random.default_rng(seed + 1).random((2 * batch, 8, 9, 2)).astype(np.float32)
    loss = loss_class(alpha, distance=distance, border=border)
    rows = np.stack([2 * np.array(order), 2 * np.array(order) + 1], 1).ravel()
    of_all = loss.call(y_true, y_pred).numpy()
    of_others = loss.call(y_true.numpy()[rows], y_pred[rows]).numpy()
    np.testing.assert_allclose(of_others, of_all[rows], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(of_others.mean(), of_all.mean(), rtol=1e-4, atol=1e-6)


@pytest.mark.slow
@given(
    seed=SEEDS,
    shift=st.tuples(st.integers(-3, 3), st.integers(-3, 3)),
    weights=st.lists(st.floats(-2, 2, width=32), min_size=3, max_size=3),
)
@pytest.mark.parametrize("loss_class", BOTH)
def test_convolutions_commute_with_whole_pixels_away_from_the_edge(
    loss_class, seed, shift, weights
):
    kernel = np.zeros((3, 3, 2, 2), np.float32)
    kernel[[0, 1, 2], [1, 2, 0]] = np.float32(weights)[:, None, None]

    def network(images):
        return tf.nn.tanh(tf.nn.conv2d(images, kernel, 1, "SAME"))

    class Shift(ktr.RandomAffine):
        def sample(self, batch_size, height, width, seed=None):
            return tf.tile([[1.0, 0, shift[0], 0, 1, shift[1], 0, 0]], (batch_size, 1))

    images = np.random.default_rng(seed).random((2, 8, 9, 2)).astype(np.float32)
    ramp = np.linspace(0, 1, 72, dtype=np.float32).reshape(8, 9, 1)
    for f, commutes in ((network, True), (lambda images: ramp * images, not any(shift))):
        # y is f(x) here, so that the sparse Jacobian wants nothing else.
        x, y_true, _ = pairing.pair(images, f(images), transform=Shift(), seed=(0, 1))
        loss = loss_class(0.5, reconstruction=lambda y, p: 0.0 * p[..., 0], border=1)
        assert (float(loss(y_true, f(x))) < 1e-9) == commutes


def cubed(y_true, y_pred):
    return tf.reduce_mean(tf.abs(y_true - y_pred) ** 3, axis=-1)


@pytest.mark.slow
@given(
    seed=SEEDS,
    alpha=st.floats(0.1, 0.95),
    distance=st.sampled_from(["mse", cubed]),
    contrast=st.sampled_from([0.0, 0.5]),
)
@pytest.mark.parametrize("loss_class", BOTH)
def test_gradients_through_a_network_and_the_whole_loss_are_finite_differences(
    loss_class, seed, alpha, distance, contrast
):
    image.set_backend("xla")  # TensorFlow's op computes in float32 whatever it is given
    x, y_true = (tf.cast(t, tf.float64) for t in paired(seed, 2))
    rng = np.random.default_rng(seed)
    kernel = tf.constant(0.3 * rng.normal(size=(3, 3, 2, 2)))
    loss = loss_class(alpha, distance, distance, contrast=contrast)

    def value(kernel):
        return tf.reduce_mean(loss.call(y_true, tf.nn.tanh(tf.nn.conv2d(x, kernel, 1, "SAME"))))

    with tf.GradientTape() as tape:
        tape.watch(kernel)
        total = value(kernel)
    gradient = tape.gradient(total, kernel).numpy()
    direction, step = rng.normal(size=kernel.shape), 1e-5
    ahead, behind = (value(kernel + sign * step * direction).numpy() for sign in (1, -1))
    difference = (ahead - behind) / (2 * step)
    np.testing.assert_allclose((gradient * direction).sum(), difference, rtol=1e-4, atol=1e-8)


# The measures.


def clip(seed, frames=24):
    return np.random.default_rng(seed).random((frames, 4, 3, 2))


@given(
    seed=SEEDS,
    frames=st.integers(16, 40),
    widths=st.lists(st.floats(0.4, 3.0), min_size=2, max_size=4),
)
def test_the_more_a_clip_is_smoothed_the_higher_s(seed, frames, widths):
    reference = clip(seed, frames)
    widths = np.cumsum(widths)
    smoothed = [scipy.ndimage.gaussian_filter1d(reference, w, axis=0) for w in widths]
    found = [metrics.smoothness(reference, each) for each in (reference, *smoothed)]
    assert found[0] == pytest.approx(1.0)
    assert (np.diff(found) > 0).all()


@given(seed=SEEDS, gain=st.floats(0.1, 10), tint=st.floats(-1, 1), sigma=st.floats(0.5, 4))
def test_relative_smoothness_and_structure_ignore_gain_and_tint(seed, gain, tint, sigma):
    reference, result = clip(seed), clip(seed + 1)
    before, after = (
        metrics.stability(reference, each, sigma) for each in (result, gain * result + tint)
    )
    for name in ("relative_smoothness", "structure"):
        assert after[name] == pytest.approx(before[name], rel=1e-6, abs=1e-9)


@given(seed=SEEDS, sigma=st.floats(0.5, 4))
def test_a_still_picture_over_a_clip_changes_no_measure_of_time(seed, sigma):
    reference, result = clip(seed), clip(seed + 1)
    still = clip(seed + 2, 1)
    before, after = (metrics.stability(reference, each, sigma) for each in (result, result + still))
    for name in ("smoothness", "temporal_error"):
        assert after[name] == pytest.approx(before[name], rel=1e-6)


@given(seed=SEEDS, share=st.floats(0.05, 0.9))
def test_nearer_to_the_truth_is_a_smaller_temporal_error(seed, share):
    reference, result = clip(seed), clip(seed + 1)
    nearer = (1 - share) * result + share * reference
    expected = (1 - share) * metrics.temporal_error(reference, result)
    assert metrics.temporal_error(reference, nearer) == pytest.approx(expected, rel=1e-6)


# Pictures in files.


@given(seed=SEEDS, sides=st.tuples(st.integers(1, 20), st.integers(1, 20)))
def test_any_picture_survives_its_file(seed, sides, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    bytes_ = np.random.default_rng(seed).integers(0, 256, (*sides, 3)) / np.float32(255)
    light = np.exp(8 * picture(seed, *sides) - 4)
    image_files.write(folder / "a.png", bytes_)
    image_files.write(folder / "a.exr", light)
    np.testing.assert_allclose(image_files.read(folder / "a.png"), bytes_, atol=1e-7)
    np.testing.assert_array_equal(image_files.read(folder / "a.exr"), light)
    for name in ("a.png", "a.exr"):
        assert image_files.size(folder / name) == sides
