"""XLA: whether TensorFlow compiles what it traces, and parts that compile on their own.

A training step that is not compiled runs one op after the other, and each op writes its result
to memory. This package adds many small ops on whole images to a step; there, it compiles them
as XLA programs of their own.
"""

from __future__ import annotations

import collections
import functools
import platform
from collections.abc import Callable
from typing import Any

import tensorflow as tf

# Private, because TensorFlow has no public way to ask this.
from tensorflow.python.ops.control_flow_util import GraphOrParentsInXlaContext

# Pixels per image below which compilation takes longer than it saves: in a function that is
# traced once, and in eager calls, each of which may have another size.
_PIXELS_IN_GRAPH = 64 * 64
_PIXELS_IN_EAGER = 256 * 256
_CALLS_BEFORE_COMPILATION = 2  # of eager calls with smaller images of one shape


def is_tracing() -> bool:
    """Whether TensorFlow is tracing a function for XLA."""
    return not tf.executing_eagerly() and GraphOrParentsInXlaContext(
        tf.compat.v1.get_default_graph()
    )


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` as an XLA program, compiled anew for each shape of its arguments."""
    return tf.function(function, jit_compile=True, autograph=False)


def compiled_by_shape(function: Callable[..., Any]) -> Callable[..., Any]:
    """As `compiled`, for eager calls with many shapes, of which TensorFlow would warn."""
    programs: dict[Any, Callable[..., Any]] = {}

    def call(*arguments: tf.Tensor) -> Any:
        shapes = tuple(tuple(argument.shape) for argument in arguments)
        if shapes not in programs:
            # TensorFlow counts traces by code, which a partial has none of: by program then.
            programs[shapes] = compiled(functools.partial(function))
        return programs[shapes](*arguments)

    return call


def compiled_when_repeated(
    function: Callable[..., Any], meanwhile: Callable[..., Any]
) -> Callable[..., Any]:
    """As `compiled_by_shape`, for eager calls of which few may have one shape.

    Args:
        function: what is compiled, the third time that its arguments have one shape.
        meanwhile: the same, slower, without a program for each shape.
    """
    program = compiled_by_shape(function)
    calls: collections.Counter[Any] = collections.Counter()

    def call(*arguments: tf.Tensor) -> Any:
        shapes = tuple((argument.dtype, tuple(argument.shape)) for argument in arguments)
        calls[shapes] += 1
        repeated = calls[shapes] > _CALLS_BEFORE_COMPILATION and not _lacks_xla()
        return (program if repeated else meanwhile)(*arguments)

    return call


def fused(function: Callable[..., tf.Tensor]) -> Callable[..., tf.Tensor]:
    """`function` as an XLA program, and its gradient in the last argument as another.

    The second computes the first's results again where it needs them, which within a program
    costs less than to store them.
    """
    forward = compiled(function)

    @compiled
    def backward(upstream: tf.Tensor, *arguments: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            tape.watch(arguments[-1])
            value = function(*arguments)
        return tape.gradient(value, arguments[-1], output_gradients=upstream)

    @tf.custom_gradient
    def call(*arguments: tf.Tensor) -> tuple[tf.Tensor, Callable[..., Any]]:
        def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor | None, ...]:
            return (*[None] * (len(arguments) - 1), backward(upstream, *arguments))

        # Not recorded: a second tape would have TensorFlow make another gradient of it.
        return forward(*map(tf.stop_gradient, arguments)), gradient

    # Autograph would lose the gradient of a decorated function.
    return tf.autograph.experimental.do_not_convert(call)


def should_compile(*images: tf.Tensor) -> bool:
    """Whether a part that works on these NHWC images should be an XLA program of its own.

    Not where everything is compiled anyway, nor for small images, for sizes that are unknown
    before the run (each size is compiled anew), or on Apple's GPUs, which have no XLA.
    """
    if is_tracing() or _lacks_xla():
        return False
    least = _PIXELS_IN_EAGER if tf.executing_eagerly() else _PIXELS_IN_GRAPH
    sizes = [image.shape[1:] for image in images]
    return all(s.is_fully_defined() and s[0] * s[1] >= least for s in sizes)


def _lacks_xla() -> bool:
    """Whether the device is one of Apple's GPUs."""
    return platform.system() == "Darwin" and bool(tf.config.list_physical_devices("GPU"))
