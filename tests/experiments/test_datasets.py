"""Problems: what they are trained on, and the clips of their test sets."""

import functools

import numpy as np
import pytest
from helpers import experiments as helpers

from keras_temporal_reg import metrics
from keras_temporal_reg.experiments import datasets, media, runner, scenes
from keras_temporal_reg.experiments.configs import JACOBIAN, METHODS, ExperimentConfig
from keras_temporal_reg.io import image_files
from keras_temporal_reg.tasks import colorization, denoising

TINY = ExperimentConfig(frames=3)
SETS = ("validation", "clips", "stills", "photographs")
TASKS = ("colorization", "super-resolution", "denoising")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A clip of 8 frames and 2 photographs, of which the second is tested on."""
    folder = tmp_path_factory.mktemp("data")
    helpers.write_clip_and_photograph(folder)
    image_files.write(folder / "second.png", np.clip(scenes.scene(2, 96, 160), 0.0, 1.0))
    return folder


@pytest.fixture(scope="module")
def problems(folder):
    return {name: datasets.problem(name, TINY, folder) for name in TASKS}


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """8 photographs, of which one is a panorama."""
    folder = tmp_path_factory.mktemp("photographs")
    for number in range(8):
        size = (64, 320) if number == 7 else (64, 80)
        picture = np.clip(scenes.scene(number, *size), 0.0, 1.0)
        image_files.write(folder / f"{number}.png", picture)
    return folder


@pytest.mark.parametrize("name", TASKS)
def test_sets_have_their_clips_in_order(problems, name):
    sets = problems[name].sets
    assert tuple(sets) == SETS
    names = {key: [*clips] for key, clips in sets.items()}
    assert names == {key: ["own"] for key in SETS[:3]} | {"photographs": ["second"]}
    scale = problems[name].task.scale
    for key, clips in sets.items():
        for clip in clips.values():
            frames = len(clip.y)
            assert clip.x.dtype == clip.y.dtype == np.float32 and len(clip.x) == frames
            assert clip.y.shape[1:3] == tuple(scale * side for side in clip.x.shape[1:3])
            assert all(side % datasets.SIZE_MULTIPLE == 0 for side in clip.y.shape[1:3])
            if key == datasets.CLIPS:
                assert frames == TINY.frames
                assert clip.motion.shape == (frames - 1, *clip.y.shape[1:3], 2)
                assert 0.5 < clip.mask.mean() <= 1.0
            else:
                assert frames == 8
                assert clip.motion.shape == (frames - 1, 8) and clip.mask is None


def test_stills_of_a_clip_are_shots_of_one(problems, monkeypatch, folder):
    split = media.split(folder / "own.mp4")
    # As if there were three more shots with the same frames.
    split = split._replace(shots=4 * split.shots)
    found = media.Media([split], {}, {}, {})
    monkeypatch.setattr(media, "of_folder", lambda *a: found)
    sets = datasets.problem("denoising", TINY, folder).sets
    assert tuple(sets) == SETS[:3]
    assert sets["validation"]["own"].cuts == (8, 16, 24) and len(sets["validation"]["own"].y) == 32
    stills = sets["stills"]["own"]
    assert stills.cuts == (8, 16, 24) and len(stills.y) == 32 and len(stills.motion) == 31
    # Each has a camera path and noise of its own.
    assert np.any(stills.y[:8] != stills.y[8:16])
    assert np.any((stills.x - stills.y)[:8] != (stills.x - stills.y)[8:16])


def _flicker(clip, motion):
    return metrics.flicker(clip.y, motion, clip.mask, clip.cuts)


def test_motion_explains_the_frames(problems):
    """The pictures of the fixture are generated and smooth; what is left is interpolation."""
    still = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0]
    for name, key in (("denoising", "photographs"), ("super-resolution", "stills")):
        for clip in problems[name].sets[key].values():
            without = np.tile(still, (len(clip.motion), 1))
            assert _flicker(clip, clip.motion) < 2.0
            assert _flicker(clip, without) > 3.0 * _flicker(clip, clip.motion)


def test_all_calls_make_the_same_clips(problems, folder):
    again = datasets.problem("denoising", TINY, folder).sets
    for key, clips in problems["denoising"].sets.items():
        for name, clip in clips.items():
            np.testing.assert_array_equal(clip.x, again[key][name].x)
            np.testing.assert_array_equal(clip.y, again[key][name].y)


def test_inputs_are_made_of_the_filmed_targets(problems):
    for clips in problems["denoising"].sets.values():
        for clip in clips.values():
            noise = clip.x - clip.y
            assert noise.std() == pytest.approx(0.05, rel=0.05)
            # New in each frame.
            assert abs(np.corrcoef(noise[0].ravel(), noise[1].ravel())[0, 1]) < 0.05
    for clips in problems["super-resolution"].sets.values():
        for clip in clips.values():
            count, height, width, _ = clip.x.shape
            means = clip.y.reshape(count, height, 2, width, 2, 3).mean((2, 4))
            np.testing.assert_allclose(clip.x, means, atol=1e-6)
    # Colorization: luma and chroma of the same RGB frames.
    for key in ("stills", "photographs"):
        for name, clip in problems["colorization"].sets[key].items():
            rgb = problems["denoising"].sets[key][name].y
            for part, expected in zip(clip[:2], colorization.encode(rgb)):
                np.testing.assert_allclose(part, expected, atol=1e-5)


def test_no_picture_is_both_trained_and_tested_on(problems, folder):
    split = media.split(folder / "own.mp4")
    # 8 frames: the first half trains and validates.
    for still in (*split.stills(9), *split.held_out(9)):
        assert not any(np.array_equal(still, frame) for frame in split.test)
    for still in split.stills(9):
        assert not any(np.array_equal(still, frame) for frame in split.held_out(9))
    targets = [y for _, y in problems["denoising"].pictures(9)]
    assert len(targets) == 1 + len(split.stills(9))
    found = media.of_folder(folder)
    assert [*found.training] == ["photo"] and [*found.test] == ["second"]
    np.testing.assert_allclose(targets[0], found.training["photo"] / 255.0, atol=1e-6)


@pytest.mark.parametrize("name", ["super-resolution", "denoising"])
def test_input_is_made_from_the_target_in_training(problems, name):
    assert problems[name].make_input is problems[name].task.make_input is not None
    assert all(x is None for x, _ in problems[name].pictures(1))


@pytest.mark.slow
def test_counterparts_are_moved_first_and_get_other_noise(problems):
    problem = problems["denoising"]
    setting = runner.Setting(problem, TINY, problem.pictures(1), seed=0)
    ((x, y),) = runner.batches(setting, METHODS[JACOBIAN], 1, 0, 1)
    x, y = x.numpy(), y.numpy()[::2, ..., :3]
    noise = x[::2] - y
    inner = (slice(None), slice(8, -8), slice(8, -8))
    assert noise.std() == pytest.approx(0.05, rel=0.05)
    difference = (x[1::2] - x[::2])[inner]
    # Interpolated noise would have a lower deviation; the same noise would vanish in flat areas.
    assert difference.std() > 1.3 * 0.05


def test_small_data_is_a_number_of_stills(folder):
    problem = datasets.problem("small-data", TINY, folder)
    assert len(problem.pictures(1)) == 1 and tuple(problem.sets) == SETS


def test_photographs_alone_have_two_sets(photographs):
    problem = datasets.problem("denoising", TINY, photographs)
    assert len(problem.pictures(1)) == 5
    assert {key: [*clips] for key, clips in problem.sets.items()} == {
        "validation": ["5", "6"],
        "photographs": ["7"],
    }
    assert problem.sets["validation"]["5"].y.shape == (8, 144, 192, 3)
    # Of a panorama, the middle.
    assert problem.sets["photographs"]["7"].y.shape == (8, 144, 256, 3)
    with pytest.raises(ValueError, match=r"at least one clip \(.*8 photographs and no clip"):
        datasets.problem("small-data", TINY, photographs)


def test_clips_without_stills_to_hold_out_are_refused(folder, monkeypatch):
    split = media.split(folder / "own.mp4")._replace(shots=((0, 2, 4),))
    monkeypatch.setattr(media, "of_folder", lambda *a: media.Media([split], {}, {}, {}))
    with pytest.raises(ValueError, match="or one with at least 8 frames between two cuts"):
        datasets.problem("denoising", TINY, folder)


def test_several_clips_are_tested_with_what_the_others_favour(folder, monkeypatch):
    # Too short for stills to hold out, which are not needed.
    split = media.split(folder / "own.mp4")._replace(shots=((0, 2, 4),))
    found = media.Media([split, split._replace(name="second")], {}, {}, {})
    monkeypatch.setattr(media, "of_folder", lambda *a: found)
    sets = datasets.problem("denoising", TINY, folder).sets
    assert {name: [*clips] for name, clips in sets.items()} == {
        "clips": ["own", "second"],
        "stills": ["own", "second"],
    }


def test_of_clips_films_nothing_but_the_clips(folder, monkeypatch):
    monkeypatch.setattr(scenes, "film", None)
    split = media.split(folder / "own.mp4")
    make = functools.partial(datasets.of_clips, denoising, lambda channels: None)
    assert {key: [*clips] for key, clips in make([split], []).sets.items()} == {"clips": ["own"]}
    with pytest.raises(ValueError, match=r"different names\. Received: own, own"):
        make([split, split], [])


def test_generated_scenes_are_trained_validated_or_tested_on(monkeypatch):
    seeds = []

    def clip(seed, frames, *size):
        seeds.append(seed)
        return scenes.SceneClip(np.full((frames, 16, 16, 3), seed, np.float32), np.zeros((2, 8)))

    monkeypatch.setattr(scenes, "clip", clip)
    monkeypatch.setattr(scenes, "scene", lambda seed, *size: np.full((16, 16, 3), seed, "f4"))
    problem = datasets.problem("hdr", TINY, None)
    trained = {round(float(np.exp(y).mean())) for _, y in problem.pictures(40)}
    assert len({*seeds}) == 6 and not trained & {*seeds}
    assert {key: [*clips] for key, clips in problem.sets.items()} == {
        "validation": ["scene 3", "scene 4", "scene 5"],
        "scenes": ["scene 0", "scene 1", "scene 2"],
    }


def test_real_scenes_are_taken_for_hdr(tmp_path):
    for number in range(4):
        image_files.write(tmp_path / f"{number}.exr", 7.0 * scenes.scene(number, 192, 224))
    problem = datasets.problem("hdr", TINY, tmp_path)
    assert len(problem.pictures(9)) == 2 and len(problem.pictures(1)) == 1
    assert {key: [*clips] for key, clips in problem.sets.items()} == {
        "validation": ["2"],
        "scenes": ["3"],
    }
    x, y, motion = problem.sets["scenes"]["3"][:3]
    assert x.shape == y.shape == (3, 144, 176, 3) and motion.shape == (2, 8)
    # 10 % of a picture are above white, whatever its own unit of light was.
    light = np.exp(problem.pictures(9)[0][1]) - scenes.OFFSET
    assert np.mean(light.max(axis=-1) > 1.0) == pytest.approx(0.1, abs=0.01)


@pytest.mark.parametrize("experiment", ["colorization", "hdr"])
def test_a_folder_without_data_is_refused(tmp_path, experiment):
    with pytest.raises(ValueError, match="data must hold at least"):
        datasets.problem(experiment, TINY, tmp_path)
    with pytest.raises(ValueError, match="data must be a folder"):
        datasets.problem(experiment, TINY, tmp_path / "none")
