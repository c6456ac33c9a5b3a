"""The command line: help, exit codes and messages, in processes of their own where it counts."""

import argparse
import dataclasses
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers.footage import moving, write_folder
from tensorflow import keras

from keras_temporal_reg import cli, cli_options
from keras_temporal_reg.finetuning import api as finetuning
from keras_temporal_reg.finetuning.config import FinetuneConfig
from keras_temporal_reg.io import image_files, video
from keras_temporal_reg.tasks import _registry as registry

COMMANDS = ("blend", "demo", "evaluate", "finetune", "process", "reproduce")


def parser_of(command):
    return cli._parser()._subparsers._group_actions[0].choices[command]


@pytest.mark.parametrize("command", COMMANDS)
def test_help_explains_every_option_and_tells_its_default(command, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main([command, "--help"])
    assert stop.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    assert f"usage: ktr {command}" in text
    for action in parser_of(command)._actions:
        assert action.help
        if action.help == argparse.SUPPRESS:
            continue
        assert all(option in text for option in action.option_strings)
        if action.default not in (None, [], True, False, argparse.SUPPRESS):
            is_list = isinstance(action.default, tuple)
            default = ",".join(action.default) if is_list else action.default
            # Lines break at hyphens.
            assert f"(default: {default})".replace(" ", "") in text.replace(" ", "")


@pytest.mark.parametrize(
    "arguments", [["--version"], ["--help"], *([command, "--help"] for command in COMMANDS)]
)
def test_help_and_version_need_no_tensorflow(arguments, tmp_path):
    for name in ("tensorflow", "keras", "numpy", "rich"):
        (tmp_path / f"{name}.py").write_text(f"raise ImportError('{name} is imported')\n")
    # The folder of the test, where Python looks first, has nothing of the package.
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-m", "keras_temporal_reg", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("ktr " if arguments == ["--version"] else "usage: ktr")


def test_the_installed_command_is_the_module():
    program = Path(sys.executable).parent / "ktr"
    if not program.exists():
        pytest.skip("the package is not installed in this environment")
    outputs = [
        subprocess.run([*start, "--version"], capture_output=True, text=True, check=True).stdout
        for start in ([str(program)], [sys.executable, "-m", "keras_temporal_reg"])
    ]
    assert outputs[0] == outputs[1]


def test_finetune_has_the_options_of_its_config():
    parsed = vars(parser_of("finetune").parse_args(["a.keras", "--inputs", "b", "--output", "c"]))
    for field in dataclasses.fields(FinetuneConfig):
        about = field.metadata
        if "parse" in about or "off" in about or field.default is False:
            # What is left out has the default of the function.
            assert parsed.get(field.name, field.default) == field.default, field.name
        else:
            assert field.name not in parsed
    others = {*parsed} - {field.name for field in dataclasses.fields(FinetuneConfig)}
    assert others == {"model", "inputs", "targets", "output", "as_json", "run"}


def test_the_help_lists_all_tasks_and_formats():
    assert cli_options.TASKS.split(", ") == sorted(registry.TASKS)
    assert re.findall(r"\.\w+", cli_options.CLIP_SUFFIXES) == [*video.CODECS]


def test_an_old_spelling_works_with_a_warning(capsys):
    arguments = ["process", "a.keras", "b.mp4", "c.mp4"]
    parser = cli._parser()
    old = parser.parse_args([*arguments, "--values=-1,1"])
    assert "--values is deprecated" in capsys.readouterr().err
    assert old == parser.parse_args([*arguments, "--value-range=-1,1"])
    assert old.value_range == (-1.0, 1.0) and not capsys.readouterr().err
    assert "--values" not in parser_of("process").format_help()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "required: COMMAND"),
        (["demo", "--strength", "2"], r"--strength: value must be a number in \[0, 1\] or 'auto'"),
        (["demo", "--steps", "0"], "--steps: value must be a whole number of at least 1"),
        (["demo", "--members", "magic"], r"--members: .*Received: \('magic',\)"),
        (
            ["finetune", "net.keras", "--alpha", "magic"],
            r"--alpha: value must be a number in \[0, 1\). Received: 'magic'",
        ),
        (
            ["finetune", "net.keras", "--alpha", "1"],
            r"--alpha: value must be a number in \[0, 1\). Received: 1.0",
        ),
        (
            ["finetune", "net.keras", "--strength", "1.5"],
            r"--strength: value must be a number in \[0, 1\] or 'auto'. Received: 1.5",
        ),
        (
            ["finetune", "net.keras", "--strength", "high"],
            r"--strength: value must be a number in \[0, 1\] or 'auto'. Received: 'high'",
        ),
        (
            ["finetune", "net.keras", "--members", "plain,magic"],
            r"--members: value must be some of plain, sparse-jacobian, .* 'magic'\)",
        ),
        (["finetune", "net.keras", "--members", "plain"], "--members: .* one of the regularizers"),
    ],
)
def test_wrong_use_exits_with_2_and_says_why(arguments, message, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(arguments)
    assert stop.value.code == 2
    assert re.search(message, capsys.readouterr().err)


def test_a_failure_exits_with_1_and_one_line(tmp_path, capsys):
    code = cli.main(["demo", "--clip", str(tmp_path / "none.mp4"), "--output", str(tmp_path)])
    assert code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("ktr: error: ") and "none.mp4 does not exist" in line


def test_an_output_folder_that_cannot_be_written_is_named(tmp_path, capsys):
    (tmp_path / "taken").write_text("")
    assert cli.main(["demo", "--output", str(tmp_path / "taken")]) == 1
    assert "output folder" in capsys.readouterr().err


def test_a_task_in_the_current_folder_is_found(tmp_path, monkeypatch, capsys):
    (tmp_path / "my_own_tasks.py").write_text(
        "from keras_temporal_reg import tasks\ntoning = tasks.restoration\n"
    )
    monkeypatch.chdir(tmp_path)
    before = [*sys.path]
    command = ["evaluate", "none.keras", "--clip", "none.mp4", "--task"]
    assert cli.main([*command, "my_own_tasks.toning"]) == 1
    assert "none.keras" in capsys.readouterr().err
    assert cli.main([*command, "my_own_tasks.colour"]) == 2
    assert "has no attribute 'colour'" in capsys.readouterr().err
    assert sys.path == before


@pytest.fixture
def workspace(tmp_path):
    """A folder with a model, net.keras, and a clip of four frames of noise."""
    rng = np.random.default_rng(0)
    (tmp_path / "clip").mkdir()
    for t in range(4):
        image_files.write(tmp_path / "clip" / f"f{t}.png", rng.uniform(size=(48, 64, 3)))
    network = keras.Sequential(
        [keras.Input((None, None, 3)), keras.layers.Conv2D(3, 3, padding="same")]
    )
    network.save(tmp_path / "net.keras")
    return tmp_path


def test_evaluate_prints_a_table_and_writes_a_report(workspace, capsys):
    arguments = ["evaluate", str(workspace / "net.keras"), "--clip", str(workspace / "clip")]
    arguments += ["--output", str(workspace / "out"), "--quiet"]
    assert cli.main(arguments) == 0
    printed = capsys.readouterr().out
    assert "NOT JUDGED" in printed and "report.html" in printed and "Temporal error" in printed
    page = (workspace / "out" / "report.html").read_text()
    assert "ktr evaluate" in page and "--quiet" in page


def test_evaluate_finds_cuts_unless_told_not_to(workspace, capsys):
    arguments = ["evaluate", str(workspace / "net.keras"), "--clip", str(workspace / "clip")]
    arguments += ["--output", str(workspace / "out"), "--json", "--quiet", "--flow", "none"]
    rows = np.linspace(0, 1, 48)[:, np.newaxis, np.newaxis] * np.ones((1, 64, 3))
    for t in range(4):  # a cut before frame 3
        image_files.write(workspace / "clip" / f"f{t}.png", rows if t < 2 else 1.0 - rows)
    found = []
    for options in ([], ["--no-cuts"]):
        assert cli.main([*arguments, *options]) == 0
        found.append(json.loads(capsys.readouterr().out)["clips"][0]["notes"])
    assert found == [["1 cut, at frame 3; frames are not compared across a cut."], []]


def test_evaluate_prints_json_and_nothing_else(workspace, capsys):
    arguments = ["evaluate", str(workspace / "net.keras"), "--clip", str(workspace / "clip")]
    arguments += ["--output", str(workspace / "out"), "--json", "--quiet"]
    assert cli.main(arguments) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["clips"][0]["frames"] == 4
    assert result == json.loads((workspace / "out" / "evaluation.json").read_text())


def test_a_clip_that_breaks_off_exits_with_1_and_keeps_its_results(workspace, capsys):
    (workspace / "clip" / "f3.png").write_bytes(b"gone")
    arguments = ["evaluate", str(workspace / "net.keras"), "--clip", str(workspace / "clip")]
    assert cli.main([*arguments, "--output", str(workspace / "out"), "--quiet"]) == 1
    assert "breaks off after 3 frames" in " ".join(capsys.readouterr().out.split())
    assert (workspace / "out" / "report.html").is_file()


def test_process_writes_the_clip(workspace, capsys):
    arguments = ["process", str(workspace / "net.keras"), str(workspace / "clip")]
    assert cli.main([*arguments, str(workspace / "out.mp4"), "--quiet"]) == 0
    assert "out.mp4: 4 frames of 64 x 48." in capsys.readouterr().out
    assert (workspace / "out.mp4").stat().st_size > 0


def test_finetune_writes_a_model(workspace, capsys):
    arguments = ["finetune", str(workspace / "net.keras"), "--inputs", str(workspace / "clip")]
    arguments += ["--targets", str(workspace / "clip"), "--output", str(workspace / "new.keras")]
    arguments += ["--alpha", "0.5"]
    assert cli.main([*arguments, "--steps", "2", "--crop", "32", "--quiet"]) == 0
    assert "new.keras" in capsys.readouterr().out
    assert keras.models.load_model(workspace / "new.keras", compile=False).count_params() > 0


OWN_LAYER = """
from tensorflow import keras

class Halved(keras.layers.Layer):
    def call(self, x):
        return 0.5 * x
"""


@pytest.fixture
def own_layer(workspace):
    """The path of a model with a layer of the user, and the options that say where it is."""
    (workspace / "halving.py").write_text(OWN_LAYER)
    space = {"__name__": "halving"}
    exec(OWN_LAYER, space)
    body = [keras.layers.Conv2D(3, 1), space["Halved"]()]
    keras.Sequential([keras.Input((None, None, 3)), *body]).save(workspace / "own.keras")
    code = ["--custom-objects", str(workspace / "halving.py"), "--allow-code", "--quiet"]
    return str(workspace / "own.keras"), code


def test_a_layer_of_the_user_is_taken_from_a_file(workspace, own_layer, capsys):
    own, code = own_layer
    arguments = ["process", own, str(workspace / "clip"), str(workspace / "out")]
    assert cli.main([*arguments, "--allow-code", "--quiet"]) == 1
    assert "it holds Halved, which neither" in capsys.readouterr().err
    assert cli.main([*arguments, *code]) == 0


@pytest.mark.slow
def test_every_command_takes_a_layer_of_the_user(workspace, own_layer):
    own, code = own_layer
    clip, output, blended = (str(workspace / name) for name in ("clip", "new.keras", "b.keras"))
    train = ["--inputs", clip, "--targets", clip, "--steps", "1", "--crop", "16"]
    validation = ["--strength", "0.5", "--validation", "0.5"]
    assert cli.main(["finetune", own, *train, *validation, "--output", output, *code]) == 0
    assert cli.main(["blend", own, output, "--weights=0.5,0.5", "--output", blended, *code]) == 0
    page = ["--clip", clip, "--output", str(workspace / "page"), "--flow", "none"]
    assert cli.main(["evaluate", own, blended, *page, *code]) == 0
    frames = moving(12) + np.random.default_rng(0).normal(0.0, 0.05, (12, 48, 64, 3))
    clip = str(write_folder(workspace / "moving", frames))
    steadied = ["--steps", "1", "--strength", "0.5", "--output", str(workspace / "s.keras")]
    assert cli.main(["steady", own, clip, *steadied, *code]) == 0


def test_finetune_passes_its_options_on(capsys, monkeypatch):
    seen = {}

    def finetune(model, output, inputs, targets, **options):
        seen.update(options, files=(model, output, inputs, targets))
        return {"alpha": 0.9, "psnr": float("nan")}

    monkeypatch.setattr(finetuning, "finetune", finetune)
    arguments = ["finetune", "a.keras", "--inputs", "b", "--targets", "c", "--output", "d.keras"]
    arguments += ["--strength", "0.5", "--clip", "e", "--reference", "f", "--steps", "4"]
    arguments += ["--members", "plain,transform-invariance", "--keep-members"]
    arguments += ["--member-alpha", "0.97"]
    arguments += ["--check-numerics", "--restart", "--value-range=-1,1", "--quiet", "--json"]
    assert cli.main(arguments) == 0
    assert json.loads(capsys.readouterr().out) == {"alpha": 0.9, "psnr": None}
    assert seen.pop("files") == (Path("a.keras"), Path("d.keras"), Path("b"), Path("c"))
    assert FinetuneConfig(**seen) == FinetuneConfig(
        strength=0.5,
        members=("plain", "transform-invariance"),
        keep_members=True,
        member_alpha=0.97,
        clip=Path("e"),
        reference=Path("f"),
        steps=4,
        check_numerics=True,
        resume=False,
        show_progress=False,
        value_range=(-1.0, 1.0),
    )


FINETUNE = ["finetune", "NET", "--inputs", "CLIP", "--output", "new.keras"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["evaluate", "NET"], 2, "clips or stills must hold something"),
        (["evaluate", "NET", "--clip", "none.mp4"], 1, "none.mp4 does not exist"),
        (["evaluate", "none.keras", "--clip", "CLIP"], 1, "none.keras"),
        (["evaluate", "NET", "--clip", "CLIP", "--task", "magic"], 2, "task must be one of"),
        (["process", "NET", "CLIP", "out.ogg"], 2, "the suffix of output must be one of"),
        (FINETUNE, 2, "targets"),
        ([*FINETUNE[:-1], "new.onnx"], 1, "new.onnx must end in .keras, .h5 or .hdf5"),
        (["blend", "NET", "--weights", "1", "--output", "new.pb"], 1, "new.pb must end in"),
        (["steady", "NET", "CLIP", "--output", "new.v2"], 1, "new.v2 must end in .keras"),
        (["process", "NET", "CLIP", "o.mp4", "--custom-objects", "a.py"], 1, "--allow-code"),
        (
            ["evaluate", "NET", "--clip", "CLIP", "--custom-objects", "no.py", "--allow-code"],
            1,
            "custom objects must be a Python file that exists",
        ),
        (
            [*FINETUNE, "--alpha", "0.5", "--clip", "CLIP"],
            2,
            "clip is used with a strength only",
        ),
        (
            [*FINETUNE, "--alpha", "0.5", "--strength", "0.5"],
            2,
            "strength and alpha exclude each other",
        ),
    ],
)
def test_failures_have_their_exit_codes_and_one_line(workspace, capsys, arguments, code, message):
    names = {"NET": str(workspace / "net.keras"), "CLIP": str(workspace / "clip")}
    quiet = [] if arguments[0] == "demo" else ["--quiet"]
    assert cli.main([*(names.get(a, a) for a in arguments), *quiet]) == code
    error = capsys.readouterr().err.strip()
    assert error.startswith("ktr: error: ") and message in error and "\n" not in error


@pytest.mark.parametrize("value_range", ["1", "2,1", "a,b", "0,inf", "1,2,3"])
def test_a_value_range_is_two_numbers(value_range, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["process", "net.keras", "clip.mp4", "out.mp4", f"--value-range={value_range}"])
    assert stop.value.code == 2
    assert "--value-range" in capsys.readouterr().err


def test_blend_writes_a_model(workspace, capsys):
    network = keras.models.load_model(workspace / "net.keras", compile=False)
    first = network.get_weights()
    network.set_weights([weights + 1.0 for weights in first])
    network.save(workspace / "other.keras")
    paths = [str(workspace / name) for name in ("net.keras", "other.keras")]
    arguments = ["blend", *paths, "--weights", "0.25,0.75", "--quiet"]
    assert cli.main([*arguments, "--output", str(workspace / "new.keras")]) == 0
    printed = capsys.readouterr().out
    assert f"0.25 x {paths[0]}" in printed and f"Written: {workspace / 'new.keras'}" in printed
    found = keras.models.load_model(workspace / "new.keras", compile=False).get_weights()
    for old, new in zip(first, found):
        np.testing.assert_allclose(new, old + 0.75, rtol=1e-6)
    assert cli.main([*arguments, "--output", str(workspace / "as.h5"), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["weights"] == [0.25, 0.75] and result["output"].endswith("as.h5")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["NET", "NET", "--weights", "0.5,0.6"], 2, "weights must sum to 1. Received: 0.5, 0.6"),
        (["NET", "NET", "--weights", "1"], 2, "weights must be one per model"),
        (["NET", "NET", "--weights=1.5,-0.5"], 2, "weights must be numbers of at least 0"),
        (["NET", "NET", "--weights", "nan,1"], 2, "weights must be numbers of at least 0"),
        (["NET", "none.keras", "--weights", "0.5,0.5"], 1, "none.keras"),
        (["NET", "CLIP", "--weights", "0.5,0.5"], 1, "clip is a folder"),
    ],
)
def test_blend_names_what_is_wrong(workspace, capsys, arguments, code, message):
    names = {"NET": str(workspace / "net.keras"), "CLIP": str(workspace / "clip")}
    output = workspace / "new.keras"
    arguments = ["blend", *(names.get(a, a) for a in arguments), "--output", str(output)]
    assert cli.main([*arguments, "--quiet"]) == code
    error = capsys.readouterr().err.strip()
    assert error.startswith("ktr: error: ") and message in error and "\n" not in error
    assert not output.exists()


def test_blend_refuses_weights_that_are_no_numbers(capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["blend", "a.keras", "b.keras", "--weights", "half,half", "--output", "c.keras"])
    assert stop.value.code == 2
    assert "--weights: must be numbers" in capsys.readouterr().err
