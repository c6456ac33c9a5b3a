"""Pages of results, and the committed ones: they follow from their rows."""

import json
import pathlib

import pytest
from helpers.experiments import row

from keras_temporal_reg.experiments import claims, configs, results
from keras_temporal_reg.experiments.alternatives import ALTERNATIVES
from keras_temporal_reg.experiments.configs import PLAIN

RESULTS = pathlib.Path(__file__).parents[2] / "docs" / "results"


COMMITTED = sorted(path.parent.name for path in RESULTS.glob("*/rows.json"))


def _read(experiment, name):
    return json.loads((RESULTS / experiment / name).read_text())


def _leaves(value, path=""):
    """The leaves of nested dicts and lists, by their paths."""
    if not isinstance(value, (dict, list)):
        return {path: value}
    items = value.items() if isinstance(value, dict) else enumerate(value)
    return {k: v for key, each in items for k, v in _leaves(each, f"{path}/{key}").items()}


def _about(value):
    """A number but for its last digits: versions of NumPy and SciPy round in ways of their own."""
    return pytest.approx(value, rel=1e-7, abs=1e-9) if isinstance(value, float) else value


@pytest.fixture(params=COMMITTED)
def experiment(request):
    return request.param


def test_the_main_experiment_is_committed():
    assert {"colorization"} <= {*COMMITTED} <= {*configs.EXPERIMENTS}


def test_the_page_and_the_summary_follow_from_the_rows(experiment, tmp_path):
    rows, committed = tuple(_read(experiment, "rows.json")), _read(experiment, "summary.json")
    tested = [tuple(test(experiment, rows)) for test in (claims.claims, claims.goals)]
    result = results.Reproduction(experiment, rows, *tested, tmp_path, 0, 0.0)
    results.write(result, configs.FULL[experiment], committed["versions"])
    page = (RESULTS / experiment / "results.md").read_text()
    assert (tmp_path / "results.md").read_text() == page
    found = _leaves(json.loads((tmp_path / "summary.json").read_text()))
    assert found == {path: _about(value) for path, value in _leaves(committed).items()}
    plots = {path.name for path in tmp_path.glob("*.png")}
    assert plots == {path.name for path in (RESULTS / experiment).glob("*.png")}


def test_the_rows_are_all_runs_of_the_full_config(experiment):
    rows = _read(experiment, "rows.json")
    found = [configs.Run(*(row[name] for name in configs.Run._fields)) for row in rows]
    filters = {
        name: ALTERNATIVES[name].strengths
        for name in dict.fromkeys(run.method for run in found)
        if name in ALTERNATIVES
    }
    expected = configs.runs(configs.FULL[experiment], configs.SEEDS, filters)
    assert sorted(found) == sorted(expected)
    assert bool(filters) == configs.FULL[experiment].alternatives
    assert len({row["settings"] for row in rows}) == 1


def test_the_overview_has_the_headline_and_every_claim(experiment):
    page = (RESULTS / "README.md").read_text()
    summary = _read(experiment, "summary.json")
    for clips, found in summary["headline"].items():
        line = next(
            each for each in page.splitlines() if each.startswith(f"| {experiment}, {clips}")
        )
        assert f"x {found['flicker']['mean']:.2f} ± {found['flicker']['margin']:.2f}" in line
        assert f"{found['psnr']['mean']:+.2f} ± {found['psnr']['margin']:.2f} dB" in line
        assert found["outcome"].replace("_", " ") in line
    section = page.split(f"\n## {experiment}\n")[1].split("\n## ")[0]
    for claim in (*summary["claims"], *summary["goals"]):
        assert f"- {claim['claim']} **{claim['verdict'].capitalize()}.**" in section


def test_a_page_of_one_seed_says_so(tmp_path):
    rows = (row(PLAIN), row("blend", 0.7, flicker=7.0))
    result = results.Reproduction("colorization", rows, (), (), tmp_path, 0, 0.0)
    results.write(result, configs.FULL["colorization"])
    page = (tmp_path / "results.md").read_text()
    assert "One seed" in page and "±" not in page
    assert "- blend: 0.5 transform-invariance-contrast + 0.5 sparse-jacobian-contrast" in page
    assert (tmp_path / "fronts.png").stat().st_size > 5000


def test_filters_that_are_left_out_are_named(tmp_path):
    rows = (row(PLAIN), row("temporal low-pass", 0.3, flicker=7.0))
    result = results.Reproduction("colorization", rows, (), (), tmp_path, 0, 0.0)
    results.write(result, configs.FULL["colorization"])
    assert "Not compared with: symmetric low-pass, " in (tmp_path / "results.md").read_text()


def test_data_sizes_are_plotted_where_there_are_several(tmp_path):
    sets = ("clips", "stills")
    rows = tuple(
        row(method, data=data, sets=sets) for data in (2, 8) for method in (PLAIN, "augmentation")
    )
    result = results.Reproduction("small-data", rows, (), (), tmp_path, 0, 0.0)
    results.write(result, configs.FULL["small-data"])
    page = (tmp_path / "results.md").read_text()
    assert "data-size.png" in page and page.count("| augmentation, 8 stills |") == 2
    assert (tmp_path / "data-size.png").stat().st_size > 5000
