"""Warping error, against NumPy and SciPy."""

import math

import numpy as np
import pytest
from scipy import ndimage

import keras_temporal_reg as ktr
from keras_temporal_reg import metrics
from keras_temporal_reg.metrics import _warping


def camera_clip(frames=6, height=10, width=12, seed=0):
    """A camera that moves over a still image by whole pixels, and its steps."""
    rng = np.random.default_rng(seed)
    still = rng.uniform(size=(40, 40, 3))
    corners = 12 + np.cumsum(rng.integers(-2, 3, size=(frames, 2)), axis=0)
    clip = np.stack([still[y : y + height, x : x + width] for y, x in corners])
    # Content at p in frame t is at p + step in frame t + 1.
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


def test_pixel_errors_are_the_means_over_the_pairs():
    clip, flow, mask = random_motion()
    error = metrics.WarpingError()
    for frame, *motion in zip(clip, [None, *flow], [None, *mask]):
        error.update_state(frame, *motion)
    squares, trusted = np.zeros((2, 11, 14))
    rows, columns = np.mgrid[:11, :14]
    for t in range(3):
        x, y = columns + flow[t, ..., 0], rows + flow[t, ..., 1]
        inside = mask[t] * ((x >= 0) & (x <= 13) & (y >= 0) & (y <= 10))
        for channel in range(3):
            warped = ndimage.map_coordinates(clip[t + 1, ..., channel], [y, x], order=1)
            squares += inside * (warped - clip[t, ..., channel]) ** 2
        trusted += inside
    expected = np.full((11, 14), math.nan)
    expected[trusted > 0] = squares[trusted > 0] / trusted[trusted > 0]
    np.testing.assert_allclose(error.pixel_errors(), expected, rtol=1e-3)


def test_pixel_errors_need_a_pair_of_neighbours():
    error = metrics.WarpingError()
    error.update_state(np.zeros((4, 4, 3)))
    with pytest.raises(ValueError, match="a pair of neighbours"):
        error.pixel_errors()


def test_frames_without_motion_are_not_compared_with_the_frame_before():
    clip, flow, _ = random_motion()
    error = metrics.WarpingError()
    for frame, motion in zip(clip, [None, flow[0], None, flow[2]]):
        error.update_state(frame, motion)
    expected = [expected_warping_error(clip[t : t + 2], flow[t : t + 1]) for t in (0, 2)]
    assert error.errors == pytest.approx(expected, rel=1e-4)
    assert error.result() == pytest.approx(np.mean(expected), rel=1e-4)


def test_clips_that_are_the_same_for_a_while_have_the_errors_of_their_own():
    rng = np.random.default_rng(0)
    first, third = (rng.random((4, 12, 16, 3)).astype(np.float32) for _ in range(2))
    motion = rng.normal(size=(11, 12, 16, 2)).astype(np.float32)
    chunks = [(first, first), (first, third), (third, third)]
    found = [metrics.WarpingError(), metrics.WarpingError()]
    for number, pair in enumerate(chunks):
        ends = [0, 1, 3] if number else [1, 2]
        pairs = motion[[4 * number + end - 1 for end in ends]]
        _warping.update_together(found, pair, ends, pairs)
    cuts = [3, 6, 10]  # the frames that are not among the ends
    for error, clips in zip(found, zip(*chunks)):
        clip = np.concatenate(clips)
        expected = metrics.warping_error(clip, motion, cuts=cuts)
        assert error.result() == pytest.approx(expected, rel=1e-6)
    assert found[0].errors != found[1].errors
