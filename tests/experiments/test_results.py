"""Pages of results, and the committed ones: they follow from their rows."""

import json
import pathlib

import pytest
from helpers.experiments import row

from keras_temporal_reg.experiments import claims, configs, results
from keras_temporal_reg.experiments.configs import PLAIN

RESULTS = pathlib.Path(__file__).parents[2] / "docs" / "results"


def _read(experiment, name):
    return json.loads((RESULTS / experiment / name).read_text())


def _rows(experiment):
    """The rows of the experiment; those of methods that were removed stay as data."""
    return tuple(r for r in _read(experiment, "rows.json") if r["method"] in configs.METHODS)


@pytest.fixture(params=configs.EXPERIMENTS)
def experiment(request):
    return request.param


def test_the_page_and_the_summary_follow_from_the_rows(experiment, tmp_path):
    rows, committed = _rows(experiment), _read(experiment, "summary.json")
    tested = [tuple(test(experiment, rows)) for test in (claims.claims, claims.goals)]
    result = results.Reproduction(experiment, rows, *tested, tmp_path, 0, 0.0)
    results.write(result, configs.FULL[experiment], committed["versions"])
    page = (RESULTS / experiment / "results.md").read_text()
    assert (tmp_path / "results.md").read_text() == page
    assert json.loads((tmp_path / "summary.json").read_text()) == committed
    plots = {path.name for path in tmp_path.glob("*.png")}
    assert plots == {path.name for path in (RESULTS / experiment).glob("*.png")}


def test_the_rows_are_all_runs_of_the_full_config(experiment):
    rows = _rows(experiment)
    found = [configs.Run(r["method"], r["alpha"], r["data"], r["seed"]) for r in rows]
    expected = configs.runs(configs.FULL[experiment], configs.SEEDS)
    assert sorted(found) == sorted(expected)
    assert len({row["settings"] for row in rows}) == 1


def test_the_overview_has_every_claim_with_its_verdict(experiment):
    page = (RESULTS / "README.md").read_text()
    summary = _read(experiment, "summary.json")
    section = page.split(f"\n## {experiment}\n")[1].split("\n## ")[0]
    for claim in (*summary["claims"], *summary["goals"]):
        assert claim["claim"] in section and claim["measured"] in section
        assert f"**{claim['verdict'].capitalize()}.**" in section


def test_a_page_of_one_seed_says_so(tmp_path):
    rows = (row(PLAIN), row("blend", 0.7, flicker=7.0))
    result = results.Reproduction("colorization", rows, (), (), tmp_path, 0, 0.0)
    results.write(result, configs.FULL["colorization"])
    page = (tmp_path / "results.md").read_text()
    assert "One seed" in page and "±" not in page
    assert (tmp_path / "fronts.png").stat().st_size > 5000


def test_data_sizes_are_plotted_where_there_are_several(tmp_path):
    rows = tuple(row(method, data=data) for data in (2, 8) for method in (PLAIN, "augmentation"))
    result = results.Reproduction("small-data", rows, (), (), tmp_path, 0, 0.0)
    results.write(result, configs.FULL["small-data"])
    page = (tmp_path / "results.md").read_text()
    assert "data-size.png" in page and "| augmentation, 8 stills |" in page
    assert (tmp_path / "data-size.png").stat().st_size > 5000
