"""The front of blends, against its definition. The plot and JSON: see test_strength_search.py."""

import math

import numpy as np

from keras_temporal_reg.finetuning.choice import Trial, pareto_front


def test_the_front_is_what_no_other_trial_beats():
    rng = np.random.default_rng(0)
    measures = [{"flicker": f, "psnr": p} for f, p in rng.integers(0, 12, (40, 2)).astype(float)]
    measures.append({"flicker": math.nan, "psnr": 50.0})
    trials = [Trial({"plain": 1.0}, each, "no_gain", "") for each in measures]

    def beaten(a):
        return any(
            b["flicker"] <= a["flicker"] and b["psnr"] >= a["psnr"] and b != a for b in measures
        )

    expected = {(m["flicker"], m["psnr"]) for m in measures[:-1] if not beaten(m)}
    front = pareto_front(trials)
    places = [(trial.measures["flicker"], trial.measures["psnr"]) for trial in front]
    assert places == sorted(expected, reverse=True)
