"""Stability measures, against their definitions in NumPy and SciPy."""

import gc
import math
import weakref

import numpy as np
import pytest
import tensorflow as tf
from helpers.clips import noisy_pair as clips
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from keras_temporal_reg import metrics

MEASURES = ("smoothness", "contrast_ratio", "relative_smoothness", "temporal_error", "structure")


def high_pass(u, sigma):
    return u - ndimage.gaussian_filter1d(u, sigma, axis=0)


def expected(v, p, sigma=2.0):
    """The measures, written down from their definitions."""
    hp_v, hp_p, hp_error = (high_pass(u, sigma) for u in (v, p, p - v))
    smoothness = np.sqrt((hp_v**2).sum() / (hp_p**2).sum())
    contrast = np.mean(p.std(axis=(1, 2)).mean(axis=0) / v.std(axis=(1, 2)).mean(axis=0))
    centred = [(u - u.mean(axis=(1, 2), keepdims=True)).ravel() for u in (v, p)]
    edges = [np.concatenate([np.diff(u, axis=a).ravel() for a in (1, 2)]) for u in (v, p)]
    return {
        "smoothness": smoothness,
        "contrast_ratio": contrast,
        "relative_smoothness": smoothness * contrast,
        "temporal_error": np.sqrt((hp_error**2).sum() / (hp_v**2).sum()),
        "structure": np.corrcoef(*centred)[0, 1],
        "psnr": 10 * np.log10(1 / np.mean((v - p) ** 2)),
        "error": 100 * np.linalg.norm(v - p) / np.linalg.norm(centred[0]),
        "detail": edges[0] @ edges[1] / (edges[0] @ edges[0]),
    }


def measure(name, reference, result, sigma):
    function = getattr(metrics, name)
    takes_sigma = name not in ("contrast_ratio", "structure")
    return function(reference, result, sigma) if takes_sigma else function(reference, result)


@pytest.mark.parametrize("name", MEASURES)
@pytest.mark.parametrize("frames, sigma", [(30, 2.0), (5, 2.0), (2, 2.0), (50, 5.0), (13, 5.0)])
def test_measure_equals_its_definition(name, frames, sigma):
    reference, result = clips(frames)
    assert measure(name, reference, result, sigma) == pytest.approx(
        expected(reference, result, sigma)[name], rel=1e-9
    )


@pytest.mark.parametrize("frames, sigma", [(1, 2.0), (7, 2.0), (40, 2.0), (40, 5.0)])
def test_high_pass_equals_scipy(frames, sigma):
    clip, _ = clips(frames)
    np.testing.assert_allclose(metrics.high_pass(clip, sigma), high_pass(clip, sigma), atol=1e-12)
    assert metrics.high_pass(clip.astype(np.float32)).dtype == np.float64


@pytest.mark.parametrize("sigma", [0.3, 0.5, 1.3])
def test_narrow_filter_equals_scipy(sigma):
    reference, result = clips(12)
    assert metrics.smoothness(reference, result, sigma) == pytest.approx(
        expected(reference, result, sigma)["smoothness"], rel=1e-6
    )


def test_sigma_is_2_by_default():
    reference, result = clips(20)
    for name in MEASURES:
        assert getattr(metrics, name)(reference, result) == pytest.approx(
            expected(reference, result, 2.0)[name], rel=1e-9
        )


def test_stability_returns_all_measures_as_floats():
    reference, result = clips(20)
    measures = metrics.stability(reference, result)
    assert measures == pytest.approx(expected(reference, result), rel=1e-9)
    assert all(type(value) is float for value in measures.values())


def test_measures_take_uint8_and_float32_and_tensors():
    reference, result = clips(6)
    as_bytes = [np.round(255 * u).clip(0, 255).astype(np.uint8) for u in (reference, result)]
    assert metrics.temporal_error(*as_bytes) == pytest.approx(
        expected(*(u.astype(float) for u in as_bytes))["temporal_error"], rel=1e-9
    )
    tensors = [tf.constant(u, tf.float32) for u in (reference, result)]
    assert metrics.temporal_error(*tensors) == pytest.approx(
        expected(reference, result)["temporal_error"], rel=1e-4
    )


@pytest.mark.parametrize("sigma", [2.0, 5.0])
@pytest.mark.parametrize("pieces", [[1] * 45, [7, 1, 20, 2, 15], [44, 1], [1, 44]])
def test_uneven_pieces_equal_the_whole(pieces, sigma):
    reference, result = clips(45)
    stability = metrics.Stability(sigma)
    for start, size in zip(np.cumsum([0, *pieces[:-1]]), pieces):
        stability.update_state(reference[start : start + size], result[start : start + size])
    assert stability.frames == 45
    assert stability.result() == pytest.approx(expected(reference, result, sigma), rel=1e-9)


def test_asking_for_the_result_changes_nothing():
    reference, result = clips(40)
    stability = metrics.Stability()
    for t in range(40):
        stability.update_state(reference[t], result[t])
        if t in (1, 10, 11, 30):
            halfway = expected(reference[: t + 1], result[: t + 1])
            assert stability.result() == pytest.approx(halfway, rel=1e-9)
    assert stability.result() == stability.result()
    assert stability.result() == pytest.approx(expected(reference, result), rel=1e-9)


def test_streaming_keeps_a_bounded_number_of_frames():
    rng = np.random.default_rng(0)
    stability = metrics.Stability(sigma=2.0)
    given_frames = []

    def kept_after(count):
        while len(given_frames) < 2 * count:
            pair = [rng.uniform(size=(4, 4, 1)) for _ in range(2)]
            stability.update_state(*pair)
            given_frames.extend(weakref.ref(frame) for frame in pair)
            del pair
        gc.collect()
        return sum(frame() is not None for frame in given_frames)

    def held():
        return [filter_.window.shape for filter_ in stability._filters]

    assert kept_after(40) == 0  # they are copied into the window
    before = held()
    assert all(rows <= 2 * 8 + 16 for rows, _ in before)  # what the filter spans, and a chunk
    assert kept_after(200) == 0
    assert held() == before


def test_reset_state_forgets_all_frames():
    reference, result = clips(25)
    stability = metrics.Stability()
    stability.update_state(*clips(12, height=4, seed=1))
    stability.reset_state()
    assert stability.frames == 0
    stability.update_state(reference, result)
    assert stability.result() == pytest.approx(expected(reference, result), rel=1e-9)


@given(
    scale=st.floats(0.05, 20.0),
    frames=st.integers(2, 24),
    sigma=st.floats(0.5, 6.0),
    seed=st.integers(0, 2**31),
)
def test_smoothness_is_inverse_to_the_scale_of_the_result(scale, frames, sigma, seed):
    reference, result = clips(frames, 4, 3, 2, seed)
    plain = metrics.stability(reference, result, sigma)
    scaled = metrics.stability(reference, scale * result, sigma)
    assert scaled["smoothness"] == pytest.approx(plain["smoothness"] / scale, rel=1e-6)
    assert scaled["contrast_ratio"] == pytest.approx(plain["contrast_ratio"] * scale, rel=1e-6)
    assert scaled["relative_smoothness"] == pytest.approx(plain["relative_smoothness"], rel=1e-6)
    assert scaled["structure"] == pytest.approx(plain["structure"], rel=1e-6, abs=1e-9)


@given(frames=st.integers(2, 24), sigma=st.floats(0.5, 6.0), seed=st.integers(0, 2**31))
def test_frozen_image_has_temporal_error_1(frames, sigma, seed):
    reference, result = clips(frames, 4, 3, 2, seed)
    frozen = np.repeat(result[:1], frames, axis=0)
    assert metrics.temporal_error(reference, frozen, sigma) == pytest.approx(1.0, rel=1e-6)
    assert metrics.temporal_error(reference, 0 * frozen, sigma) == pytest.approx(1.0, rel=1e-6)


@given(frames=st.integers(2, 24), sigma=st.floats(0.5, 6.0), seed=st.integers(0, 2**31))
def test_perfect_result_scores_perfectly(frames, sigma, seed):
    reference, _ = clips(frames, 4, 3, 2, seed)
    measures = metrics.stability(reference, reference.copy(), sigma)
    assert measures["temporal_error"] == 0.0
    assert measures["smoothness"] == pytest.approx(1.0)
    assert measures["contrast_ratio"] == pytest.approx(1.0)
    assert measures["structure"] == pytest.approx(1.0)
    assert measures["psnr"] == math.inf


def test_contrast_ratio_ignores_a_uniform_tint():
    reference, result = clips(10)
    tint = np.array([0.5, -0.3, 10.0])
    assert metrics.contrast_ratio(reference, result + tint) == pytest.approx(
        metrics.contrast_ratio(reference, result), rel=1e-9
    )
    assert metrics.contrast_ratio(reference, np.zeros_like(result) + tint) == pytest.approx(
        0.0, abs=1e-9
    )


def test_contrast_ratio_is_the_mean_of_the_channels():
    reference, _ = clips(10, channels=2)
    result = reference * np.array([0.5, 2.0])
    assert metrics.contrast_ratio(reference, result) == pytest.approx(1.25)


def test_structure_ignores_positive_scale_and_tint_and_sees_the_sign():
    reference, result = clips(10)
    plain = metrics.structure(reference, result)
    assert metrics.structure(reference, 7.0 * result + 0.3) == pytest.approx(plain)
    assert metrics.structure(reference, -result) == pytest.approx(-plain)
    assert metrics.structure(3.0 * reference, result) == pytest.approx(plain)


@pytest.mark.parametrize("name", MEASURES)
def test_clips_of_two_shapes_are_rejected(name):
    with pytest.raises(ValueError, match="reference and result"):
        getattr(metrics, name)(np.zeros((4, 5, 5, 3)), np.zeros((4, 5, 5, 1)))


@pytest.mark.parametrize("name", MEASURES)
def test_a_single_frame_is_rejected(name):
    with pytest.raises(ValueError, match=r"clip must have at least 2 frames. Received: 1"):
        getattr(metrics, name)(np.zeros((1, 5, 5, 3)), np.zeros((1, 5, 5, 3)))


def test_frames_without_channels_are_rejected():
    with pytest.raises(ValueError, match="reference and result must be frames"):
        metrics.smoothness(np.zeros((5, 5)), np.zeros((5, 5)))


def test_frames_that_change_their_shape_are_rejected():
    stability = metrics.Stability()
    stability.update_state(*clips(3))
    with pytest.raises(ValueError, match="frames must have one shape"):
        stability.update_state(*clips(3, height=8))


@pytest.mark.parametrize("sigma", [0, -1.0, math.nan, math.inf, "2", None])
def test_sigma_that_is_no_positive_number_is_rejected(sigma):
    with pytest.raises(ValueError, match="sigma must be a number above 0"):
        metrics.Stability(sigma)


@pytest.mark.parametrize("value", [0.0, 0.3, 0.7])
def test_two_flat_clips_give_nan(value):
    flat = np.full((20, 5, 7, 3), value)
    measures = metrics.stability(flat, flat)
    for name in MEASURES:
        assert math.isnan(measures[name]), (name, measures[name])


@pytest.mark.parametrize("value", [0.0, 0.3, 0.7])
def test_flat_result_is_infinitely_smooth_and_has_no_structure(value):
    reference, _ = clips(20)
    measures = metrics.stability(reference, np.full_like(reference, value))
    assert measures["smoothness"] == math.inf
    assert measures["contrast_ratio"] == pytest.approx(0.0, abs=1e-9)
    assert math.isnan(measures["structure"])
    assert measures["temporal_error"] == pytest.approx(1.0)


@pytest.mark.parametrize("value", [0.0, 0.3, 0.7])
def test_flat_reference_has_no_contrast_to_compare(value):
    _, result = clips(20)
    measures = metrics.stability(np.full_like(result, value), result)
    assert math.isnan(measures["contrast_ratio"])
    assert math.isnan(measures["structure"])
    assert measures["temporal_error"] == math.inf


# Motion and cuts


def pooled(shots, sigma=2.0):
    """The measures of several shots together, from their definitions."""
    parts = [[high_pass(u, sigma) for u in (v, p, p - v)] for v, p in shots]
    energies = [sum((part[n] ** 2).sum() for part in parts) for n in range(3)]
    whole = [np.concatenate([shot[n] for shot in shots]) for n in range(2)]
    smoothness = math.sqrt(energies[0] / energies[1])
    one = expected(*whole, sigma)
    return {
        **one,
        "smoothness": smoothness,
        "relative_smoothness": smoothness * one["contrast_ratio"],
        "temporal_error": math.sqrt(energies[2] / energies[0]),
    }


@pytest.mark.parametrize("frames", [(12, 30), (30, 12), (1, 20), (20, 1), (3, 2, 25)])
@pytest.mark.parametrize("sigma", [0.5, 2.0])
def test_shots_give_the_pooled_values_of_each(frames, sigma):
    shots = [clips(count, seed=seed) for seed, count in enumerate(frames)]
    reference, result = (np.concatenate([shot[n] for shot in shots]) for n in range(2))
    cuts = np.cumsum(frames)[:-1]
    measures = metrics.stability(reference, result, sigma, cuts=cuts)
    assert measures == pytest.approx(pooled(shots, sigma), rel=1e-9)
    stability = metrics.Stability(sigma)
    for t, pair in enumerate(zip(reference, result)):
        if t in cuts:
            stability.start_shot()
        stability.update_state(*pair)
    assert stability.result() == pytest.approx(measures, rel=1e-9)


def test_one_cut_changes_no_measure_by_more_than_its_share_of_frames():
    reference, result = clips(20)
    motion = np.zeros((19, 9, 7, 2))
    whole = metrics.stability(reference, result, motion=motion)
    for cut in (1, 10):
        parted = metrics.stability(reference, result, motion=motion, cuts=(cut,))
        assert parted == pytest.approx(whole, rel=1 / 20)


def test_a_change_of_scene_counts_as_change_only_without_its_cut():
    # A static scene, another one after it, and a result that is right but for a constant.
    rng = np.random.default_rng(0)
    scenes = np.repeat(rng.uniform(size=(2, 6, 5, 3)), 20, axis=0)
    flicker = 0.01 * rng.normal(size=scenes.shape)
    joined = metrics.stability(scenes, scenes + flicker)
    parted = metrics.stability(scenes, scenes + flicker, cuts=(20,))
    assert joined["smoothness"] > 0.5 and parted["smoothness"] == 0.0
    assert joined["temporal_error"] < 1.0 and parted["temporal_error"] == math.inf
    assert parted["psnr"] == pytest.approx(joined["psnr"])


def test_a_new_shot_before_the_first_frame_or_after_the_last_changes_nothing():
    reference, result = clips(20)
    stability = metrics.Stability()
    stability.start_shot()
    stability.update_state(reference, result)
    measures = stability.result()
    errors = stability.fast_errors()
    stability.start_shot()
    stability.start_shot()
    assert stability.result() == pytest.approx(measures, rel=1e-12)
    for found, kept in zip(stability.fast_errors(), errors):
        np.testing.assert_allclose(found, kept, rtol=1e-12)
    assert measures == pytest.approx(expected(reference, result), rel=1e-9)


def test_flicker_is_measured_where_the_motion_is_known():
    reference, result = clips(6)
    motion = np.random.default_rng(0).normal(size=(5, 9, 7, 2))
    mask = np.random.default_rng(1).uniform(size=(5, 9, 7))
    assert "flicker" not in metrics.stability(reference, result)
    measures = metrics.stability(reference, result, motion=motion, mask=mask, cuts=(2,))
    assert measures["flicker"] == metrics.flicker(result, motion, mask, (2,))
    with pytest.raises(ValueError, match="motion must have shape"):
        metrics.stability(reference, result, motion=motion[1:])


@pytest.mark.parametrize("cuts", [(), (7,), (7, 8)])
def test_fast_errors_say_when_and_where(cuts):
    reference, result = clips(30)
    stability = metrics.Stability()
    shots = np.split(np.arange(30), cuts)
    for frames in shots:
        stability.start_shot()
        stability.update_state(reference[frames], result[frames])
    error = np.concatenate([high_pass((result - reference)[frames], 2.0) for frames in shots])
    per_frame, per_pixel = stability.fast_errors()
    np.testing.assert_allclose(per_frame, np.sqrt((error**2).mean(axis=(1, 2, 3))), atol=1e-12)
    np.testing.assert_allclose(per_pixel, np.sqrt((error**2).mean(axis=(0, 3))), atol=1e-12)


def test_the_old_name_of_fast_errors_is_deprecated():
    stability = metrics.Stability()
    stability.update_state(*clips(5))
    with pytest.warns(DeprecationWarning, match="fast_errors"):
        per_frame, _ = stability.flicker()
    np.testing.assert_array_equal(per_frame, stability.fast_errors()[0])


def test_detail_is_the_share_of_the_edges_of_the_reference():
    rng = np.random.default_rng(0)
    v = rng.uniform(size=(4, 32, 40, 2))
    assert metrics.stability(v, 0.3 * v + 0.4)["detail"] == pytest.approx(0.3)
    noisy = v + 0.5 * rng.normal(size=v.shape)
    assert metrics.stability(v, noisy)["detail"] == pytest.approx(1.0, abs=0.05)
    # A Gaussian multiplies each frequency of a periodic pattern by a known number.
    rows, columns = np.mgrid[:32, :40]
    v = np.sin(2 * np.pi * 3 * rows / 32) + np.sin(2 * np.pi * 4 * columns / 40)
    v = np.repeat(v[np.newaxis, ..., np.newaxis], 2, axis=0)
    blurred = ndimage.gaussian_filter(v, (0, 2, 2, 0), mode="wrap")
    gains = [np.exp(-0.5 * (2 * 2 * np.pi * f) ** 2) for f in (3 / 32, 4 / 40)]
    found = metrics.stability(v, blurred)["detail"]
    assert min(gains) - 0.01 < found < max(gains) + 0.01


def test_error_is_in_percent_of_contrast():
    rng = np.random.default_rng(0)
    v = rng.uniform(size=(4, 16, 16, 3))
    p = v + 0.1 * rng.normal(size=v.shape)
    sigma = np.sqrt(v.var(axis=(1, 2)).sum(-1).mean())
    expected = 100 * np.sqrt(np.square(p - v).sum(-1).mean()) / sigma
    assert metrics.stability(v, p)["error"] == pytest.approx(expected)
