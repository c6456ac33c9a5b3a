"""Pages of results, and the committed ones: they follow from their rows."""

import json
import pathlib

import pytest

from keras_temporal_reg.experiments import claims, configs, results

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


def test_the_table_has_the_mean_and_the_spread_of_each_group():
    rows = [r for r in _rows("colorization") if r["method"] == configs.PLAIN]
    for row, psnr in zip(rows, (30.0, 31.0, 32.0)):
        row["psnr"] = psnr
    (line,) = (part for part in results._table(rows).splitlines() if part.startswith("| recon"))
    assert "| 31.00 +- 1.00 |" in line


def test_a_page_of_one_seed_says_so(tmp_path):
    rows = tuple(r for r in _rows("hdr") if r["seed"] == 0)
    tested = tuple(claims.claims("hdr", rows))
    result = results.Reproduction("hdr", rows, tested, (), tmp_path, 0, 0.0)
    results.write(result, configs.FULL["hdr"])
    page = (tmp_path / "results.md").read_text()
    assert "One seed" in page and "+-" not in page.split("## The poster's claims")[0]
