"""The command line: help, exit codes and messages, in processes of their own where it counts."""

import subprocess
import sys

import pytest

from keras_temporal_reg import cli, demo


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
