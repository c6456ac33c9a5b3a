"""The command line: help, exit codes and messages, in processes of their own where it counts."""

import json
import subprocess
import sys

import numpy as np
import pytest
from tensorflow import keras

from keras_temporal_reg import cli
from keras_temporal_reg.experiments import demo
from keras_temporal_reg.finetuning import strength_search as choosing
from keras_temporal_reg.io import image_files


def test_help_names_every_option(capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["demo", "--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    for option in ("--output", "--clip", "--method", "--alpha", "--steps", "--seed"):
        assert option in text
    assert f"(default: {demo.DEFAULT_ALPHA})" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "required: COMMAND"),
        (["demo", "--alpha", "1"], r"--alpha: value must be a number in \[0, 1\)"),
        (["demo", "--steps", "0"], "--steps: value must be a whole number of at least 1"),
        (["demo", "--method", "magic"], "invalid choice: 'magic'"),
        (["demo", "--alpha", "auto"], "argument --alpha: .*'auto'"),
        (
            ["finetune", "net.keras", "--alpha", "magic"],
            r"--alpha: value must be a number in \[0, 1\) or 'auto'. Received: 'magic'",
        ),
        (
            ["finetune", "net.keras", "--alpha", "1"],
            r"--alpha: value must be a number in \[0, 1\) or 'auto'. Received: 1.0",
        ),
    ],
)
def test_wrong_use_exits_with_2_and_says_why(arguments, message, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(arguments)
    assert stop.value.code == 2
    import re

    assert re.search(message, capsys.readouterr().err)


def test_a_failure_exits_with_1_and_one_line(tmp_path, capsys):
    code = cli.main(["demo", "--clip", str(tmp_path / "none.mp4"), "--output", str(tmp_path)])
    assert code == 1
    assert capsys.readouterr().err.strip().endswith("none.mp4 does not exist or is no file")


def test_an_output_folder_that_cannot_be_written_is_named(tmp_path, capsys):
    (tmp_path / "taken").write_text("")
    assert cli.main(["demo", "--output", str(tmp_path / "taken")]) == 1
    assert "output folder" in capsys.readouterr().err


def test_the_package_runs_as_a_module():
    done = subprocess.run(
        [sys.executable, "-m", "keras_temporal_reg", "--version"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("ktr ")


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
def material(tmp_path):
    """A network in a file, and a clip as a folder of noisy pictures."""
    rng = np.random.default_rng(0)
    (tmp_path / "clip").mkdir()
    for t in range(4):
        image_files.write(tmp_path / "clip" / f"f{t}.png", rng.uniform(size=(48, 64, 3)))
    network = keras.Sequential(
        [keras.Input((None, None, 3)), keras.layers.Conv2D(3, 3, padding="same")]
    )
    network.save(tmp_path / "net.keras")
    return tmp_path


@pytest.mark.parametrize("command", ["demo", "evaluate", "finetune", "process", "reproduce"])
def test_every_command_explains_itself(command, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main([command, "--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    assert f"usage: ktr {command}" in text
    # Every option has words beside its name.
    parser = cli._parser()._subparsers._group_actions[0].choices[command]
    assert all(action.help for action in parser._actions)


def test_evaluate_prints_a_table_and_writes_a_report(material, capsys):
    arguments = ["evaluate", str(material / "net.keras"), "--clip", str(material / "clip")]
    arguments += ["--output", str(material / "out"), "--quiet"]
    assert cli.main(arguments) == 0
    printed = capsys.readouterr().out
    assert "NOT JUDGED" in printed and "report.html" in printed and "Temporal error" in printed
    page = (material / "out" / "report.html").read_text()
    assert "ktr evaluate" in page and "--quiet" in page


def test_evaluate_prints_json_and_nothing_else(material, capsys):
    arguments = ["evaluate", str(material / "net.keras"), "--clip", str(material / "clip")]
    arguments += ["--output", str(material / "out"), "--json", "--quiet"]
    assert cli.main(arguments) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["clips"][0]["frames"] == 4
    assert result == json.loads((material / "out" / "evaluation.json").read_text())


def test_a_clip_that_breaks_off_exits_with_1_and_keeps_its_results(material, capsys):
    (material / "clip" / "f3.png").write_bytes(b"gone")
    arguments = ["evaluate", str(material / "net.keras"), "--clip", str(material / "clip")]
    assert cli.main([*arguments, "--output", str(material / "out"), "--quiet"]) == 1
    assert "breaks off after 3 frames" in capsys.readouterr().out.replace("\n", " ")
    assert (material / "out" / "report.html").is_file()


def test_process_writes_the_clip(material, capsys):
    arguments = ["process", str(material / "net.keras"), str(material / "clip")]
    assert cli.main([*arguments, str(material / "out.mp4"), "--quiet"]) == 0
    assert "out.mp4: 4 frames of 64 x 48." in capsys.readouterr().out
    assert (material / "out.mp4").stat().st_size > 0


def test_finetune_writes_a_model(material, capsys):
    arguments = ["finetune", str(material / "net.keras"), "--inputs", str(material / "clip")]
    arguments += ["--targets", str(material / "clip"), "--output", str(material / "new.keras")]
    assert cli.main([*arguments, "--steps", "2", "--crop", "32", "--quiet"]) == 0
    assert "new.keras" in capsys.readouterr().out
    assert keras.models.load_model(material / "new.keras", compile=False).count_params() > 0


def test_finetune_chooses_alpha(material, capsys, monkeypatch):
    measures = {"temporal_error": 1.0, "psnr": float("nan")}
    plain = choosing.Trial(0.0, measures, False, "")
    tried = choosing.Trial(0.9, measures, True, "STABILISED.")
    choice = choosing.Choice(0.9, "The reason.", plain, (tried,), 20.0, 2.5)
    seen = {}
    monkeypatch.setattr(
        choosing, "choose_alpha", lambda *a, **options: seen.update(options) or choice
    )
    clip = str(material / "clip")
    arguments = ["finetune", str(material / "net.keras"), "--inputs", clip, "--targets", clip]
    arguments += ["--alpha", "auto", "--clip", clip, "--reference", clip, "--steps", "2"]
    arguments += ["--output", str(material / "new.keras"), "--crop", "32", "--quiet", "--json"]
    assert cli.main(arguments) == 0
    result = json.loads(capsys.readouterr().out)
    assert seen["clip"].shape == seen["reference"].shape == (4, 48, 64, 3)
    assert result["alpha"] == result["choice"]["alpha"] == 0.9
    assert result["choice"]["reason"] == "The reason." and result["choice"]["cost"] == 2.5
    assert result["choice"]["plain"]["measures"] == {"temporal_error": 1.0, "psnr": None}
    assert result["plot"] == str(material / "new.alpha.png")
    assert (material / "new.alpha.png").is_file() and (material / "new.keras").is_file()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["evaluate", "NET"], 2, "clips or stills must hold something"),
        (["evaluate", "NET", "--clip", "none.mp4"], 1, "none.mp4 does not exist"),
        (["evaluate", "none.keras", "--clip", "CLIP"], 1, "none.keras"),
        (["evaluate", "NET", "--clip", "CLIP", "--task", "magic"], 2, "task must be one of"),
        (["process", "NET", "CLIP", "out.ogg"], 2, "the suffix of output must be one of"),
        (["finetune", "NET", "--inputs", "CLIP", "--output", "new.keras"], 2, "targets"),
        (
            ["finetune", "NET", "--inputs", "CLIP", "--output", "new.keras", "--clip", "CLIP"],
            2,
            "clip is what alpha 'auto' is chosen on",
        ),
    ],
)
def test_failures_have_their_exit_codes_and_one_line(material, capsys, arguments, code, message):
    names = {"NET": str(material / "net.keras"), "CLIP": str(material / "clip")}
    quiet = [] if arguments[0] == "demo" else ["--quiet"]
    assert cli.main([*(names.get(a, a) for a in arguments), *quiet]) == code
    error = capsys.readouterr().err.strip()
    assert error.startswith("ktr: error: ") and message in error and "\n" not in error


@pytest.mark.parametrize("values", ["1", "2,1", "a,b"])
def test_values_must_be_a_range(values, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["process", "net.keras", "clip.mp4", "out.mp4", f"--values={values}"])
    assert stop.value.code == 2
    assert "--values" in capsys.readouterr().err
