"""Training pictures and test clips: split, disjoint, and of the user's own where given."""

import itertools
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


def _numbered(*lengths):
    """Shots of so many frames, each of a grey of its own, with the number of the frame in red."""
    frames = np.zeros((sum(lengths), 64, 64, 3), np.uint8)
    starts = np.cumsum([0, *lengths])
    for shot, (start, stop) in enumerate(itertools.pairwise(starts)):
        frames[start:stop, ..., 1:] = 120 * (shot % 2)
    frames[..., 0] = np.arange(len(frames)).reshape(-1, 1, 1)
    return frames


def _numbers(frames):
    return [int(frame[0, 0, 0]) for frame in frames]


def test_each_shot_has_frames_to_train_on_to_hold_out_and_to_test_on(monkeypatch):
    split = _split(monkeypatch, _numbered(80, 40))
    training, held_out, test = map(_numbers, (split.stills(99), split.held_out(99), split.test))
    assert test == [*range(40, 80), *range(100, 120)] and split.cuts == (40,)
    assert max(n for n in training if n < 80) < min(n for n in held_out if n < 80)
    assert max(n for n in held_out if n < 80) == 38 and max(held_out) == 98
    every = sorted([*training, *held_out, *test])
    assert len({*every}) == len(every)
    assert min(np.diff(sorted([*training, *held_out]))) >= 2
    assert len(split.stills(8)) == 8 and len(split.held_out(3)) == 3


def test_test_frames_are_limited_per_shot(monkeypatch):
    split = _split(monkeypatch, _numbered(80, 40)).limited_to(5)
    assert _numbers(split.test) == [*range(40, 45), *range(100, 105)] and split.cuts == (5,)
    long = _split(monkeypatch, _numbered(3 * datasets.TEST_FRAMES))
    assert len(long.test) == datasets.TEST_FRAMES


def test_a_shot_too_short_to_split_is_left_out(monkeypatch):
    split = _split(monkeypatch, _numbered(40, 3))
    assert split.shots == ((0, 20, 40),)


def test_a_clip_too_short_to_split_is_refused(tmp_path):
    video.write(tmp_path / "short.mp4", np.zeros((3, 64, 64, 3), np.uint8), Fraction(25))
    with pytest.raises(video.ClipError, match=r"short\.mp4 must have at least 4 frames"):
        datasets.split(tmp_path / "short.mp4")


def test_photographs_are_trained_on_but_not_where_data_are_to_be_small(tmp_path):
    helpers.write_clip_and_photograph(tmp_path)
    for name, count in (("colorization", 2), ("small-data", 1)):
        problem = datasets.problem(name, TINY, tmp_path)
        assert len(problem.pictures(2)) == count
    clip = problem.clips[0]
    assert len(clip.x) == TINY.frames
    assert clip.motion.shape == (TINY.frames - 1, *clip.y.shape[1:3], 2)
    assert clip.mask.shape == clip.motion.shape[:3] and 0.5 < clip.mask.mean() <= 1.0


def test_super_resolution_makes_its_input_from_the_target(tmp_path):
    helpers.write_clip_and_photograph(tmp_path)
    problem = datasets.problem("super-resolution", TINY, tmp_path)
    assert problem.make_input is not None
    assert all(x is None for x, _ in problem.pictures(1))
    x, y = problem.clips[0][:2]
    assert y.shape[1:3] == (2 * x.shape[1], 2 * x.shape[2])


def test_real_scenes_are_taken_for_hdr(tmp_path):
    for number in range(3):
        image_files.write(tmp_path / f"{number}.exr", 7.0 * scenes.scene(number, 192, 224))
    problem = datasets.problem("hdr", TINY, tmp_path)
    assert len(problem.pictures(9)) == 2 and len(problem.clips) == 1
    x, y, motion = problem.clips[0][:3]
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
