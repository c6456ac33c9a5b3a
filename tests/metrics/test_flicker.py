"""Motion-compensated flicker, against NumPy and SciPy, closed forms and its invariances."""

import math

import numpy as np
import pytest
from helpers.clips import noisy_pair
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

import keras_temporal_reg as ktr
from keras_temporal_reg import metrics

IDENTITY = np.float32([1, 0, 0, 0, 1, 0, 0, 0])


def squares_of_pair(first, second, flow, mask):
    """Trusted squares of what the motion does not explain, summed over channels, and the mask."""
    height, width = first.shape[:2]
    rows, columns = np.mgrid[:height, :width]
    x, y = columns + flow[..., 0], rows + flow[..., 1]
    trusted = mask * ((x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1))
    warped = np.stack(
        [
            ndimage.map_coordinates(channel, [y, x], order=1, mode="nearest")
            for channel in np.moveaxis(second, -1, 0)
        ],
        axis=-1,
    )
    return trusted * ((warped - first) ** 2).sum(axis=-1), trusted


def expected_parts(clip, flow, mask=None):
    """Warping error of each pair, and spatial variance of each frame, from their definitions."""
    mask = np.ones(flow.shape[:3]) if mask is None else mask
    pairs = [squares_of_pair(a, b, f, m) for a, b, f, m in zip(clip, clip[1:], flow, mask)]
    errors = [squares.sum() / trusted.sum() for squares, trusted in pairs]
    return errors, clip.var(axis=(1, 2)).sum(axis=-1)


def expected_flicker(errors, variances):
    return 100.0 * math.sqrt(np.mean(errors) / np.mean(variances))


def random_motion(frames=5, height=11, width=14, seed=0):
    rng = np.random.default_rng(seed)
    clip = rng.uniform(size=(frames, height, width, 3))
    flow = rng.normal(scale=2.0, size=(frames - 1, height, width, 2))
    flow = np.round(8 * flow) / 8 + 1 / 16  # to points well inside or outside of the frame
    return clip, flow, rng.uniform(size=(frames - 1, height, width))


def flow_of(transforms, height, width):
    """Flow of affine transforms, from points of a frame to points of the next."""
    rows, columns = np.mgrid[:height, :width]
    points = np.stack([columns, rows, np.ones_like(rows)]).reshape(3, -1)
    moved = [np.stack([t[:3] @ points, t[3:6] @ points]) for t in np.float64(transforms)]
    return np.stack([(m - points[:2]).T.reshape(height, width, 2) for m in moved])


# Definition


@pytest.mark.parametrize("has_mask", [False, True])
def test_flicker_under_flow_equals_numpy(has_mask):
    clip, flow, mask = random_motion()
    mask = mask if has_mask else None
    found = metrics.flicker(clip, flow, mask)
    assert found == pytest.approx(expected_flicker(*expected_parts(clip, flow, mask)), rel=1e-4)
    assert type(found) is float


def test_flicker_under_transforms_equals_numpy():
    clip, _, mask = random_motion()
    transforms = ktr.RandomAffine(translation=1.5, rotation=5.0, seed=3).sample(4, 11, 14).numpy()
    expected = expected_flicker(*expected_parts(clip, flow_of(transforms, 11, 14), mask))
    assert metrics.flicker(clip, transforms, mask) == pytest.approx(expected, rel=1e-4)


def test_no_motion_is_the_identity():
    clip, flow, mask = random_motion()
    expected = expected_flicker(*expected_parts(clip, 0 * flow, mask))
    assert metrics.flicker(clip, None, mask) == pytest.approx(expected, rel=1e-4)
    assert metrics.flicker(clip, np.tile(IDENTITY, (4, 1)), mask) == pytest.approx(expected)


@pytest.mark.parametrize("step", [0.1, -0.25])
def test_a_step_in_brightness_has_a_closed_form(step):
    frame = np.random.default_rng(0).uniform(size=(9, 8, 3))
    clip = np.stack([frame, frame + step, frame])
    # Each pair differs by `step` in three channels; the variance of all frames is the same.
    expected = 100.0 * math.sqrt(3 * step**2 / frame.var(axis=(0, 1)).sum())
    assert metrics.flicker(clip, None) == pytest.approx(expected, rel=1e-5)


def test_a_camera_that_moves_by_whole_pixels_causes_none():
    still = np.random.default_rng(0).uniform(size=(30, 30, 3))
    clip = np.stack([still[t : t + 12, 2 * t : 2 * t + 14] for t in range(6)])
    motion = np.tile(np.float32([1, 0, -2, 0, 1, -1, 0, 0]), (5, 1))
    assert metrics.flicker(clip, motion) == pytest.approx(0.0, abs=1e-4)
    assert metrics.flicker(clip, None) > 50.0


# Invariances


@given(
    scale=st.floats(0.01, 100.0),
    offset=st.lists(st.floats(-5.0, 5.0), min_size=3, max_size=3),
    seed=st.integers(0, 2**31),
)
def test_fading_and_a_tint_change_nothing(scale, offset, seed):
    clip, flow, mask = random_motion(3, 6, 7, seed)
    plain = metrics.flicker(clip, flow, mask)
    changed = scale * (clip + np.array(offset))
    assert metrics.flicker(changed, flow, mask) == pytest.approx(plain, rel=1e-3)


@given(frames=st.integers(2, 6), value=st.floats(0.0, 1.0), seed=st.integers(0, 2**31))
def test_a_static_clip_has_none_and_a_flat_one_is_not_defined(frames, value, seed):
    frame = np.random.default_rng(seed).uniform(size=(5, 6, 3))
    assert metrics.flicker(np.stack([frame] * frames), None) == 0.0
    assert math.isnan(metrics.flicker(np.full((frames, 5, 6, 3), value), None))


def test_a_flat_clip_that_flashes_has_no_contrast_to_compare_with():
    flashes = np.array([0.0, 1.0, 0.0])[:, None, None, None] * np.ones((1, 5, 6, 3))
    assert math.isnan(metrics.flicker(flashes, None))


def test_without_a_trusted_pixel_it_is_nan():
    clip, flow, mask = random_motion()
    assert math.isnan(metrics.flicker(clip, flow, 0 * mask))
    assert math.isnan(metrics.flicker(clip, flow + 100))


def test_a_pair_without_a_trusted_pixel_is_left_out():
    clip, flow, mask = random_motion()
    mask[1] = 0.0
    with np.errstate(invalid="ignore"):
        errors, variances = expected_parts(clip, flow, mask)
    expected = expected_flicker([e for e in errors if not math.isnan(e)], variances)
    assert metrics.flicker(clip, flow, mask) == pytest.approx(expected, rel=1e-4)


# Cuts


@given(first=st.integers(1, 5), second=st.integers(1, 5), seed=st.integers(0, 2**31))
def test_two_shots_give_the_pooled_values_of_each(first, second, seed):
    if first + second < 3:
        return
    clip, flow, mask = random_motion(first + second, 6, 7, seed)
    parts = []
    for shot in (slice(0, first), slice(first, None)):
        inside = slice(shot.start, (shot.stop or first + second) - 1)
        parts.append(expected_parts(clip[shot], flow[inside], mask[inside]))
    errors, variances = (np.concatenate([np.asarray(p[n], float) for p in parts]) for n in range(2))
    found = metrics.flicker(clip, flow, mask, cuts=[first])
    assert found == pytest.approx(expected_flicker(errors, variances), rel=1e-3)


def test_one_cut_changes_it_by_no_more_than_its_share_of_frames():
    clip, _ = noisy_pair(20)
    joined = metrics.flicker(clip, None)
    for cut in (1, 10, 19):
        assert metrics.flicker(clip, None, cuts=(cut,)) == pytest.approx(joined, rel=1 / 20)


def test_a_change_of_scene_counts_only_without_its_cut():
    clips = [noisy_pair(10, seed=seed)[0] for seed in range(2)]
    both = np.concatenate(clips)
    apart = [metrics.flicker(clip, None) for clip in clips]
    assert min(apart) <= metrics.flicker(both, None, cuts=(10,)) <= max(apart)
    assert metrics.flicker(both, None) > metrics.flicker(both, None, cuts=(10,))


def test_a_clip_that_is_all_cuts_is_nan():
    clip, flow, _ = random_motion()
    assert math.isnan(metrics.flicker(clip, flow, cuts=range(1, 5)))


# Streaming


def test_frame_by_frame_equals_the_whole():
    clip, flow, mask = random_motion()
    measured = metrics.Flicker()
    assert math.isnan(measured.result())
    for frame, *motion in zip(clip, [None, *flow], [None, *mask]):
        measured.update_state(frame, *motion)
    assert measured.result() == metrics.flicker(clip, flow, mask)
    measured.reset_state()
    assert math.isnan(measured.result()) and not measured.pairs().size


def test_pairs_and_pixels_show_when_and_where():
    clip, flow, mask = random_motion()
    measured = metrics.Flicker()
    for frame, *motion in zip(clip, [None, *flow], [None, *mask]):
        measured.update_state(frame, *motion)
    errors, variances = expected_parts(clip, flow, mask)
    np.testing.assert_allclose(
        measured.pairs(), 100 * np.sqrt(errors / np.mean(variances)), rtol=1e-4
    )
    parts = [squares_of_pair(*each) for each in zip(clip, clip[1:], flow, mask)]
    squares, trusted = (np.sum([part[n] for part in parts], axis=0) for n in range(2))
    expected = np.full(trusted.shape, math.nan)
    expected[trusted > 0] = squares[trusted > 0] / trusted[trusted > 0]
    np.testing.assert_allclose(
        measured.pixels(), 100 * np.sqrt(expected / np.mean(variances)), rtol=1e-3
    )


def test_pixels_need_a_pair():
    measured = metrics.Flicker()
    measured.update_state(np.zeros((4, 4, 3)))
    with pytest.raises(ValueError, match="a pair of neighbours"):
        measured.pixels()


# Errors


@pytest.mark.parametrize(
    "clip, motion, mask, message",
    [
        ((1, 5, 6, 3), None, None, "at least 2 frames"),
        ((5, 6, 3), None, None, "frames must have shape"),
        ((3, 5, 6, 3), (3, 8), None, "motion must have shape"),
        ((3, 5, 6, 3), (2, 6, 5, 2), None, "motion must have shape"),
        ((3, 5, 6, 3), (2, 8), (2, 5, 5), "mask must have shape"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(clip, motion, mask, message):
    motion, mask = (None if shape is None else np.zeros(shape) for shape in (motion, mask))
    with pytest.raises(ValueError, match=message):
        metrics.flicker(np.zeros(clip), motion, mask)


# Excess


def test_excess_removed_is_the_mean_share_of_what_the_reference_does_not_have():
    found = metrics.excess_removed([12.0, 8.0], [9.0, 7.0], [6.0, 4.0])
    assert found == pytest.approx((3 / 6 + 1 / 4) / 2)


@pytest.mark.parametrize(
    "before, after, reference, expected",
    [
        ([12.0, 5.2], [9.0, 1.0], [6.0, 5.0], 0.5),  # the second has less than 5 % to remove
        ([12.0, 5.3], [9.0, 5.0], [6.0, 5.0], 0.75),
        ([12.0], [3.0], [6.0], 1.0),  # below the floor
        ([12.0], [15.0], [6.0], -0.5),
        ([12.0, 12.0], [math.nan, 9.0], [6.0, 6.0], 0.5),
    ],
)
def test_excess_removed_leaves_out_what_has_none(before, after, reference, expected):
    assert metrics.excess_removed(before, after, reference) == pytest.approx(expected)


@pytest.mark.parametrize("before, reference", [([], []), ([5.0], [5.0]), ([math.nan], [1.0])])
def test_excess_removed_is_nan_without_a_clip_that_has_any(before, reference):
    assert math.isnan(metrics.excess_removed(before, before, reference))


def test_excess_removed_refuses_lists_of_different_lengths():
    with pytest.raises(ValueError):
        metrics.excess_removed([1.0, 2.0], [1.0], [1.0])


def test_contrast_is_that_of_all_pixels_whatever_the_first_is():
    rng = np.random.default_rng(0)
    frames = (0.01 * rng.normal(size=(2, 64, 80, 3))).astype("float32")
    frames[:, 0, 0] = 100.0
    still = np.zeros((1, 64, 80, 2), "float32")
    # What changes is far less than the bright pixel, which alone makes the contrast.
    error = np.square(np.diff(frames.astype("float64"), axis=0)).sum(axis=-1).mean()
    contrast = frames.astype("float64").reshape(2, -1, 3).var(axis=1).sum(axis=-1).mean()
    assert metrics.flicker(frames, still) == pytest.approx(
        100 * np.sqrt(error / contrast), rel=1e-5
    )
