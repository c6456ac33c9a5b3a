"""Training by methods on the same crops."""

import dataclasses

import numpy as np
import pytest
from tensorflow import keras

from keras_temporal_reg.experiments import datasets, runner
from keras_temporal_reg.experiments.configs import (
    AUGMENTED,
    JACOBIAN,
    METHODS,
    PLAIN,
    ExperimentConfig,
    Method,
)
from keras_temporal_reg.finetuning import training
from keras_temporal_reg.tasks import colorization

TINY = ExperimentConfig(sizes=(2,), base_steps=2, steps=2, channels=2, frames=3)
RNG = np.random.default_rng(0)
PICTURES = [
    (RNG.uniform(size=(80, 96, 1)).astype("float32"), RNG.uniform(size=(80, 96, 2)).astype("f4"))
    for _ in range(3)
]


def _network(channels):
    layer = keras.layers.Conv2D(2, 3, padding="same")
    return keras.Sequential([keras.Input((None, None, 1)), layer])


@pytest.fixture
def problem():
    return datasets.Problem(colorization, _network, lambda count: PICTURES[:count], {})


@pytest.fixture
def setting(problem):
    return runner.Setting(problem, TINY, PICTURES, seed=0)


def _first(setting, name, seed):
    batches = list(runner.batches(setting, METHODS[name], seed, 0, 1))
    assert len(batches) == 1
    return [part.numpy() for part in batches[0]]


def _ignore(steps):
    pass


@pytest.mark.slow
def test_the_same_seed_gives_the_same_batches(setting):
    for name in (PLAIN, JACOBIAN):
        first, again = (_first(setting, name, 1) for _ in range(2))
        for a, b in zip(first, again):
            np.testing.assert_array_equal(a, b)
    assert np.any(_first(setting, PLAIN, 1)[0] != _first(setting, PLAIN, 2)[0])


@pytest.mark.slow
def test_all_methods_see_the_same_crops(setting):
    plain = _first(setting, PLAIN, 1)
    for name in ("noise-stability", JACOBIAN):
        x, y = _first(setting, name, 1)
        np.testing.assert_array_equal(x[::2], plain[0])
        np.testing.assert_array_equal(y[::2, ..., :2], plain[1])
        assert np.any(x[1::2] != plain[0])


def test_a_training_that_collapses_is_started_anew(setting, monkeypatch):
    monkeypatch.setattr(runner, "PROBED_STEP", 2)
    made = []

    def network(channels):
        """Constant at first, as with dead ReLUs: nothing but its bias is trained."""
        made.append(_network(channels))
        if len(made) < 3:
            made[-1].layers[0].set_weights([np.zeros((3, 3, 1, 2)), np.zeros(2)])
            x = keras.Input((None, None, 1))
            made[-1] = keras.Model(x, made[-1](keras.layers.Rescaling(0.0)(x)))
        return made[-1]

    config = dataclasses.replace(TINY, base_steps=3)
    problem = dataclasses.replace(setting.problem, network=network)
    done = []
    base = runner.train_base(
        dataclasses.replace(setting, problem=problem, config=config), done.append
    )
    assert len(made) == 3 and sum(done) == config.base_steps
    np.testing.assert_array_equal(base.weights[0], made[2].get_weights()[0])


@pytest.mark.slow
def test_a_network_that_always_collapses_is_an_error(setting, monkeypatch):
    monkeypatch.setattr(runner, "PROBED_STEP", 1)

    def network(channels):
        x = keras.Input((None, None, 1))
        return keras.Model(x, _network(channels)(keras.layers.Rescaling(0.0)(x)))

    problem = dataclasses.replace(setting.problem, network=network)
    with pytest.raises(ValueError, match=r"^seed 0 cannot be trained: 4 trainings collapsed"):
        runner.train_base(dataclasses.replace(setting, problem=problem), _ignore)


def test_augmentation_moves_x_and_y_alike(setting):
    same = [(np.repeat(x, 2, axis=-1), np.repeat(x, 2, axis=-1)) for x, _ in PICTURES]
    setting = dataclasses.replace(setting, pictures=same)
    x, y = _first(setting, AUGMENTED, 1)
    np.testing.assert_allclose(x, y, atol=1e-6)
    assert np.any(x != _first(setting, PLAIN, 1)[0])


def test_noise_stability_adds_noise_of_its_deviation(setting):
    x, _ = _first(setting, "noise-stability", 1)
    assert (x[1::2] - x[::2]).std() == pytest.approx(runner.NOISE, rel=0.05)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_non_finite_pictures_are_refused_before_training(problem, value):
    pictures = [(np.full((80, 96, 1), value, "float32"), np.zeros((80, 96, 2), "float32"))]
    setting = runner.Setting(problem, TINY, pictures, seed=0)
    with pytest.raises(ValueError, match="x of all samples must be finite"):
        runner.batches(setting, METHODS[PLAIN], 0, 0, 1)


@pytest.mark.slow
def test_plain_and_regularized_training_see_the_same_batches(setting):
    # With alpha 0 the regularized loss is the plain one, so the weights must agree.
    base = runner.train_base(setting, _ignore)
    weights = [
        runner.fine_tune(setting, method, 0.0, base, _ignore).get_weights()
        for method in (Method(), Method(JACOBIAN))
    ]
    for a, b, before in zip(*weights, base.weights):
        np.testing.assert_allclose(a, b, atol=1e-6)
        assert np.any(a != before)


def test_training_to_convergence_stops_when_a_round_gains_nothing(setting, monkeypatch):
    steps, passed = [], []
    monkeypatch.setattr(
        training, "train", lambda network, batches, count, **options: steps.append(count)
    )
    config = dataclasses.replace(TINY, rounds=5)
    base = runner.train_base(dataclasses.replace(setting, config=config), passed.append)
    # Without training the second round gains nothing; the bar skips the other three.
    assert base.converged and steps == [2, 2] and passed == [3 * 2]
