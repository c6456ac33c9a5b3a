"""Tests of T as a field of displacements: what is drawn, how it is applied, and both routes."""

import numpy as np
import pytest
import scipy.ndimage
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from tensorflow import keras

import keras_temporal_reg as ktr
from keras_temporal_reg import image
from keras_temporal_reg.data import _paired_target as paired_target

SEED = (3, 4)
MOTION = ktr.RandomFlow(magnitude=1.5, scale=6.0, seed=2)


def images(batch=2, height=14, width=17, channels=2, seed=(1, 2)):
    return tf.random.stateless_uniform((batch, height, width, channels), seed)


def warped_by_scipy(pictures, flow, mode):
    """Each picture at ``point + flow``, bilinearly."""
    pictures, flow = np.asarray(pictures, np.float64), np.asarray(flow, np.float64)
    y, x = np.mgrid[: flow.shape[1], : flow.shape[2]]
    return np.stack(
        [
            np.stack(
                [
                    scipy.ndimage.map_coordinates(
                        channel, [y + f[..., 1], x + f[..., 0]], order=1, mode=mode
                    )
                    for channel in np.moveaxis(picture, -1, 0)
                ],
                axis=-1,
            )
            for picture, f in zip(pictures, flow)
        ]
    )


def masked_by_numpy(flow, border=0):
    height, width = flow.shape[1:3]
    y, x = np.mgrid[:height, :width]
    inside = np.ones(flow.shape[:3], bool)
    for px, py in ((x + flow[..., 0], y + flow[..., 1]), (x[None], y[None])):
        inside &= (px >= border - 1e-3) & (px <= width - 1 - border + 1e-3)
        inside &= (py >= border - 1e-3) & (py <= height - 1 - border + 1e-3)
    return inside


@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    scale=st.floats(2.0, 30.0),
    slope=st.floats(0.0, 0.25),
)
def test_no_displacement_is_larger_than_the_magnitude_and_none_folds(height, width, scale, slope):
    motion = ktr.RandomFlow(slope * scale, scale)
    flow = motion.sample(3, height, width, seed=SEED).numpy()
    assert flow.shape == (3, height, width, 2)
    assert np.abs(flow).max() <= motion.magnitude * (1 + 1e-5)
    y, x = np.mgrid[:height, :width]
    # Along each axis, points keep their order.
    assert (np.diff(x + flow[..., 0], axis=2) > 0).all()
    assert (np.diff(y + flow[..., 1], axis=1) > 0).all()


def test_the_field_is_a_cubic_spline_over_random_nodes():
    # A single node of 1 gives the basis function, and SciPy evaluates the same spline.
    motion = ktr.RandomFlow(1.0, 5.0)
    rng = np.random.default_rng(0)
    nodes = rng.uniform(-1, 1, (9, 9))
    spline = motion._spline(21).numpy()
    assert spline.shape[1] == 7
    ours = spline @ nodes[:7, :7] @ spline.T
    y, x = np.mgrid[:21, :21] / 5.0 + 1.0
    theirs = scipy.ndimage.map_coordinates(nodes[:7, :7], [y, x], order=3, prefilter=False)
    inside = (slice(5, 16),) * 2  # SciPy reflects nodes at the border
    np.testing.assert_allclose(ours[inside], theirs[inside], atol=1e-5)
    np.testing.assert_allclose(spline.sum(axis=1), 1.0, atol=1e-6)


def test_half_of_the_displacements_are_below_a_quarter_of_the_magnitude():
    flow = np.abs(ktr.RandomFlow(2.0, 16.0).sample(64, 64, 64, seed=SEED))
    assert 0.35 < np.median(flow) < 0.5
    assert flow.max() > 1.2


def test_draws_repeat_with_a_seed_and_differ_from_one_another():
    first, second = (ktr.RandomFlow(seed=3) for _ in range(2))
    a, b = ([m.sample(2, 16, 16).numpy() for _ in range(2)] for m in (first, second))
    np.testing.assert_array_equal(a, b)
    assert not np.allclose(a[0], a[1])
    assert not np.allclose(a[0][0], a[0][1])
    assert not np.allclose(a[0], ktr.RandomFlow(seed=4).sample(2, 16, 16))


def test_a_seed_gives_the_same_field_in_a_graph_under_xla_and_for_sizes_as_tensors():
    eager = MOTION.sample(2, 13, 19, seed=SEED)
    for jit_compile in (False, True):
        drawn = tf.function(
            lambda: MOTION.sample(2, 13, 19, seed=SEED), jit_compile=jit_compile, autograph=False
        )()
        np.testing.assert_allclose(drawn, eager, atol=1e-6)
    sizes = [tf.constant(n) for n in (2, 13, 19)]
    np.testing.assert_allclose(MOTION.sample(*sizes, seed=SEED), eager, atol=1e-6)


@pytest.mark.parametrize(
    ("fill_mode", "mode"),
    [("nearest", "nearest"), ("reflect", "reflect")],
)
def test_apply_is_that_of_scipy(fill_mode, mode):
    motion = ktr.RandomFlow(2.0, 8.0, fill_mode)
    pictures, flow = images(), motion.sample(2, 14, 17, seed=SEED)
    expected = warped_by_scipy(pictures, flow, mode)
    np.testing.assert_allclose(motion.apply(pictures, flow), expected, atol=1e-5)


@pytest.mark.parametrize("dtype", ["float16", "float64", "uint8"])
def test_apply_keeps_shape_and_dtype(dtype):
    pictures = tf.cast(tf.fill((2, 14, 17, 3), 20.0), dtype)
    moved = MOTION.apply(pictures, MOTION.sample(2, 14, 17))
    assert (moved.shape, moved.dtype) == (pictures.shape, dtype)
    np.testing.assert_allclose(np.asarray(moved, np.float64), 20.0, rtol=1e-3)


@pytest.mark.parametrize(
    ("fill_mode", "jit_compile"),
    [("constant", True), ("reflect", False), ("wrap", False), ("nearest", False)],
)
def test_the_gradient_is_the_exact_adjoint(fill_mode, jit_compile):
    motion = ktr.RandomFlow(2.0, 8.0, fill_mode)
    flow = motion.sample(2, 14, 17, seed=SEED)
    x, upstream = tf.cast(images(), tf.float64), tf.cast(images(seed=(5, 6)), tf.float64)

    @tf.function(jit_compile=jit_compile, autograph=False)
    def adjoint():
        with tf.GradientTape() as tape:
            tape.watch(x)
            moved = motion.apply(x, flow)
        return moved, tape.gradient(moved, x, upstream)

    moved, gradient = adjoint()
    zero = motion.apply(tf.zeros_like(x), flow)
    forward, backward = (tf.reduce_sum(p) for p in ((moved - zero) * upstream, gradient * x))
    np.testing.assert_allclose(forward, backward, rtol=1e-9)


def test_the_same_displacements_on_another_grid():
    flow = MOTION.sample(1, 12, 16, seed=SEED)
    finer = ktr.transforms.rescale_flow(flow, (24, 64))
    assert finer.shape == (1, 24, 64, 2)
    # Where four by two fine pixels share the centre of a coarse one, their mean is its value.
    mean = tf.reduce_mean(tf.reshape(finer, (1, 12, 2, 16, 4, 2)), axis=(2, 4))
    inner = (slice(None), slice(1, -1), slice(1, -1))
    np.testing.assert_allclose(mean.numpy()[inner] / [4, 2], flow.numpy()[inner], atol=0.03)
    assert ktr.transforms.rescale_flow(flow, (12, 16)) is flow


def test_scaled_and_config():
    motion = ktr.RandomFlow(1.0, 9.0, "wrap", seed=5)
    assert motion.scaled(0.5).get_config() == {**motion.get_config(), "magnitude": 0.5}
    stored = keras.utils.serialize_keras_object(motion)
    again = keras.utils.deserialize_keras_object(stored)
    assert type(again) is ktr.RandomFlow
    assert again.get_config() == motion.get_config()


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"magnitude": -1.0}, "magnitude"),
        ({"magnitude": 5.0, "scale": 16.0}, "at least 4 times the magnitude"),
        ({"magnitude": 0.0, "scale": 0.0}, "scale must be above 0"),
        ({"fill_mode": "mirror"}, "fill_mode"),
        ({"seed": -1}, "seed"),
    ],
)
def test_wrong_arguments_are_named(options, match):
    with pytest.raises(ValueError, match=match):
        ktr.RandomFlow(**options)


# Paired batches


def test_a_paired_target_carries_the_flow():
    y = images(3)
    x, y_true, _ = ktr.pair(y, y, MOTION, SEED)
    flow = MOTION.sample(3, 14, 17, seed=SEED)
    read = paired_target.decode(y_true, has_flow=True)
    np.testing.assert_allclose(read.transforms[1::2], flow, atol=1e-6)
    np.testing.assert_array_equal(read.transforms[::2], tf.zeros_like(flow))
    moved = warped_by_scipy(y, flow, "reflect")
    np.testing.assert_allclose(x[1::2], moved, atol=1e-5)
    np.testing.assert_allclose(read.y[1::2], moved, atol=1e-5)
    np.testing.assert_array_equal(read.y[::2], y)


def test_input_and_target_move_by_the_same_displacements_on_their_own_grids():
    x = images(2, 8, 8)
    y = tf.repeat(tf.repeat(x, 2, axis=1), 2, axis=2)
    _, y_true, _ = ktr.pair(x, y, MOTION, SEED)
    flow = paired_target.decode(y_true, has_flow=True).transforms[1::2]
    of_x = MOTION.sample(2, 8, 8, seed=SEED)
    np.testing.assert_allclose(flow, ktr.transforms.rescale_flow(of_x, (16, 16)), atol=1e-6)


def expected_loss(loss, y, outputs, flow, border=0):
    """L_reg by NumPy and SciPy, with squared distances."""
    first, second = outputs[::2], outputs[1::2]
    if isinstance(loss, ktr.losses.TransformInvarianceLoss):
        a, b = second, warped_by_scipy(first, flow, "nearest")
    else:
        a, b = second - first, warped_by_scipy(y, flow, "reflect") - y
    valid = masked_by_numpy(flow, border)
    errors = np.mean((a - b) ** 2, axis=-1)
    return np.mean([e[v].mean() for e, v in zip(errors, valid)])


BOTH = [ktr.losses.TransformInvarianceLoss, ktr.losses.SparseJacobianLoss]


@pytest.mark.parametrize("loss_class", BOTH)
@pytest.mark.parametrize(("border", "mode"), [(0, "eager"), (2, "eager"), (2, "xla")])
def test_the_losses_are_those_of_numpy(loss_class, border, mode):
    def nothing(y_true, y_pred):
        return tf.zeros_like(y_pred[..., 0])

    loss = loss_class(alpha=0.5, reconstruction=nothing, border=border)
    y, outputs = images(3), images(6, seed=(8, 9))
    call = loss
    if mode != "eager":
        call = tf.function(loss.__call__, jit_compile=True, autograph=False)
    _, y_true, _ = ktr.pair(y, y, MOTION, SEED)
    flow = MOTION.sample(3, 14, 17, seed=SEED).numpy()
    expected = expected_loss(loss, y.numpy(), outputs.numpy(), flow, border)
    np.testing.assert_allclose(2.0 * float(call(y_true, outputs)), expected, rtol=1e-4)


def network(scale=1):
    inputs = keras.Input((16, 16, 2))
    hidden = keras.layers.Conv2D(4, 3, padding="same", activation="relu")(inputs)
    return keras.Model(
        inputs, keras.layers.Conv2DTranspose(2, 3, strides=scale, padding="same")(hidden)
    )


@pytest.mark.parametrize(
    ("loss_class", "options"),
    [
        (BOTH[0], {}),
        pytest.param(BOTH[0], {"jit_compile": True}, marks=pytest.mark.slow),
        (BOTH[1], {"run_eagerly": True}),
    ],
    ids=["graph", "xla", "eager"],
)
def test_regularized_model_trains(loss_class, options):
    model = ktr.RegularizedModel(network(), transform=MOTION, pair_fraction=0.5)
    model.compile("adam", loss_class(alpha=0.5), metrics=["mae"], **options)
    x = images(4, 16, 16)
    history = model.fit(x, x, batch_size=4, epochs=4, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    assert history["loss"][-1] < history["loss"][0]


@pytest.mark.parametrize("scale", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_the_data_set_route_trains_a_plain_model(scale):
    x, y = images(4, 16, 16), images(4, 16 * scale, 16 * scale)
    dataset = tf.data.Dataset.from_tensor_slices((x, y)).batch(2)
    model = network(scale)
    metric = ktr.metrics.Unpaired("mse")
    model.compile("adam", ktr.losses.SparseJacobianLoss(alpha=0.5), metrics=[metric])
    history = model.fit(ktr.data.pair_with_transformed(dataset, MOTION), epochs=3, verbose=0)
    assert np.isfinite(history.history["loss"]).all()
    assert history.history["loss"][-1] < history.history["loss"][0]


def test_weights_per_pixel_move_with_the_displacements():
    y, weight = images(2), images(2, channels=1, seed=(7, 7))[..., 0]
    _, _, paired = ktr.pair(y, y, MOTION, SEED, weight)
    flow = MOTION.sample(2, 14, 17, seed=SEED)
    moved = warped_by_scipy(weight[..., tf.newaxis], flow, "reflect")[..., 0]
    np.testing.assert_allclose(paired[1::2], moved, atol=1e-5)


def test_a_target_with_three_channels_too_many_is_refused():
    loss = ktr.losses.SparseJacobianLoss()
    with pytest.raises(tf.errors.InvalidArgumentError, match="no pairing header"):
        loss(tf.ones((2, 8, 8, 4)), tf.zeros((2, 8, 8, 1)))


def test_a_model_with_such_a_motion_is_saved_and_loaded(tmp_path):
    model = ktr.RegularizedModel(network(), transform=MOTION)
    model.compile("adam", ktr.losses.TransformInvarianceLoss())
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert again.transform.get_config() == MOTION.get_config()


def test_the_valid_mask_is_that_of_numpy():
    flow = MOTION.sample(2, 9, 11, seed=SEED)
    for border in (0, 2):
        expected = masked_by_numpy(flow.numpy(), border)
        np.testing.assert_array_equal(image.flow_valid_mask(flow, border), expected)
