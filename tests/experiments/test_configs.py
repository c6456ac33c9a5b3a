"""Configs: what experiments compare, how large they are, and the demo's options."""

import subprocess
import sys

import pytest
from tensorflow import keras

from keras_temporal_reg import losses
from keras_temporal_reg.experiments import configs
from keras_temporal_reg.experiments.configs import CONTRAST, INVARIANCE, JACOBIAN, METHODS, PLAIN


def test_every_experiment_has_a_quick_and_a_full_config():
    for size in (configs.QUICK, configs.FULL):
        assert tuple(sorted(size)) == tuple(sorted(configs.EXPERIMENTS))
        for config in size.values():
            assert config.methods[0] == PLAIN and {*config.methods} <= {*METHODS}
            assert {*config.blends} <= {*configs.BLENDS}
    assert {2, 4, 8, 16, 32} == {*configs.FULL["small-data"].sizes}


def test_methods_make_their_losses():
    assert METHODS[PLAIN].loss(0.9) == "mse"
    for name, kind in (
        (INVARIANCE, losses.TransformInvarianceLoss),
        (JACOBIAN, losses.SparseJacobianLoss),
    ):
        for suffix, contrast in (("", 0.0), (CONTRAST, 0.1)):
            loss = METHODS[name + suffix].loss(0.9)
            assert type(loss) is kind and isinstance(loss, keras.losses.Loss)
            assert (loss.alpha, loss.contrast) == (0.9, contrast)


def test_runs_that_start_from_one_network_are_neighbours():
    config = configs.ExperimentConfig(
        methods=(PLAIN, JACOBIAN), alphas=(0.5, 0.9), blends=(), sizes=(1, 2), steps=7
    )
    runs = configs.runs(config, (0, 3))
    assert runs[:3] == [(PLAIN, 0.0, 7, 1, 0), (JACOBIAN, 0.5, 7, 1, 0), (JACOBIAN, 0.9, 7, 1, 0)]
    assert [(run.data, run.seed) for run in runs[::3]] == [(1, 0), (1, 3), (2, 0), (2, 3)]


def test_blends_filters_and_other_lengths_are_runs_too():
    config = configs.ExperimentConfig(
        methods=(PLAIN,), blends=("blend",), shares=(0.5,), sizes=(1,), steps=7, lengths=(9,)
    )
    runs = configs.runs(config, (0,), {"filter": (2.0, 4.0)})
    assert [run[:3] for run in runs] == [
        (PLAIN, 0.0, 7),
        ("blend", 0.5, 7),
        ("filter", 2.0, 7),
        ("filter", 4.0, 7),
        (PLAIN, 0.0, 9),
        ("blend", 0.5, 9),
    ]
    # A whole share of the regularized members needs no plain network.
    whole = configs.trainings_of(runs[1]._replace(strength=1.0))
    assert [run.method for run in whole] == [INVARIANCE + CONTRAST, JACOBIAN + CONTRAST]
    assert configs.trainings_of(runs[1])[1:] == whole
    assert configs.trainings_of(runs[2]) == [runs[0]]
    stronger = configs.trainings_of(runs[1]._replace(method="blend-strong", strength=1.0))
    assert [run.method for run in stronger] == [run.method for run in whole]
    assert {run.strength for run in stronger} == {configs.BLENDS["blend-strong"].alpha} == {0.97}


def test_the_parts_of_a_blend_add_up_to_one():
    for blend in configs.BLENDS.values():
        assert {*blend.parts} <= {*METHODS} and sum(blend.parts.values()) == 1.0


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("strength", 1.5),
        ("strength", "strong"),
        ("members", ("plain",)),
        ("contrast", -1.0),
        ("steps", 0),
        ("tuning_steps", 0),
        ("seed", -1),
    ],
)
def test_wrong_options_of_the_demo_are_refused(option, value):
    with pytest.raises(ValueError, match=f"{option} must be"):
        configs.DemoConfig(**{option: value})


def test_the_old_name_of_a_config_still_works():
    with pytest.warns(DeprecationWarning, match="use .*ExperimentConfig"):
        assert configs.Plan is configs.ExperimentConfig


def test_options_are_known_without_tensorflow():
    script = (
        "import sys; sys.argv = ['ktr', '--help']; "
        "from keras_temporal_reg.experiments import configs; "
        "assert 'tensorflow' not in sys.modules; print(configs.DemoConfig().strength)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "auto"
