"""The demo: a short run of all of it on a small clip."""

import json

import numpy as np
import pytest
from helpers import experiments as helpers
from tensorflow import keras

from keras_temporal_reg import metrics
from keras_temporal_reg.experiments import datasets, demo, networks
from keras_temporal_reg.experiments.configs import DemoConfig
from keras_temporal_reg.io import video
from keras_temporal_reg.tasks import colorization

CONFIG = DemoConfig(steps=24, contrast=0.1, seed=3)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Folder, clip and summary of a run with one small clip and two photographs."""
    folder = tmp_path_factory.mktemp("demo")
    clip = helpers.write_clip_and_photograph(folder)
    unet, photographs = networks.colorization_unet, datasets.shipped_photographs()[:2]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(networks, "colorization_unet", lambda channels: unet(4, 2))
        patch.setattr(datasets, "shipped_photographs", lambda: photographs)
        summary = demo.run(folder / "out", CONFIG, clips=[clip])
    return folder / "out", clip, summary


@pytest.mark.slow
def test_a_run_writes_all_that_it_promises(run):
    output, clip, summary = run
    assert sorted(p.name for p in output.iterdir()) == [
        "comparison.mp4",
        "evaluation.json",
        "plain.keras",
        "report.html",
        "slices.png",
        "stabilized.keras",
        "summary.json",
    ]
    assert json.loads((output / "summary.json").read_text()) == summary
    for group in demo.GROUPS:
        assert set(summary[group]) == set(demo.MEASURES)
        assert set(summary["clips"][clip.stem][group]) == set(demo.MEASURES)
    assert summary["settings"]["fine_tuning_steps"] == 2
    assert len(video.read(output / "comparison.mp4").frames) == len(datasets.split(clip).test)


@pytest.mark.slow
def test_the_summary_agrees_with_the_report(run):
    output, _, summary = run
    evaluated = json.loads((output / "evaluation.json").read_text())
    assert evaluated["summary"] == summary["verdict"]
    assert (evaluated["verdict"]["outcome"] == "stabilized") == summary["is_stabilized"]
    for name, group in (("plain fine-tuning", "baseline"), (str(CONFIG), "stabilized")):
        for key in demo.MEASURES:
            assert evaluated["mean"][name][key] == summary[group][key]


@pytest.mark.slow
def test_the_measures_are_those_of_the_saved_networks(run):
    output, clip, summary = run
    x, y = colorization.encode(datasets.split(clip).test / np.float32(255.0))
    for name, group in (("plain", "baseline"), ("stabilized", "stabilized")):
        network = keras.models.load_model(output / f"{name}.keras")
        measured = metrics.stability(y, network.predict(x, verbose=0))
        expected = {key: pytest.approx(measured[key], rel=1e-3) for key in demo.MEASURES}
        assert summary[group] == expected
    assert summary["grey"]["psnr"] == pytest.approx(metrics.psnr(y, 0.0 * y), rel=1e-3)


@pytest.mark.slow
def test_a_run_prints_its_table_and_verdict(run, capsys):
    output, _, summary = run
    demo._show(demo._terminal(), summary, CONFIG, output)
    printed = capsys.readouterr().out
    assert "Temporal error" in printed and "plain fine-tuning" in printed
    assert summary["verdict"].split(":")[0] in printed
