"""The demo: a short run of all of it on a small clip."""

import dataclasses
import json

import numpy as np
import pytest
from helpers import experiments as helpers
from tensorflow import keras

from keras_temporal_reg import metrics
from keras_temporal_reg.evaluation import optical_flow
from keras_temporal_reg.experiments import demo, media, networks
from keras_temporal_reg.experiments.configs import DemoConfig
from keras_temporal_reg.io import video
from keras_temporal_reg.tasks import colorization

CONFIG = DemoConfig(
    strength=0.5,
    members=("plain", "sparse-jacobian"),
    steps=24,
    tuning_steps=2,
    steady_steps=2,
    seed=3,
)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Folder, clip and summary of a run with one small clip and two photographs."""
    folder = tmp_path_factory.mktemp("demo")
    clip = helpers.write_clip_and_photograph(folder)
    unet = networks.colorization_unet
    photographs = dict([*media.shipped_photographs().items()][:2])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(networks, "colorization_unet", lambda channels: unet(4, 2))
        patch.setattr(media, "shipped_photographs", lambda: photographs)
        summary = demo.run(folder / "out", CONFIG, clips=[clip])
    return folder / "out", clip, summary


@pytest.mark.slow
def test_a_run_writes_all_that_it_promises(run):
    output, clip, summary = run
    on_the_clip = summary["on_the_clip"]
    written = ["steadied.keras"] if on_the_clip and on_the_clip["weights"] else []
    assert sorted(p.name for p in output.iterdir()) == [
        "comparison.mp4",
        "evaluation.json",
        "original.keras",
        "plain.keras",
        "report.html",
        "slices.png",
        "stabilized.keras",
        *written,
        "strength.png",
        "summary.json",
    ]
    assert json.loads((output / "summary.json").read_text()) == summary
    for group in demo.GROUPS:
        assert set(summary[group]) == set(demo.MEASURES)
        assert set(summary["clips"][clip.stem][group]) == set(demo.MEASURES)
    assert sum(summary["weights"].values()) == pytest.approx(1.0)
    assert len(video.read(output / "comparison.mp4").frames) == len(media.split(clip).test)


@pytest.mark.slow
def test_the_summary_agrees_with_the_report(run):
    output, _, summary = run
    evaluated = json.loads((output / "evaluation.json").read_text())
    assert evaluated["verdict"]["outcome"].upper() == summary["outcome"]
    assert evaluated["excess_removed"] == summary["excess_removed"]
    for group, name in demo.NAMES.items():
        for key in demo.MEASURES:
            assert evaluated["mean"][name][key] == summary[group][key]
    assert evaluated["mean"]["reference"]["flicker"] == summary["reference"]["flicker"]


@pytest.mark.slow
def test_both_verdicts_follow_from_the_summary(run):
    _, _, summary = run
    for group, outcome in (
        ("baseline", summary["outcome"]),
        ("before", summary["against_original"]["outcome"]),
    ):
        expected = metrics.verdict(summary[group], summary["stabilized"], summary["grey"]["psnr"])
        assert outcome == expected.outcome.name


@pytest.mark.slow
def test_the_measures_are_those_of_the_saved_networks(run):
    output, clip, summary = run
    split = media.split(clip)
    x, y = colorization.encode(split.test / np.float32(255.0))
    motion, mask = optical_flow.of_clip(split.test)
    for name, group in (
        ("original", "before"),
        ("plain", "baseline"),
        ("stabilized", "stabilized"),
    ):
        network = keras.models.load_model(output / f"{name}.keras")
        result = network.predict(x, verbose=0)
        measured = metrics.stability(y, result, motion=motion, mask=mask)
        expected = {key: pytest.approx(measured[key], rel=1e-3) for key in demo.MEASURES}
        assert summary[group] == expected
    assert summary["grey"]["psnr"] == pytest.approx(metrics.psnr(y, 0.0 * y), rel=1e-3)


@pytest.mark.slow
def test_a_run_prints_its_table_and_both_verdicts(run, capsys):
    output, _, summary = run
    demo._show(demo._terminal(), summary, CONFIG, output)
    printed = " ".join(capsys.readouterr().out.split())
    for name in demo.NAMES.values():
        assert f"│ {name} │" in printed
    assert summary["verdict"] in printed and summary["against_original"]["verdict"] in printed


@pytest.mark.slow
def test_no_blend_is_an_error_that_names_the_strength(tmp_path, monkeypatch):
    clip = helpers.write_clip_and_photograph(tmp_path)
    unet = networks.colorization_unet
    monkeypatch.setattr(networks, "colorization_unet", lambda channels: unet(2, 1))
    monkeypatch.setattr(media, "shipped_photographs", dict)
    config = dataclasses.replace(CONFIG, strength="auto", steps=1, tuning_steps=1)
    with pytest.raises(ValueError, match="strength 'auto' found no blend"):
        demo.run(tmp_path / "out", config, clips=[clip])
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["strength.png"]
