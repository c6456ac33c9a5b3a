"""Statistics over seeds, against numbers worked out by hand."""

import math

import pytest

from keras_temporal_reg.experiments import statistics
from keras_temporal_reg.experiments.configs import JACOBIAN, PLAIN

ROWS = [
    {"method": method, "alpha": alpha, "data": 16, "seed": seed, "psnr": psnr}
    for method, alpha, seed, psnr in (
        (PLAIN, 0.0, 0, 30.0),
        (PLAIN, 0.0, 1, 32.0),
        (JACOBIAN, 0.9, 0, 31.0),
        (JACOBIAN, 0.9, 1, 35.0),
        (JACOBIAN, 0.5, 0, None),
    )
]


@pytest.fixture
def groups():
    return statistics.group_rows(ROWS)


def test_means_and_sample_deviations_are_taken_over_seeds(groups):
    found = statistics.of_group(groups[PLAIN, 0.0, 16], "psnr")
    assert found == (31.0, pytest.approx(math.sqrt(2.0)), 2)
    assert str(found) == "31.000 +- 1.414"
    assert str(statistics.estimate([2.0])) == "2.000"
    assert statistics.of_group(groups[PLAIN, 0.0, 16], "psnr", unit=2.0).text(1) == "62.0 +- 2.8"


def test_differences_and_ratios_are_taken_seed_by_seed(groups):
    a, b = groups[JACOBIAN, 0.9, 16], groups[PLAIN, 0.0, 16]
    difference = statistics.difference(a, b, "psnr")
    assert difference == (2.0, pytest.approx(math.sqrt(2.0)), 2)
    assert difference.is_positive
    assert statistics.ratio(a, b, "psnr").mean == pytest.approx((31 / 30 + 35 / 32) / 2)


def test_a_mean_within_its_spread_is_not_positive():
    assert not statistics.estimate([3.0, -1.0]).is_positive


def test_null_in_a_row_is_nan(groups):
    assert math.isnan(statistics.of_group(groups[JACOBIAN, 0.5, 16], "psnr").mean)


def test_groups_of_a_method_are_in_the_order_of_alpha(groups):
    assert list(statistics.of_method(groups, JACOBIAN)) == [0.5, 0.9]
    assert statistics.first_of(groups, "magic") is None
