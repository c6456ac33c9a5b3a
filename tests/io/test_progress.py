"""Progress bars; rich's own rendering is the oracle of what is shown."""

import rich.console

from keras_temporal_reg.io import progress


def shown(monkeypatch, **options):
    """A console of 100 columns in place of that on standard error, which records its text."""
    console = rich.console.Console(record=True, force_terminal=True, width=100, quiet=False)
    monkeypatch.setattr(rich.console, "Console", lambda **kwargs: console)
    return console


def last_line(console):
    return console.export_text().strip().splitlines()[-1]


def test_a_bar_shows_its_label_count_and_note(monkeypatch):
    console = shown(monkeypatch)
    with progress.bars() as start:
        advance = start("clip [1]", 10)
        advance(4, note="loss 0.5")
        advance(2)  # keeps the note
    line = last_line(console)
    assert "clip [1]" in line and "6/10" in line and "loss 0.5" in line


def test_label_and_note_can_change(monkeypatch):
    console = shown(monkeypatch)
    with progress.bars(time_left=False) as start:
        advance = start("colorization", 8.5)
        advance(0.5, label="colorization, seed 2", note="about 3 min left")
    line = last_line(console)
    assert "colorization, seed 2" in line and line.endswith("about 3 min left")


def test_bars_go_to_standard_error(capsys):
    with progress.bars() as start:
        start("frames", 2)(2)
    out, err = capsys.readouterr()
    assert out == "" and "frames" in err


def test_hidden_bars_take_the_same_calls(capsys):
    with progress.bars(shown=False) as start:
        start("frames", None)(2, note="a", label="b")
    assert capsys.readouterr() == ("", "")
