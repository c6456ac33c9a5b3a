"""The options of fine-tuning: declared once, checked, and derived everywhere."""

import dataclasses
import inspect
import json
import subprocess
import sys

import pytest

import keras_temporal_reg as ktr
from keras_temporal_reg.finetuning.config import FinetuneConfig, takes_options

NAMES = [field.name for field in dataclasses.fields(FinetuneConfig)]
AUTO = {"alpha": "auto"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "magic"}, "^method must be one of sparse-jacobian, transform-invariance"),
        ({"alpha": 1.0}, r"^alpha must be a number in \[0, 1\) or 'auto'\. Received: 1\.0"),
        ({"alpha": "magic"}, r"^alpha must be a number in \[0, 1\) or 'auto'\. Received: 'magic'"),
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
        ({"value_range": (1.0,)}, "^value_range must be two numbers"),
        ({**AUTO, "steps": 1}, "^steps must be a whole number of at least 2"),
        ({**AUTO, "validation": 0.0}, "^alpha 'auto' needs a validation above 0 or a clip"),
        (
            {**AUTO, "reference": "y.mp4"},
            r"^reference needs a clip .* y\.mp4 and no clip",
        ),
        ({"clip": "a.mp4"}, r"^clip is used with alpha 'auto' only.* clip a\.mp4 and alpha 0\.8"),
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


def test_settings_are_json_and_hold_what_a_resumed_run_must_repeat():
    config = FinetuneConfig(
        task=ktr.tasks.denoising,
        alpha="auto",
        clip="clip.mp4",
        transform=ktr.RandomAffine(seed=3),
        reconstruction=max,
        value_range=(0, 255),
    )
    settings = config.settings()
    assert json.loads(json.dumps(settings)) == settings
    assert set(NAMES) - set(settings) == {
        "allow_code",
        "logs",
        "resume",
        "show_progress",
        "check_numerics",
    }
    assert settings["task"] == "denoising" and settings["reconstruction"] == "max"
    assert settings["transform"]["seed"] == 3 and settings["value_range"] == [0.0, 255.0]
    assert settings["clip"].startswith("/") and settings["reference"] is None


def test_the_same_file_by_another_path_is_the_same_setting(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    clips = ("clip.mp4", tmp_path / "clip.mp4", str(tmp_path / "x" / ".." / "clip.mp4"))
    assert len({FinetuneConfig(alpha="auto", clip=c).settings()["clip"] for c in clips}) == 1


def test_signature_and_documentation_of_finetune_are_those_of_the_config():
    parameters = inspect.signature(ktr.finetune).parameters
    assert [*parameters] == ["model", "output", "inputs", "targets", *NAMES]
    for field in dataclasses.fields(FinetuneConfig):
        assert parameters[field.name].default == field.default
        assert parameters[field.name].kind is inspect.Parameter.KEYWORD_ONLY
        words = " ".join(ktr.finetune.__doc__.split())
        assert words.count(f"{field.name}: {field.metadata['help']}.") == 1


def test_options_take_the_place_of_their_line_in_a_docstring():
    @takes_options
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
