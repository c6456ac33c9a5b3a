"""`reproduce`: rows that can be resumed, and files that agree with them."""

import dataclasses
import json

import numpy as np
import pytest
from helpers import experiments as helpers

from keras_temporal_reg.experiments import api, claims, results, runner
from keras_temporal_reg.experiments.configs import (
    AUGMENTED,
    INVARIANCE,
    JACOBIAN,
    PLAIN,
    ExperimentConfig,
)
from keras_temporal_reg.experiments.statistics import BASELINE_PSNR, MEASURES
from keras_temporal_reg.finetuning import training

TINY = ExperimentConfig(
    methods=(PLAIN, AUGMENTED, JACOBIAN),
    alphas=(0.9,),
    sizes=(2,),
    base_steps=2,
    steps=2,
    channels=2,
    frames=3,
)
FIELDS = {
    "experiment",
    "method",
    "alpha",
    "data",
    "seed",
    "base_steps",
    "converged",
    "steps",
    *MEASURES,
    BASELINE_PSNR,
    "stabilized",
    "outcome",
    "verdict",
    "seconds",
    "settings",
}


@pytest.fixture
def trained(monkeypatch):
    """Replace training, for speed, by weights that follow from the loss; list its steps."""
    steps = []

    def train(network, batches, count, advance, callbacks=()):
        alpha = getattr(network.loss, "alpha", 0.0)
        noise = np.random.default_rng((count, int(100 * alpha)))
        network.set_weights([w + noise.normal(0.0, 0.01, w.shape) for w in network.get_weights()])
        advance(count, "")
        steps.append(count)

    monkeypatch.setattr(training, "train", train)
    return steps


@pytest.fixture
def small(monkeypatch):
    helpers.shrink(monkeypatch)


def _without_time(rows):
    return [{key: value for key, value in row.items() if key != "seconds"} for row in rows]


def _run(output, experiment="hdr", config=TINY, **options):
    return api.reproduce(experiment, output, config=config, show_progress=False, **options)


@pytest.mark.slow
def test_a_run_goes_on_where_it_was_interrupted(tmp_path, trained, small, monkeypatch):
    whole = _run(tmp_path / "whole", seeds=(0,))
    assert trained == [2] * 4  # the base, and three methods
    assert whole.trained == 3

    make_row, made = runner.make_row, []

    def interrupted(*arguments):
        if len(made) == 2:
            raise KeyboardInterrupt
        made.append(make_row(*arguments))
        return made[-1]

    monkeypatch.setattr(runner, "make_row", interrupted)
    with pytest.raises(KeyboardInterrupt):
        _run(tmp_path / "cut", seeds=(0,))
    assert len(json.loads((tmp_path / "cut" / "rows.json").read_text())) == 2
    monkeypatch.setattr(runner, "make_row", make_row)
    trained.clear()
    resumed = _run(tmp_path / "cut", seeds=(0,))
    assert trained == [2] and resumed.trained == 1
    assert _without_time(resumed.rows) == _without_time(whole.rows)

    trained.clear()
    again = _run(tmp_path / "cut", seeds=(0,))
    assert trained == [] and again.trained == 0
    assert again.rows == resumed.rows


@pytest.mark.slow
def test_the_same_seed_gives_the_same_numbers(tmp_path, small):
    methods = (PLAIN, AUGMENTED, "noise-stability", JACOBIAN)
    config = dataclasses.replace(TINY, methods=methods)
    first, again = (_run(tmp_path / name, "hdr", config, seeds=(0,)) for name in ("first", "again"))
    assert _without_time(first.rows) == _without_time(again.rows)
    # Each method trains in a way of its own, from the same weights.
    assert len({row["psnr"] for row in first.rows}) == len(methods)


def test_rows_page_summary_and_plot_agree(tmp_path, trained, small, capsys):
    result = _run(tmp_path, seeds=(3,))
    rows = json.loads((tmp_path / "rows.json").read_text())
    assert rows == list(result.rows)
    for row in rows:
        assert set(row) == FIELDS
        assert all(isinstance(row[key], float) for key in MEASURES)
        is_judged = isinstance(row["stabilized"], bool) and row["verdict"] != ""
        assert is_judged != (row["method"] == PLAIN)
    assert rows[0]["stabilized"] is None and rows[0]["verdict"] == ""
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert [group["method"] for group in summary["groups"]] == list(TINY.methods)
    assert summary["groups"][0]["mean"]["psnr"] == pytest.approx(rows[0]["psnr"])
    for key in ("claims", "goals"):
        expected = [dataclasses.asdict(each) for each in getattr(result, key)]
        assert summary[key] == expected
    page = (tmp_path / "results.md").read_text()
    for claim in (*result.claims, *result.goals):
        assert claim.claim in page and claim.measured in page
    assert f"{rows[0]['temporal_error']:.3f}" in page and "One seed" in page
    assert (tmp_path / "pareto.png").stat().st_size > 5000
    results.show(result)
    printed = capsys.readouterr().out
    assert "Temporal error" in printed and "3 of 3 runs trained" in printed


@pytest.mark.slow
def test_other_settings_are_other_runs(tmp_path, trained, small):
    config = dataclasses.replace(TINY, methods=(PLAIN,))
    _run(tmp_path, config=config, seeds=(0,))
    assert len(trained) == 2
    other = _run(tmp_path, config=dataclasses.replace(config, steps=1), seeds=(0,))
    assert len(trained) == 4 and len(other.rows) == 1
    assert len(json.loads((tmp_path / "rows.json").read_text())) == 2
    # More methods are more runs of the same settings.
    wider = dataclasses.replace(config, methods=(PLAIN, AUGMENTED))
    assert _run(tmp_path, config=wider, seeds=(0,)).trained == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "experiment", ["colorization", "finetune", "small-data", "super-resolution"]
)
def test_own_clips_and_photographs(tmp_path, experiment, trained, small):
    helpers.write_clip_and_photograph(tmp_path)
    config = dataclasses.replace(
        TINY,
        methods=(PLAIN, AUGMENTED, INVARIANCE),
        sizes=(1, 2) if experiment == "small-data" else (2,),
        base_steps=0 if experiment == "small-data" else 1,
        rounds=2 if experiment == "finetune" else 1,
    )
    result = _run(tmp_path / "out", experiment, config, data=tmp_path, seeds=(0,))
    bases = {"finetune": [1, 1], "small-data": []}.get(experiment, [1])
    methods = len(config.methods) * len(config.sizes)
    assert trained in (bases + [2] * methods, bases[:1] + [2] * methods)
    assert all(row["warping_error"] > 0 for row in result.rows)
    page = (tmp_path / "out" / "results.md").read_text()
    assert ("had converged for" in page) == (experiment == "finetune")
    plot = "data-size.png" if experiment == "small-data" else "pareto.png"
    assert (tmp_path / "out" / plot).stat().st_size > 5000


def test_a_folder_without_data_is_refused(tmp_path):
    with pytest.raises(ValueError, match="data must hold at least"):
        _run(tmp_path / "out", data=tmp_path)
    with pytest.raises(ValueError, match="data must be a folder"):
        _run(tmp_path / "out", data=tmp_path / "none")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"experiment": "magic"}, "experiment must be one of colorization, small-data"),
        ({"seeds": ()}, "seeds must be different whole numbers"),
        ({"seeds": (1, 1)}, "seeds must be different whole numbers"),
        ({"seeds": (-1,)}, "seeds must be a whole number of at least 0"),
    ],
)
def test_wrong_arguments_are_refused_before_anything_is_written(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        _run(tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("rows", ['[{"method": 1}]', "[1]", "{", "3"])
def test_broken_rows_are_refused(tmp_path, rows):
    (tmp_path / "rows.json").write_text(rows)
    with pytest.raises(ValueError, match=r"rows\.json must hold the rows of earlier runs"):
        _run(tmp_path)


def test_the_old_name_of_the_config_still_works(tmp_path, trained, small):
    config = dataclasses.replace(TINY, methods=(PLAIN,))
    with pytest.warns(DeprecationWarning, match="config="):
        result = api.reproduce("hdr", tmp_path, plan=config, seeds=(0,), show_progress=False)
    assert len(result.rows) == 1
    assert [c.verdict for c in result.claims] == [
        c.verdict for c in claims.claims("hdr", result.rows)
    ]
