"""Fronts, against straight lines worked out by hand."""

import math

import pytest
from helpers.experiments import row

from keras_temporal_reg.experiments import fronts, statistics
from keras_temporal_reg.experiments.configs import JACOBIAN, PLAIN


def _fronts(*rows):
    return fronts.points(statistics.group_rows(rows, "clips"), JACOBIAN)


def test_a_front_starts_at_the_baseline_of_its_seed():
    found = _fronts(
        row(PLAIN, seed=0, psnr=30.0),
        row(PLAIN, seed=1, psnr=31.0, flicker=20.0),
        row(JACOBIAN, 0.9, 0, psnr=29.5, flicker=6.0),
        row(JACOBIAN, 0.5, 0, psnr=30.2, flicker=8.0),
        row(JACOBIAN, 0.9, 1, psnr=31.0, flicker=18.0),
        row(JACOBIAN, 0.5, 1, psnr=31.0, flicker=19.0),
        row(JACOBIAN, 0.5, 2),
    )
    assert {*found} == {0, 1}
    for found_points, expected in (
        (found[0], [(1.0, 0.0), (0.8, 0.2), (0.6, -0.5)]),
        (found[1], [(1.0, 0.0), (0.95, 0.0), (0.9, 0.0)]),
    ):
        for point, values in zip(found_points, expected, strict=True):
            assert point == pytest.approx(values)


def test_flicker_at_equal_psnr_is_where_the_line_crosses():
    front = [fronts.Point(1.0, 0.0), fronts.Point(0.8, 0.2), fronts.Point(0.6, -0.2)]
    # The last line falls by 0.4 dB over 0.2 of the flicker.
    assert fronts.least_flicker(front, 0.0) == pytest.approx(0.7, abs=1e-3)
    assert fronts.least_flicker(front, 0.1) == pytest.approx(0.65, abs=1e-3)
    assert fronts.least_flicker(front, 1.0) == pytest.approx(0.6)
    # A method that only loses stays where it starts.
    assert fronts.least_flicker([fronts.Point(1.0, 0.0), fronts.Point(0.9, -0.5)], 0.0) == 1.0


def test_psnr_at_equal_flicker_is_where_the_line_crosses():
    front = [fronts.Point(1.0, 0.0), fronts.Point(0.6, -0.4)]
    assert fronts.highest_psnr(front, 0.8) == pytest.approx(-0.2, abs=2e-3)
    assert math.isnan(fronts.highest_psnr(front, 0.5))


def test_estimates_are_over_seeds():
    front = [fronts.Point(1.0, 0.0), fronts.Point(0.6, -0.4)]
    steeper = [fronts.Point(1.0, 0.0), fronts.Point(0.6, -0.8)]
    found = fronts.flicker_at({0: front, 1: steeper}, 0.1)
    assert found.mean == pytest.approx((0.9 + 0.95) / 2, abs=1e-3) and found.seeds == 2
    assert fronts.psnr_at({0: front, 1: steeper}, 0.8).mean == pytest.approx(-0.3, abs=3e-3)
    assert math.isnan(fronts.psnr_at({0: front}, 0.5).mean)
