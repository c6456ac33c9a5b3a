"""The pictures for a person: they exist, have the right size, and show flicker."""

import base64
import re
import sys
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from keras_temporal_reg.evaluation import figures
from keras_temporal_reg.io import video


def _row(name="clip", width=48):
    rng = np.random.default_rng(0)
    truth = np.repeat(rng.integers(0, 255, (1, 32, width, 3), np.uint8), 12, axis=0)
    plain = truth.copy()
    plain[::2, :, 20] = 255 - plain[::2, :, 20]  # this column flickers
    return figures.Row(name, truth, plain, truth, Fraction(25))


def test_the_comparison_holds_four_panels_of_every_clip(tmp_path):
    figures.comparison(tmp_path / "comparison.mp4", [_row(), _row("wider", 64)], scale=2)
    frames = video.read(tmp_path / "comparison.mp4").frames
    assert frames.shape == (24, 2 * (64 + 28), 2 * 128, 3)


def test_the_input_panel_is_grey():
    panels = _row().panels()
    assert len(panels) == len(figures.PANELS)
    assert np.ptp(panels[0].astype(int), axis=-1).max() == 0


def test_slices_are_taken_where_the_plain_result_flickers(tmp_path, monkeypatch):
    titles = []
    from matplotlib.axes import Axes

    original = Axes.set_title
    monkeypatch.setattr(
        Axes, "set_title", lambda self, s, **k: (titles.append(s), original(self, s, **k))[1]
    )
    figures.slices(tmp_path / "slices.png", [_row()])
    with Image.open(tmp_path / "slices.png") as picture:
        assert picture.width > 800
    assert titles == [f"clip, column 20: {panel}" for panel in figures.PANELS[1:]]


def test_a_player_holds_its_clips_side_by_side_in_step(tmp_path):
    levels = np.linspace(0.2, 0.8, 5)[:, np.newaxis, np.newaxis, np.newaxis]
    rising = np.ones((5, 24, 40, 3)) * levels
    page = figures.player({"rising": rising, "falling": rising[::-1, :, :20]}, scale=2)
    data = re.fullmatch(r'<video [^>]*src="data:video/mp4;base64,([^"]*)"></video>', page)[1]
    path = tmp_path / "player.mp4"
    path.write_bytes(base64.b64decode(data))
    frames = video.read(path).frames / 255.0
    assert frames.shape == (5, 48 + 28, 80 + 40, 3)
    # Below the labels; H.264 is not exact.
    np.testing.assert_allclose(frames[:, 40:, 10:70].mean((1, 2, 3)), levels.ravel(), atol=0.03)
    np.testing.assert_allclose(frames[:, 40:, 90:].mean((1, 2, 3)), levels[::-1].ravel(), atol=0.03)


def test_a_player_of_clips_of_other_lengths_is_refused():
    with pytest.raises(ValueError, match=r"the same number of frames.*'a': 3, 'b': 4"):
        figures.player({"a": np.zeros((3, 8, 8, 3)), "b": np.zeros((4, 8, 8, 3))})


def test_slices_without_matplotlib_say_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"pip install keras-temporal-reg\[video\]"):
        figures.slices(tmp_path / "slices.png", [_row()])
