"""Tests of parts that compile on their own, and of when they do."""

import copy
import logging

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

import keras_temporal_reg as ktr
from keras_temporal_reg import image
from keras_temporal_reg.core import xla
from keras_temporal_reg.data import _pairing as pairing

BIG, SMALL = tf.zeros((2, 64, 64, 1)), tf.zeros((2, 16, 16, 1))


def in_graph(function, *arguments, **options):
    """What `function` returns to Python while TensorFlow traces it."""
    seen = []
    tf.function(lambda *a: seen.append(function(*a)) or 0, **options)(*arguments)
    return seen[0]


def test_is_tracing_holds_only_while_xla_traces():
    assert not xla.is_tracing()
    assert not in_graph(xla.is_tracing)
    assert in_graph(xla.is_tracing, jit_compile=True)
    nested = tf.function(lambda: in_graph(xla.is_tracing), jit_compile=True)
    assert not xla.is_tracing()
    nested()


def test_large_images_are_compiled_in_functions_that_are_not():
    assert in_graph(xla.should_compile, BIG)
    assert not in_graph(xla.should_compile, SMALL)
    assert not in_graph(xla.should_compile, BIG, SMALL)
    assert not in_graph(xla.should_compile, BIG, jit_compile=True)
    assert not xla.should_compile(BIG)  # eager calls may bring another size each
    assert xla.should_compile(tf.zeros((1, 256, 256, 1)))


@pytest.mark.parametrize("shape, expected", [((None, 64, 64, 1), True), ((2, None, 64, 1), False)])
def test_sizes_known_only_when_run_are_not_compiled(shape, expected):
    seen = []

    @tf.function(input_signature=[tf.TensorSpec(shape)])
    def traced(images):
        seen.append(xla.should_compile(images))

    traced.get_concrete_function()
    assert seen == [expected]


def test_fused_function_has_the_value_and_the_gradient_of_the_plain_one():
    def plain(a, b):
        return tf.sin(a) * b**2

    fused = xla.fused(plain)
    a, b = tf.constant([0.5, 1.0]), tf.constant([2.0, -3.0])

    @tf.function
    def gradient(function):
        with tf.GradientTape() as tape:
            tape.watch(b)
            value = function(a, b) * [1.0, 2.0]
        return value, tape.gradient(value, b)

    for got, want in zip(gradient(fused), gradient(plain)):
        np.testing.assert_allclose(got, want, rtol=1e-6)


def paired_batch(size=64, fraction=1.0):
    rng = np.random.default_rng(0)
    y = tf.constant(rng.uniform(size=(4, size, size, 2)), tf.float32)
    motion = ktr.RandomAffine()
    _, y_true, _ = pairing.pair(y, y, transform=motion, seed=(1, 2), pair_fraction=fraction)
    return y_true, tf.constant(rng.uniform(size=(len(y_true), size, size, 2)), tf.float32)


def value_and_gradient(loss, y_true, y_pred):
    with tf.GradientTape() as tape:
        tape.watch(y_pred)
        value = loss(y_true, y_pred)
    return value, tape.gradient(value, y_pred)


@pytest.mark.slow
@pytest.mark.parametrize("fraction", [1.0, 0.25])
@pytest.mark.parametrize("loss", ["TransformInvarianceLoss", "SparseJacobianLoss"])
def test_loss_is_the_same_in_every_context(loss, fraction):
    loss = getattr(ktr.losses, loss)(alpha=0.7, distance="mae")
    y_true, y_pred = paired_batch(fraction=fraction)
    eager = value_and_gradient(loss, y_true, y_pred)
    for compiled in (None, True):
        traced = tf.function(value_and_gradient, jit_compile=compiled)(loss, y_true, y_pred)
        np.testing.assert_allclose(traced[0], eager[0], rtol=1e-5)
        np.testing.assert_allclose(traced[1], eager[1], atol=1e-8 + 1e-4 * np.abs(eager[1]).max())


def compiles_its_own(function, *arguments):
    graph = tf.function(function).get_concrete_function(*arguments).graph.as_graph_def()
    functions = [f.attr for f in graph.library.function]
    return any(attr["_XlaMustCompile"].b for attr in functions if "_XlaMustCompile" in attr)


@pytest.mark.slow
def test_loss_map_and_pairing_are_programs_of_their_own_in_a_plain_function():
    y_true, y_pred = paired_batch()
    assert compiles_its_own(ktr.losses.SparseJacobianLoss(), y_true, y_pred)
    motion = ktr.RandomAffine(seed=0)

    def paired(y):
        return pairing.pair(y, y, transform=motion, seed=(1, 2))[:2]

    assert compiles_its_own(paired, y_pred)
    # What a user gives may do anything.
    custom = ktr.losses.SparseJacobianLoss(distance=lambda a, b: tf.abs(a - b))
    assert not compiles_its_own(custom, y_true, y_pred)
    image.set_backend("op")
    assert not compiles_its_own(paired, y_pred)


def test_a_loss_of_a_users_own_that_does_not_compile_still_trains():
    def distance(a, b):
        difference = tf.numpy_function(np.subtract, [a, b], tf.float32)
        return tf.ensure_shape(tf.square(difference), a.shape)

    y_true, y_pred = paired_batch()
    loss = ktr.losses.SparseJacobianLoss(distance=distance)
    assert np.isfinite(tf.function(loss)(y_true, y_pred))


@pytest.mark.slow
def test_pairing_is_the_same_in_every_context():
    motion = ktr.RandomAffine(seed=0)
    y = paired_batch()[1]

    def paired(y):
        return pairing.pair(y, y, transform=motion, seed=(1, 2), pair_fraction=0.5)[:2]

    eager = paired(y)
    for compiled in (None, True):
        for got, want in zip(tf.function(paired, jit_compile=compiled)(y), eager):
            np.testing.assert_allclose(got, want, atol=1e-4)


def test_a_loss_can_be_copied_after_it_was_used():
    y_true, y_pred = paired_batch()
    loss = ktr.losses.SparseJacobianLoss(alpha=0.6)
    value = tf.function(loss)(y_true, y_pred)
    again = type(loss).from_config(loss.get_config())
    for other in (again, copy.copy(loss)):
        np.testing.assert_allclose(tf.function(other)(y_true, y_pred), value, rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("route", ["in-graph", "tf.data"])
def test_one_trace_over_epochs_and_the_last_batch(route):
    traces = []

    class Counting(keras.layers.Layer):
        def call(self, images):
            traces.append(images.shape)
            return images

    images = np.random.default_rng(0).uniform(size=(10, 64, 64, 1)).astype(np.float32)
    dataset = tf.data.Dataset.from_tensor_slices((images, images)).batch(4)  # 4, 4 and 2
    inputs = keras.Input((64, 64, 1))
    outputs = keras.layers.Conv2D(1, 3, padding="same")(Counting()(inputs))
    model, motion = keras.Model(inputs, outputs), ktr.RandomAffine(seed=0)
    if route == "in-graph":
        model = ktr.RegularizedModel(model, motion, pair_fraction=0.5)
    else:
        dataset = ktr.data.pair_with_transformed(dataset, motion, pair_fraction=0.5)
    model.compile("sgd", ktr.losses.SparseJacobianLoss(), jit_compile=False)
    model.fit(dataset, epochs=1, verbose=0)
    after_first_epoch = len(traces)
    model.fit(dataset, epochs=3, verbose=0)
    assert len(traces) == after_first_epoch


@pytest.mark.slow
def test_no_warning_of_retracing_over_epochs(caplog):
    images = np.random.default_rng(0).uniform(size=(10, 64, 64, 1)).astype(np.float32)
    network = keras.Sequential([keras.Input((64, 64, 1)), keras.layers.Conv2D(1, 1)])
    model = ktr.RegularizedModel(network, ktr.RandomAffine(seed=0))
    model.compile("sgd", ktr.losses.TransformInvarianceLoss(), jit_compile=False)
    with caplog.at_level(logging.WARNING, logger="tensorflow"):
        model.fit(images, images, batch_size=4, epochs=6, verbose=0)
    assert "retracing" not in caplog.text


def test_programs_by_shape_give_the_function_without_a_warning_of_retracing(caplog):
    double = xla.compiled_by_shape(lambda x: 2.0 * x)
    with caplog.at_level(logging.WARNING, logger="tensorflow"):
        for size in (*range(1, 9), 3):
            np.testing.assert_array_equal(double(tf.ones(size)), np.full(size, 2.0))
    assert "retracing" not in caplog.text


def test_a_program_is_made_for_shapes_that_come_again(caplog):
    compiled, meanwhile = [], []

    def function(x):
        compiled.append(x.shape)
        return 2.0 * x

    def slower(x):
        meanwhile.append(x.shape)
        return 2.0 * x

    double = xla.compiled_when_repeated(function, slower)
    for size in (1, 2, 1, 2, 1, 2, 1, 3):
        np.testing.assert_array_equal(double(tf.ones(size)), np.full(size, 2.0))
    assert meanwhile == [1, 2, 1, 2, 3]
    assert compiled == [1, 2]  # traced once each
    double(tf.ones(1, tf.float64))
    assert meanwhile[-1] == 1 and len(meanwhile) == 6


@pytest.mark.parametrize("size", [12, 70])
def test_repeated_eager_gradients_are_those_of_the_first(size):
    images = tf.constant(np.random.default_rng(0).random((2, size, size, 3)), tf.float32)
    motion = ktr.RandomAffine(seed=0).sample(2, size, size, (0, 1))
    found = []
    for _ in range(4):
        with tf.GradientTape() as tape:
            tape.watch(images)
            warped = ktr.image.transform(images, motion, interpolation="bilinear")
        found.append(tape.gradient(warped, images, images).numpy())
    for gradient in found[1:]:
        np.testing.assert_allclose(gradient, found[0], atol=1e-5)  # of other rounding
