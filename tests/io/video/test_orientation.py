"""Frames are turned and mirrored as their display matrix says; moved pixels are the oracle."""

import cv2
import numpy as np
import pytest
from helpers import coding

from keras_temporal_reg.io import video


@pytest.fixture
def picture():
    rows, columns = np.mgrid[:32, :48]
    return np.stack([rows / 40, columns / 60, 0 * rows + 0.5], -1) + 0.1


@pytest.mark.parametrize("turn", coding.TURNS)
def test_each_of_the_eight_orientations_is_shown(tmp_path, picture, turn):
    path = coding.write(tmp_path / "clip.mp4", [picture] * 2, turn=turn, options={"qp": "0"})
    expected = coding.turned(picture, turn)
    about, frames = video.info(path), [*video.frames(path)]
    assert (about.height, about.width) == expected.shape[:2] and not about.notes
    assert len(frames) == 2
    for frame in frames:
        assert np.abs(video.to_float32(frame.pixels) - expected).mean() < 1 / 255


@pytest.mark.parametrize("turn", ["upright", "clockwise", "half", "counter-clockwise"])
def test_another_decoder_turns_likewise(tmp_path, picture, turn):
    path = coding.write(tmp_path / "clip.mp4", [picture] * 2, turn=turn, options={"qp": "0"})
    capture = cv2.VideoCapture(str(path))
    is_read, shown = capture.read()
    capture.release()
    assert is_read
    read = next(video.frames(path)).pixels
    assert np.abs(shown[..., ::-1].astype(int) - read).mean() < 4  # it rounds down


def test_an_angle_beside_quarter_turns_is_noted(tmp_path, picture):
    path = coding.write(tmp_path / "clip.mp4", [picture] * 2)
    coding.turn_header(path, (0.8, 0.6, -0.6, 0.8))
    about = video.info(path)
    assert (about.height, about.width) == (32, 48)
    assert "angle other than quarter turns" in " ".join(about.notes)
