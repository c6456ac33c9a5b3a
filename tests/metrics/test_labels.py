"""Tests of changes of label, against labels that are moved by hand."""

import numpy as np
import pytest

from keras_temporal_reg import metrics


def labels(frames=3, height=8, width=10, classes=4):
    return np.random.default_rng(0).integers(classes, size=(frames, height, width))


def moved(first, dx, dy):
    """Frames in which everything moves by whole pixels per frame; and the flow."""
    frames = [np.roll(first, (n * dy, n * dx), axis=(0, 1)) for n in range(3)]
    flow = np.tile(np.float32([dx, dy]), (2, *first.shape, 1))
    return np.stack(frames), flow


@pytest.mark.parametrize(("dx", "dy"), [(0, 0), (2, 0), (-1, 3)])
def test_labels_that_move_do_not_change(dx, dy):
    clip, flow = moved(labels()[0], dx, dy)
    assert metrics.label_changes(clip, flow) == 0.0
    rows = np.tile(np.float32([1, 0, dx, 0, 1, dy, 0, 0]), (2, 1))
    assert metrics.label_changes(clip, rows) == 0.0
    if dx or dy:
        assert metrics.label_changes(clip, None) > 50.0


def test_the_share_of_pixels_that_change_is_counted():
    clip = np.zeros((3, 10, 10), int)
    clip[1, :2] = 1  # 20 of 100 pixels change, and change back
    assert metrics.label_changes(clip, None) == pytest.approx(20.0)
    mask = np.ones((2, 10, 10))
    mask[:, :1] = 0
    assert metrics.label_changes(clip, None, mask) == pytest.approx(100 * 10 / 90)
    assert metrics.label_changes(clip, None, cuts=[1, 2]) != metrics.label_changes(clip, None)
    assert np.isnan(metrics.label_changes(clip, None, cuts=[1, 2]))
    assert metrics.label_changes(clip, None, cuts=[2]) == pytest.approx(20.0)


def test_logits_give_the_labels_of_their_largest():
    clip = labels()
    logits = np.eye(4)[clip] * 3.0 + 0.1
    assert metrics.label_changes(logits, None) == metrics.label_changes(clip, None)


def test_the_nearest_pixel_is_taken():
    clip, flow = moved(labels()[0], 1, 0)
    assert metrics.label_changes(clip, flow + np.float32(0.4)) == 0.0


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="result must be whole-number labels"):
        metrics.label_changes(np.zeros((3, 4, 4)), None)
    with pytest.raises(ValueError, match="at least 2 frames"):
        metrics.label_changes(np.zeros((1, 4, 4), int), None)
    with pytest.raises(ValueError, match="motion must have shape"):
        metrics.label_changes(labels(), np.zeros((3, 8)))
