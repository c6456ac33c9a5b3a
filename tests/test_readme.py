"""What README shows runs as it stands."""

import re
from pathlib import Path

README = (Path(__file__).parent.parent / "README.md").read_text()


def test_the_python_blocks_run_one_after_the_other(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    assert len(blocks) == 3
    names = {}
    for block in blocks:
        exec(compile(block, "README.md", "exec"), names)
    assert (tmp_path / "stable.keras").is_file()
    assert "temporal_error" in capsys.readouterr().out


def test_every_make_command_exists():
    makefile = (Path(__file__).parent.parent / "Makefile").read_text()
    for command in re.findall(r"make ([a-z-]+)", README):
        assert re.search(rf"^{command}:", makefile, flags=re.MULTILINE), command
