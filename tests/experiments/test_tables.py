"""Tables, on made-up rows."""

import pytest
from helpers.experiments import row

from keras_temporal_reg.experiments import tables
from keras_temporal_reg.experiments.configs import INVARIANCE, JACOBIAN, PLAIN
from keras_temporal_reg.experiments.evidence import gather

SETS = ("validation", "clips", "stills")


@pytest.fixture
def evidence():
    rows = []
    for seed, psnr in enumerate((29.9, 30.1)):
        rows += [
            row(PLAIN, seed=seed, sets=SETS),
            row(JACOBIAN, 0.5, seed, sets=SETS, flicker=9.0),
            row(JACOBIAN, 0.9, seed, sets=SETS, flicker=7.0, psnr=psnr),
            row("blend", 0.7, seed, sets=SETS, flicker=6.0, psnr=29.0),
            row("test-time averaging", 4.0, seed, sets=SETS, flicker=8.0, psnr=30.2),
            row("symmetric low-pass", 1.0, seed, sets=SETS, flicker=8.0, psnr=27.0),
            row(PLAIN, seed=seed, sets=SETS, steps=500, psnr=29.5),
            row("blend", 0.7, seed, sets=SETS, steps=500, psnr=29.4, flicker=5.0),
        ]
    return gather(rows)


def _cells(table, name):
    (line,) = (line for line in table.splitlines() if line.startswith(f"| {name}"))
    return [cell.strip() for cell in line.split("|")[1:-1]]


def test_the_first_table_has_the_chosen_strengths(evidence):
    table = tables.of_chosen(evidence, "clips")
    assert _cells(table, PLAIN)[1:4] == ["15.00 ± 0.00 %", "", "30.00 ± 0.00 dB"]
    name, flicker, excess, psnr, contrast, needs, outcome = _cells(table, JACOBIAN)
    assert name == "sparse-jacobian 0.9" and flicker == "x 0.70 ± 0.00"
    # Of (10 - 5) and (20 - 10) are 3 and 6 gone; PSNR is 0.1 dB lower and higher.
    assert excess == "60 ± 0 %" and psnr == "+0.00 ± 1.27 dB" and contrast == "0.95 ± 0.00"
    assert (needs, outcome) == ("", "STABILIZED")
    assert _cells(table, "blend")[-1] == "TRADE OFF"
    assert _cells(table, "test-time averaging")[-2:] == ["4 passes", "STABILIZED"]
    assert _cells(table, "symmetric low-pass")[-2] == "2 frames of delay"


def test_other_sets_have_the_same_strengths(evidence):
    table = tables.of_other_sets(evidence, ["stills"])
    assert _cells(table, JACOBIAN) == [
        "sparse-jacobian",
        "0.9",
        "x 0.70 ± 0.00",
        "+0.00 ± 1.27 dB",
    ]


def test_fronts_are_compared_at_equal_psnr_and_flicker(evidence):
    table = tables.of_fronts(evidence.tests["clips"])
    # The blend loses 1 dB for 0.4 of the flicker: 0.1 dB for 0.04 of it.
    cells = _cells(table, "blend")
    assert cells[1] == "x 1.00 ± 0.00" and cells[2] == "x 0.96 ± 0.00"
    assert cells[3] == "-0.50 ± 0.00 dB"
    assert len([line for line in table.splitlines() if line.startswith(f"| {PLAIN}")]) == 0


def test_lengths_are_compared_with_plain_training_of_their_own(evidence):
    table = tables.of_lengths(evidence, "clips")
    assert _cells(table, "500") == [
        "500",
        "-0.50 ± 0.00 dB",
        "0.7",
        "x 0.50 ± 0.00",
        "100 ± 0 %",
        "-0.10 ± 0.00 dB",
    ]
    one_length = gather([row(PLAIN), row(INVARIANCE, 0.5)])
    assert tables.of_lengths(one_length, "clips") == ""


def test_all_measures_of_all_groups_are_there(evidence):
    table = tables.of_all(evidence.tests["clips"])
    assert len(table.splitlines()) == 2 + 8
    assert "30.00 ± 1.27" in table
