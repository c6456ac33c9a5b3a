"""Gradients of linear maps, exact at every order and under any tape."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

Map = Callable[[tf.Tensor], tf.Tensor]


def with_adjoint(function: Map, adjoint: Map, linear: Map | None = None) -> Map:
    """`function` with `adjoint` as its gradient, and itself as the gradient of that.

    Neither is recorded on a tape: their own operations need no gradients.

    Args:
        function: an affine map of one tensor.
        adjoint: the transpose of its linear part.
        linear: its linear part; `function` itself by default.

    Example:
        >>> double = with_adjoint(lambda x: 2 * x + 1, lambda upstream: 2 * upstream)
        >>> x = tf.constant(3.0)
        >>> with tf.GradientTape() as tape:
        ...     tape.watch(x)
        ...     y = double(x)
        >>> float(tape.gradient(y, x))
        2.0
    """

    @tf.custom_gradient
    def call(tensor: tf.Tensor) -> tuple[tf.Tensor, Map]:
        gradient = with_adjoint(adjoint, function if linear is None else linear)
        return function(tf.stop_gradient(tensor)), gradient

    # Autograph would lose the gradient of a decorated function.
    return tf.autograph.experimental.do_not_convert(call)
