"""The committed results: their pages and their verdicts follow from their rows."""

import json
import pathlib

import pytest

from keras_temporal_reg.experiments import claims
from keras_temporal_reg.experiments import configs as plans
from keras_temporal_reg.experiments import results as findings

RESULTS = pathlib.Path(__file__).parents[2] / "docs" / "results"


def _read(experiment, name):
    return json.loads((RESULTS / experiment / name).read_text())


@pytest.fixture(params=plans.EXPERIMENTS)
def experiment(request):
    return request.param


def test_the_page_and_the_summary_follow_from_the_rows(experiment, tmp_path):
    rows, committed = tuple(_read(experiment, "rows.json")), _read(experiment, "summary.json")
    judged = [tuple(judge(experiment, rows)) for judge in (claims.claims, claims.goals)]
    result = findings.Reproduction(experiment, rows, *judged, tmp_path, 0, 0.0)
    findings.write(result, plans.FULL[experiment], committed["versions"])
    page = (RESULTS / experiment / "results.md").read_text()
    assert (tmp_path / "results.md").read_text() == page
    assert json.loads((tmp_path / "summary.json").read_text()) == committed
    plots = {path.name for path in tmp_path.glob("*.png")}
    assert plots == {path.name for path in (RESULTS / experiment).glob("*.png")}


def test_the_rows_are_all_of_the_full_plan(experiment):
    plan, rows = plans.FULL[experiment], _read(experiment, "rows.json")
    found = {(row["method"], row["alpha"], row["data"], row["seed"]) for row in rows}
    expected = {
        (method, alpha, size, seed)
        for method in plan.methods
        for alpha in (plan.alphas if plans.METHODS[method].loss is not None else (0.0,))
        for size in plan.sizes
        for seed in (0, 1, 2)
    }
    assert found == expected and len(rows) == len(found)
    assert len({row["settings"] for row in rows}) == 1


def test_the_overview_has_every_claim_with_its_verdict(experiment):
    page = (RESULTS / "README.md").read_text()
    summary = _read(experiment, "summary.json")
    section = page.split(f"\n## {experiment}\n")[1].split("\n## ")[0]
    for claim in (*summary["claims"], *summary["goals"]):
        assert claim["claim"] in section and claim["measured"] in section
        assert f"**{claim['verdict'].capitalize()}.**" in section
