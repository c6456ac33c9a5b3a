"""Ticks, colours and sizes of what the report page draws, against matplotlib and closed forms."""

import math

import matplotlib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_temporal_reg.evaluation.report import plots


def test_flicker_maps_have_the_colours_of_matplotlib():
    values = np.linspace(0, 1, 256)
    ours = plots._coloured(values[np.newaxis], 1.0)[0] / 255.0
    assert np.abs(ours - matplotlib.colormaps["inferno"](values)[:, :3]).max() < 0.01


def test_large_flicker_maps_shrink_by_root_mean_squares(monkeypatch):
    monkeypatch.setattr(plots, "HEAT_MAP_SIDE", 4)
    large = np.random.default_rng(0).uniform(size=(6, 8))
    small = plots._shrunk(large)
    assert small.shape == (3, 4)
    assert small[0, 1] == pytest.approx(math.sqrt(np.mean(large[:2, 2:4] ** 2)))
    assert small[2, 3] == pytest.approx(math.sqrt(np.mean(large[4:, 6:] ** 2)))
    assert math.sqrt(np.mean(small**2)) == pytest.approx(math.sqrt(np.mean(large**2)))
    np.testing.assert_array_equal(plots._shrunk(large[:3, :4]), large[:3, :4])


@given(
    st.floats(-1e6, 1e6, allow_subnormal=False),
    st.floats(1e-6, 1e6, allow_subnormal=False),
)
def test_ticks_are_few_and_enclose_the_values(low, extent):
    high = low + max(extent, 1e-6 * abs(low))
    ticks = plots.value_ticks(low, high)
    slack = 1e-6 * (ticks[1] - ticks[0])
    assert ticks[0] <= low + slack and high <= ticks[-1] + slack
    assert 3 <= len(ticks) <= 8
    texts = plots.tick_texts(ticks)
    assert len({*texts}) == len(texts)
    assert [float(text) for text in texts] == pytest.approx(ticks, abs=slack)


@pytest.mark.parametrize("value", [0.0, 0.3, -7.0, 1e-9, 1e9])
def test_a_level_line_gets_room(value):
    ticks = plots.value_ticks(value, value)
    assert ticks[0] < value < ticks[-1]


@pytest.mark.parametrize("count", [1, 2, 7, 8, 9, 15, 16, 17, 60, 119, 1000])
def test_frames_are_numbered_from_one_and_by_round_numbers(count):
    first, *others = (frame + 1 for frame in plots.frame_ticks(count))
    assert first == 1 and len(others) <= 8
    assert all(1 < number <= count for number in others)
    steps = {*np.diff(others).tolist()}
    assert len(steps) <= 1 and all(number % step == 0 for number in others for step in steps)
