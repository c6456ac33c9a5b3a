"""`reproduce`: rows that can be resumed, and files that agree with them."""

import dataclasses
import json

import numpy as np
import pytest
from helpers import experiments as helpers

from keras_temporal_reg.experiments import api, claims, measures, results, statistics
from keras_temporal_reg.experiments.configs import (
    AUGMENTED,
    INVARIANCE,
    JACOBIAN,
    PLAIN,
    ExperimentConfig,
    Run,
)
from keras_temporal_reg.experiments.statistics import BASELINE_PSNR, MEASURES, REFERENCE_FLICKER
from keras_temporal_reg.finetuning import training

TINY = ExperimentConfig(
    methods=(PLAIN, AUGMENTED, JACOBIAN),
    alphas=(0.9,),
    blends=("blend-sparse-jacobian",),
    shares=(0.5,),
    alternatives=False,
    sizes=(2,),
    base_steps=2,
    steps=2,
    channels=2,
    frames=3,
)
FIELDS = {
    *Run._fields,
    "experiment",
    "converged",
    "clips",
    "seconds",
    "seconds_per_frame",
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
    return [{key: value for key, value in row.items() if "seconds" not in key} for row in rows]


def _run(output, experiment="hdr", config=TINY, **options):
    return api.reproduce(experiment, output, config=config, show_progress=False, **options)


@pytest.mark.slow
def test_a_run_goes_on_where_it_was_interrupted(tmp_path, trained, small, monkeypatch):
    whole = _run(tmp_path / "whole", seeds=(0,))
    # The base, and four trainings: the blend has a member of its own.
    assert trained == [2] * 5 and whole.measured == 4

    measure, measured = measures.measure_network, []

    def interrupted(*arguments):
        if len(measured) == 2:
            raise KeyboardInterrupt
        measured.append(measure(*arguments))
        return measured[-1]

    monkeypatch.setattr(measures, "measure_network", interrupted)
    with pytest.raises(KeyboardInterrupt):
        _run(tmp_path / "cut", seeds=(0,))
    assert len(json.loads((tmp_path / "cut" / "rows.json").read_text())) == 2
    monkeypatch.setattr(measures, "measure_network", measure)
    trained.clear()
    resumed = _run(tmp_path / "cut", seeds=(0,))
    # The third network was trained before it was to be measured, and is kept.
    assert trained == [2] and resumed.measured == 2
    assert _without_time(resumed.rows) == _without_time(whole.rows)

    trained.clear()
    again = _run(tmp_path / "cut", seeds=(0,))
    assert trained == [] and again.measured == 0
    assert again.rows == resumed.rows


@pytest.mark.slow
def test_the_same_seed_gives_the_same_numbers(tmp_path, small):
    methods = (PLAIN, AUGMENTED, "noise-stability", JACOBIAN)
    config = dataclasses.replace(TINY, methods=methods)
    first, again = (_run(tmp_path / name, "hdr", config, seeds=(0,)) for name in ("first", "again"))
    assert _without_time(first.rows) == _without_time(again.rows)
    # Each method trains in a way of its own, from the same weights.
    groups = statistics.group_rows(first.rows, "scenes")
    values = {statistics.of_group(group, "psnr").mean for group in groups.values()}
    assert len(values) == len(methods) + 1


def test_rows_page_summary_and_plot_agree(tmp_path, trained, small, capsys):
    result = _run(tmp_path, seeds=(3,))
    rows = json.loads((tmp_path / "rows.json").read_text())
    assert rows == list(result.rows)
    for row in rows:
        assert set(row) == FIELDS
        assert {*row["clips"]} == {"validation", "scenes"}
        for clip in row["clips"]["scenes"].values():
            assert {*MEASURES, BASELINE_PSNR, REFERENCE_FLICKER} <= {*clip}
    summary = json.loads((tmp_path / "summary.json").read_text())
    methods = [group["method"] for group in summary["sets"]["scenes"]]
    assert methods == [*TINY.methods, *TINY.blends]
    assert summary["headline"]["scenes"]["blend"].startswith(TINY.blends[0])
    for key in ("claims", "goals"):
        expected = [dataclasses.asdict(each) for each in getattr(result, key)]
        assert summary[key] == expected
    page = (tmp_path / "results.md").read_text()
    for claim in (*result.claims, *result.goals):
        assert claim.claim in page and claim.measured in page
    assert "One seed" in page and "±" not in page
    assert (tmp_path / "fronts.png").stat().st_size > 5000
    results.show(result)
    printed = capsys.readouterr().out
    assert "| flicker |" in printed and "4 of 4 runs made" in printed


@pytest.mark.slow
def test_filters_are_rows_too(tmp_path, trained, small):
    config = dataclasses.replace(TINY, methods=(PLAIN,), blends=(), alternatives=True)
    result = _run(tmp_path, config=config, seeds=(0,))
    filters = {row["method"] for row in result.rows} - {PLAIN}
    assert {"temporal low-pass", "motion-compensated low-pass", "test-time averaging"} <= filters
    assert trained == [2, 2]  # the base, and the plain network
    assert "4 passes" in (tmp_path / "results.md").read_text()


@pytest.mark.slow
def test_other_settings_are_other_runs(tmp_path, trained, small):
    config = dataclasses.replace(TINY, methods=(PLAIN,), blends=())
    _run(tmp_path, config=config, seeds=(0,))
    assert len(trained) == 2
    other = _run(tmp_path, config=dataclasses.replace(config, rate=1e-4), seeds=(0,))
    assert len(trained) == 4 and len(other.rows) == 1
    assert len(json.loads((tmp_path / "rows.json").read_text())) == 2
    # More methods and lengths are more runs of the same settings.
    wider = dataclasses.replace(config, methods=(PLAIN, AUGMENTED), lengths=(1,))
    assert _run(tmp_path, config=wider, seeds=(0,)).measured == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    "experiment", ["colorization", "finetune", "small-data", "super-resolution", "denoising"]
)
def test_own_clips_and_photographs(tmp_path, experiment, trained, small):
    helpers.write_clip_and_photograph(tmp_path)
    config = dataclasses.replace(
        TINY,
        methods=(PLAIN, AUGMENTED, INVARIANCE),
        blends=(),
        sizes=(1, 2) if experiment == "small-data" else (2,),
        base_steps=0 if experiment == "small-data" else 1,
        rounds=2 if experiment == "finetune" else 1,
    )
    result = _run(tmp_path / "out", experiment, config, data=tmp_path, seeds=(0,))
    bases = {"finetune": [1, 1], "small-data": []}.get(experiment, [1])
    methods = len(config.methods) * len(config.sizes)
    assert trained in (bases + [2] * methods, bases[:1] + [2] * methods)
    assert all("own" in row["clips"]["clips"] for row in result.rows)
    page = (tmp_path / "out" / "results.md").read_text()
    assert ("had converged for" in page) == (experiment == "finetune")
    plot = "data-size.png" if experiment == "small-data" else "fronts.png"
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


@pytest.mark.parametrize("rows", ['[{"method": "sparse-jacobian", "alpha": 0.5}]', "[1]", "{", "3"])
def test_broken_and_older_rows_are_refused(tmp_path, rows):
    (tmp_path / "rows.json").write_text(rows)
    with pytest.raises(ValueError, match=r"rows\.json must hold rows of this.*reproduce hdr"):
        _run(tmp_path)
    assert (tmp_path / "rows.json").read_text() == rows


def test_the_old_name_of_the_config_still_works(tmp_path, trained, small):
    config = dataclasses.replace(TINY, methods=(PLAIN,), blends=())
    with pytest.warns(DeprecationWarning, match="config="):
        result = api.reproduce("hdr", tmp_path, plan=config, seeds=(0,), show_progress=False)
    assert len(result.rows) == 1
    assert [c.verdict for c in result.claims] == [
        c.verdict for c in claims.claims("hdr", result.rows)
    ]
