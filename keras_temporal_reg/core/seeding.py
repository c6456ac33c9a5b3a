"""Seeds of the random draws of a run, so that the same seed gives the same draws."""

from __future__ import annotations

import inspect
import random
from collections.abc import Callable
from typing import Any

import tensorflow as tf


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
    call = getattr(function, "call", function)
    try:
        parameters = inspect.signature(call).parameters
    except (TypeError, ValueError):
        return function(images)
    options: dict[str, Any] = {"training": True} if "training" in parameters else {}
    if "seed" in parameters and parameters["seed"].default in (None, inspect.Parameter.empty):
        options["seed"] = seed
    return function(images, **options)
