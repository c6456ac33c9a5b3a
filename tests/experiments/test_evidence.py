"""Evidence, on made-up rows: what is chosen on which clips."""

from helpers.experiments import row

from keras_temporal_reg.experiments.configs import JACOBIAN, PLAIN
from keras_temporal_reg.experiments.evidence import gather

SETS = ("clips", "stills")


def _rows(sets=SETS, seeds=(0, 1)):
    """Of two alphas the stronger costs PSNR on the first clip only; the stills have one more."""
    rows = []
    for seed in seeds:
        rows += [
            row(PLAIN, seed=seed, sets=sets),
            row(JACOBIAN, 0.5, seed, sets=sets, flicker=9.0),
            row(JACOBIAN, 0.9, seed, sets=sets, flicker=7.0),
            row("blend", 0.7, seed, sets=sets, flicker=8.0),
            row("blend-1-to-3", 0.7, seed, sets=sets, flicker=6.0),
        ]
    for each in rows:
        if each["strength"] == 0.9:
            each["clips"]["clips"]["first"]["psnr"] -= 1.0
        if "stills" in sets:
            each["clips"]["stills"]["third"] = dict(each["clips"]["stills"]["first"])
    return rows


def test_each_clip_is_tested_with_what_the_others_favour():
    evidence = gather(_rows())
    assert not evidence.has_validation and len(evidence.folds) == 3
    (chosen,) = evidence.chosen("clips", [JACOBIAN])
    # On the second clip, 0.9 is the steadiest at no cost, so the first has it, and loses by it.
    assert [key.strength for key in chosen.keys] == [0.9, 0.5] and not chosen.is_plain
    assert str(chosen) == "sparse-jacobian 0.5 to 0.9"
    assert chosen.group[0].values["psnr"] == [29.0, 30.0]
    assert chosen.group[1].values["flicker"] == [7.0, 18.0]
    assert chosen.plain[0].values["flicker"] == [10.0, 20.0]


def test_clips_of_other_names_are_tested_with_what_all_favour():
    (chosen,) = gather(_rows()).chosen("stills", [JACOBIAN])
    # Both together favour 0.5, as the first alone does.
    assert chosen.group[0].values["flicker"] == [7.0, 18.0, 9.0]


def test_with_validation_clips_nothing_else_is_chosen_on():
    evidence = gather(_rows(("validation", *SETS)))
    assert evidence.has_validation and [*evidence.tests] == [*SETS]
    (chosen,) = evidence.chosen("clips", [JACOBIAN])
    assert str(chosen) == "sparse-jacobian 0.9"
    assert chosen.group[0].values["psnr"] == [29.0, 30.0]


def test_the_best_blend_is_the_steadiest_at_no_cost():
    assert str(gather(_rows()).best_blend("clips")) == "blend-1-to-3 0.7"
    assert gather([row(PLAIN, sets=SETS)]).best_blend("clips") is None


def test_blends_of_two_kinds_are_both_named():
    rows = _rows()
    for each in rows:
        if each["method"] == "blend-1-to-3":
            each["clips"]["clips"]["first"]["psnr"] -= 1.0
    assert str(gather(rows).best_blend("clips")) == "blend-1-to-3 0.7, blend 0.7"


def test_the_baseline_is_chosen_as_itself():
    (chosen,) = gather(_rows()).chosen("clips", [PLAIN])
    assert chosen.is_plain and str(chosen) == PLAIN and chosen.group == chosen.plain


def test_without_rows_there_is_no_evidence():
    evidence = gather([])
    assert evidence.chosen("clips", [PLAIN]) == [] and not evidence.applicable


def test_sets_that_the_baseline_prediction_is_as_good_on_are_not_applicable():
    rows = _rows()
    for each in rows:
        for clip in each["clips"]["stills"].values():
            clip["baseline_psnr"] = 29.5
    assert [*gather(rows).applicable] == ["clips"]
