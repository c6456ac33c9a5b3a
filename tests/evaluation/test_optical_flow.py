"""Optical flow: known motion is found, and masked where it cannot be."""

import numpy as np
import pytest
from scipy import ndimage

from keras_temporal_reg.evaluation import optical_flow as flow


def texture(height=96, width=128, seed=0):
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).uniform(size=(height, width)), 2)
    noise = (noise - noise.min()) / np.ptp(noise)
    return (255 * noise).astype(np.uint8)


@pytest.mark.parametrize("method", ["dis", "farneback"])
def test_a_shift_is_found(method):
    image = texture()
    moved = np.roll(image, (2, 3), axis=(0, 1))  # content goes right by 3 and down by 2
    found = flow.estimate(image, moved, method)[20:-20, 20:-20]
    assert found.shape[-1] == 2 and found.dtype == np.float32
    np.testing.assert_allclose(np.median(found, axis=(0, 1)), [3.0, 2.0], atol=0.2)


@pytest.mark.parametrize("rows", [541, 1621])
def test_flow_of_high_frames_is_in_their_own_pixels(rows):
    image = ndimage.zoom(texture(rows // 8, 40), 8, order=1)[:rows]
    moved = np.roll(image, (4, 6), axis=(0, 1))
    found = flow.estimate(image, moved)
    assert found.shape == (*image.shape, 2)
    inner = found[40:-40, 60:-60]
    np.testing.assert_allclose(np.median(inner, axis=(0, 1)), [6.0, 4.0], atol=0.3)


@pytest.mark.parametrize("method", ["dis", "farneback"])
def test_flow_is_that_of_its_two_frames_whatever_came_before(method):
    frames = [texture(seed=seed) for seed in range(3)]
    first = flow.estimate(frames[0], frames[1], method)
    flow.estimate(frames[1], frames[2], method)
    np.testing.assert_array_equal(flow.estimate(frames[0], frames[1], method), first)


def test_flow_is_trusted_where_forward_and_backward_agree():
    forward = np.full((20, 30, 2), 2.0, np.float32)
    inner = np.s_[5:-5, 5:-5]
    assert flow.trust_mask(forward, -forward)[inner].min() == 1.0
    assert flow.trust_mask(forward, forward)[inner].max() == 0.0
    edge = forward.copy()
    edge[:, 15:] = -2.0
    mask = flow.trust_mask(edge, -edge)
    assert mask[10, 14:16].max() == 0.0  # a motion boundary


def test_the_trust_mask_equals_its_definition_in_numpy():
    rng = np.random.default_rng(0)
    forward = ndimage.gaussian_filter(rng.normal(size=(24, 32, 2)) * 20, (6, 6, 0))
    backward = -forward + 0.4 * rng.normal(size=forward.shape)
    forward, backward = forward.astype(np.float32), backward.astype(np.float32)
    rows, columns = np.mgrid[:24, :32]
    places = [rows + forward[..., 1], columns + forward[..., 0]]
    back = np.stack(
        [
            ndimage.map_coordinates(backward[..., i], places, order=1, mode="nearest")
            for i in (0, 1)
        ],
        axis=-1,
    )
    length, back_length = (forward**2).sum(-1), (back**2).sum(-1)
    covered = ((forward + back) ** 2).sum(-1) > 0.01 * (length + back_length) + 0.5
    slopes = [np.gradient(forward[..., i], axis=axis) for i in (0, 1) for axis in (0, 1)]
    edge = sum(s**2 for s in slopes) > 0.01 * length + 0.002
    expected = ~(covered | edge)
    assert 0.05 < expected.mean() < 0.95
    assert (flow.trust_mask(forward, backward) == expected).mean() > 0.995  # except for rounding


def test_the_difference_of_flows_is_the_mean_length():
    difference = flow.FlowDifference()
    assert np.isnan(difference.result())
    zero = np.zeros((4, 5, 2), np.float32)
    difference.update_state(zero, zero)
    difference.update_state(zero, zero + np.array([3.0, 4.0], np.float32))
    assert difference.result() == pytest.approx(2.5)


def test_luma_is_that_of_bt_601():
    rgb = np.random.default_rng(0).integers(0, 256, (5, 6, 3), np.uint8)
    expected = rgb @ np.array([0.299, 0.587, 0.114])
    assert np.abs(flow.to_luma(rgb) - expected).max() <= 1.0
