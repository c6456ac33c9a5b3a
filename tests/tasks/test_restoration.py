"""Tests of restoration."""

import numpy as np

from keras_temporal_reg.tasks import restoration


def test_input_target_and_baseline_are_the_image():
    rgb = np.random.default_rng(0).uniform(size=(2, 5, 7, 3))
    x, y = restoration.encode(rgb)
    for result in (x, y, restoration.baseline(x), restoration.decode(x, y), restoration.input(rgb)):
        np.testing.assert_array_equal(result, rgb.astype(np.float32))


def test_there_is_no_degradation():
    assert restoration.make_input is None and restoration.scale == 1
