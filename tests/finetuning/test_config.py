"""The options of fine-tuning: declared once, checked, and derived everywhere."""

import dataclasses
import importlib.util
import inspect
import json
import subprocess
import sys

import pytest

import keras_temporal_reg as ktr
from keras_temporal_reg.finetuning.config import (
    SEARCH_PACKAGES,
    FinetuneConfig,
    strength_or_auto,
)
from keras_temporal_reg.finetuning.options import takes_options

NAMES = [field.name for field in dataclasses.fields(FinetuneConfig)]


@pytest.fixture
def no_extra(monkeypatch):
    """Without the packages that the search for a blend needs."""
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name in SEARCH_PACKAGES else find(name)
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "magic"}, "^method must be one of sparse-jacobian, transform-invariance"),
        ({"alpha": 1.0}, r"^alpha must be a number in \[0, 1\)\. Received: 1\.0"),
        ({"alpha": "magic"}, r"^alpha must be a number in \[0, 1\)\. Received: 'magic'"),
        ({"strength": 1.5}, r"^strength must be a number in \[0, 1\] or 'auto'\. Received: 1\.5"),
        ({"strength": "high"}, r"^strength must be .* or 'auto'\. Received: 'high'"),
        ({"members": ("plain",)}, "^members must be some of plain, .* one of the regularizers"),
        ({"members": ("magic",)}, r"^members must be some of plain, .* Received: \('magic',\)"),
        ({"members": ("sparse-jacobian",) * 2}, "^members must be some of plain, .* each once"),
        (
            {"alpha": 0.5, "strength": 0.5},
            "^strength and alpha exclude each other.* strength 0.5 and alpha 0.5",
        ),
        ({"steps": 0}, "^steps must be a whole number of at least 1"),
        ({"batch_size": 0}, "^batch_size must be"),
        ({"crop": 4}, "^crop must be a whole number of at least 8"),
        ({"learning_rate": 0.0}, "^learning_rate must be a number above 0"),
        ({"learning_rate": float("inf")}, "^learning_rate must be"),
        ({"contrast": -1.0}, "^contrast must be a number of at least 0"),
        ({"pair_fraction": 0.0}, r"^pair_fraction must be a number in \(0, 1\]"),
        ({"validation": 1.0}, r"^validation must be a number in \[0, 1\)"),
        ({"early_stopping": 0}, "^early_stopping must be"),
        ({"validation": 0.0, "early_stopping": 2}, "^early_stopping needs a validation"),
        ({"seed": -1}, "^seed must be"),
        ({"value_range": (1.0, 0.0)}, "^value_range must be two finite numbers"),
        ({"value_range": (1.0,)}, "^value_range must be two finite numbers"),
        (
            {"strength": 0.5, "validation": 0.0},
            "^strength 0.5 needs a validation above 0 or a clip, .*; alpha trains one network",
        ),
        ({"validation": 0.0}, "^strength auto needs a validation above 0 or a clip, .*; alpha"),
        ({"reference": "y.mp4"}, r"^reference needs a clip .* y\.mp4 and no clip"),
        (
            {"alpha": 0.7, "clip": "a.mp4"},
            r"^clip is used with a strength only.* clip a\.mp4 and alpha 0\.7",
        ),
    ],
)
def test_wrong_values_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        FinetuneConfig(**options)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "clip"])
def test_every_default_passes_its_own_check(name):
    default = getattr(FinetuneConfig(), name)
    assert getattr(FinetuneConfig(**{name: default}), name) == default


def test_an_unknown_option_is_named_with_those_that_there_are():
    with pytest.raises(TypeError) as caught:
        FinetuneConfig.from_options({"steps": 5, "stepz": 5})
    assert str(caught.value) == f"finetune has no option stepz. Accepted: {', '.join(NAMES)}"


def test_by_default_the_strength_is_chosen():
    config = FinetuneConfig()
    assert (config.strength, config.alpha, config.blend_strength) == (None, None, "auto")
    assert FinetuneConfig(strength=0).blend_strength == 0.0
    one = FinetuneConfig(alpha=0.3)
    assert one.blend_strength is None and one.single_alpha == 0.3


def test_without_the_extra_one_network_is_trained_unless_a_strength_is_given(no_extra):
    config = FinetuneConfig()
    assert config.blend_strength is None and config.single_alpha == 0.8
    assert FinetuneConfig(validation=0.0).blend_strength is None
    assert FinetuneConfig(strength="auto").blend_strength == "auto"
    with pytest.raises(ValueError, match=r"^clip is used with a strength only.* alpha 0\.8"):
        FinetuneConfig(clip="a.mp4")


def test_alpha_auto_is_strength_auto_with_a_warning():
    with pytest.warns(DeprecationWarning, match=r"alpha 'auto' .* strength 'auto'"):
        config = FinetuneConfig(alpha="auto")
    assert config == FinetuneConfig(strength="auto")


@pytest.mark.parametrize("value", [0, 0.5, 1, 1.0])
def test_a_strength_is_a_float(value):
    found = strength_or_auto("strength", value)
    assert found == value and isinstance(found, float)


def test_settings_do_not_depend_on_what_follows_the_training(no_extra, monkeypatch):
    expected = FinetuneConfig(strength="auto").settings()
    for options in (
        {"strength": 0.25},
        {"strength": 1.0, "clip": "a.mp4", "reference": "b.mp4"},
        {"strength": "auto", "keep_members": True},
    ):
        assert FinetuneConfig(**options).settings() == expected
    assert FinetuneConfig().settings() == FinetuneConfig(alpha=0.8).settings()
    monkeypatch.undo()
    assert FinetuneConfig().settings() == expected
    for options in (
        {"alpha": 0.8},
        {"members": ("plain", "sparse-jacobian")},
        {"member_alpha": 0.97},
        {"steps": 3},
    ):
        assert FinetuneConfig(**options).settings() != expected


def test_settings_are_json_and_hold_what_a_resumed_run_must_repeat():
    config = FinetuneConfig(
        task=ktr.tasks.denoising,
        strength="auto",
        clip="clip.mp4",
        transform=ktr.RandomAffine(seed=3),
        reconstruction=max,
        value_range=(0, 255),
    )
    settings = config.settings()
    assert json.loads(json.dumps(settings)) == settings
    assert set(NAMES) - set(settings) == {
        "strength",
        "keep_members",
        "clip",
        "reference",
        "cache",
        "allow_code",
        "custom_objects",
        "logs",
        "resume",
        "show_progress",
        "check_numerics",
    }
    assert settings["task"] == "denoising" and settings["reconstruction"] == "max"
    assert settings["transform"]["seed"] == 3 and settings["value_range"] == [0.0, 255.0]
    assert settings["alpha"] is None
    assert settings["members"] == ["plain", "sparse-jacobian", "transform-invariance"]


def test_signature_and_documentation_of_finetune_are_those_of_the_config():
    parameters = inspect.signature(ktr.finetune).parameters
    assert [*parameters] == ["model", "output", "inputs", "targets", *NAMES]
    for field in dataclasses.fields(FinetuneConfig):
        assert parameters[field.name].default == field.default
        assert parameters[field.name].kind is inspect.Parameter.KEYWORD_ONLY
        words = " ".join(ktr.finetune.__doc__.split())
        assert words.count(f"{field.name}: {field.metadata['help']}.") == 1


def test_options_take_the_place_of_their_line_in_a_docstring():
    @takes_options(FinetuneConfig)
    def function(model, **options):
        """Do it.

        Args:
            model: a model.
            **options: the options.

        Returns:
            Nothing.
        """

    lines = function.__doc__.splitlines()
    assert lines[3] == "            model: a model."
    assert lines[4].startswith("            task: what the model does")
    assert lines[-2].strip() == "Nothing." and "**options" not in function.__doc__


def test_the_config_is_imported_without_tensorflow():
    script = """
import sys
sys.argv = ["ktr"]
import keras_temporal_reg.finetuning.config
assert "tensorflow" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=300)
