"""Settings of an evaluation: values out of their ranges are refused."""

import dataclasses

import pytest

from keras_temporal_reg import tasks
from keras_temporal_reg.evaluation.config import FLOW_METHODS, EvaluationConfig


def test_the_defaults_are_accepted():
    config = EvaluationConfig(tasks.restoration)
    assert config.value_range == (0.0, 1.0) and config.flow_method in FLOW_METHODS
    assert config.find_cuts is True
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.sigma = 1.0


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"flow_method": "magic"}, r"flow_method must be one of dis, farneback, none.*'magic'"),
        ({"value_range": (1.0, 0.0)}, r"value_range must be two finite numbers.*Received: 1, 0$"),
        ({"value_range": (0.0, float("inf"))}, "value_range must be two finite numbers"),
        ({"memory": 0}, "memory must be a number above 0. Received: 0"),
        ({"sigma": float("nan")}, "sigma must be a number above 0. Received: nan"),
    ],
)
def test_a_setting_out_of_range_is_refused(setting, message):
    with pytest.raises(ValueError, match=message):
        EvaluationConfig(tasks.restoration, **setting)


def test_each_network_can_have_its_own_values():
    config = EvaluationConfig(tasks.restoration, {"a": (0.0, 255.0), "b": (0.0, 1.0)})
    assert config.value_range_of("a") == (0.0, 255.0)
    assert EvaluationConfig(tasks.restoration).value_range_of("a") == (0.0, 1.0)
    with pytest.raises(ValueError, match="value_range must be two finite numbers"):
        EvaluationConfig(tasks.restoration, {"a": (1.0, 0.0)})
