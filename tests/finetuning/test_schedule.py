"""The schedule of all trainings: Adam with linear warm-up and cosine decay."""

import numpy as np
import pytest
from tensorflow import keras

from keras_temporal_reg.finetuning import schedule


@pytest.mark.parametrize(("steps", "warm_up"), [(5000, 100), (200, 20), (4, 1), (1, 1)])
def test_the_rate_rises_and_then_falls_to_a_tenth(steps, warm_up):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    schedule.compile_for(model, "mse", 0.5, steps)
    rate_of = model.optimizer._learning_rate
    rates = np.array([float(rate_of(step)) for step in range(0, steps + 1, max(steps // 200, 1))])
    assert rates[0] == 0.0
    np.testing.assert_allclose(float(rate_of(warm_up)), 0.5, rtol=1e-5)
    assert rates.max() <= 0.5 + 1e-6
    if steps > 1:
        np.testing.assert_allclose(float(rate_of(steps)), 0.05, rtol=1e-4)


def test_xla_is_asked_for_only_where_it_compiles():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    schedule.compile_for(model, "mse", 0.5, 10, xla=True)
    assert model.jit_compile is hasattr(keras, "ops")
