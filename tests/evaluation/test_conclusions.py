"""Conclusions: verdicts are those of the metrics, means leave out what cannot be measured."""

import math

import numpy as np
import pytest

from keras_temporal_reg import metrics
from keras_temporal_reg.evaluation import conclusions
from keras_temporal_reg.evaluation.clip_evaluator import ClipEvaluation, model_names
from keras_temporal_reg.evaluation.clips import NO_REFERENCE
from keras_temporal_reg.metrics import MEASURES

BEFORE = {
    **dict.fromkeys(MEASURES, 0.5),
    "flicker": 12.0,
    "psnr": 31.0,
    "temporal_error": 1.0,
    "contrast_ratio": 1.0,
    "relative_smoothness": 1.0,
}
BASELINE = {**BEFORE, "psnr": 25.0, "flicker": math.nan}
FLOOR = {**dict.fromkeys(MEASURES, math.nan), "flicker": 6.0}


def clip(*changes, floor=6.0, reference="the truth", **options):
    """Measures of models m0, m1, ..., each with its changes to BEFORE."""
    measures = {"input": BASELINE} | {f"m{n}": {**BEFORE, **c} for n, c in enumerate(changes)}
    if reference != NO_REFERENCE:
        measures["reference"] = {**FLOOR, "flicker": floor}
    measures = {**measures, **options}
    known = reference != NO_REFERENCE
    return ClipEvaluation("clip", 2, (8, 8), 25.0, measures, {}, reference, (), has_reference=known)


def conclude(*clips):
    mean = conclusions.mean_over(clips)
    verdict, removed = conclusions.judge(clips, mean), conclusions.excess_removed(clips)
    return verdict, removed, conclusions.summarize(clips, mean, verdict, removed, "grey")


def test_models_are_neither_the_input_nor_the_reference():
    assert model_names(clip({}, {}).measures) == ["m0", "m1"]


def test_the_mean_is_that_over_clips():
    found = conclusions.mean_over([clip({"psnr": 30.0}), clip({"psnr": 33.0}, floor=8.0)])
    assert found["m0"]["psnr"] == 31.5 and found["input"]["psnr"] == 25.0
    assert found["reference"]["flicker"] == 7.0 and math.isnan(found["reference"]["psnr"])
    assert [*found] == ["input", "m0", "reference"] and [*found["m0"]] == [*MEASURES]


def test_a_clip_without_a_measure_is_left_out_of_its_mean():
    unmeasured = clip({"flicker": math.nan, "psnr": 35.0}, floor=math.nan)
    found = conclusions.mean_over([clip({}), unmeasured])
    assert found["m0"]["flicker"] == 12.0 and found["m0"]["psnr"] == 33.0
    # A clip in which one result only has none is not left out.
    found = conclusions.mean_over([clip({}), clip({"flicker": math.nan})])
    assert math.isnan(found["m0"]["flicker"]) and found["reference"]["flicker"] == 6.0
    found = conclusions.mean_over([unmeasured])
    assert math.isnan(found["m0"]["flicker"])


def test_the_reference_has_a_mean_where_all_clips_have_one():
    found = conclusions.mean_over([clip({}), clip({}, reference=NO_REFERENCE)])
    assert [*found] == ["input", "m0"]


def test_the_last_model_is_judged_against_the_first_clip_by_clip():
    clips = [
        clip({}, {"flicker": 99.0}, {"flicker": 9.0}),
        clip({"flicker": 10.0}, {"flicker": 99.0}, {"flicker": 9.9}),
    ]
    verdict, removed, summary = conclude(*clips)
    pairs = [(each.measures["m0"], each.measures["m2"]) for each in clips]
    before, after = (
        {key: np.mean([pair[i][key] for pair in pairs]) for key in MEASURES} for i in (0, 1)
    )
    assert verdict == metrics.verdict(before, after, 25.0, clips=pairs)
    assert verdict.outcome is metrics.Outcome.STABILIZED
    assert "in 1 of 2 clips" in verdict.reasons
    assert removed == pytest.approx((3 / 6 + 0.1 / 4) / 2)
    assert summary == (
        f"m2 against m0: {verdict.sentence} "
        "It removes 26 % of the flicker that the reference does not have. "
        f"{verdict.next_step}"
    )


def test_more_flicker_is_stated_as_such():
    verdict, removed, summary = conclude(clip({}, {"flicker": 15.0}))
    assert verdict.outcome is metrics.Outcome.NO_GAIN and removed == -0.5
    assert "It adds 50 % to the flicker that the reference does not have." in summary


def test_where_the_reference_flickers_as_much_there_is_no_excess():
    verdict, removed, summary = conclude(clip({}, {"flicker": 9.0}, floor=12.0))
    assert removed is None
    assert summary == f"{verdict.sentence} {verdict.next_step}"


def test_without_a_reference_models_are_judged_by_the_first():
    first = {**dict.fromkeys(MEASURES, math.nan), "flicker": 12.0}
    after = {"flicker": 8.0, "error": 7.0, "contrast_ratio": 0.98}
    measured = clip(first, after, reference=NO_REFERENCE)
    verdict, removed, summary = conclude(measured)
    pair = (measured.measures["m0"], measured.measures["m1"])
    assert verdict == metrics.verdict_without_reference(*pair, [pair])
    assert verdict.outcome is metrics.Outcome.STABILIZED and removed is None
    assert summary == f"{verdict.sentence} {verdict.next_step}"


def test_one_model_or_a_missing_reference_gives_no_verdict():
    assert conclude(clip({}))[:2] == (None, None)
    assert conclude(clip({}, reference=NO_REFERENCE))[:2] == (None, None)
    assert conclude(clip({}, {}), clip({}, {}, reference=NO_REFERENCE))[:2] == (None, None)


NOT_MEASURED = {"flicker": math.nan, "temporal_error": math.nan}


@pytest.mark.parametrize(
    ("measured", "summary"),
    [
        (
            clip({}),
            "m0: flicker 12.00 % (the reference has 6.00 %) and PSNR 31.00 dB (the baseline "
            "prediction, grey, has 25.00 dB).",
        ),
        (
            clip({}, reference=NO_REFERENCE, input={**BASELINE, "flicker": 6.0}),
            "NOT JUDGED, since no reference was given: m0 has flicker 12.00 %, the input 6.00 %.",
        ),
        (
            clip(NOT_MEASURED, NOT_MEASURED, reference=NO_REFERENCE, input=BASELINE),
            "NOT JUDGED, since no reference was given: m0 has flicker of unknown size, the input "
            "of unknown size.",
        ),
        (
            clip(NOT_MEASURED, NOT_MEASURED, floor=math.nan),
            "NOT JUDGED, since neither flicker nor temporal error could be measured.",
        ),
    ],
)
def test_without_a_verdict_the_summary_states_the_main_measures(measured, summary):
    assert conclude(measured)[2] == summary


STEADIER = {"flicker": 8.0}


@pytest.mark.parametrize(
    ("changes", "reference", "warned"),
    [
        ([{}, STEADIER | {"psnr": 30.0}, STEADIER], "the truth", ["m1"]),
        ([{}, STEADIER | {"psnr": 30.95}, STEADIER], "the truth", []),
        ([{}, {"psnr": 29.0}, STEADIER], "the truth", []),  # no gain, and hence no price
        ([{}, STEADIER | {"contrast_ratio": 0.5}], "the truth", []),  # the verdict says it
        ([{}, STEADIER | {"contrast_ratio": 0.9}, STEADIER], NO_REFERENCE, ["m1"]),
        ([{}, STEADIER | {"contrast_ratio": 0.96}, STEADIER], NO_REFERENCE, []),
    ],
)
def test_warnings_name_the_models_that_pay_for_steadiness(changes, reference, warned):
    clips = [clip(*changes, reference=reference)]
    warnings = conclusions.warn_of_losses(clips, conclusions.mean_over(clips))
    assert [warning[:2] for warning in warnings] == warned
    assert all("TRADE OFF" in warning for warning in warnings)
