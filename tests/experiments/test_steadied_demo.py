"""The demo's network, steadied on a clip whose colours are hidden."""

import numpy as np
import pytest
from helpers import experiments as helpers
from tensorflow import keras

from keras_temporal_reg import metrics, saved_models
from keras_temporal_reg.evaluation import optical_flow
from keras_temporal_reg.experiments import datasets, demo, media, networks, steadied_demo
from keras_temporal_reg.experiments.configs import DemoConfig
from keras_temporal_reg.steadying import adaptation
from keras_temporal_reg.tasks import colorization


@pytest.fixture(scope="module")
def problem_and_split(tmp_path_factory):
    split = media.split(helpers.write_clip_and_photograph(tmp_path_factory.mktemp("clip")))
    return datasets.of_clips(colorization, networks.colorization_unet, [split], []), split


def save_network(path, scale):
    keras.utils.set_random_seed(1)
    network = networks.colorization_unet(2, 1)
    # Its last layer is initialised with zeros.
    rng = np.random.default_rng(0)
    weights = network.get_weights()
    weights[-2] = (scale * rng.normal(size=weights[-2].shape)).astype(np.float32)
    network.set_weights(weights)
    saved_models.save(network, path, "keras")
    return path


@pytest.mark.slow
def test_measures_are_against_the_colours_that_it_does_not_see(problem_and_split, tmp_path):
    problem, split = problem_and_split
    original = save_network(tmp_path / "original.keras", scale=0.1)
    output = tmp_path / "steadied.keras"
    found = steadied_demo.run(original, problem, [split], DemoConfig(steady_steps=3), output)
    assert found["clip"] == split.name and output.exists() == bool(found["weights"])
    x, y = colorization.encode(split.test / np.float32(255.0))
    motion, mask = optical_flow.of_clip(split.test)
    result = saved_models.load(original).model.predict(x, verbose=0)
    expected = metrics.stability(y, result, motion=motion, mask=mask, cuts=split.cuts)
    for key in demo.MEASURES:
        assert found["before"][key] == pytest.approx(expected[key], rel=1e-3)
    baseline_psnr = metrics.psnr(y, 0.0 * y)
    verdict = metrics.verdict(found["before"], found["steadied"], baseline_psnr)
    assert found["outcome"] == verdict.outcome.name


def test_results_without_flicker_are_nothing_to_steady(problem_and_split, tmp_path):
    problem, split = problem_and_split
    original = save_network(tmp_path / "original.keras", scale=0.0)
    output = tmp_path / "steadied.keras"
    with pytest.raises(adaptation.NothingToSteady, match="must flicker"):
        steadied_demo.run(original, problem, [split], DemoConfig(steady_steps=3), output)
    assert not output.exists()
