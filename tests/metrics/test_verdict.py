"""The verdict: its rule at each limit, its reasons, and its form in JSON."""

import json
import math

import pytest

from keras_temporal_reg import metrics
from keras_temporal_reg.io import jsonable
from keras_temporal_reg.metrics import Outcome

BEFORE = {
    "flicker": 10.0,
    "temporal_error": 1.0,
    "relative_smoothness": 1.2,
    "structure": 0.7,
    "psnr": 31.0,
    "contrast_ratio": 0.9,
}
LESS = {"flicker": 8.0}  # a clear gain


def judge(changes=(), baseline_psnr=26.0, **parameters):
    return metrics.verdict(BEFORE, {**BEFORE, **dict(changes)}, baseline_psnr, **parameters)


# Each limit of the rule, just inside and just outside


@pytest.mark.parametrize(
    "flicker, outcome",
    [(9.499, Outcome.STABILIZED), (9.501, Outcome.NO_GAIN), (10.0, Outcome.NO_GAIN)],
)
def test_flicker_must_fall_by_5_percent(flicker, outcome):
    assert judge({"flicker": flicker}).outcome is outcome


@pytest.mark.parametrize(
    "key, inside, outside",
    [
        ("psnr", 30.901, 30.899),
        ("structure", 0.6901, 0.6899),
        ("contrast_ratio", 0.851, 0.849),
        ("contrast_ratio", 1.149, 1.151),
    ],
)
def test_a_limit_that_is_broken_makes_a_trade_off(key, inside, outside):
    assert judge({**LESS, key: inside}).outcome is Outcome.STABILIZED
    broken = judge({**LESS, key: outside})
    assert broken.outcome is Outcome.TRADE_OFF
    (price,) = broken.reasons
    title = {"psnr": "PSNR", "structure": "structure", "contrast_ratio": "contrast"}[key]
    assert price.startswith("flicker x 0.80 for ") and title in price


def test_detail_may_fall_by_5_percent_where_it_is_measured():
    before = {**BEFORE, "detail": 0.4}

    def judged(detail):
        return metrics.verdict(before, {**before, **LESS, "detail": detail}, 26.0)

    assert judged(0.3801).outcome is Outcome.STABILIZED
    assert judged(0.3799).reasons == ("flicker x 0.80 for detail x 0.95",)
    assert judged(math.nan).outcome is Outcome.TRADE_OFF
    assert "detail x 1.25" in judged(0.5).reasons
    flat = {**before, "detail": math.nan}
    assert metrics.verdict(flat, {**flat, **LESS}, 26.0).outcome is Outcome.STABILIZED


@pytest.mark.parametrize(
    "key, value",
    [("psnr", 40.0), ("structure", 0.99), ("contrast_ratio", 1.0), ("contrast_ratio", 1.1)],
)
def test_what_improves_breaks_no_limit(key, value):
    assert judge({**LESS, key: value}).outcome is Outcome.STABILIZED


@pytest.mark.parametrize(
    "baseline_psnr, outcome",
    [(29.499, Outcome.STABILIZED), (29.501, Outcome.NOT_APPLICABLE), (40.0, None)],
)
def test_the_network_before_must_beat_the_baseline_by_1_5_db(baseline_psnr, outcome):
    assert judge(LESS, baseline_psnr).outcome is (outcome or Outcome.NOT_APPLICABLE)


def test_psnr_without_error_on_both_sides_is_no_loss():
    before = {**BEFORE, "psnr": math.inf}
    verdict = metrics.verdict(before, {**before, **LESS}, 26.0)
    assert verdict.outcome is Outcome.STABILIZED


@pytest.mark.parametrize(
    "parameter, value, changes, outcome",
    [
        ("least_fall", 0.25, LESS, Outcome.NO_GAIN),
        ("least_fall", 0.0, {}, Outcome.STABILIZED),
        ("psnr_drop", 0.5, {**LESS, "psnr": 30.6}, Outcome.STABILIZED),
        ("psnr_drop", 0.0, {**LESS, "psnr": 30.99}, Outcome.TRADE_OFF),
        ("structure_drop", 0.1, {**LESS, "structure": 0.61}, Outcome.STABILIZED),
        ("structure_drop", 0.0, {**LESS, "structure": 0.699}, Outcome.TRADE_OFF),
        ("contrast_shift", 0.2, {**LESS, "contrast_ratio": 0.72}, Outcome.STABILIZED),
        ("contrast_shift", 0.0, {**LESS, "contrast_ratio": 0.89}, Outcome.TRADE_OFF),
        ("psnr_margin", 6.0, LESS, Outcome.NOT_APPLICABLE),
    ],
)
def test_each_limit_is_a_parameter(parameter, value, changes, outcome):
    assert judge(changes, **{parameter: value}).outcome is outcome
    assert judge(changes).outcome is not outcome


# The order of the rule


def test_the_baseline_comes_first_and_the_gain_second():
    worse = {"flicker": 12.0, "psnr": 20.0, "structure": 0.1, "contrast_ratio": 0.2}
    assert judge(worse, 30.0).outcome is Outcome.NOT_APPLICABLE
    assert judge(worse).outcome is Outcome.NO_GAIN


def test_no_gain_names_the_least_fall_and_all_losses():
    verdict = judge({"psnr": 30.0, "structure": 0.1, "contrast_ratio": 0.2})
    assert verdict.reasons == (
        "flicker x 1.00, where a fall of 5 % is a gain",
        "-1.00 dB PSNR",
        "-0.600 structure",
        "contrast 0.90 to 0.20",
    )


def test_a_trade_off_states_all_prices_in_one_phrase():
    verdict = judge({**LESS, "psnr": 30.72, "contrast_ratio": 0.8})
    assert verdict.reasons == ("flicker x 0.80 for -0.28 dB PSNR and contrast 0.90 to 0.80",)


def test_stabilized_states_the_gain_and_what_was_kept():
    verdict = judge({**LESS, "psnr": 30.95, "structure": 0.705, "contrast_ratio": 0.88})
    assert verdict.is_stabilized
    assert verdict.reasons == (
        "flicker x 0.80",
        "-0.05 dB PSNR",
        "+0.005 structure",
        "contrast 0.90 to 0.88",
    )


def test_not_applicable_names_both_psnrs():
    verdict = judge(LESS, 30.0)
    assert len(verdict.reasons) == 1 and not verdict.is_stabilized
    assert "31.00 dB" in verdict.reasons[0] and "30.00 dB" in verdict.reasons[0]


# NaN


@pytest.mark.parametrize("key", ["psnr", "structure", "contrast_ratio"])
def test_a_nan_breaks_its_limit(key):
    assert judge({**LESS, key: math.nan}).outcome is Outcome.TRADE_OFF


def test_flicker_that_cannot_be_measured_after_is_no_gain():
    verdict = judge({"flicker": math.nan, "temporal_error": 0.5, "relative_smoothness": 2.0})
    assert verdict.outcome is Outcome.NO_GAIN
    without = {key: value for key, value in BEFORE.items() if key != "flicker"}
    assert metrics.verdict(BEFORE, without, 26.0).outcome is Outcome.NO_GAIN


def test_a_baseline_or_psnr_that_is_nan_proves_nothing():
    assert judge(LESS, math.nan).outcome is Outcome.NOT_APPLICABLE
    before = {**BEFORE, "psnr": math.nan}
    assert metrics.verdict(before, before, 26.0).outcome is Outcome.NOT_APPLICABLE


# Without flicker


@pytest.mark.parametrize("flicker", [{}, {"flicker": math.nan}])
@pytest.mark.parametrize(
    "error, smoothness, outcome",
    [
        (0.949, 1.264, Outcome.STABILIZED),
        (0.951, 1.264, Outcome.NO_GAIN),
        (0.949, 1.262, Outcome.NO_GAIN),  # 1.2 / 0.95 = 1.2632
        (math.nan, 1.3, Outcome.NO_GAIN),
        (0.9, math.nan, Outcome.NO_GAIN),
    ],
)
def test_temporal_error_and_smoothness_take_the_place_of_flicker(
    flicker, error, smoothness, outcome
):
    before = {key: value for key, value in BEFORE.items() if key != "flicker"} | flicker
    after = {**before, "temporal_error": error, "relative_smoothness": smoothness, "flicker": 1.0}
    verdict = metrics.verdict(before, after, 26.0)
    assert verdict.outcome is outcome
    assert verdict.reasons[0].startswith("temporal error ") and " S x C " in verdict.reasons[0]


def test_with_flicker_temporal_error_does_not_count():
    worse = {**LESS, "temporal_error": 3.0, "relative_smoothness": 0.1}
    assert judge(worse).outcome is Outcome.STABILIZED


def test_flicker_of_zero_before_can_not_fall():
    before = {**BEFORE, "flicker": 0.0}
    assert metrics.verdict(before, {**before, "flicker": 0.1}, 26.0).outcome is Outcome.NO_GAIN


# Several clips


@pytest.mark.parametrize("changes", [LESS, {**LESS, "psnr": 30.0}, {}])
def test_the_reasons_say_in_how_many_clips_the_gain_holds(changes):
    clips = [(BEFORE, {**BEFORE, "flicker": flicker}) for flicker in (9.4, 9.6, 5.0, 12.0)]
    verdict = judge(changes, clips=clips)
    assert verdict.reasons[1] == "in 2 of 4 clips"
    assert verdict.outcome is judge(changes).outcome  # the means decide
    assert judge(changes, clips=clips, least_fall=0.03).reasons[1] == "in 3 of 4 clips"


def test_a_single_clip_is_not_counted():
    one = [(BEFORE, {**BEFORE, **LESS})]
    assert judge(LESS, clips=one).reasons == judge(LESS).reasons


# Form


def test_the_changes_hold_the_values_before_and_after():
    changes = judge(LESS).changes
    assert changes["flicker"] == (10.0, 8.0)
    assert {*changes} == {*BEFORE, "detail"}


VERDICTS = {
    Outcome.STABILIZED: (LESS, 26.0),
    Outcome.TRADE_OFF: ({**LESS, "psnr": 30.0}, 26.0),
    Outcome.NO_GAIN: ({}, 26.0),
    Outcome.NOT_APPLICABLE: (LESS, 40.0),
}


@pytest.mark.parametrize("outcome", list(Outcome))
def test_the_sentence_starts_with_the_outcome_and_holds_all_reasons(outcome):
    verdict = judge(*VERDICTS[outcome])
    assert verdict.outcome is outcome
    start = outcome.value.upper().replace("_", " ")
    assert str(verdict) == verdict.sentence == f"{start}: {'; '.join(verdict.reasons)}."


def test_each_outcome_has_a_next_step_of_its_own():
    steps = {judge(*VERDICTS[outcome]).next_step for outcome in Outcome}
    assert len(steps) == len(Outcome)
    assert all(step.endswith(".") for step in steps)


def test_json_holds_the_outcome_by_its_value():
    stored = json.loads(json.dumps(jsonable.as_json(judge(LESS))))
    assert stored["outcome"] == "stabilized"
    assert stored["changes"]["flicker"] == [10.0, 8.0]


def test_the_pair_of_earlier_versions_is_deprecated():
    verdict = judge(LESS)
    with pytest.warns(DeprecationWarning, match="outcome"):
        counts, words = verdict
    assert counts is True and words == verdict.sentence
    with pytest.warns(DeprecationWarning, match="outcome"):
        assert verdict[1] == verdict.sentence


def test_the_argument_names_of_earlier_versions_are_deprecated():
    with pytest.warns(DeprecationWarning, match="baseline_psnr"):
        verdict = metrics.verdict(BEFORE, {**BEFORE, **LESS}, trivial_psnr=26.0)
    assert verdict.outcome is Outcome.STABILIZED


# Without a reference

ORIGINAL = {"flicker": 10.0}
STEADIER = {"flicker": 7.0, "error": 8.0, "contrast_ratio": 0.98}


def judge_without(changes=(), **parameters):
    return metrics.verdict_without_reference(ORIGINAL, {**STEADIER, **dict(changes)}, **parameters)


@pytest.mark.parametrize(
    "changes, outcome",
    [
        ({}, Outcome.STABILIZED),
        ({"flicker": 9.499}, Outcome.STABILIZED),
        ({"flicker": 9.501}, Outcome.NO_GAIN),
        ({"flicker": math.nan}, Outcome.NO_GAIN),
        ({"error": 14.999}, Outcome.STABILIZED),
        ({"error": 15.001}, Outcome.TRADE_OFF),
        ({"error": math.nan}, Outcome.TRADE_OFF),
        ({"contrast_ratio": 0.951}, Outcome.STABILIZED),
        ({"contrast_ratio": 0.949}, Outcome.TRADE_OFF),
        ({"contrast_ratio": 1.051}, Outcome.TRADE_OFF),
        ({"contrast_ratio": math.nan}, Outcome.TRADE_OFF),
    ],
)
def test_without_a_reference_results_must_stay_near_those_of_the_original(changes, outcome):
    assert judge_without(changes).outcome is outcome


def test_limits_without_a_reference_are_parameters():
    assert judge_without(least_fall=0.4).outcome is Outcome.NO_GAIN
    assert judge_without(most_change=0.5).outcome is Outcome.TRADE_OFF
    assert judge_without(contrast_shift=0.01).outcome is Outcome.TRADE_OFF


def test_without_a_reference_the_sentence_states_the_change():
    found = judge_without({"error": 20.0})
    assert found.sentence == (
        "TRADE OFF: flicker x 0.70 for results that differ from the original's by 20.0 % of "
        "contrast, where that flickers by 10.0 %."
    )
    clips = [(ORIGINAL, STEADIER), (ORIGINAL, {**STEADIER, "flicker": 10.0})]
    assert "in 1 of 2 clips" in judge_without(clips=clips).reasons
    assert found.changes["error"] == (0.0, 20.0)
