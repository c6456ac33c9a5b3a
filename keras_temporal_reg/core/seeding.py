"""Seeds of the random draws of a run, so that the same seed gives the same draws."""

from __future__ import annotations

import inspect
import random
from collections.abc import Callable
from typing import Any

import tensorflow as tf


def chosen_seed(transform: Any, seed: int | None = None) -> int:
    """The seed of `transform`, else `seed`, else one of Python's random numbers.

    `keras.utils.set_random_seed` seeds the last; taken when needed, it governs what follows it.
    """
    own = getattr(transform, "seed", None)
    seed = seed if own is None else own
    return random.randint(0, 2**31 - 1) if seed is None else int(seed)


def seed_pairs(seed: int) -> tf.data.Dataset:
    """Seeds of stateless random ops, ``(2,)`` int64 each; other ones in each epoch."""
    numbers = tf.data.Dataset.random(seed, rerandomize_each_iteration=True)
    # They are integers below 2**32; seeds take half of those.
    return numbers.map(lambda n: tf.bitwise.right_shift(n, tf.constant(1, tf.int64))).batch(
        2, drop_remainder=True
    )


def call_in_training(
    function: Callable[..., tf.Tensor], images: tf.Tensor, seed: Any = None
) -> tf.Tensor:
    """Call a layer or function, with ``training=True`` and a seed where it takes them.

    Layers that act in training only, such as GaussianNoise, get ``training=True``. A function
    with an argument `seed`, without a default or with None, gets two integers for stateless
    random ops: its draws are then those of the step, in a resumed run too.
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
