"""First and second derivatives under nested and persistent tapes, against finite differences."""

import numpy as np
import pytest
import tensorflow as tf

import keras_temporal_reg as ktr
from keras_temporal_reg import image
from keras_temporal_reg.core import xla

# A context and the backend in it. "auto" is TensorFlow's op, except under XLA.
CONTEXTS = [("eager", "auto"), ("graph", "auto"), ("graph", "xla"), ("xla", "auto")]
MODES = [(i, f) for i in image.INTERPOLATIONS for f in image.FILL_MODES]
# Zoom 0.5, zoom 2 and a projective one: reductions, borders that are clamped, and magnifications.
ANY = [
    [0.5, 0.0131, 1.173, 0.0071, 0.5, 1.391, 0, 0],
    [2.0, 0.0231, -3.117, -0.0171, 2.0, -2.731, 0, 0],
    [1.1, 0.0713, -0.913, -0.0537, 0.9, 0.617, 0.0213, -0.0171],
]
NEAR_IDENTITY = [[1.013, -0.017, 0.737, 0.011, 0.979, -1.213, 0, 0]] * 3
SIZE, OUTPUT_SIZE = (7, 6), (8, 5)
COMPILED_ON_ITS_OWN = 64  # pixels per side from which parts of a graph are XLA programs


def random(*shape, seed=0, dtype=tf.float64):
    return tf.constant(np.random.default_rng(seed).uniform(-1, 1, shape), dtype)


def in_context(context, function):
    if context == "eager":
        return function
    return tf.function(function, jit_compile=context == "xla")


def derivatives(function, x, direction):
    """Of a scalar function: by three tapes open at once, and along `direction`, the second."""
    with tf.GradientTape(persistent=True) as outer, tf.GradientTape() as other:
        outer.watch(x)
        other.watch(x)
        with tf.GradientTape() as inner:
            inner.watch(x)
            value = function(x)
        first = inner.gradient(value, x)
        slope = tf.reduce_sum(tf.cast(first, direction.dtype) * direction)
    again = outer.gradient(value, x), other.gradient(value, x)
    return value, first, again, outer.gradient(slope, x)


def assert_are_finite_differences(function, x, step=1e-3, rtol=2e-4):
    """`function` returns what `derivatives` does."""
    direction = random(*x.shape, seed=7)
    _, first, again, second = function(x, direction)
    for other in again:
        np.testing.assert_allclose(other, first, rtol=1e-5, atol=1e-6)
    shift = tf.cast(step * direction, x.dtype)
    ahead, behind = function(x + shift, direction), function(x - shift, direction)
    slope = np.sum(np.float64(first) * direction)
    np.testing.assert_allclose(
        slope, (ahead[0] - behind[0]) / (2 * step), rtol=rtol, atol=rtol * np.linalg.norm(first)
    )
    difference = (np.float64(ahead[1]) - np.float64(behind[1])) / (2 * step)
    assert np.linalg.norm(second) > 0
    np.testing.assert_allclose(second, difference, rtol=rtol, atol=rtol * np.abs(second).max())


def curved(values):
    """A scalar whose first and second derivatives are neither constant nor zero."""
    weights = random(*values.shape[1:], seed=3)
    return tf.reduce_sum(tf.sin(2.0 * tf.cast(values, tf.float64)) * weights)


FEW_MODES = [("bilinear", "constant"), ("nearest", "reflect")]


def slow_unless(fast, *case):
    return pytest.param(*case, marks=() if fast else pytest.mark.slow)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("context", "backend", "modes"),
    [slow_unless(c == "eager" or m in FEW_MODES, c, b, m) for c, b in CONTEXTS for m in MODES],
)
def test_transform(context, backend, modes, transforms=ANY):
    image.set_backend(backend)

    def warped(x, direction):
        def value(x):
            return curved(image.transform(x, transforms, *modes, OUTPUT_SIZE, fill_value=0.5))

        return derivatives(value, x, direction)

    assert_are_finite_differences(in_context(context, warped), random(3, *SIZE, 2))


@pytest.mark.slow
@pytest.mark.parametrize(("context", "backend"), CONTEXTS)
def test_transform_near_the_identity(context, backend):
    """Where the adjoint is a gather, not a scatter."""
    test_transform(context, backend, ("bilinear", "constant"), NEAR_IDENTITY)


EPSILON = {tf.float16: 2.0**-10, tf.bfloat16: 2.0**-7, tf.float32: 2.0**-23}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("context", "backend", "dtype", "all_modes"),
    [
        (context, backend, dtype, all_modes)
        for context, backend in CONTEXTS
        for dtype in EPSILON
        # Compiled, each mode takes seconds; test_transform has them in float64.
        for all_modes in ((False, True) if context == "eager" else (False,))
    ],
)
def test_transform_in_lower_precision_is_that_of_float64(context, backend, dtype, all_modes):
    """The oracle is float64, which `test_transform` compares with finite differences."""
    image.set_backend(backend)
    tested = MODES if all_modes else FEW_MODES[:1]
    images = tf.cast(random(3, *SIZE, 2), dtype)
    direction = tf.cast(tf.cast(random(*images.shape, seed=7), dtype), tf.float64)

    def in_all_modes(images, direction):
        def value(images, modes):
            return curved(image.transform(images, ANY, *modes, OUTPUT_SIZE))

        return [derivatives(lambda x, m=m: value(x, m), images, direction) for m in tested]

    def weight(modes):
        """How much an input pixel counts in the output, at most."""
        x = tf.ones_like(images, tf.float64)
        with tf.GradientTape() as tape:
            tape.watch(x)
            total = tf.reduce_sum(image.transform(x, ANY, *modes, OUTPUT_SIZE))
        return float(tf.reduce_max(tape.gradient(total, x)))

    low = in_context(context, in_all_modes)(images, direction)
    full = in_context(context, in_all_modes)(tf.cast(images, tf.float64), direction)
    # All values, weights and directions are at most 1, and the n-th derivative of sin(2 y) at
    # most 2 ** n. Each of these is rounded, by half an epsilon of it: y, the gradient in y, its
    # adjoint; then the direction's warp and the second derivative in y, and its adjoint. In all
    # 4 epsilons of an output pixel for the first derivative and 12 for the second. Points are
    # float32, so that weights have an error of their own of a few 1e-7.
    most = 12 * max(EPSILON[dtype], 1e-6)
    for modes, got, want in zip(tested, low, full):
        for a, b in ((got[1], want[1]), (got[3], want[3])):
            assert a.dtype == dtype
            error = np.abs(tf.cast(a, tf.float64) - b).max()
            assert error <= most * weight(modes), modes


@pytest.mark.slow
@pytest.mark.parametrize("context", ["eager", "graph", "xla", "a program of its own"])
def test_warp_by_flow_in_images_and_flow(context):
    """Fractions of pixels stay between 0.2 and 0.8: there, the flow has derivatives."""
    images = random(2, *SIZE, 2)
    whole = np.random.default_rng(1).integers(-3, 4, (2, *SIZE, 2))
    flow = tf.constant(whole + np.random.default_rng(2).uniform(0.2, 0.8, whole.shape), tf.float32)
    warp = image.warp_by_flow
    if context == "a program of its own":
        warp, context = xla.compiled(warp), "graph"

    def of_images(images, direction):
        return derivatives(lambda x: curved(warp(x, flow)), images, direction)

    def of_flow(flow, direction):
        return derivatives(lambda x: curved(warp(images, x)), flow, direction)

    assert_are_finite_differences(in_context(context, of_images), images)
    # Points are float32, so that differences of them need a large step.
    assert_are_finite_differences(in_context(context, of_flow), flow, step=0.02, rtol=5e-3)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("context", "backend", "size"),
    [*((*context, 8) for context in CONTEXTS), ("graph", "auto", COMPILED_ON_ITS_OWN)],
)
@pytest.mark.parametrize("loss", ["TransformInvarianceLoss", "SparseJacobianLoss"])
def test_losses(loss, context, backend, size):
    image.set_backend(backend)
    motion = ktr.RandomAffine(translation=1, seed=0)
    images = tf.data.Dataset.from_tensors(random(2, size, size, 2))
    dataset = ktr.data.pair_with_transformed(images.map(lambda y: (y, y)), motion)
    _, y_true = next(iter(dataset))
    loss = getattr(ktr.losses, loss)(alpha=0.7)

    def of_output(output, direction):
        def value(x):
            return tf.reduce_sum(loss.call(y_true, tf.sin(x)))

        return derivatives(value, output, direction)

    output = random(*y_true.shape[:3], 2, seed=5)
    assert_are_finite_differences(in_context(context, of_output), output)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("context", "loss"),
    [
        slow_unless(loss == "TransformInvarianceLoss", context, loss)
        for context in ("graph", "xla")
        for loss in ("TransformInvarianceLoss", "SparseJacobianLoss")
    ],
)
def test_a_step_of_a_gan_with_two_tapes(loss, context):
    """Two networks trained in one step, with a gradient penalty; the oracle is separate steps."""
    loss = getattr(ktr.losses, loss)(alpha=0.7)
    x = random(2, 64, 64, 1, dtype=tf.float32)
    dataset = tf.data.Dataset.from_tensors((x, x**2))
    x, y_true = next(iter(ktr.data.pair_with_transformed(dataset, ktr.RandomAffine(seed=0))))
    generator = tf.Variable(random(3, 3, 1, 1, dtype=tf.float32))
    critic = tf.Variable(random(3, 3, 1, 1, seed=1, dtype=tf.float32))

    def values():
        output = tf.tanh(tf.nn.conv2d(x, generator, 1, "SAME"))
        with tf.GradientTape() as tape:
            tape.watch(output)
            score = tf.reduce_mean(tf.tanh(tf.nn.conv2d(output, critic, 1, "SAME")))
            regularized = loss(y_true, output)
            total = score + regularized
        penalty = tf.reduce_sum(tape.gradient(total, output) ** 2)
        return regularized - score, score + 100.0 * penalty

    def together():
        with tf.GradientTape() as of_generator, tf.GradientTape() as of_critic:
            generator_loss, critic_loss = values()
        return [
            of_generator.gradient(generator_loss, generator),
            of_critic.gradient(critic_loss, critic),
        ]

    def apart():
        with tf.GradientTape() as tape:
            generator_loss, _ = values()
        first = tape.gradient(generator_loss, generator)
        with tf.GradientTape() as tape:
            _, critic_loss = values()
        return [first, tape.gradient(critic_loss, critic)]

    for got, want in zip(in_context(context, together)(), apart()):
        np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-6)
