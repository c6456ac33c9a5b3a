"""The table of measures: complete, unambiguous, and formatted in its units."""

import math

import numpy as np
import pytest

from keras_temporal_reg import metrics
from keras_temporal_reg.metrics import MEASURES


def test_keys_are_those_of_the_measures():
    assert all(key == measure.key for key, measure in MEASURES.items())
    clip = np.random.default_rng(0).uniform(size=(3, 4, 4, 1))
    assert {*metrics.stability(clip, clip, motion=np.zeros((2, 8)))} < {*MEASURES}
    assert next(iter(MEASURES)) == "flicker"  # the first column of every table
    assert {"ssim", "warping_error", "flow_difference"} < {*MEASURES}


def test_titles_are_unambiguous_and_meanings_are_sentences():
    assert len({measure.title for measure in MEASURES.values()}) == len(MEASURES)
    assert all(measure.meaning.endswith(".") for measure in MEASURES.values())


def test_the_table_cannot_be_changed():
    with pytest.raises(TypeError):
        MEASURES["psnr"] = MEASURES["ssim"]
    with pytest.raises(AttributeError):
        MEASURES["psnr"].title = "another"


@pytest.mark.parametrize(
    "key, heading, value, text",
    [
        ("flicker", "Flicker, % of contrast", 11.256, "11.26"),
        ("psnr", "PSNR, dB", 31.456, "31.46"),
        ("ssim", "SSIM", 0.98765, "0.988"),
        ("warping_error", "Warping error, 10^-4", 0.00123456, "12.35"),
        ("flow_difference", "tOF, pixels", 0.25, "0.250"),
        ("psnr", "PSNR, dB", math.nan, "-"),
        ("psnr", "PSNR, dB", math.inf, "-"),
    ],
)
def test_values_are_shown_in_the_unit_of_the_heading(key, heading, value, text):
    assert MEASURES[key].heading == heading
    assert MEASURES[key].text(value) == text
