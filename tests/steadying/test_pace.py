"""How many steps fit into a time."""

import pytest
import tensorflow as tf
from tensorflow import keras

from keras_temporal_reg.steadying import pace
from keras_temporal_reg.steadying.config import LEAST_STEPS, MOST_STEPS


@pytest.mark.parametrize(
    ("seconds", "steps"),
    [(100.0, 450), (12.0, LEAST_STEPS), (-5.0, LEAST_STEPS), (1e6, MOST_STEPS)],
)
def test_the_steps_fill_the_time_within_limits(seconds, steps):
    assert pace.steps_within(seconds, first_step=5.0, step=0.1, trainings=2) == steps


def test_the_estimate_is_the_sum_of_the_parts():
    found = pace.Pace(first_step=5.0, step=0.1, rest=20.0, trainings=2, steps=300)
    assert found.seconds == pytest.approx(2 * (5.0 + 30.0) + 20.0)
    assert found.describe() == (
        "2 trainings of 300 steps, 10.0 steps per second: about 1.5 minutes in all."
    )


def test_measured_times_are_positive():
    model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Conv2D(1, 3, padding="same")])
    model.compile("sgd", "mse")
    batches = iter(lambda: (tf.zeros((1, 8, 8, 1)), tf.zeros((1, 8, 8, 1))), None)
    first, each = pace.measure(model, batches)
    assert first > each > 0
