"""Measures of networks and filters, against those of the metrics themselves."""

import numpy as np
import pytest
from helpers import experiments as helpers
from tensorflow import keras

from keras_temporal_reg import metrics
from keras_temporal_reg.evaluation import optical_flow
from keras_temporal_reg.experiments import datasets, measures, scenes
from keras_temporal_reg.experiments.configs import ExperimentConfig, Run
from keras_temporal_reg.experiments.statistics import MEASURES
from keras_temporal_reg.tasks import colorization

RNG = np.random.default_rng(0)


def _network():
    layer = keras.layers.Conv2D(2, 3, padding="same")
    return keras.Sequential([keras.Input((None, None, 1)), layer])


@pytest.fixture
def problem():
    frames = RNG.uniform(size=(3, 16, 16, 3)).astype("float32")
    clip = datasets.ClipArrays(*colorization.encode(frames), *optical_flow.of_clip(frames))
    sets = {"clips": {"noise": clip}, "stills": {"again": clip}}
    return datasets.Problem(colorization, lambda channels: _network(), lambda count: [], sets)


def test_measures_are_those_of_the_prediction(problem):
    network = _network()
    references = measures.of_references(problem)
    row = measures.measure_network(problem, network, references)
    assert row["clips"]["clips"]["noise"] == row["clips"]["stills"]["again"]
    found, clip = row["clips"]["clips"]["noise"], problem.sets["clips"]["noise"]
    assert {*MEASURES} <= {*found}
    result = network.predict(clip.x, verbose=0)
    expected = metrics.stability(clip.y, result, motion=clip.motion, mask=clip.mask)
    assert expected["flicker"] > 0.0
    for key, value in expected.items():
        assert found[key] == pytest.approx(value, rel=1e-4)
    assert found["baseline_psnr"] == pytest.approx(metrics.psnr(clip.y, 0.0 * clip.y), rel=1e-5)
    flicker = metrics.flicker(clip.y, clip.motion, clip.mask)
    assert found["reference_flicker"] == pytest.approx(flicker, rel=1e-5)
    shown = problem.task.decode(clip.x, result)
    error = metrics.warping_error(shown, clip.motion, clip.mask)
    assert found["warping_error"] == pytest.approx(error, rel=1e-4)
    similarity = metrics.ssim(problem.task.decode(clip.x, clip.y), shown)
    assert found["ssim"] == pytest.approx(similarity, rel=1e-4)
    means = measures.mean_measures(problem, network)
    assert means["psnr"] == pytest.approx(found["psnr"], rel=1e-4)


def test_filters_are_measured_on_the_networks_results(problem):
    network = _network()
    references = measures.of_references(problem)
    plain = measures.measure_network(problem, network, references)
    runs = [Run("temporal low-pass", strength, 2, 2, 0) for strength in (0.3, 0.7)]
    weak, strong = measures.measure_alternatives(problem, network, runs, references)
    flicker = [row["clips"]["clips"]["noise"]["flicker"] for row in (plain, weak, strong)]
    assert flicker[0] > flicker[1] > flicker[2]
    assert weak["seconds_per_frame"] > 0


def test_hdr_is_measured_where_the_camera_clipped(monkeypatch):
    helpers.shrink(monkeypatch)
    config = ExperimentConfig(sizes=(2,), base_steps=2, steps=2, channels=2, frames=3)
    problem = datasets.problem("hdr", config, None)
    y = next(iter(problem.sets["scenes"].values())).y
    clipped = y.max(axis=-1) > scenes.to_log(np.float32(1.0))
    elsewhere = y.max(axis=-1) < scenes.to_log(np.float32(scenes.SATURATION))
    judged = measures.where_weighted(problem, y + 1.0, y)
    np.testing.assert_allclose(judged[clipped], y[clipped] + 1.0, atol=1e-5)
    np.testing.assert_allclose(judged[elsewhere], y[elsewhere], atol=1e-5)
