"""Tests of the warp: values, gradients, compilation, errors."""

import logging

import numpy as np
import pytest
import scipy.ndimage
import tensorflow as tf
from helpers.warps import parts, scipy_warp
from hypothesis import given
from hypothesis import strategies as st

from keras_temporal_reg import image

MODES = [(i, f) for i in image.INTERPOLATIONS for f in image.FILL_MODES]
IDENTITY = [1.0, 0, 0, 0, 1, 0, 0, 0]
# One a row: near the identity, zoom 0.5, zoom 2, projective. No point of a 7 x 6 image that
# they look at lies where a mode jumps, so that XLA's own rounding makes no difference.
TRANSFORMS = np.array(
    [
        [1.013, -0.017, 0.737, 0.011, 0.979, -1.213, 0, 0],
        [0.5, 0.0131, 1.173, 0.0071, 0.5, 1.391, 0, 0],
        [2.0, 0.0231, -3.117, -0.0171, 2.0, -2.731, 0, 0],
        [1.1, 0.0713, -0.913, -0.0537, 0.9, 0.617, 0.0213, -0.0171],
    ],
    np.float32,
)


def random_images(shape, dtype=tf.float32, seed=0):
    values = np.random.default_rng(seed).uniform(0.0, 1.0, shape)
    return tf.cast(values * 255.0 if tf.as_dtype(dtype).is_integer else values, dtype)


def tensorflow_addons_or_none():
    try:
        import tensorflow_addons
    except ImportError:
        return None
    return tensorflow_addons


def reference(images, transforms, interpolation, fill_mode, output_shape, fill_value=0.0):
    """The oracle: tfa.image.transform where it can be imported, else the op that it wraps."""
    transforms = tf.reshape(tf.cast(transforms, tf.float32), (-1, 8))
    tfa = tensorflow_addons_or_none()
    if tfa:
        return tfa.image.transform(
            images, transforms, interpolation, fill_mode, output_shape, fill_value=fill_value
        )
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=transforms,
        output_shape=output_shape,
        fill_value=fill_value,
        interpolation=interpolation.upper(),
        fill_mode=fill_mode.upper(),
    )


@st.composite
def any_transform(draw):
    linear, shift = parts(-2, 2, 64), parts(-30, 30, 16)
    row = [draw(s) for s in (linear, linear, shift, linear, linear, shift)]
    tilt = st.integers(-8, 8).map(lambda n: n / 256) if draw(st.booleans()) else st.just(0.0)
    return [*row, draw(tilt), draw(tilt)]


@st.composite
def any_warp(draw):
    batch, size = draw(st.integers(1, 3)), st.integers(1, 24)
    shape = (batch, draw(size), draw(size), draw(st.integers(1, 2)))
    count = draw(st.sampled_from([1, batch]))
    return {
        "shape": shape,
        "seed": draw(st.integers(0, 1000)),
        "dtype": draw(st.sampled_from([tf.float32, tf.float32, tf.uint8, tf.float16, tf.bfloat16])),
        "transforms": [draw(any_transform()) for _ in range(count)],
        "interpolation": draw(st.sampled_from(image.INTERPOLATIONS)),
        "fill_mode": draw(st.sampled_from(image.FILL_MODES)),
        "output_shape": draw(st.sampled_from([None, (draw(size), draw(size))])),
        "fill_value": draw(st.sampled_from([0.0, 0.5, 3.0])),
    }


@pytest.mark.parametrize("backend_name", ["op", "xla", "auto"])
@given(case=any_warp())
def test_transform_agrees_with_tensorflow_on_any_warp(backend_name, case):
    image.set_backend(backend_name)
    images = random_images(case["shape"], case["dtype"], case["seed"])
    modes = (case["interpolation"], case["fill_mode"])
    warped = image.transform(
        images,
        case["transforms"],
        *modes,
        output_shape=case["output_shape"],
        fill_value=case["fill_value"],
    )
    # TensorFlow has no bfloat16 op: the result in float32, rounded, stands in.
    wide = tf.cast(images, tf.float32) if images.dtype == tf.bfloat16 else images
    size = case["output_shape"] or case["shape"][1:3]
    expected = reference(wide, case["transforms"], *modes, size, case["fill_value"])
    expected = tf.cast(expected, images.dtype)
    assert warped.dtype == images.dtype
    assert warped.shape == expected.shape
    np.testing.assert_allclose(
        tf.cast(warped, tf.float32).numpy(), tf.cast(expected, tf.float32).numpy(), atol=1e-5
    )


@pytest.mark.parametrize("shape", [(7, 6), (7, 6, 3)])
@pytest.mark.parametrize("backend_name", ["op", "xla"])
def test_rank_2_and_3_are_one_image_of_the_batch(backend_name, shape):
    image.set_backend(backend_name)
    img = random_images(shape)
    warped = image.transform(img, TRANSFORMS[0], "bilinear", "reflect", output_shape=(5, 8))
    batch = tf.reshape(img, (1, 7, 6, -1))
    expected = reference(batch, TRANSFORMS[0], "bilinear", "reflect", (5, 8))
    assert warped.shape == (5, 8, *shape[2:])
    np.testing.assert_allclose(tf.reshape(warped, expected.shape), expected, atol=1e-6)


@pytest.mark.parametrize("mode", ["grid-constant", "nearest", "reflect"])
@pytest.mark.parametrize("backend_name", ["op", "xla"])
def test_bilinear_agrees_with_scipy(backend_name, mode):
    image.set_backend(backend_name)
    images = random_images((4, 7, 6, 2))
    fill_mode = mode.replace("grid-", "")
    warped = image.transform(
        images, TRANSFORMS, "bilinear", fill_mode, output_shape=(8, 5), fill_value=0.3
    )
    for i in range(4):
        expected = scipy_warp(images[i], TRANSFORMS[i], mode, (8, 5), cval=0.3)
        np.testing.assert_allclose(warped[i], expected, atol=1e-5)


def test_direction_is_output_point_to_input_point():
    ramp = tf.reshape(tf.range(12.0), (1, 3, 4, 1))
    right_and_down = [1, 0, 1, 0, 1, 1, 0, 0]
    warped = image.transform(ramp, right_and_down, fill_value=-1.0)
    expected = [[5, 6, 7, -1], [9, 10, 11, -1], [-1, -1, -1, -1]]
    np.testing.assert_array_equal(warped[0, ..., 0], expected)


@pytest.mark.parametrize("backend_name", ["op", "xla"])
def test_a_point_at_infinity_gets_the_fill_value_in_every_mode(backend_name):
    image.set_backend(backend_name)
    images = random_images((1, 3, 5, 1))
    to_infinity_at_column_2 = [1.0, 0, 0, 0, 1, 0, -0.5, 0]
    for modes in MODES:
        warped = image.transform(images, to_infinity_at_column_2, *modes, fill_value=7.0)
        np.testing.assert_array_equal(warped[0, :, 2, 0], 7.0)


@pytest.mark.parametrize("fill_mode", image.FILL_MODES)
@pytest.mark.parametrize("backend_name", ["auto"])
def test_transform_compiles_and_agrees_with_tensorflow(backend_name, fill_mode):
    image.set_backend(backend_name)
    images = random_images((4, 7, 6, 2))

    @tf.function(jit_compile=True)
    def compiled(images, transforms):
        return [
            image.transform(images, transforms, i, fill_mode, (8, 5), fill_value=0.3)
            for i in image.INTERPOLATIONS
        ]

    for interpolation, warped in zip(image.INTERPOLATIONS, compiled(images, TRANSFORMS)):
        expected = reference(images, TRANSFORMS, interpolation, fill_mode, (8, 5), 0.3)
        np.testing.assert_allclose(warped, expected, atol=1e-5)


def test_small_dtypes_compile():
    @tf.function(jit_compile=True)
    def compiled(*batches):
        return [image.transform(b, TRANSFORMS[0], "bilinear", "reflect") for b in batches]

    batches = [random_images((1, 7, 6, 2), d) for d in (tf.uint8, tf.float16, tf.bfloat16)]
    for images, warped in zip(batches, compiled(*batches)):
        expected = image.transform(images, TRANSFORMS[0], "bilinear", "reflect")
        assert warped.dtype == images.dtype
        one_step = 1.0 if images.dtype == tf.uint8 else 2.0**-8
        difference = tf.cast(warped, tf.float32) - tf.cast(expected, tf.float32)
        assert np.abs(difference).max() <= one_step


def dynamic_warp(images, transforms, output_shape):
    return image.transform(images, transforms, "bilinear", "reflect", output_shape=output_shape)


@pytest.mark.parametrize("backend_name", ["op", "xla"])
def test_static_shapes_may_be_unknown(backend_name):
    image.set_backend(backend_name)
    signature = [
        tf.TensorSpec([None, None, None, None]),
        tf.TensorSpec([None, 8]),
        tf.TensorSpec([2], tf.int32),
    ]
    warp = tf.function(dynamic_warp, input_signature=signature)
    same_size = tf.function(
        lambda i, t: image.transform(i, t, "bilinear", "reflect"), input_signature=signature[:2]
    )
    for shape in [(4, 7, 6, 2), (1, 3, 9, 1)]:
        images, transforms = random_images(shape), TRANSFORMS[: shape[0]]
        expected = reference(images, transforms, "bilinear", "reflect", (8, 5))
        np.testing.assert_allclose(warp(images, transforms, (8, 5)), expected, atol=1e-5)
        expected = reference(images, transforms, "bilinear", "reflect", shape[1:3])
        np.testing.assert_allclose(same_size(images, transforms), expected, atol=1e-5)


def test_unknown_static_shapes_compile_with_their_gradient():
    signature = [tf.TensorSpec([None, None, None, None]), tf.TensorSpec([None, 8])]

    @tf.function(jit_compile=True, input_signature=signature)
    def compiled(images, transforms):
        with tf.GradientTape() as tape:
            tape.watch(images)
            warped = image.transform(images, transforms, "bilinear", "reflect")
        return warped, tape.gradient(warped, images)

    images = random_images((4, 7, 6, 2))
    warped, gradient = compiled(images, TRANSFORMS)
    expected = reference(images, TRANSFORMS, "bilinear", "reflect", (7, 6))
    np.testing.assert_allclose(warped, expected, atol=1e-5)
    # With ones as v, <T u, v> is the sum of T u.
    total = np.sum(np.float64(images) * np.float64(gradient))
    np.testing.assert_allclose(total, np.sum(np.float64(expected)), rtol=1e-5)


def known_shapes():
    return [
        ((None, 7, 6, 2), None, (None, 7, 6, 2)),
        ((3, None, 6, 2), (8, 5), (3, 8, 5, 2)),
        ((None, None, None, 1), (8, 5), (None, 8, 5, 1)),
    ]


@pytest.mark.parametrize("backend_name", ["op", "xla"])
@pytest.mark.parametrize(("shape", "output_shape", "expected"), known_shapes())
def test_static_shapes_that_are_known_stay_known(backend_name, shape, output_shape, expected):
    image.set_backend(backend_name)

    @tf.function(input_signature=[tf.TensorSpec(shape)])
    def warp(images):
        warped = image.transform(images, IDENTITY, output_shape=output_shape)
        assert warped.shape.as_list() == list(expected)
        return warped

    warp.get_concrete_function()


def inner_products(images, transforms, upstream, modes):
    """<T u, v> and <u, T* v> of each image, summed in float64."""
    with tf.GradientTape() as tape:
        tape.watch(images)
        warped = image.transform(images, transforms, *modes, output_shape=(8, 5))
    back = tape.gradient(warped, images, output_gradients=upstream)

    def dot(a, b):
        return tf.reduce_sum(tf.cast(a, tf.float64) * tf.cast(b, tf.float64), axis=(1, 2, 3))

    return dot(warped, upstream), dot(images, back)


def adjoint_inputs():
    images, upstream = random_images((4, 7, 6, 2)), random_images((4, 8, 5, 2), seed=1)
    return images, tf.constant(TRANSFORMS), upstream


@pytest.mark.parametrize("modes", MODES)
@pytest.mark.parametrize("backend_name", ["op", "xla"])
def test_gradient_is_the_adjoint(backend_name, modes):
    image.set_backend(backend_name)
    there, back = inner_products(*adjoint_inputs(), modes)
    np.testing.assert_allclose(there, back, rtol=1e-5)


@pytest.mark.slow
def test_gradient_is_the_adjoint_under_xla():
    @tf.function(jit_compile=True)
    def compiled(images, transforms, upstream):
        return [inner_products(images, transforms, upstream, modes) for modes in MODES[3:]]

    for there, back in compiled(*adjoint_inputs()):
        np.testing.assert_allclose(there, back, rtol=1e-5)


@given(
    transform=any_transform(),
    modes=st.sampled_from(MODES),
    backend_name=st.sampled_from(["op", "xla"]),
)
def test_gradient_is_the_adjoint_of_any_warp(transform, modes, backend_name):
    image.set_backend(backend_name)
    images, _, upstream = adjoint_inputs()
    there, back = inner_products(images, [transform], upstream, modes)
    np.testing.assert_allclose(there, back, rtol=1e-5, atol=1e-6)


def test_gradient_with_one_transform_for_all_images_is_that_of_each():
    images, _, upstream = adjoint_inputs()
    gradients = []
    for transforms in (TRANSFORMS[:1], np.repeat(TRANSFORMS[:1], 4, axis=0)):
        with tf.GradientTape() as tape:
            tape.watch(images)
            warped = image.transform(images, transforms, "bilinear", "wrap", (8, 5))
        gradients.append(tape.gradient(warped, images, output_gradients=upstream))
    np.testing.assert_allclose(*gradients, atol=1e-6)


@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16, tf.float64])
@pytest.mark.parametrize("backend_name", ["op", "xla"])
def test_gradient_has_the_dtype_of_the_images(backend_name, dtype):
    image.set_backend(backend_name)
    gradients = []
    for images in (random_images((4, 7, 6, 2), dtype), random_images((4, 7, 6, 2))):
        with tf.GradientTape() as tape:
            tape.watch(images)
            warped = image.transform(images, TRANSFORMS, "bilinear", "reflect")
            total = tf.reduce_sum(warped)
        gradients.append(tape.gradient(total, images))
    assert gradients[0].dtype == dtype
    # The sum of the weights needs no more bits than the dtype has, but for one rounding.
    rounding = {tf.float16: 2**-10, tf.bfloat16: 2**-7, tf.float64: 1e-6}[dtype]
    np.testing.assert_allclose(tf.cast(gradients[0], tf.float32), gradients[1], rtol=rounding)


@pytest.mark.parametrize("backend_name", ["op", "xla"])
def test_no_gradient_flows_into_the_transforms(backend_name):
    image.set_backend(backend_name)
    images, transforms = random_images((4, 7, 6, 2)), tf.constant(TRANSFORMS)
    with tf.GradientTape() as tape:
        tape.watch([images, transforms])
        total = tf.reduce_sum(image.transform(images, transforms, "bilinear"))
    of_images, of_transforms = tape.gradient(total, [images, transforms])
    assert of_images is not None
    assert of_transforms is None


@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16])
@pytest.mark.parametrize("backend_name", ["op", "xla"])
@pytest.mark.parametrize("shift", [3, 1001])
def test_coordinates_are_float32_whatever_the_dtype(backend_name, dtype, shift):
    image.set_backend(backend_name)
    wide = random_images((1, 1, 4096, 1), dtype)
    warped = image.transform(wide, [1, 0, shift, 0, 1, 0, 0, 0], "bilinear")
    expected = np.zeros(4096, np.float32)
    expected[:-shift] = tf.cast(wide, tf.float32)[0, 0, shift:, 0]
    np.testing.assert_array_equal(tf.cast(warped, tf.float32)[0, 0, :, 0], expected)


@pytest.mark.parametrize("dtype", [tf.int32, tf.int64])
def test_whole_numbers_are_read_exactly(dtype):
    for backend_name in ("op", "xla"):
        image.set_backend(backend_name)
        images = tf.constant([[2**24 + 1, 2, 2**24 + 3]], dtype)
        warped = image.transform(images, [1, 0, 1, 0, 1, 0, 0, 0], fill_value=5.0)
        np.testing.assert_array_equal(warped, [[2, 2**24 + 3, 5]])


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"images": np.zeros((1, 2, 3, 4, 5), np.float32)}, ValueError, "images must have rank"),
        ({"images": np.zeros(3, np.float32)}, ValueError, "images must have rank"),
        ({"images": np.zeros((2, 3, 4, 1), bool)}, TypeError, "images must have a float dtype"),
        ({"transforms": np.zeros((2, 6))}, ValueError, "transforms must have shape"),
        ({"transforms": np.zeros((1, 2, 8))}, ValueError, "transforms must have shape"),
        ({"transforms": np.zeros((3, 8))}, ValueError, "transforms must hold one transform"),
        ({"interpolation": "cubic"}, ValueError, "interpolation must be one of"),
        ({"interpolation": "BILINEAR"}, ValueError, "interpolation must be one of"),
        ({"fill_mode": "mirror"}, ValueError, "fill_mode must be one of"),
        ({"output_shape": (3, 4, 1)}, ValueError, "output_shape must be"),
    ],
)
def test_wrong_arguments_are_named(arguments, error, match):
    good = {"images": np.zeros((2, 3, 4, 1), np.float32), "transforms": IDENTITY}
    with pytest.raises(error, match=match):
        image.transform(**{**good, **arguments})


def test_unknown_backend_is_refused_and_changes_nothing():
    image.set_backend("xla")
    with pytest.raises(ValueError, match="name must be one of auto, xla, op, tfa"):
        image.set_backend("cuda")
    assert image.get_backend() == "xla"


@pytest.mark.skipif(tensorflow_addons_or_none() is not None, reason="TensorFlow Addons is here")
def test_tfa_backend_without_tfa_says_how_to_get_it():
    with pytest.raises(ImportError, match=r"keras-temporal-reg\[addons\]"):
        image.set_backend("tfa")
    assert image.get_backend() == "auto"


def test_tfa_backend_is_tfa_with_the_exact_gradient():
    tfa = pytest.importorskip("tensorflow_addons")
    image.set_backend("tfa")
    images, transforms, upstream = adjoint_inputs()
    for modes in MODES:
        warped = image.transform(images, transforms, *modes, output_shape=(8, 5))
        expected = tfa.image.transform(images, transforms, *modes, output_shape=(8, 5))
        np.testing.assert_array_equal(warped, expected)
        there, back = inner_products(images, transforms, upstream, modes)
        np.testing.assert_allclose(there, back, rtol=1e-5)


def backends_without_a_kernel():
    return ["op", "tfa"] if tensorflow_addons_or_none() else ["op"]


@pytest.mark.parametrize("backend_name", backends_without_a_kernel())
def test_backends_without_a_kernel_fall_back_under_xla_and_say_so_once(backend_name, caplog):
    image._log_fallback.cache_clear()
    image.set_backend(backend_name)
    images = random_images((1, 7, 6, 1))

    @tf.function(jit_compile=True)
    def compiled(images):
        once = image.transform(images, TRANSFORMS[0], "bilinear")
        return image.transform(once, TRANSFORMS[0], "bilinear")

    with caplog.at_level(logging.WARNING, logger="keras_temporal_reg"):
        warped = compiled(images)
    messages = [r.getMessage() for r in caplog.records if r.name.startswith("keras_temporal_reg")]
    assert len(messages) == 1
    assert f"'{backend_name}' has no XLA kernel" in messages[0]
    expected = reference(images, TRANSFORMS[0], "bilinear", "constant", (7, 6))
    expected = reference(expected, TRANSFORMS[0], "bilinear", "constant", (7, 6))
    np.testing.assert_allclose(warped, expected, atol=1e-5)


def test_auto_does_not_warn_under_xla(caplog):
    compiled = tf.function(lambda i: image.transform(i, IDENTITY), jit_compile=True)
    with caplog.at_level(logging.WARNING, logger="keras_temporal_reg"):
        compiled(random_images((1, 2, 2, 1)))
    assert not [r for r in caplog.records if r.name.startswith("keras_temporal_reg")]


@given(transform=any_transform(), border=st.integers(0, 4))
def test_valid_mask_is_where_source_and_shown_point_lie_in_the_frame(transform, border):
    height, width = 9, 7
    mask = image.valid_mask(tf.constant([transform], tf.float32), height, width, border)
    assert mask.shape == (1, height, width)
    a0, a1, a2, b0, b1, b2, c0, c1 = transform
    for row in range(height):
        for column in range(width):
            k = c0 * column + c1 * row + 1.0
            points = [(column, row)]
            if k:
                x, y = a0 * column + a1 * row + a2, b0 * column + b1 * row + b2
                points.append((x / k, y / k))
            # The transforms have few bits: in float64, no rounding to speak of is left.
            expected = k != 0 and all(
                border - 1e-4 <= x <= width - 1 - border + 1e-4
                and border - 1e-4 <= y <= height - 1 - border + 1e-4
                for x, y in points
            )
            near_slack = k != 0 and any(
                1e-4 < abs(d) < 2e-3
                for x, y in points
                for d in (x - border, y - border, width - 1 - border - x, height - 1 - border - y)
            )
            assert near_slack or mask[0, row, column] == expected


def test_valid_mask_with_the_identity_is_all_but_the_border():
    transforms = tf.constant([IDENTITY])
    assert np.all(image.valid_mask(transforms, 5, 6) == 1.0)
    expected = np.pad(np.ones((1, 1, 2)), [(0, 0), (2, 2), (2, 2)])
    np.testing.assert_array_equal(image.valid_mask(transforms, 5, 6, border=2), expected)


def test_warp_by_flow_agrees_with_scipy():
    images = random_images((2, 7, 6, 2))
    flow = np.random.default_rng(2).uniform(-4, 4, (2, 7, 6, 2)).astype(np.float32)
    y, x = np.mgrid[:7, :6]
    moved = image.warp_by_flow(images, tf.constant(flow))
    for i in range(2):
        points = [y + flow[i, ..., 1], x + flow[i, ..., 0]]
        for c in range(2):
            expected = scipy.ndimage.map_coordinates(
                images[i, ..., c].numpy(), points, order=1, mode="nearest"
            )
            np.testing.assert_allclose(moved[i, ..., c], expected, atol=1e-5)
    inside = (points[0] >= 0) & (points[0] <= 6) & (points[1] >= 0) & (points[1] <= 5)
    np.testing.assert_array_equal(image.flow_valid_mask(tf.constant(flow))[1], inside)


@pytest.mark.parametrize("old", ["displace", "displacement_inside", "inside"])
def test_old_names_work_and_name_the_new_ones(old):
    new = {
        "displace": "warp_by_flow",
        "displacement_inside": "flow_valid_mask",
        "inside": "valid_mask",
    }[old]
    with pytest.warns(DeprecationWarning, match=rf"image\.{old} is deprecated .*image\.{new}$"):
        assert getattr(image, old) is getattr(image, new)


def test_spatial_shape_is_static_where_it_can_be():
    @tf.function(input_signature=[tf.TensorSpec([None, 5, None, 3])])
    def sizes(images):
        height, width = image.spatial_shape(images)
        assert height == 5
        assert tf.is_tensor(width)
        return width

    assert sizes(tf.zeros((1, 5, 8, 3))) == 8
