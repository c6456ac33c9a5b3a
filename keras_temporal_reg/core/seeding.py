"""Seeds of the random draws of a run, so that the same seed gives the same draws."""

from __future__ import annotations

import inspect
import random
from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from keras_temporal_reg.core import validation


class Draws:
    """Seeds of the successive draws of an object that has a `seed`, or None."""

    def __init__(self, owner: Any) -> None:
        self._owner = owner
        self._first: int | None = None
        self._count: tf.Variable | None = None

    def next(self) -> tf.Tensor:
        """The seed of the next draw, ``(2,)`` int64; in graphs, of each run of this operation."""
        if self._count is None:
            self._first = chosen_seed(self._owner)
            with tf.init_scope():
                self._count = tf.Variable(0, dtype=tf.int64, trainable=False)
        return tf.stack([tf.constant(self._first, tf.int64), self._count.assign_add(1)])


def checked(seed: int | None) -> int | None:
    """The argument `seed` of a public object.

    Raises:
        ValueError: if it is neither None nor an integer of at least 0.
    """
    return None if seed is None else validation.whole_number("seed", seed, 0)


def uniform(shape: Any, seed: Any) -> tf.Tensor:
    """Numbers in [0, 1), float32, the same on every device and under XLA.

    Args:
        shape: of the result.
        seed: two integers that determine the numbers.
    """
    # Integers, since TensorFlow draws other floats from the same seed under XLA.
    bits = tf.random.stateless_uniform(
        shape, tf.cast(seed, tf.int32), minval=None, maxval=None, dtype=tf.int32, alg="philox"
    )
    return tf.cast(tf.bitwise.bitwise_and(bits, 2**24 - 1), tf.float32) * 2.0**-24


def split(seed: Any, count: int) -> list[tf.Tensor]:
    """Return `count` seeds of stateless random ops; those of TensorFlow's global seed for None."""
    if seed is None:
        seed = tf.random.uniform((2,), maxval=tf.int32.max, dtype=tf.int32)
    return tf.unstack(tf.random.experimental.stateless_split(seed, count))


def chosen_seed(transform: Any, seed: int | None = None) -> int:
    """The seed of `transform`, else `seed`, else a random number from Python's generator.

    `keras.utils.set_random_seed` seeds that generator.
    """
    own = getattr(transform, "seed", None)
    seed = seed if own is None else own
    return random.randint(0, 2**31 - 1) if seed is None else int(seed)


def seed_pairs(seed: int) -> tf.data.Dataset:
    """Seeds for stateless random ops, ``(2,)`` int64 each; new ones in each epoch."""
    numbers = tf.data.Dataset.random(seed, rerandomize_each_iteration=True)
    # Integers below 2**32; a seed must be below 2**31.
    return numbers.map(lambda n: tf.bitwise.right_shift(n, tf.constant(1, tf.int64))).batch(
        2, drop_remainder=True
    )


def call_in_training(
    function: Callable[..., tf.Tensor], images: tf.Tensor, seed: Any = None
) -> tf.Tensor:
    """Call a layer or function, with ``training=True`` and a seed if it accepts them.

    Layers that act only in training, such as GaussianNoise, get ``training=True``. A function with
    an argument `seed` that has no default, or None, gets `seed`, two integers for stateless random
    ops: each step then draws the same numbers in a resumed run.
    """
    parameters = _parameters(getattr(function, "call", function))
    if parameters is None:
        return function(images)
    options: dict[str, Any] = {"training": True} if "training" in parameters else {}
    if "seed" in parameters and parameters["seed"].default in (None, inspect.Parameter.empty):
        options["seed"] = seed
    return function(images, **options)


def takes_seed(function: Callable[..., Any]) -> bool:
    """Whether a function has an argument `seed`; True where Python cannot tell."""
    parameters = _parameters(function)
    if parameters is None or "seed" in parameters:
        return True
    return any(p.kind == inspect.Parameter.VAR_KEYWORD for p in parameters.values())


def _parameters(function: Callable[..., Any]) -> Mapping[str, inspect.Parameter] | None:
    try:
        return inspect.signature(function).parameters
    except (TypeError, ValueError):
        return None
