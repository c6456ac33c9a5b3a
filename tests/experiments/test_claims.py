"""Claims and goals, tested on made-up rows."""

import pytest
from helpers.experiments import row

from keras_temporal_reg.experiments import claims
from keras_temporal_reg.experiments.configs import AUGMENTED, INVARIANCE, JACOBIAN, PLAIN

SETS = ("validation", "clips", "stills")
STEADIER = {"flicker": 8.0, "psnr": 30.4}
FLICKERS = {"flicker": 10.5, "psnr": 29.0}


def grid(invariance, jacobian, seeds=(0, 1, 2), **others):
    """Rows of both baselines, of both regularizers by ``{alpha: changes}``, and of others."""
    rows = []
    for seed in seeds:
        jitter = 1.0 + 0.001 * seed
        rows += [row(PLAIN, seed=seed, sets=SETS)]
        rows += [row(AUGMENTED, seed=seed, sets=SETS, flicker=10.1)]
        methods = {INVARIANCE: invariance, JACOBIAN: jacobian, **others}
        for method, by_strength in methods.items():
            for strength, changes in by_strength.items():
                changes = {key: value * jitter for key, value in changes.items()}
                rows.append(row(method, strength, seed, sets=SETS, **changes))
    return rows


def verdicts(experiment, rows):
    return [claim.verdict for claim in claims.claims(experiment, rows)]


def test_claims_hold_on_rows_where_they_do():
    invariance = {0.5: STEADIER, 0.9: {**STEADIER, "flicker": 6.0}, 0.97: {"psnr": 27.0}}
    invariance[0.97]["contrast_ratio"] = 0.6
    rows = grid(invariance, {0.5: STEADIER, 0.9: STEADIER, 0.97: {**STEADIER, "psnr": 30.1}})
    assert verdicts("colorization", rows) == ["holds"] * 4
    assert verdicts("hdr", rows) == ["holds"] * 4
    assert verdicts("finetune", rows) == ["holds"] * 2


def test_claims_do_not_hold_on_rows_where_they_do_not():
    worst = {**FLICKERS, "psnr": 25.0, "contrast_ratio": 0.5}
    rows = grid({0.5: FLICKERS, 0.9: FLICKERS}, {0.5: FLICKERS, 0.9: worst})
    assert verdicts("colorization", rows) == ["does not hold"] * 4
    assert verdicts("finetune", rows) == ["does not hold"] * 2


def test_claims_hold_in_part():
    rows = grid({0.5: STEADIER, 0.9: STEADIER}, {0.5: FLICKERS, 0.9: FLICKERS})
    assert verdicts("colorization", rows)[:2] == ["holds in part"] * 2
    assert verdicts("finetune", rows)[0] == "holds in part"


def test_steadiness_at_the_cost_of_psnr_does_not_preserve_it():
    costly = {0.9: {"flicker": 5.0, "psnr": 29.0}}
    assert verdicts("finetune", grid(costly, costly))[0] == "does not hold"


def test_a_gain_within_the_interval_is_none():
    rows = []
    for seed, flicker in enumerate((6.0, 9.5, 12.0)):
        rows += [row(PLAIN, seed=seed), row(AUGMENTED, seed=seed)]
        rows += [row(m, 0.9, seed, flicker=flicker) for m in (INVARIANCE, JACOBIAN)]
    assert verdicts("colorization", rows)[0] == "does not hold"


def test_strengths_are_chosen_on_the_validation_clips_alone():
    rows = grid({0.5: STEADIER, 0.9: {**STEADIER, "flicker": 7.0}}, {0.5: STEADIER})
    for each in rows:
        if each["strength"] == 0.9:
            for clip in each["clips"]["validation"].values():
                clip["psnr"] = 20.0
    measured = claims.claims("colorization", rows)[0].measured
    assert "transform-invariance 0.5" in measured and "transform-invariance 0.9" not in measured


def test_sets_where_the_network_does_not_beat_the_baseline_prediction_are_left_out():
    rows = grid({0.5: STEADIER}, {0.5: STEADIER})
    for each in rows:
        for clip in each["clips"]["stills"].values():
            clip["baseline_psnr"] = 29.0
    assert "stills:" not in claims.claims("colorization", rows)[0].measured
    assert "clips:" in claims.claims("colorization", rows)[0].measured


def test_small_data_counts_up_to_eight_stills():
    rows = []
    for seed in (0, 1, 2):
        for data, gain in ((4, 0.5), (8, 0.3), (32, -0.5)):
            rows += [row(PLAIN, seed=seed, data=data), row(AUGMENTED, seed=seed, data=data)]
            psnr = 30.0 + gain + 0.01 * seed
            rows += [row(JACOBIAN, 0.8, seed, data, psnr=psnr)]
    (claim,) = claims.claims("small-data", rows)
    assert claim.verdict == "holds" and "-0.49" in claim.measured


def test_one_seed_is_an_indication():
    rows = grid({0.5: STEADIER}, {0.5: STEADIER}, seeds=(0,))
    assert verdicts("colorization", rows)[0] == "supported by one seed"


def test_the_goal_needs_flicker_psnr_and_excess():
    def goal(**changes):
        blend = {"blend": {0.7: {"flicker": 6.9, "psnr": 30.0, **changes}}}
        return claims.goals("colorization", grid({}, {}, **blend))[0].verdict

    assert goal() == "holds"
    assert goal(flicker=7.5) == "does not hold"
    assert goal(reference_flicker=1.0) == "does not hold"  # a third of the excess


def test_filters_are_compared_at_equal_psnr():
    blend = {0.7: {"flicker": 7.0, "psnr": 30.0}}
    sharp = {0.5: {"flicker": 5.0, "psnr": 30.0}}
    blurred = {0.5: {"flicker": 5.0, "psnr": 29.0}}
    found = claims.goals("hdr", grid({}, {}, blend=blend, filter=blurred))[1]
    assert found.verdict == "holds" and "against 0.95 ± 0.00 of filter" in found.measured
    assert (
        claims.goals("hdr", grid({}, {}, blend=blend, filter=sharp))[1].verdict == "does not hold"
    )


def test_without_rows_nothing_is_tested():
    assert verdicts("colorization", []) == ["not tested"] * 4


def test_an_unknown_experiment_is_refused():
    with pytest.raises(ValueError, match="experiment must be one of colorization"):
        claims.claims("magic", [])
