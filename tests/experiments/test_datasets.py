"""Training pictures and test clips: split, disjoint, and of the user's own where given."""

from fractions import Fraction

import numpy as np
import pytest
from helpers import experiments as helpers

from keras_temporal_reg.experiments import datasets, scenes
from keras_temporal_reg.experiments.configs import ExperimentConfig
from keras_temporal_reg.io import image_files, video

TINY = ExperimentConfig(frames=3)


def _split(monkeypatch, frames):
    monkeypatch.setattr(video, "read", lambda *a, **k: video.DecodedClip(frames, Fraction(25)))
    return datasets.split("clip.mp4")


def test_stills_and_test_frames_come_from_two_halves_and_are_no_neighbours(monkeypatch):
    numbers = np.zeros((80, 64, 64, 3), np.uint8) + np.arange(80, dtype=np.uint8).reshape(
        -1, 1, 1, 1
    )
    split = _split(monkeypatch, numbers)
    stills = sorted(int(s[0, 0, 0]) for s in split.stills())
    assert len(stills) == datasets.STILLS
    assert min(np.diff(stills)) >= 2
    assert max(stills) < 39 and len(split.first_half) == 40
    assert [int(f[0, 0, 0]) for f in split.test] == list(range(40, 80))


def test_test_frames_end_at_a_cut(monkeypatch):
    frames = np.zeros((40, 64, 64, 3), np.uint8)
    frames[30:] = 200
    assert len(_split(monkeypatch, frames).test) == 10


def test_a_cut_right_after_the_middle_is_refused(monkeypatch):
    frames = np.zeros((40, 64, 64, 3), np.uint8)
    frames[21:] = 200
    with pytest.raises(video.ClipError, match=r"2 frames of one shot.*Received: a cut at frame 21"):
        _split(monkeypatch, frames)


def test_a_clip_too_short_to_split_is_refused(tmp_path):
    video.write(tmp_path / "short.mp4", np.zeros((3, 64, 64, 3), np.uint8), Fraction(25))
    with pytest.raises(video.ClipError, match=r"short\.mp4 must have at least 4 frames"):
        datasets.split(tmp_path / "short.mp4")


def test_photographs_are_trained_on_but_not_where_data_are_to_be_small(tmp_path):
    helpers.write_clip_and_photograph(tmp_path)
    for name, count in (("colorization", 3), ("small-data", 2)):
        problem = datasets.problem(name, TINY, tmp_path)
        assert len(problem.pictures(2)) == count
    assert len(problem.clips[0].x) == TINY.frames and problem.clips[0].motion is None
    (filmed,) = problem.camera_clips
    assert filmed.motion.shape == (datasets.CAMERA_FRAMES - 1, 8)
    assert all(side % datasets.SIZE_MULTIPLE == 0 for side in filmed.x.shape[1:3])


def test_super_resolution_makes_its_input_from_the_target(tmp_path):
    helpers.write_clip_and_photograph(tmp_path)
    problem = datasets.problem("super-resolution", TINY, tmp_path)
    assert problem.make_input is not None
    assert all(x is None for x, _ in problem.pictures(1))
    x, y, _ = problem.clips[0]
    assert y.shape[1:3] == (2 * x.shape[1], 2 * x.shape[2])


def test_real_scenes_are_taken_for_hdr(tmp_path):
    for number in range(3):
        image_files.write(tmp_path / f"{number}.exr", 7.0 * scenes.scene(number, 192, 224))
    problem = datasets.problem("hdr", TINY, tmp_path)
    assert len(problem.pictures(9)) == 2 and len(problem.clips) == 1
    x, y, motion = problem.clips[0]
    assert x.shape == y.shape and len(motion) == len(x) - 1
    # 10 % of a picture are above white, whatever its own unit of light was.
    light = np.exp(problem.pictures(9)[0][1]) - scenes.OFFSET
    assert np.mean(light.max(axis=-1) > 1.0) == pytest.approx(0.1, abs=0.01)


@pytest.mark.parametrize("experiment", ["colorization", "hdr"])
def test_a_folder_without_data_is_refused(tmp_path, experiment):
    with pytest.raises(ValueError, match="data must hold at least"):
        datasets.problem(experiment, TINY, tmp_path)
    with pytest.raises(ValueError, match="data must be a folder"):
        datasets.problem(experiment, TINY, tmp_path / "none")
