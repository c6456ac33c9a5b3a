"""Filters over a network's results, against SciPy's and against what FFmpeg's documents say."""

import numpy as np
import pytest
import scipy.ndimage
import scipy.signal
from helpers import footage

from keras_temporal_reg import metrics, tasks
from keras_temporal_reg.experiments import alternatives
from keras_temporal_reg.experiments.alternatives import ALTERNATIVES
from keras_temporal_reg.io.video._clip import import_av

NAMES = alternatives.of_task(tasks.restoration)
FILTERS = [name for name in NAMES if ALTERNATIVES[name].needs_neighbours]
STRENGTHS = [(name, strength) for name in NAMES for strength in ALTERNATIVES[name].strengths]
FFMPEG = ("hqdn3d", "atadenoise", "deflicker")


def steadied(name, strength, x, prediction=None, task=tasks.restoration, cuts=(), predict=None):
    """The result of an alternative; without a prediction, the network is the identity."""
    predict = predict or (lambda x: x)
    prediction = predict(x) if prediction is None else prediction
    result = ALTERNATIVES[name].apply(predict, x, prediction, task, strength, cuts)
    assert result.shape == prediction.shape and result.dtype == np.float32
    return result


def noise(shape, seed=0, deviation=0.1):
    rng = np.random.default_rng(seed)
    return np.clip(0.5 + deviation * rng.standard_normal(shape), 0.0, 1.0).astype(np.float32)


def still(frames=8):
    """A textured picture, time and again."""
    return np.repeat(footage.moving(1, 32, 48), frames, axis=0)


def uniform(levels):
    """Grey frames of these levels."""
    return np.ones((1, 32, 48, 3), np.float32) * np.reshape(np.float32(levels), (-1, 1, 1, 1))


@pytest.mark.parametrize("share", ALTERNATIVES["temporal low-pass"].strengths)
def test_low_pass_is_scipys_recursive_filter(share):
    p = noise((9, 4, 5, 2))
    expected, _ = scipy.signal.lfilter([1 - share], [1, -share], p, axis=0, zi=share * p[:1])
    np.testing.assert_allclose(steadied("temporal low-pass", share, p), expected, atol=1e-6)


@pytest.mark.parametrize("frames", [1, 3, 20])
@pytest.mark.parametrize("sigma", ALTERNATIVES["symmetric low-pass"].strengths)
def test_symmetric_low_pass_is_scipys_gaussian(sigma, frames):
    p, radius = noise((frames, 4, 5, 2)), ALTERNATIVES["symmetric low-pass"].delay(sigma)
    expected = scipy.ndimage.gaussian_filter1d(p, sigma, axis=0, mode="nearest", radius=radius)
    np.testing.assert_allclose(steadied("symmetric low-pass", sigma, p), expected, atol=1e-6)


def sharpness(frames):
    return np.mean(np.abs(np.diff(frames[4:], axis=2)))


def test_motion_compensation_keeps_a_moving_texture_sharp():
    """What flickers is the prediction; the motion is that of the input, which is known."""
    step = 1.5
    x = footage.moving(12, 48, 64, step=step)
    p = x + noise((12, 1, 1, 3), seed=1) - np.float32(0.5)
    plain = steadied("temporal low-pass", 0.5, x, p)
    compensated = steadied("motion-compensated low-pass", 0.5, x, p)
    assert sharpness(plain) < 0.8 * sharpness(x)
    assert sharpness(compensated) > 0.95 * sharpness(x)
    motion = np.tile(np.float32([1, 0, -step, 0, 1, 0, 0, 0]), (11, 1))
    before, after = (metrics.warping_error(result, motion) for result in (p, compensated))
    assert after < 0.5 * before
    # In the column on the right that enters the frame, there is nothing to average with.
    np.testing.assert_array_equal(compensated[:, :, -1], p[:, :, -1])


def test_motion_is_not_estimated_on_results():
    x, p = still(), footage.moving(8, 32, 48, seed=3, step=2.0)
    expected = steadied("temporal low-pass", 0.7, x, p)
    compensated = steadied("motion-compensated low-pass", 0.7, x, p)
    np.testing.assert_allclose(compensated, expected, atol=1e-4)


@pytest.mark.parametrize(("name", "strength"), STRENGTHS)
def test_a_uniform_clip_stays_as_it_is(name, strength):
    x = uniform([0.4] * 8)
    np.testing.assert_allclose(steadied(name, strength, x), x, atol=5e-4)


@pytest.mark.parametrize(
    "task", [tasks.restoration, tasks.colorization], ids=lambda task: task.name
)
@pytest.mark.parametrize("name", FILTERS)
def test_a_still_clip_stays_as_it_is(name, task):
    """Neither rounding nor the way to pictures and back adds more than a tenth of an 8-bit step."""
    x, y = task.encode(0.3 + 0.4 * still())
    result = steadied(name, ALTERNATIVES[name].strengths[-1], x, y, task)
    np.testing.assert_allclose(result, y, atol=2e-3)
    assert np.sqrt(np.mean((result - y) ** 2)) < 0.1 / 255


@pytest.mark.parametrize("name", NAMES)
def test_no_cut_is_crossed(name):
    strength = ALTERNATIVES[name].strengths[-1]
    x = footage.moving(13, 32, 48)
    other = np.concatenate([x[:4] * 0.5, x[4:]])
    result = steadied(name, strength, x, cuts=(4, 12))
    np.testing.assert_array_equal(result[4:], steadied(name, strength, other, cuts=(4, 12))[4:])
    shots = [steadied(name, strength, shot) for shot in (x[:4], x[4:12], x[12:])]
    np.testing.assert_array_equal(result, np.concatenate(shots))


@pytest.mark.parametrize(("name", "strength"), STRENGTHS)
def test_frames_depend_on_no_more_frames_than_the_delay_says(name, strength):
    x = still(40)
    brighter = x.copy()
    brighter[20] += 0.01
    moved = np.abs(steadied(name, strength, brighter) - steadied(name, strength, x))
    changed = np.flatnonzero(moved.max(axis=(1, 2, 3)) > 1e-4)
    assert changed[0] == 20 - ALTERNATIVES[name].delay(strength)
    assert (len(changed) > 1) == ALTERNATIVES[name].needs_neighbours


@pytest.mark.parametrize("frames", range(1, 12))
def test_atadenoise_averages_what_differs_little(frames):
    levels = noise(frames, deviation=0.002)
    expected = scipy.ndimage.uniform_filter1d(levels, 9, mode="nearest")
    result = steadied("atadenoise", 6.0, uniform(levels))
    np.testing.assert_allclose(result, uniform(expected), atol=3e-4)


@pytest.mark.parametrize("frames", [1, 2, 4, 5, 6, 12])
def test_deflicker_averages_the_brightness_of_the_next_frames(frames):
    levels = noise(frames)
    expected = [np.pad(levels, (0, 4), "edge")[t : t + 5].mean() for t in range(frames)]
    np.testing.assert_allclose(
        steadied("deflicker", 5.0, uniform(levels)), uniform(expected), atol=3e-4
    )


@pytest.mark.skipif("hqdn3d" not in NAMES, reason="this PyAV's FFmpeg has no hqdn3d")
def test_hqdn3d_filters_over_time_alone():
    detail = noise((1, 32, 48, 3)).repeat(8, axis=0)
    np.testing.assert_allclose(steadied("hqdn3d", 4.0, detail), detail, atol=2e-3)
    noisy = noise((20, 32, 48, 3), deviation=0.02)
    deviations = [np.std(steadied("hqdn3d", s, noisy)[10:]) for s in (4.0, 8.0, 16.0)]
    assert 0.02 > deviations[0] > deviations[1] > deviations[2]


def test_filters_that_pyav_lacks_are_left_out(monkeypatch):
    monkeypatch.setattr(import_av().filter, "filters_available", {"deflicker", "scale"})
    found = alternatives.of_task(tasks.colorization)
    assert found == [name for name in ALTERNATIVES if name not in ("hqdn3d", "atadenoise")]


def test_hdr_has_no_filters_of_pictures():
    assert alternatives.of_task(tasks.hdr) == [n for n in ALTERNATIVES if n not in FFMPEG]
    assert {"atadenoise", "deflicker"} <= {*NAMES}


TASKS = (tasks.colorization, tasks.denoising, tasks.super_resolution, tasks.hdr)


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_each_task_has_its_alternatives(task):
    """The network's results change from frame to frame; those of filters change less."""
    x, y = task.encode(0.3 + 0.4 * still(6))
    p = y + np.float32(0.05) * np.reshape(np.float32([1, -1, 1, -1, 1, -1]), (-1, 1, 1, 1))
    for name in alternatives.of_task(task):
        # Brightness is the input of colorization, not its result.
        is_of_brightness = (task.name, name) == ("colorization", "deflicker")
        if ALTERNATIVES[name].needs_neighbours and not is_of_brightness:
            result = steadied(name, ALTERNATIVES[name].strengths[-1], x, p, task)
            assert np.abs(np.diff(result, axis=0)).mean() < 0.9 * np.abs(np.diff(p, axis=0)).mean()


@pytest.mark.parametrize("count", [4, 16])
def test_averaging_keeps_what_an_equivariant_network_makes(count):
    calls = []

    def negative(x):
        calls.append(len(x))
        return 1.0 - x

    x = scipy.ndimage.gaussian_filter(footage.moving(2, 48, 64), (0, 2, 2, 0))
    result = steadied("test-time averaging", count, x, predict=negative)
    np.testing.assert_allclose(result[:, 4:-4, 4:-4], (1.0 - x)[:, 4:-4, 4:-4], atol=0.02)
    # The prediction that is given is one of the passes.
    assert calls == [2] * ALTERNATIVES["test-time averaging"].passes(count)


def test_averaging_averages_errors_of_places():
    pattern = noise((1, 48, 64, 3)) - np.float32(0.5)
    x = uniform([0.5, 0.5])[:, :1, :1].repeat(48, axis=1).repeat(64, axis=2)
    errors = []
    for count in (4, 16):
        result = steadied("test-time averaging", count, x, predict=lambda x: x + pattern)
        np.testing.assert_allclose(result[0], result[1], atol=1e-6)  # one T for all frames
        errors.append(np.std(result - x) / np.std(pattern))
    assert errors[0] < 0.6 and errors[1] < 0.35


def test_averaging_moves_results_at_their_own_resolution():
    """An exact interpolation of a ramp commutes with T, if T is the same on both grids."""
    rows, columns = np.mgrid[:40, :48]
    ramp = (0.2 + 0.005 * columns + 0.003 * rows).astype(np.float32)

    def doubled(x):
        return scipy.ndimage.zoom(x, (1, 2, 2, 1), order=1, mode="nearest", grid_mode=True)

    x = ramp[np.newaxis, :, :, np.newaxis]
    result = steadied("test-time averaging", 4, x, predict=doubled, task=tasks.super_resolution)
    inner = np.s_[:, 16:-16, 16:-16]
    np.testing.assert_allclose(result[inner], doubled(x)[inner], atol=1e-4)
