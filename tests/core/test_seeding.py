"""Tests of seeds; what draws with them is tested beside it."""

import numpy as np
import pytest
import tensorflow as tf

from keras_temporal_reg.core import seeding


def test_split_follows_the_given_seed_or_tensorflows():
    np.testing.assert_array_equal(seeding.split((1, 2), 3), seeding.split((1, 2), 3))
    drawn = []
    for _ in range(2):
        tf.random.set_seed(5)
        drawn.append([seeding.split(None, 2) for _ in range(2)])
    np.testing.assert_array_equal(*drawn)
    assert not np.array_equal(drawn[0][0], drawn[0][1])


def test_uniform_numbers_fill_their_range_and_are_the_same_under_xla():
    drawn = seeding.uniform((1000,), (1, 2)).numpy()
    assert 0.0 <= drawn.min() < 0.01
    assert 0.99 < drawn.max() < 1.0
    compiled = tf.function(lambda: seeding.uniform((1000,), (1, 2)), jit_compile=True)
    np.testing.assert_array_equal(compiled(), drawn)


def test_draws_of_an_object_go_on_in_a_graph():
    class Owner:
        seed = 4

    eager, traced = (seeding.Draws(Owner()) for _ in range(2))
    following = tf.function(traced.next)
    first, second = (
        [draw().numpy().tolist() for _ in range(3)] for draw in (eager.next, following)
    )
    assert first == second == [[4, 1], [4, 2], [4, 3]]


@pytest.mark.parametrize("seed", [-1, 1.5, "1", True])
def test_a_wrong_seed_is_named(seed):
    with pytest.raises(ValueError, match="seed must be a whole number of at least 0"):
        seeding.checked(seed)


@pytest.mark.parametrize(
    "function, takes",
    [
        (lambda x, seed=None: x, True),
        (lambda x, **options: x, True),
        (lambda x: x, False),
        (max, True),  # Python cannot look into it
    ],
)
def test_whether_a_function_takes_a_seed(function, takes):
    assert seeding.takes_seed(function) is takes
