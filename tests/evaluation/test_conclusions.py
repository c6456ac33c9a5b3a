"""Conclusions: the verdict is that of the metrics, warnings name what smoothness cost."""

import math

import pytest

from keras_temporal_reg import metrics
from keras_temporal_reg.evaluation import conclusions
from keras_temporal_reg.evaluation.clip_evaluator import ClipEvaluation
from keras_temporal_reg.metrics import MEASURES

BEFORE = {
    **dict.fromkeys(MEASURES, 0.5),
    "psnr": 31.0,
    "temporal_error": 1.0,
    "smoothness": 1.0,
    "contrast_ratio": 1.0,
    "relative_smoothness": 1.0,
    "warping_error": 0.0012,
}
BASELINE = {**BEFORE, "psnr": 25.0}


def mean(*changes):
    models = {f"m{n}": {**BEFORE, **change} for n, change in enumerate(changes)}
    return {"input": BASELINE, **models}


def clip(**changes):
    measures = {"input": BASELINE, "m0": {**BEFORE, **changes}}
    return ClipEvaluation("clip", 2, (8, 8), 25.0, measures, {}, "the truth", ())


def test_the_mean_is_that_over_clips():
    found = conclusions.mean_over([clip(psnr=30.0), clip(psnr=33.0)])
    assert found["m0"]["psnr"] == 31.5 and found["input"]["psnr"] == 25.0
    assert {*found["m0"]} == {*MEASURES}


def test_the_last_model_is_judged_against_the_first():
    measures = mean({}, {"temporal_error": 2.0}, {"temporal_error": 0.9})
    verdict = conclusions.judge(measures, has_reference=True)
    assert verdict == metrics.verdict(measures["m0"], measures["m2"], 25.0)
    assert conclusions.summarize(measures, True, verdict, "grey") == verdict.sentence


def test_one_model_or_no_reference_gives_no_verdict():
    assert conclusions.judge(mean({}), has_reference=True) is None
    assert conclusions.judge(mean({}, {}), has_reference=False) is None


@pytest.mark.parametrize(
    ("measures", "has_reference", "summary"),
    [
        (
            mean({}),
            True,
            "m0: temporal error 1.000 and PSNR 31.00 dB; the baseline prediction, grey, has 1.000 "
            "and 25.00 dB.",
        ),
        (
            mean({}),
            False,
            "NOT JUDGED, since no reference was given: the warping error of m0 is 12.00, that of "
            "the input 12.00 (in 10^-4).",
        ),
        (
            mean({}, {"warping_error": 0.0006, "contrast_ratio": 0.9}),
            False,
            "NOT JUDGED, since no reference was given: from m0 to m1 the warping error changes "
            "from 12.00 to 6.00 (in 10^-4), and contrast from 1.00 to 0.90 of the input's.",
        ),
    ],
)
def test_without_a_verdict_the_summary_states_the_main_measures(measures, has_reference, summary):
    assert conclusions.summarize(measures, has_reference, None, "grey") == summary


@pytest.mark.parametrize(
    ("change", "has_reference", "words"),
    [
        ({"smoothness": 1.5, "contrast_ratio": 0.8}, True, ["less contrast"]),
        ({"smoothness": 1.5, "contrast_ratio": 0.995}, True, []),
        ({"smoothness": 0.9, "contrast_ratio": 0.8, "psnr": 29.0}, True, []),
        ({"smoothness": 1.5, "psnr": 30.0}, True, ["loses 1.00 dB"]),
        ({"smoothness": 1.5, "psnr": 30.95}, True, []),
        ({"smoothness": 1.5, "psnr": 30.0}, False, []),
        ({"smoothness": 2.0, "psnr": 30.0, "contrast_ratio": 0.5}, True, ["contrast", "loses"]),
        ({"smoothness": math.nan, "contrast_ratio": 0.5}, True, []),
    ],
)
def test_warnings_name_what_smoothness_cost(change, has_reference, words):
    warnings = conclusions.warn_of_losses(mean({}, change), has_reference)
    assert len(warnings) == len(words)
    for warning, word in zip(warnings, words):
        assert word in warning and "m1 is smoother than m0" in warning
