"""The verdict: its outcome by the rule, its reasons in words, and its form in JSON."""

import json
import math

import pytest

from keras_temporal_reg import metrics
from keras_temporal_reg.io import jsonable
from keras_temporal_reg.metrics import Outcome

BEFORE = {
    "temporal_error": 1.0,
    "relative_smoothness": 1.2,
    "structure": 0.7,
    "psnr": 31.0,
    "contrast_ratio": 1.1,
}


def judge(baseline_psnr=26.0, **changes):
    return metrics.verdict(BEFORE, {**BEFORE, **changes}, baseline_psnr)


@pytest.mark.parametrize(
    "changes, reason",
    [
        ({"temporal_error": 0.9}, "temporal error falls to 0.90 times"),
        ({"relative_smoothness": 1.3}, "relative smoothness rises to 1.08 times"),
        ({"temporal_error": 0.9, "relative_smoothness": 1.3, "psnr": 32.0}, "PSNR +1.00 dB"),
        ({"temporal_error": 0.9, "contrast_ratio": 1.0}, "contrast ratio 1.10 to 1.00"),
        ({"temporal_error": 0.9, "contrast_ratio": 0.95}, "contrast ratio 1.10 to 0.95"),
        ({"temporal_error": 0.9, "contrast_ratio": 1.105}, "contrast ratio 1.10 to 1.10"),
        ({"temporal_error": 0.9, "structure": 0.695}, "structure -0.005"),
    ],
)
def test_a_gain_without_a_loss_is_stabilized(changes, reason):
    verdict = judge(**changes)
    assert verdict.outcome is Outcome.STABILIZED and verdict.is_stabilized
    assert reason in verdict.reasons


@pytest.mark.parametrize(
    "changes, reason",
    [
        ({"psnr": 30.9}, "PSNR falls from 31.00 to 30.90 dB"),
        ({"structure": 0.6}, "structure falls from 0.700 to 0.600"),
        ({"contrast_ratio": 1.2}, "contrast ratio moves away from 1, from 1.10 to 1.20"),
        ({"contrast_ratio": 0.8}, "contrast ratio moves away from 1, from 1.10 to 0.80"),
    ],
)
def test_a_gain_with_a_loss_is_a_trade_off(changes, reason):
    verdict = judge(temporal_error=0.9, **changes)
    assert verdict.outcome is Outcome.TRADE_OFF and not verdict.is_stabilized
    assert verdict.reasons == ("temporal error falls to 0.90 times", reason)


@pytest.mark.parametrize("changes", [{}, {"temporal_error": 1.1, "relative_smoothness": 1.1}])
def test_without_a_gain_there_is_no_gain(changes):
    verdict = judge(**changes)
    assert verdict.outcome is Outcome.NO_GAIN
    none = "temporal error does not fall and relative smoothness does not rise"
    assert verdict.reasons == (none,)


def test_no_gain_names_all_losses():
    verdict = judge(psnr=30.0, structure=0.1, contrast_ratio=0.2)
    assert verdict.outcome is Outcome.NO_GAIN
    assert [reason.split()[0] for reason in verdict.reasons[1:]] == [
        "PSNR",
        "structure",
        "contrast",
    ]


@pytest.mark.parametrize("baseline_psnr", [29.6, 30.9, 32.0, math.nan])
def test_a_model_that_does_not_beat_the_baseline_is_not_judged(baseline_psnr):
    verdict = judge(baseline_psnr, temporal_error=0.9)
    assert verdict.outcome is Outcome.NOT_APPLICABLE
    assert len(verdict.reasons) == 1
    assert judge(29.5, temporal_error=0.9).outcome is Outcome.STABILIZED


@pytest.mark.parametrize("name", list(BEFORE))
def test_a_nan_is_never_stabilized(name):
    changes = {"temporal_error": 0.9, "relative_smoothness": 1.3, name: math.nan}
    if name in ("temporal_error", "relative_smoothness"):
        changes = {name: math.nan}
    assert not judge(**changes).is_stabilized


def test_the_changes_hold_the_values_before_and_after():
    changes = judge(temporal_error=0.9).changes
    assert changes["temporal_error"] == (1.0, 0.9)
    assert {*changes} == {*BEFORE}


@pytest.mark.parametrize(
    "verdict, start",
    [
        (judge(temporal_error=0.9), "STABILIZED: "),
        (judge(temporal_error=0.9, psnr=30.0), "TRADE OFF: "),
        (judge(), "NO GAIN: "),
        (judge(40.0), "NOT APPLICABLE: "),
    ],
)
def test_the_sentence_starts_with_the_outcome_and_holds_all_reasons(verdict, start):
    assert str(verdict) == verdict.sentence == start + "; ".join(verdict.reasons) + "."


def test_json_holds_the_outcome_by_its_value():
    stored = json.loads(json.dumps(jsonable.as_json(judge(temporal_error=0.9))))
    assert stored["outcome"] == "stabilized"
    assert stored["changes"]["temporal_error"] == [1.0, 0.9]


def test_the_pair_of_earlier_versions_is_deprecated():
    verdict = judge(temporal_error=0.9)
    with pytest.warns(DeprecationWarning, match="outcome"):
        counts, words = verdict
    assert counts is True and words == verdict.sentence
    with pytest.warns(DeprecationWarning, match="outcome"):
        assert verdict[1] == verdict.sentence


def test_the_argument_names_of_earlier_versions_are_deprecated():
    with pytest.warns(DeprecationWarning, match="baseline_psnr"):
        verdict = metrics.verdict(BEFORE, {**BEFORE, "temporal_error": 0.9}, trivial_psnr=26.0)
    assert verdict.outcome is Outcome.STABILIZED
