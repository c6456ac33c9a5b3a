"""Tests of super-resolution, against means of pixels."""

import numpy as np
import pytest

from keras_temporal_reg import tasks

SCALES = {
    2: tasks.super_resolution,
    3: tasks.super_resolution_3,
    4: tasks.super_resolution_4,
}


@pytest.mark.parametrize("scale, task", SCALES.items())
def test_input_is_the_mean_of_scale_by_scale_pixels(scale, task):
    rgb = np.random.default_rng(0).uniform(size=(12, 12, 3)).astype(np.float32)
    x, _ = task.encode(rgb)
    expected = rgb.reshape(12 // scale, scale, 12 // scale, scale, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(x, expected, rtol=1e-6)


@pytest.mark.parametrize("task", SCALES.values(), ids=SCALES.keys())
@pytest.mark.parametrize("values", [(0.0, 1.0), (0.0, 255.0)])
def test_make_input_is_deterministic(task, values):
    make_input = tasks.with_value_range(task, *values).make_input
    y = np.random.default_rng(0).uniform(size=(2, 12, 12, 3)).astype(np.float32)
    np.testing.assert_array_equal(make_input(y), make_input(y))
