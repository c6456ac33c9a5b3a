"""Evaluation clips: x and y of each frame are those that the task makes of the files."""

from fractions import Fraction

import numpy as np
import pytest
from helpers.clips import ramp

from keras_temporal_reg import metrics, tasks
from keras_temporal_reg.evaluation import clips
from keras_temporal_reg.io import image_files


def write_folder(path, frames):
    path.mkdir()
    for t, frame in enumerate(frames):
        image_files.write(path / f"f{t}.png", frame)
    return path


@pytest.fixture
def frames():
    return np.stack(ramp(16, 24, 5)) / np.float32(255)


def test_a_clip_of_targets_is_its_own_reference(tmp_path, frames):
    clip = clips.of_clip(write_folder(tmp_path / "clip", frames), None, tasks.colorization, 10)
    assert (clip.name, clip.size, clip.rate, clip.count) == ("clip", (16, 24), 10, 5)
    assert clip.has_reference and clip.motion is None
    for (x, y), frame in zip(clip.frames(), frames, strict=True):
        expected = tasks.colorization.encode(frame)
        np.testing.assert_allclose(x, expected[0], atol=1e-6)
        np.testing.assert_allclose(y, expected[1], atol=1e-6)


@pytest.mark.parametrize("task", [tasks.restoration, tasks.denoising, tasks.super_resolution])
def test_a_clip_of_inputs_has_no_reference(tmp_path, frames, task):
    clip = clips.of_clip(write_folder(tmp_path / "clip", frames), None, task)
    assert not clip.has_reference and clip.reference == clips.NO_REFERENCE
    for (x, y), frame in zip(clip.frames(), frames, strict=True):
        np.testing.assert_allclose(x, frame, atol=1e-6)
        assert y is None


def test_a_reference_gives_the_targets(tmp_path, frames):
    large = frames.repeat(2, axis=1).repeat(2, axis=2)
    paths = write_folder(tmp_path / "clip", frames), write_folder(tmp_path / "large", large)
    clip = clips.of_clip(*paths, tasks.super_resolution)
    assert clip.has_reference and clip.reference == "the clip large"
    for (x, y), small, target in zip(clip.frames(), frames, large, strict=True):
        np.testing.assert_allclose(x, small, atol=1e-6)
        np.testing.assert_allclose(y, target, atol=1e-6)


def test_a_reference_of_the_wrong_size_is_refused(tmp_path, frames):
    paths = write_folder(tmp_path / "clip", frames), write_folder(tmp_path / "other", frames)
    with pytest.raises(ValueError, match=r"must have frames of 48 x 32.*Received: 24 x 16"):
        clips.of_clip(*paths, tasks.super_resolution)


def test_the_shorter_of_clip_and_reference_counts_and_a_note_says_so(tmp_path, frames):
    paths = write_folder(tmp_path / "clip", frames), write_folder(tmp_path / "short", frames[:3])
    clip, notes = clips.of_clip(*paths, tasks.restoration), []
    assert len([*clip.frames(notes.append)]) == 3
    assert len(notes) == 1 and "different lengths" in notes[0]
    assert clip.notes == ()


TURNED = {
    "mirrored left to right": lambda frame: frame[:, ::-1],
    "mirrored top to bottom": lambda frame: frame[::-1],
    "turned by 180 degrees": lambda frame: np.rot90(frame, 2),
    "turned by 90 degrees clockwise": lambda frame: np.rot90(frame, -1),
    "turned by 90 degrees counter-clockwise": lambda frame: np.rot90(frame),
    "transposed": lambda frame: frame.swapaxes(0, 1),
    "transposed and turned by 180 degrees": lambda frame: np.rot90(frame.swapaxes(0, 1), 2),
}


@pytest.mark.parametrize("how", TURNED)
def test_a_turned_reference_gives_a_note(tmp_path, how):
    rng = np.random.default_rng(0)
    image = rng.uniform(size=(6, 6, 3)).repeat(4, axis=0).repeat(4, axis=1).astype(np.float32)
    dark, noise = np.zeros_like(image), rng.normal(scale=0.05, size=image.shape)
    paths = (
        write_folder(tmp_path / "clip", [dark, image + noise, image]),
        write_folder(tmp_path / "true", [dark, *[TURNED[how](image)] * 2]),
    )
    notes = []
    assert len([*clips.of_clip(*paths, tasks.restoration).frames(notes.append)]) == 3
    assert len(notes) == 1 and f"true looks like the clip {how}:" in notes[0]


@pytest.mark.parametrize("task", [tasks.restoration, tasks.colorization])
def test_a_reference_that_is_not_turned_gives_no_note(tmp_path, task):
    rng = np.random.default_rng(0)
    image = rng.uniform(size=(6, 6, 3)).repeat(4, axis=0).repeat(4, axis=1).astype(np.float32)
    noisy = np.clip(image + rng.normal(scale=0.3, size=image.shape), 0, 1)
    paths = (
        write_folder(tmp_path / "clip", [noisy, noisy]),
        write_folder(tmp_path / "true", [image, image]),
    )
    notes = []
    assert len([*clips.of_clip(*paths, task).frames(notes.append)]) == 2
    assert notes == []


def test_a_reference_turned_by_a_quarter_is_refused_as_such(tmp_path, frames):
    paths = (
        write_folder(tmp_path / "clip", frames),
        write_folder(tmp_path / "side", frames.swapaxes(1, 2)),
    )
    with pytest.raises(ValueError, match=r"Received: 16 x 24, so that one of them is turned"):
        clips.of_clip(*paths, tasks.restoration)


def test_linear_light_gives_a_note(tmp_path, monkeypatch):
    pytest.importorskip("OpenEXR")
    monkeypatch.setenv("OPENCV_IO_ENABLE_OPENEXR", "1")
    import cv2

    folder = tmp_path / "linear"
    folder.mkdir()
    for t in range(2):
        assert cv2.imwrite(str(folder / f"f{t}.hdr"), np.full((16, 16, 3), 2.0, np.float32))
    assert any("linear" in note for note in clips.of_clip(folder, None, tasks.restoration).notes)
    assert not any("as it is" in note for note in clips.of_clip(folder, None, tasks.hdr).notes)


def test_a_still_moves_as_its_motion_says(tmp_path):
    rows, columns = np.mgrid[:90, :120]
    still = np.stack([np.sin(rows / 9), np.cos(columns / 7), np.sin((rows + columns) / 11)], -1)
    image_files.write(tmp_path / "still.png", (0.5 + 0.4 * still).astype(np.float32))
    clip = clips.of_still(tmp_path / "still.png", tasks.denoising)
    assert clip.has_reference and clip.count == clips.STILL_FRAMES
    targets = np.stack([y for _, y in clip.frames()])
    assert targets.shape == (clips.STILL_FRAMES, *clip.size, 3)
    unexplained = metrics.warping_error(targets, clip.motion)
    assert unexplained < 0.02 * metrics.warping_error(targets, np.zeros((59, *clip.size, 2)))


def test_a_still_without_a_degradation_has_no_reference(tmp_path):
    image_files.write(tmp_path / "still.png", np.zeros((40, 40, 3), np.float32))
    assert not clips.of_still(tmp_path / "still.png", tasks.restoration).has_reference


def test_frames_in_memory_are_targets(frames):
    clip = clips.of_frames("memory", frames, Fraction(25), tasks.super_resolution)
    assert (clip.size, clip.count, clip.has_reference) == ((8, 12), 5, True)
    x, y = next(iter(clip.frames()))
    assert x.shape == (8, 12, 3)
    np.testing.assert_array_equal(y, frames[0])
