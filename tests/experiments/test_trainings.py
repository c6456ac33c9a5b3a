"""Networks of an experiment: trained once, kept, and blended."""

import numpy as np
import pytest
from tensorflow import keras

from keras_temporal_reg.experiments import configs, datasets, runner, trainings
from keras_temporal_reg.experiments.configs import CONTRAST, INVARIANCE, JACOBIAN, PLAIN, Run
from keras_temporal_reg.finetuning.config import MEMBER_ALPHA
from keras_temporal_reg.tasks import colorization

CONFIG = configs.ExperimentConfig(sizes=(2,), base_steps=5, steps=3, channels=2)
BLEND = Run("blend", 0.6, 3, 2, 0)


def _network(channels):
    layer = keras.layers.Conv2D(2, 1, use_bias=False)
    return keras.Sequential([keras.Input((None, None, 1)), layer])


@pytest.fixture
def trained(monkeypatch):
    """Replace training: all weights become a number of each training, counted from 1."""
    made = []

    def train_base(setting, advance):
        made.append("base")
        advance(setting.config.base_steps)
        return runner.Base([np.zeros((1, 1, 1, 2), np.float32)], True)

    def fine_tune(setting, method, alpha, base, advance):
        made.append((method, alpha, setting.config.steps, setting.seed))
        advance(setting.config.steps * method.passes)
        network = _network(2)
        network.set_weights([np.full((1, 1, 1, 2), len(made) - 1, np.float32)])
        return network

    monkeypatch.setattr(runner, "train_base", train_base)
    monkeypatch.setattr(runner, "fine_tune", fine_tune)
    return made


@pytest.fixture
def workshop(tmp_path):
    problem = datasets.Problem(colorization, _network, lambda count: [], {})
    return trainings.Workshop(problem, CONFIG, tmp_path / "weights", lambda *_, **__: None)


def _value(network):
    return float(np.mean(network.get_weights()[0]))


def test_a_blend_is_the_average_of_its_members(workshop, trained):
    network, facts = trainings.network_of(workshop, BLEND)
    # 0.4 of the plain one, 1, and 0.3 of each of the others, 2 and 3.
    assert _value(network) == pytest.approx(0.4 * 1 + 0.3 * 2 + 0.3 * 3)
    methods = configs.METHODS
    assert trained == [
        "base",
        (methods[PLAIN], 0.0, 3, 0),
        (methods[INVARIANCE + CONTRAST], MEMBER_ALPHA, 3, 0),
        (methods[JACOBIAN + CONTRAST], MEMBER_ALPHA, 3, 0),
    ]
    assert facts["converged"] is True and facts["seconds"] >= 0


def test_networks_are_trained_once(workshop, trained):
    runs = [BLEND, BLEND._replace(strength=1.0), BLEND._replace(method=PLAIN, strength=0.0)]
    values = [_value(trainings.network_of(workshop, run)[0]) for run in runs]
    assert len(trained) == 4 and values == pytest.approx([1.9, 2.5, 1.0])
    # A filter works on the results of the plain network.
    filtered = runs[0]._replace(method="some filter", strength=3.0)
    assert _value(trainings.network_of(workshop, filtered)[0]) == 1.0 and len(trained) == 4


def test_other_lengths_and_seeds_are_other_trainings(workshop, trained):
    plain = Run(PLAIN, 0.0, 3, 2, 0)
    for run in (plain, plain._replace(steps=9), plain._replace(seed=1)):
        trainings.network_of(workshop, run)
    assert [each[2:] for each in trained if each != "base"] == [(3, 0), (9, 0), (3, 1)]
    assert trained.count("base") == 2


def test_the_bar_counts_what_is_missing(workshop, trained):
    runs = [BLEND, BLEND._replace(method="some filter")]
    assert trainings.missing_passes(CONFIG, workshop.folder, runs) == 5 + 3 * (1 + 2 + 2)
    passed = []
    counting = trainings.Workshop(
        workshop.problem, CONFIG, workshop.folder, lambda count, label=None: passed.append(count)
    )
    trainings.network_of(counting, BLEND)
    assert sum(passed) == 5 + 3 * (1 + 2 + 2)
    assert trainings.missing_passes(CONFIG, workshop.folder, runs) == 0
