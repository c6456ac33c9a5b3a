"""Tests of denoising."""

import numpy as np
import pytest

from keras_temporal_reg.tasks import denoising


def test_noise_has_a_standard_deviation_of_005():
    x, y = denoising.encode(np.full((200, 200, 3), 0.5, np.float32))
    assert np.std(x - y) == pytest.approx(0.05, rel=0.02)
    assert np.mean(x - y) == pytest.approx(0.0, abs=0.001)
