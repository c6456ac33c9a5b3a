"""The options of `steady`."""

import dataclasses
import inspect
from pathlib import Path

import pytest

import keras_temporal_reg as ktr
from keras_temporal_reg.steadying.config import ALPHAS, SteadyConfig, check_paths


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"strength": 1.5}, r"^strength must be a number in \[0, 1\] or 'auto'. Received: 1.5"),
        ({"minutes": 0}, "^minutes must be a number above 0"),
        ({"steps": 0}, "^steps must be"),
        ({"method": "magic"}, "^method must be one of sparse-jacobian, transform-invariance"),
        ({"crop": 4}, "^crop must be"),
        ({"value_range": (1.0, 0.0)}, "^value_range must be two finite numbers"),
    ],
)
def test_values_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        SteadyConfig(**options)


def test_unknown_options_are_refused_by_name():
    with pytest.raises(TypeError, match=r"steady has no option speed. Accepted: strength, minutes"):
        SteadyConfig.from_options({"speed": 1})


def test_the_function_takes_the_options_and_documents_each():
    parameters = inspect.signature(ktr.steady).parameters
    words = " ".join(ktr.steady.__doc__.split())
    for field in dataclasses.fields(SteadyConfig):
        assert parameters[field.name].default == field.default
        assert words.count(f"{field.name}: {field.metadata['help']}.") == 1


def test_both_methods_are_trained_without_a_choice():
    assert SteadyConfig().methods == (*ALPHAS,)
    assert SteadyConfig(method="sparse-jacobian").methods == ("sparse-jacobian",)


def test_time_and_strength_may_change_in_a_resumed_run():
    changed = SteadyConfig(minutes=9, strength=0.5, memory=100.0)
    assert changed.settings() == SteadyConfig().settings()
    assert SteadyConfig(seed=1).settings() != SteadyConfig().settings()


def test_a_video_needs_one_clip_and_a_name_of_its_own():
    out, a, b = Path("out.keras"), Path("a.mp4"), Path("b.mp4")
    check_paths(out, None, (a, b))
    check_paths(out, b, (a,))
    with pytest.raises(ValueError, match=r"needs one clip.* Received: 2 clips"):
        check_paths(out, Path("c.mp4"), (a, b))
    with pytest.raises(ValueError, match="another file than clip and output"):
        check_paths(out, a, (a,))
