"""The pictures for a person: they exist, have the right size, and show flicker."""

from fractions import Fraction

import numpy as np
from PIL import Image

from keras_temporal_reg import figures, video


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
