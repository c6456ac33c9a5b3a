"""Tests of keras_temporal_reg.metrics, against NumPy, SciPy and scikit-image."""

import gc
import math
import weakref

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

import keras_temporal_reg as ktr
from keras_temporal_reg.metrics import _temporal as metrics

MEASURES = ("smoothness", "contrast_ratio", "relative_smoothness", "temporal_error", "structure")
STREAMS = {
    "smoothness": metrics.Smoothness,
    "contrast_ratio": metrics.ContrastRatio,
    "relative_smoothness": metrics.RelativeSmoothness,
    "temporal_error": metrics.TemporalError,
    "structure": metrics.Structure,
}


def clips(frames=30, height=9, width=7, channels=3, seed=0):
    """A reference and a result that is worse than it, each with its own flicker."""
    rng = np.random.default_rng(seed)
    shape = (frames, height, width, channels)
    still = rng.uniform(size=(1, height, width, channels))
    reference = 0.7 * still + 0.3 * rng.uniform(size=shape)
    result = 0.8 * reference + 0.1 + 0.05 * rng.normal(size=shape)
    return reference, result


def high_pass(u, sigma):
    return u - ndimage.gaussian_filter1d(u, sigma, axis=0)


def expected(v, p, sigma=2.0):
    """The measures, written down from their definitions."""
    hp_v, hp_p, hp_error = (high_pass(u, sigma) for u in (v, p, p - v))
    smoothness = np.sqrt((hp_v**2).sum() / (hp_p**2).sum())
    contrast = np.mean(p.std(axis=(1, 2)).mean(axis=0) / v.std(axis=(1, 2)).mean(axis=0))
    centred = [(u - u.mean(axis=(1, 2), keepdims=True)).ravel() for u in (v, p)]
    return {
        "smoothness": smoothness,
        "contrast_ratio": contrast,
        "relative_smoothness": smoothness * contrast,
        "temporal_error": np.sqrt((hp_error**2).sum() / (hp_v**2).sum()),
        "structure": np.corrcoef(*centred)[0, 1],
        "psnr": 10 * np.log10(1 / np.mean((v - p) ** 2)),
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


@pytest.mark.parametrize("name", MEASURES)
def test_streaming_class_equals_function(name):
    reference, result = clips(30)
    stream = STREAMS[name]()
    for v, p in zip(reference, result):
        stream.update_state(v, p)
    assert stream.result() == pytest.approx(expected(reference, result)[name], rel=1e-9)


def test_streaming_class_takes_sigma():
    reference, result = clips(30)
    stream = metrics.TemporalError(sigma=5.0)
    stream.update_state(reference, result)
    assert stream.result() == pytest.approx(
        expected(reference, result, 5.0)["temporal_error"], rel=1e-9
    )


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
    stream = metrics.Smoothness()
    stream.update_state(*clips(12, seed=1))
    stream.reset_state()
    stream.update_state(reference, result)
    assert stream.result() == pytest.approx(expected(reference, result)["smoothness"], rel=1e-9)


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
def test_frozen_picture_has_temporal_error_1(frames, sigma, seed):
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


def test_psnr_equals_scikit_image():
    reference, result = clips(4)
    assert metrics.psnr(reference, result) == pytest.approx(
        peak_signal_noise_ratio(reference, result, data_range=1.0)
    )
    assert metrics.psnr(255 * reference, 255 * result, max_value=255.0) == pytest.approx(
        peak_signal_noise_ratio(255 * reference, 255 * result, data_range=255.0)
    )


def test_psnr_of_bytes_does_not_wrap_around():
    a, b = np.full((2, 4, 4, 1), 10, np.uint8), np.full((2, 4, 4, 1), 250, np.uint8)
    assert metrics.psnr(a, b, 255) == pytest.approx(20 * np.log10(255 / 240))


def test_ssim_equals_scikit_image():
    reference, result = clips(3, 24, 31)
    index = [
        structural_similarity(
            v,
            p,
            channel_axis=-1,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            data_range=1.0,
        )
        for v, p in zip(reference, result)
    ]
    assert metrics.ssim(reference, result) == pytest.approx(np.mean(index), abs=1e-4)
    assert metrics.ssim(reference, reference) == pytest.approx(1.0, abs=1e-6)


def test_ssim_scales_with_max_value():
    reference, result = clips(2, 16, 16)
    assert metrics.ssim(255 * reference, 255 * result, max_value=255.0) == pytest.approx(
        metrics.ssim(reference, result), abs=1e-4
    )


def camera_clip(frames=6, height=10, width=12, seed=0):
    """A camera over a still picture, at whole pixels, and where it looks in each frame."""
    rng = np.random.default_rng(seed)
    picture = rng.uniform(size=(40, 40, 3))
    corners = 12 + np.cumsum(rng.integers(-2, 3, size=(frames, 2)), axis=0)
    clip = np.stack([picture[y : y + height, x : x + width] for y, x in corners])
    # What stands at p in frame t stands at p + step in frame t + 1.
    return clip, corners[:-1] - corners[1:]


def as_transforms(steps):
    return np.array([[1, 0, dx, 0, 1, dy, 0, 0] for dy, dx in steps], np.float32)


def as_flow(steps, height, width):
    flow = np.array([[dx, dy] for dy, dx in steps], np.float32)
    return np.broadcast_to(flow[:, None, None], (len(steps), height, width, 2))


def test_warping_error_of_a_camera_clip_is_zero_by_its_transforms_and_its_flow():
    clip, steps = camera_clip()
    assert np.any(steps)
    assert metrics.warping_error(clip, as_transforms(steps)) == pytest.approx(0.0, abs=1e-12)
    assert metrics.warping_error(clip, as_flow(steps, 10, 12)) == pytest.approx(0.0, abs=1e-12)
    assert metrics.warping_error(clip, as_transforms(-steps)) > 0.01


def test_warping_error_sees_flicker():
    clip, steps = camera_clip(3)
    flicker = clip + np.array([0.0, 0.1, 0.0])[:, None, None, None]
    assert metrics.warping_error(flicker, as_transforms(steps)) == pytest.approx(0.03, rel=1e-4)


def expected_warping_error(frames, flow, mask=None):
    height, width = frames.shape[1:3]
    rows, columns = np.mgrid[:height, :width]
    errors = []
    for t in range(len(frames) - 1):
        x, y = columns + flow[t, ..., 0], rows + flow[t, ..., 1]
        trusted = ((x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)).astype(float)
        if mask is not None:
            trusted = trusted * mask[t]
        warped = np.stack(
            [
                ndimage.map_coordinates(channel, [y, x], order=1, mode="nearest")
                for channel in np.moveaxis(frames[t + 1], -1, 0)
            ],
            axis=-1,
        )
        squares = ((warped - frames[t]) ** 2).sum(axis=-1)
        errors.append((trusted * squares).sum() / trusted.sum())
    return np.mean(errors)


def random_motion(frames=4, height=11, width=14, seed=0):
    rng = np.random.default_rng(seed)
    clip = rng.uniform(size=(frames, height, width, 3))
    flow = rng.normal(scale=2.0, size=(frames - 1, height, width, 2)).astype(np.float32)
    return clip, flow, rng.uniform(size=(frames - 1, height, width))


def test_warping_error_of_random_flow_equals_numpy():
    clip, flow, mask = random_motion()
    assert metrics.warping_error(clip, flow) == pytest.approx(
        expected_warping_error(clip, flow), rel=1e-4
    )
    assert metrics.warping_error(clip, flow, mask) == pytest.approx(
        expected_warping_error(clip, flow, mask), rel=1e-4
    )


def test_warping_error_of_transforms_equals_numpy():
    clip, _, mask = random_motion()
    transforms = ktr.RandomAffine(translation=1.5, rotation=5.0, seed=3).sample(3, 11, 14).numpy()
    rows, columns = np.mgrid[:11, :14]
    points = np.stack([columns, rows, np.ones_like(rows)])
    flow = np.stack(
        [
            np.stack([a @ points.reshape(3, -1), b @ points.reshape(3, -1)], -1).reshape(11, 14, 2)
            - points[:2].transpose(1, 2, 0)
            for a, b in zip(transforms[:, :3], transforms[:, 3:6])
        ]
    )
    assert metrics.warping_error(clip, transforms) == pytest.approx(
        expected_warping_error(clip, flow), rel=1e-4
    )
    assert metrics.warping_error(clip, transforms, mask) == pytest.approx(
        expected_warping_error(clip, flow, mask), rel=1e-4
    )


def test_warping_error_looks_only_where_the_mask_is():
    clip, steps = camera_clip(2)
    broken = clip.copy()
    broken[0, 4, 5] += 1.0
    mask = np.ones((1, 10, 12))
    mask[0, 4, 5] = 0.0
    assert metrics.warping_error(broken, as_transforms(steps)) > 0.0
    assert metrics.warping_error(broken, as_transforms(steps), mask) == pytest.approx(0, abs=1e-12)


def test_warping_error_without_a_trusted_pixel_is_nan():
    clip, steps = camera_clip(3)
    assert math.isnan(metrics.warping_error(clip, as_transforms(steps), np.zeros((2, 10, 12))))
    assert math.isnan(metrics.warping_error(clip, as_transforms(steps + 100)))


@pytest.mark.parametrize("shape", [(10, 12, 3), (1, 10, 12, 3)])
def test_warping_error_rejects_what_is_no_clip(shape):
    with pytest.raises(ValueError, match="frames must have shape"):
        metrics.warping_error(np.zeros(shape), np.zeros((1, 8)))


@pytest.mark.parametrize("shape", [(2, 8), (3, 6), (3, 10, 12, 3), (2, 10, 12, 2), (8,)])
def test_warping_error_rejects_motion_that_does_not_fit(shape):
    with pytest.raises(ValueError, match="transforms_or_flow must have shape"):
        metrics.warping_error(np.zeros((4, 10, 12, 3)), np.zeros(shape))


def test_warping_error_rejects_a_mask_that_does_not_fit():
    with pytest.raises(ValueError, match="mask must have shape"):
        metrics.warping_error(np.zeros((4, 10, 12, 3)), np.zeros((3, 8)), np.zeros((10, 12)))


PLAIN = {
    "temporal_error": 1.0,
    "relative_smoothness": 1.2,
    "structure": 0.7,
    "psnr": 31.0,
    "contrast_ratio": 1.1,
}


def judge(trivial_psnr=26.0, **changes):
    return metrics.verdict(PLAIN, {**PLAIN, **changes}, trivial_psnr)


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"temporal_error": 0.9}, "temporal error fell"),
        ({"relative_smoothness": 1.3}, "relative smoothness rose"),
        ({"temporal_error": 0.9, "relative_smoothness": 1.3, "psnr": 32.0}, "rose"),
    ],
)
def test_verdict_of_a_gain_without_loss_is_stabilised(changes, words):
    stabilised, sentence = judge(**changes)
    assert stabilised is True
    assert sentence.startswith("STABILISED: ") and words in sentence


@pytest.mark.parametrize(
    "changes, words",
    [
        ({}, "neither did temporal error fall nor relative smoothness rise"),
        ({"temporal_error": 1.1, "relative_smoothness": 1.1}, "neither did temporal error fall"),
        ({"temporal_error": 0.9, "psnr": 30.9}, "PSNR fell from 31.00 to 30.90 dB"),
        ({"temporal_error": 0.9, "structure": 0.6}, "structure fell from 0.700 to 0.600"),
        ({"temporal_error": 0.9, "contrast_ratio": 1.2}, "contrast ratio moved away from 1"),
        ({"temporal_error": 0.9, "contrast_ratio": 0.8}, "contrast ratio moved away from 1"),
        ({"temporal_error": 0.9, "trivial_psnr": 30.9}, "does not clearly beat the trivial"),
        ({"temporal_error": 0.9, "trivial_psnr": 32.0}, "does not clearly beat the trivial"),
    ],
)
def test_verdict_names_what_is_against_it(changes, words):
    stabilised, sentence = judge(**changes)
    assert stabilised is False
    assert sentence.startswith("NOT STABILISED: ") and words in sentence
    assert sentence.count(";") == 0


def test_verdict_names_every_fault():
    stabilised, sentence = judge(psnr=30.0, structure=0.1, contrast_ratio=0.2, trivial_psnr=40.0)
    assert stabilised is False
    for words in ("trivial", "neither", "PSNR", "structure", "contrast ratio"):
        assert words in sentence


@pytest.mark.parametrize("name", list(PLAIN))
def test_verdict_does_not_count_what_is_not_a_number(name):
    changes = {"temporal_error": 0.9, "relative_smoothness": 1.3, name: math.nan}
    if name in ("temporal_error", "relative_smoothness"):
        changes = {name: math.nan}
    assert judge(**changes)[0] is False


def test_verdict_lets_contrast_come_closer_to_1():
    assert judge(temporal_error=0.9, contrast_ratio=1.0)[0]
    assert judge(temporal_error=0.9, contrast_ratio=0.95)[0]


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
    with pytest.raises(ValueError, match="sigma must be a positive number"):
        metrics.Stability(sigma)


@pytest.mark.parametrize("function", [metrics.psnr, metrics.ssim])
def test_pictures_of_two_shapes_are_rejected(function):
    with pytest.raises(ValueError, match="reference and result must have one shape"):
        function(np.zeros((2, 12, 12, 3)), np.zeros((2, 12, 12, 1)))


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
