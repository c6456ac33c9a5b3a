"""Pictures to train, validate and test on: disjoint, and of the user's own where given."""

import itertools
from fractions import Fraction

import numpy as np
import pytest

from keras_temporal_reg.experiments import media
from keras_temporal_reg.io import image_files, video


def _split(monkeypatch, frames):
    monkeypatch.setattr(video, "read", lambda *a, **k: video.DecodedClip(frames, Fraction(25)))
    return media.split("clip.mp4")


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
    long = _split(monkeypatch, _numbered(3 * media.TEST_FRAMES))
    assert len(long.test) == media.TEST_FRAMES


def test_a_shot_too_short_to_split_is_left_out(monkeypatch):
    split = _split(monkeypatch, _numbered(40, 3))
    assert split.shots == ((0, 20, 40),)


def test_a_clip_too_short_to_split_is_refused(tmp_path):
    video.write(tmp_path / "short.mp4", np.zeros((3, 64, 64, 3), np.uint8), Fraction(25))
    with pytest.raises(video.ClipError, match=r"short\.mp4 must have at least 4 frames"):
        media.split(tmp_path / "short.mp4")


def test_test_stills_are_test_frames_in_the_middle_of_each_shot(monkeypatch):
    split = _split(monkeypatch, _numbered(80, 40))
    assert _numbers(split.test_stills) == [60, 110]


def test_shipped_photographs_are_trained_on_or_tested_on(monkeypatch):
    monkeypatch.setattr(media, "shipped_clips", list)
    found = media.shipped()
    assert [*found.training] == ["astronaut", "chelsea", "coffee", "rocket"]
    assert [*found.test] == ["motorcycle_left", "china", "flower"]
    for picture in (*found.training.values(), *found.test.values()):
        assert picture.dtype == np.uint8 and picture.shape[0] == media.PHOTO_HEIGHT


def _write_greys(folder, count, suffix=".png"):
    """Pictures whose grey is 10 times their number, in an order of writing that is not theirs."""
    for number in reversed(range(count)):
        grey = np.full((48, 64, 3), 10 * number, np.uint8)
        image_files.write(folder / f"{number:02}{suffix}", grey / np.float32(255.0))


def _greys(pictures):
    assert all(picture.std() == 0 for picture in pictures.values())
    return [int(picture[0, 0, 0]) // 10 for picture in pictures.values()]


@pytest.mark.parametrize(
    ("count", "training", "validation"), [(8, 5, 2), (10, 7, 2), (11, 7, 2), (23, 16, 2)]
)
def test_photographs_alone_are_parted_in_three(tmp_path, count, training, validation):
    _write_greys(tmp_path, count)
    found = media.of_folder(tmp_path)
    parts = [_greys(part) for part in found[1:]]
    assert [len(part) for part in parts[:2]] == [training, validation]
    assert [*itertools.chain(*parts)] == [*range(count)] and parts[2]
    assert [*found.splits] == []
    assert {picture.shape for picture in found.test.values()} == {(192, 256, 3)}


@pytest.mark.parametrize(("count", "training"), [(0, 0), (1, 1), (4, 2), (5, 3)])
def test_half_of_the_photographs_beside_clips_are_trained_on(tmp_path, count, training):
    _write_greys(tmp_path, count)
    video.write(tmp_path / "clip.mp4", _numbered(8), Fraction(25))
    found = media.of_folder(tmp_path)
    assert _greys(found.training) == [*range(training)]
    assert _greys(found.test) == [*range(training, count)]
    assert [split.name for split in found.splits] == ["clip"] and not found.validation


@pytest.mark.parametrize(
    ("count", "training", "validation"), [(3, 1, 1), (7, 5, 1), (8, 4, 2), (12, 6, 3)]
)
def test_hdr_pictures_are_parted_in_three(tmp_path, count, training, validation):
    for number in range(count):
        light = np.full((48, 64, 3), 0.5, np.float32)
        light[:8] = 2.0 + number  # white is the quantile that these rows reach
        image_files.write(tmp_path / f"{number:02}.exr", light)
    found = media.hdr_of_folder(tmp_path)
    assert [len(part) for part in found[1:]] == [training, validation, validation]
    assert [*found.training, *found.validation, *found.test] == [f"{n:02}" for n in range(count)]
    light = found.training["00"]
    assert light.shape == (192, 256, 3) and light[-1, 0, 0] == pytest.approx(0.25)


def test_black_hdr_pictures_are_refused(tmp_path):
    for number in range(3):
        image_files.write(tmp_path / f"{number}.exr", np.zeros((48, 64, 3), np.float32))
    with pytest.raises(ValueError, match=r"pictures with light\. Received: .*0\.exr, mostly black"):
        media.hdr_of_folder(tmp_path)


def test_pictures_of_the_same_name_are_refused_before_they_are_read(tmp_path):
    _write_greys(tmp_path, 8)
    (tmp_path / "03.jpg").write_text("not a picture")
    with pytest.raises(ValueError, match=r"Received: 03\.jpg and 03\.png in"):
        media.of_folder(tmp_path)


def test_a_folder_of_too_little_is_refused(tmp_path):
    _write_greys(tmp_path, 7)
    (tmp_path / "notes.txt").write_text("x")
    message = r"at least one clip \(.*\), or at least 8 photographs.*7 photographs and no clip"
    with pytest.raises(ValueError, match=message):
        media.of_folder(tmp_path)
    with pytest.raises(ValueError, match=r"at least 3 pictures \(\.exr, \.hdr\).*Received: 0 in"):
        media.hdr_of_folder(tmp_path)
    _write_greys(tmp_path, 8)
    with pytest.raises(ValueError, match=r"one clip \([^)]*\)\. Received: .*8 photographs"):
        media.of_folder(tmp_path, needs_clips=True)
    with pytest.raises(ValueError, match="data must be a folder"):
        media.of_folder(tmp_path / "none")


def test_hidden_files_are_not_listed(tmp_path):
    for name in ("b", "a", ".hidden"):
        (tmp_path / name).touch()
    (tmp_path / "folder").mkdir()
    assert [path.name for path in media.list_files(tmp_path)] == ["a", "b"]
