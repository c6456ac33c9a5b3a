"""Statistics over seeds, against numbers worked out by hand."""

import math

import pytest
from helpers.experiments import row

from keras_temporal_reg.experiments import statistics
from keras_temporal_reg.experiments.configs import JACOBIAN, PLAIN
from keras_temporal_reg.experiments.statistics import Key

BASE = Key(PLAIN, 0.0, 2000, 24)


def _groups(*rows):
    return statistics.group_rows(rows, "clips")


def _chosen(groups, method, steps=2000):
    return statistics.choose(groups, statistics.strengths_of(groups, method, steps=steps))


def test_an_interval_is_that_of_students_t():
    # The tables' quantile for 0.975 with two degrees of freedom is 4.303.
    found = statistics.estimate([1.0, 2.0, 3.0])
    assert found.mean == pytest.approx(2.0)
    assert found.margin == pytest.approx(4.303 / math.sqrt(3.0), rel=1e-3)
    assert found.low == found.mean - found.margin and found.high == found.mean + found.margin
    assert str(found) == "2.00 ± 2.48"
    assert found.times(100).text(0, "+") == "+200 ± 248"


def test_one_seed_has_no_interval():
    found = statistics.estimate([1.5])
    assert found == (1.5, 0.0, 1) and str(found) == "1.50"
    assert statistics.estimate([]).text(2) == "-"


def test_measures_are_means_over_the_clips_of_a_set():
    groups = _groups(row(PLAIN, seed=0), row(PLAIN, seed=1, flicker=12.0))
    assert statistics.of_group(groups[BASE], "flicker").mean == pytest.approx((15.0 + 18.0) / 2)
    assert statistics.of_group(groups[BASE], "psnr").mean == pytest.approx(30.0)


def test_groups_on_different_clips_are_joined():
    rows = [row(PLAIN, seed=0), row(PLAIN, seed=1, flicker=12.0)]
    parts = [statistics.group_rows(rows, "clips", [name]) for name in ("second", "first")]
    assert parts[0][BASE][1].values["flicker"] == [24.0]
    both = statistics.joined([part[BASE] for part in parts])
    assert both[1].values["flicker"] == [24.0, 12.0] and both[1].mean("flicker") == 18.0
    del parts[1][BASE][0]
    assert [*statistics.joined([part[BASE] for part in parts])] == [1]


def test_comparisons_are_made_seed_by_seed():
    rows = []
    for seed, flicker in enumerate((10.0, 20.0)):
        rows += [row(PLAIN, seed=seed, flicker=flicker, psnr=30.0 + 5 * seed)]
        rows += [row(JACOBIAN, 0.9, seed, flicker=0.8 * flicker, psnr=29.9 + 5 * seed)]
    groups = _groups(*rows, row(JACOBIAN, 0.9, seed=7))
    after, before = groups[BASE._replace(method=JACOBIAN, strength=0.9)], groups[BASE]
    assert statistics.ratio(after, before, "flicker") == (
        pytest.approx(0.8),
        pytest.approx(0.0, abs=1e-9),
        2,
    )
    assert statistics.difference(after, before, "psnr").mean == pytest.approx(-0.1)
    # (10 - 8) / (10 - 5) and (20 - 16) / (20 - 5), of both clips; the second has twice of all.
    expected = [(0.4 + 4 / 10) / 2, (4 / 15 + 8 / 30) / 2]
    assert statistics.excess_removed(after, before).mean == pytest.approx(sum(expected) / 2)


def test_null_is_not_a_number():
    groups = _groups(row(PLAIN, psnr=None))
    assert math.isnan(statistics.of_group(groups[BASE], "psnr").mean)


def test_the_strength_is_chosen_that_is_steadiest_at_no_cost():
    rows = [
        row(PLAIN),
        row(JACOBIAN, 0.5, flicker=9.0),
        row(JACOBIAN, 0.8, flicker=8.0),
        row(JACOBIAN, 0.9, flicker=7.0, psnr=29.0),
    ]
    assert _chosen(_groups(*rows), JACOBIAN).strength == 0.8
    # Where each costs too much or gains nothing, the weakest is taken.
    assert _chosen(_groups(rows[0], rows[3]), JACOBIAN).strength == 0.9
    weak = [rows[0], row(JACOBIAN, 0.5, flicker=9.8), rows[3]]
    assert _chosen(_groups(*weak), JACOBIAN).strength == 0.5
    assert _chosen(_groups(*rows), "magic") is None
    assert _chosen(_groups(*rows), JACOBIAN, steps=500) is None


def test_sets_to_test_on_are_those_that_nothing_is_chosen_on():
    rows = [row(PLAIN, sets=("validation", "clips", "stills"))]
    assert statistics.sets_of(rows) == ["clips", "stills"]
    assert statistics.sets_of([]) == []
