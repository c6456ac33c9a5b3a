"""Pages of results, and the committed ones: they follow from their rows."""

import json
import pathlib

import pytest
from helpers.experiments import row

from keras_temporal_reg.experiments import claims, configs, results
from keras_temporal_reg.experiments.alternatives import ALTERNATIVES
from keras_temporal_reg.experiments.configs import PLAIN

RESULTS = pathlib.Path(__file__).parents[2] / "docs" / "results"


COMMITTED = {  # folders, and the seeds of their rows
    **dict.fromkeys(configs.EXPERIMENTS, configs.SEEDS),
    "larger/colorization": (0,),
    "larger/hdr": (0,),
}


def _read(folder, name):
    return json.loads((folder / name).read_text())


def _leaves(value, path=""):
    """The leaves of nested dicts and lists, by their paths."""
    if not isinstance(value, (dict, list)):
        return {path: value}
    items = value.items() if isinstance(value, dict) else enumerate(value)
    return {k: v for key, each in items for k, v in _leaves(each, f"{path}/{key}").items()}


def _about(value):
    """A number but for its last digits: versions of NumPy and SciPy round in ways of their own."""
    return pytest.approx(value, rel=1e-7, abs=1e-9) if isinstance(value, float) else value


@pytest.mark.parametrize("folder", COMMITTED)
def test_the_page_and_the_summary_follow_from_the_rows(folder, tmp_path):
    folder = RESULTS / folder
    rows, committed = tuple(_read(folder, "rows.json")), _read(folder, "summary.json")
    experiment = folder.name
    tested = [tuple(test(experiment, rows)) for test in (claims.claims, claims.goals)]
    result = results.Reproduction(experiment, rows, *tested, tmp_path, 0, 0.0)
    results.write(result, configs.FULL[experiment], committed["versions"])
    assert (tmp_path / "results.md").read_text() == (folder / "results.md").read_text()
    found = _leaves(json.loads((tmp_path / "summary.json").read_text()))
    assert found == {path: _about(value) for path, value in _leaves(committed).items()}
    plots = {path.name for path in tmp_path.glob("*.png")}
    assert plots == {path.name for path in folder.glob("*.png")}


@pytest.mark.parametrize(("folder", "seeds"), COMMITTED.items())
def test_the_rows_are_all_runs_of_the_full_config(folder, seeds):
    folder = RESULTS / folder
    rows, config = _read(folder, "rows.json"), configs.FULL[folder.name]
    found = [configs.Run(*(row[name] for name in configs.Run._fields)) for row in rows]
    filters = {
        name: ALTERNATIVES[name].strengths
        for name in dict.fromkeys(run.method for run in found)
        if name in ALTERNATIVES
    }
    assert sorted(found) == sorted(configs.runs(config, seeds, filters))
    assert bool(filters) == config.alternatives
    assert len({row["settings"] for row in rows}) == 1


@pytest.mark.parametrize("experiment", configs.EXPERIMENTS)
def test_the_overview_has_the_headline_and_every_claim(experiment):
    page = (RESULTS / "README.md").read_text()
    summary = _read(RESULTS / experiment, "summary.json")
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


@pytest.mark.parametrize("experiment", ["colorization", "hdr"])
def test_the_page_of_larger_runs_has_their_headlines(experiment):
    page = (RESULTS / "larger.md").read_text()
    for clips, found in _read(RESULTS / "larger" / experiment, "summary.json")["headline"].items():
        line = f"| {experiment}, {clips} | x {found['flicker']['mean']:.2f} | "
        line += (
            f"{100 * found['excess_removed']['mean']:.0f} % | {found['psnr']['mean']:+.2f} dB | "
        )
        assert line + found["outcome"].replace("_", " ") in page


def test_the_readme_has_the_first_headline_of_each_experiment():
    readme, page = ((each / "README.md").read_text() for each in (RESULTS.parents[1], RESULTS))
    shown = [line for line in readme.splitlines() if " ± " in line and " dB | " in line]
    headlines = {name: _read(RESULTS / name, "summary.json")["headline"] for name in COMMITTED}
    expected = {f"{name}, {next(iter(sets))}" for name, sets in headlines.items() if sets}
    assert {line.split(" | ")[0].removeprefix("| ") for line in shown} == {
        each for each in expected if not each.startswith("larger/")
    }
    assert {*shown} <= {*page.splitlines()}


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
