"""Claims and goals, tested on made-up rows."""

import pytest

from keras_temporal_reg.experiments import claims
from keras_temporal_reg.experiments.configs import AUGMENTED, CONTRAST, INVARIANCE, JACOBIAN, PLAIN


def row(method, alpha=0.0, seed=0, data=16, **changes):
    measures = {
        "temporal_error": 1.0,
        "psnr": 30.0,
        "ssim": 0.9,
        "smoothness": 1.0,
        "contrast_ratio": 0.95,
        "relative_smoothness": 1.0,
        "structure": 0.7,
        "warping_error": 1e-3,
        "baseline_psnr": 26.0,
    }
    measures.update(changes)
    return {"method": method, "alpha": alpha, "seed": seed, "data": data, **measures}


def grid(invariance, jacobian, seeds=(0, 1, 2)):
    """Rows of both baselines, and of both regularizers by ``{alpha: changes}``."""
    rows = []
    for seed in seeds:
        jitter = 0.001 * seed
        rows += [row(PLAIN, seed=seed), row(AUGMENTED, seed=seed, temporal_error=1.01)]
        for method, by_alpha in ((INVARIANCE, invariance), (JACOBIAN, jacobian)):
            for alpha, changes in by_alpha.items():
                changes = {key: value + jitter for key, value in changes.items()}
                rows.append(row(method, alpha, seed, **changes))
    return rows


def verdicts(experiment, rows):
    return [claim.verdict for claim in claims.claims(experiment, rows)]


GOOD = {"temporal_error": 0.85, "relative_smoothness": 1.2, "psnr": 30.4}
BAD = {"temporal_error": 1.05, "relative_smoothness": 0.9, "psnr": 29.0}


def test_claims_hold_on_rows_where_they_do():
    invariance = {
        0.5: GOOD,
        0.9: {**GOOD, "temporal_error": 0.8},
        0.97: {**GOOD, "psnr": 28.0, "contrast_ratio": 0.6},
    }
    jacobian = {0.5: GOOD, 0.9: GOOD, 0.97: {**GOOD, "psnr": 30.1}}
    rows = grid(invariance, jacobian)
    assert verdicts("colorization", rows) == ["holds"] * 4
    assert verdicts("hdr", rows) == ["holds"] * 4
    assert verdicts("finetune", rows) == ["holds"] * 2


def test_claims_do_not_hold_on_rows_where_they_do_not():
    rows = grid({0.5: BAD, 0.9: BAD}, {0.5: BAD, 0.9: {**BAD, "psnr": 25.0, "contrast_ratio": 0.5}})
    assert verdicts("colorization", rows) == ["does not hold"] * 4
    assert verdicts("finetune", rows) == ["does not hold"] * 2


def test_claims_hold_in_part():
    rows = grid({0.5: GOOD, 0.9: GOOD}, {0.5: BAD, 0.9: BAD})
    assert verdicts("colorization", rows)[:2] == ["holds in part"] * 2
    assert verdicts("finetune", rows)[0] == "holds in part"


def test_stability_at_the_cost_of_contrast_is_no_gain():
    faded = {0.9: {**GOOD, "contrast_ratio": 0.5}}
    assert verdicts("colorization", grid(faded, faded))[0] == "does not hold"
    assert verdicts("finetune", grid(faded, faded))[0] == "does not hold"


def test_transform_invariance_is_not_better_where_it_fades():
    faded = {0.9: {**GOOD, "temporal_error": 0.7, "contrast_ratio": 0.5}}
    assert verdicts("colorization", grid(faded, {0.9: GOOD}))[3] == "does not hold"


def test_a_gain_within_the_spread_over_seeds_is_none():
    rows = grid({0.9: GOOD}, {0.9: GOOD})
    for each in rows:
        if each["method"] in (INVARIANCE, JACOBIAN):
            each["psnr"] += (0.0, 2.0, -2.0)[each["seed"]]
    assert verdicts("colorization", rows)[1] == "does not hold"


def test_a_gain_below_the_bar_is_none():
    slight = {0.9: {**GOOD, "temporal_error": 0.95}}
    assert verdicts("colorization", grid(slight, slight))[0] == "does not hold"
    assert verdicts("finetune", grid(slight, slight))[0] == "does not hold"


def test_one_seed_proves_nothing():
    found = verdicts("colorization", grid({0.9: GOOD}, {0.9: BAD}, seeds=(0,)))
    assert all(each.endswith(("by one seed", "not tested")) for each in found)


def by_size(gain):
    rows = []
    for seed in range(3):
        for size in (2, 8, 32):
            own = gain if size <= 8 else 0.0
            rows += [
                row(PLAIN, 0.0, seed, size, psnr=28.0 + 0.1 * seed),
                row(AUGMENTED, 0.0, seed, size, psnr=28.2 + 0.1 * seed),
                row(INVARIANCE, 0.9, seed, size, psnr=27.0 + 0.1 * seed),
                row(JACOBIAN, 0.9, seed, size, psnr=28.2 + own + 0.1 * seed),
            ]
    return rows


def test_a_gain_on_small_data_is_relative_to_the_better_baseline():
    (claim,) = claims.claims("small-data", by_size(0.3))
    assert claim.verdict == "holds"
    assert (
        "gain with 2 pictures per clip: 0.300 +- 0.000 dB (sparse-jacobian 0.9)" in claim.measured
    )
    assert verdicts("small-data", by_size(-0.1)) == ["does not hold"]
    # Better than reconstruction only, but not than augmentation, is not enough.
    assert verdicts("small-data", by_size(-0.05)) == ["does not hold"]


def test_what_was_not_run_is_not_tested():
    rows = [row(PLAIN)]
    assert verdicts("colorization", rows) == ["not tested"] * 4
    assert verdicts("small-data", rows) == ["not tested"]
    assert verdicts("finetune", []) == ["not tested"] * 2


def beyond(changes, seeds=(0, 1, 2)):
    rows = []
    for seed in seeds:
        rows += [row(PLAIN, seed=seed), row(AUGMENTED, seed=seed)]
        rows.append(row(JACOBIAN + CONTRAST, 0.9, seed, **changes))
    return rows


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({"temporal_error": 0.79, "relative_smoothness": 1.3, "psnr": 30.1}, "holds"),
        ({"temporal_error": 0.81, "relative_smoothness": 1.3, "psnr": 30.1}, "does not hold"),
        ({"temporal_error": 0.79, "relative_smoothness": 1.1, "psnr": 30.1}, "does not hold"),
        ({"temporal_error": 0.79, "relative_smoothness": 1.3, "psnr": 29.9}, "does not hold"),
    ],
)
def test_the_goal_beyond_the_paper(changes, verdict):
    assert [g.verdict for g in claims.goals("hdr", beyond(changes))] == [verdict]


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({"temporal_error": 0.99, "psnr": 29.95}, "holds"),
        ({"temporal_error": 0.99, "psnr": 29.85}, "does not hold"),
        ({"temporal_error": 1.0, "psnr": 30.0}, "does not hold"),
    ],
)
def test_the_goal_of_super_resolution(changes, verdict):
    assert [g.verdict for g in claims.goals("super-resolution", beyond(changes))] == [verdict]


def test_goals_of_one_seed_or_of_nothing():
    good = {"temporal_error": 0.7, "relative_smoothness": 1.3}
    (goal,) = claims.goals("colorization", beyond(good, seeds=(0,)))
    assert goal.verdict == "supported by one seed"
    assert [g.verdict for g in claims.goals("colorization", [row(PLAIN)])] == ["not tested"]
    assert claims.goals("small-data", beyond(good)) == []
