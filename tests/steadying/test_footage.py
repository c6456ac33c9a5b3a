"""The frames that are read: all shots are seen, runs hold neighbours, and are kept apart."""

import numpy as np
import pytest
from helpers.footage import moving, write_folder

from keras_temporal_reg.io import video
from keras_temporal_reg.steadying import footage


def numbered(count, height=16, width=16):
    """Frames that tell their number, without a cut."""
    frames = np.zeros((count, height, width, 3), np.float32)
    frames[:] = (np.arange(count) / 255.0)[:, np.newaxis, np.newaxis, np.newaxis]
    return frames


def number_of(frame):
    return int(frame[0, 0, 0])


def test_a_short_clip_is_trained_and_judged_on_as_a_whole(tmp_path):
    found = footage.read([write_folder(tmp_path / "clip", numbered(10))])
    assert [number_of(frame) for frame in found.training] == [*range(10)]
    assert [[number_of(frame) for frame in run] for run in found.runs] == [[*range(8)]]
    assert found.frames == 10 and not found.is_apart
    assert "10 frames in 1 shot: 10 of them are trained on" in found.describe()
    assert found.training[0].dtype == np.uint8


def test_a_long_clip_is_judged_on_frames_that_are_not_trained_on(tmp_path):
    found = footage.read([write_folder(tmp_path / "clip", numbered(200))])
    trained = {number_of(frame) for frame in found.training}
    runs = [[number_of(frame) for frame in run] for run in found.runs]
    assert found.is_apart and "chosen on 48 other frames" in found.describe()
    assert len(trained) == footage.TRAINING_FRAMES and len(runs) == footage.RUNS
    for run in runs:
        assert run == [*range(run[0], run[0] + footage.RUN_FRAMES)]
        assert not trained & {*run}
    assert runs[0][0] < 20 and runs[-1][-1] > 180 and max(trained) > 180


def test_no_run_spans_a_cut_and_all_shots_are_trained_on(tmp_path):
    shots = [moving(12, 32, 32, seed) for seed in (0, 1)]
    clip = write_folder(tmp_path / "clip", np.concatenate(shots))
    found = footage.read([clip])
    assert [(shot.start, shot.stop) for shot in found.shots] == [(0, 12), (12, 24)]
    assert len(found.training) == 24
    first, second = (np.round(255 * shot).astype(np.uint8) for shot in shots)
    for run in found.runs:
        assert any(np.abs(run[0].astype(int) - f).max() <= 1 for f in (first[0], second[0]))


def test_several_clips_are_read_together(tmp_path):
    clips = [write_folder(tmp_path / name, numbered(6)) for name in "ab"]
    found = footage.read(clips)
    assert found.frames == 12 and {shot.clip for shot in found.shots} == {0, 1}
    assert len(found.training) == 12 and len(found.runs) == 2


def test_clips_that_cannot_be_used_are_refused_by_name(tmp_path):
    short = write_folder(tmp_path / "short", numbered(3))
    with pytest.raises(video.ClipError, match=r"clip .*short must have at least 4 .* Received: 3"):
        footage.read([short])
    rng = np.random.default_rng(0)
    cuts = write_folder(tmp_path / "cuts", rng.integers(0, 2, (6, 16, 16, 3)).astype(np.float32))
    with pytest.raises(video.ClipError, match=r"one shot. Received: a cut at each of its 6"):
        footage.read([cuts])
    small = write_folder(tmp_path / "small", numbered(6, 8, 12))
    large = write_folder(tmp_path / "large", numbered(6))
    with pytest.raises(ValueError, match=r"one size. Received: small 12 x 8, large 16 x 16"):
        footage.read([small, large])


def test_frames_before_a_damaged_one_are_used(tmp_path):
    clip = write_folder(tmp_path / "clip", numbered(9))
    (clip / "008.png").write_bytes(b"gone")
    found = footage.read([clip])
    assert found.frames == 8 and [number_of(frame) for frame in found.training] == [*range(8)]


def test_of_large_frames_fewer_are_judged_on(tmp_path, monkeypatch):
    clip = write_folder(tmp_path / "clip", numbered(200))
    pixels = footage.read([clip]).runs[0][..., 0].size
    for budget, runs in ((3.5 * pixels, 3), (0.5 * pixels, 2)):
        monkeypatch.setattr(footage, "_RUN_PIXELS", int(budget))
        assert len(footage.read([clip]).runs) == runs
