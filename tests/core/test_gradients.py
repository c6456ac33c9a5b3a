"""Linear maps with their adjoints as gradients, at every order."""

import numpy as np
import pytest
import tensorflow as tf

from keras_temporal_reg.core import gradients

MATRIX = tf.constant(np.random.default_rng(0).normal(size=(3, 4)))
OFFSET = tf.constant([1.0, 2.0, 3.0], tf.float64)


def affine(calls):
    """``MATRIX @ x + OFFSET``, which notes its calls and what they were called with."""

    def noted(name, function):
        def call(x):
            calls.append(name)
            return function(x)

        return call

    return gradients.with_adjoint(
        noted("function", lambda x: tf.linalg.matvec(MATRIX, x) + OFFSET),
        noted("adjoint", lambda y: tf.linalg.matvec(MATRIX, y, transpose_a=True)),
        noted("linear", lambda x: tf.linalg.matvec(MATRIX, x)),
    )


@pytest.mark.parametrize("jit_compile", ["eager", False, True])
def test_derivatives_of_every_order_are_those_of_the_plain_function(jit_compile):
    def third(function, x):
        """Of sum(function(x) ** 4): the first three derivatives, each summed with weights."""
        weights = tf.constant([1.0, -2.0, 0.5, 3.0], tf.float64)
        with tf.GradientTape() as a:
            a.watch(x)
            with tf.GradientTape(persistent=True) as b:
                b.watch(x)
                with tf.GradientTape() as c:
                    c.watch(x)
                    value = tf.reduce_sum(function(x) ** 4)
                first = c.gradient(value, x)
                slope = tf.reduce_sum(first * weights)
            second = b.gradient(slope, x)
            curvature = tf.reduce_sum(second * weights)
        return first, second, a.gradient(curvature, x)

    if jit_compile != "eager":
        third = tf.function(third, jit_compile=jit_compile)
    x = tf.constant([0.3, -0.1, 0.7, 0.2], tf.float64)
    expected = third(lambda x: tf.linalg.matvec(MATRIX, x) + OFFSET, x)
    for got, want in zip(third(affine([]), x), expected):
        np.testing.assert_allclose(got, want, rtol=1e-10)


def test_the_function_is_called_once_for_its_value_and_its_parts_for_gradients():
    calls, x = [], tf.zeros(4, tf.float64)
    with tf.GradientTape(persistent=True) as outer, tf.GradientTape() as inner:
        outer.watch(x)
        inner.watch(x)
        value = affine(calls)(x)
        assert calls == ["function"]
    inner.gradient(value, x)
    assert calls == ["function", "adjoint"]
    outer.gradient(value, x)
    assert calls == ["function", "adjoint", "adjoint"]


def test_operations_of_the_function_need_no_gradients_of_their_own():
    @tf.function
    def distinct(x):
        return tf.raw_ops.Unique(x=x)[0]

    x, upstream = tf.constant([1.0, 2.0]), tf.constant([3.0, 4.0])
    identity = gradients.with_adjoint(distinct, distinct)
    for function in (distinct, identity):
        with tf.GradientTape(persistent=True) as a, tf.GradientTape() as b:
            a.watch(x)
            b.watch(x)
            if function is distinct:
                with pytest.raises(LookupError, match="No gradient defined"):
                    function(x)
                continue
            value = function(x)
        for tape in (a, b):
            got = tape.gradient(value, x, output_gradients=upstream)
            np.testing.assert_array_equal(got, upstream)
