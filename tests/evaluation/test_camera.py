"""The virtual camera: frames follow the stated motion, which is small."""

import numpy as np
import pytest
from scipy import ndimage

from keras_temporal_reg import metrics
from keras_temporal_reg.evaluation import camera


def smooth_picture(height=120, width=160):
    noise = np.random.default_rng(0).uniform(size=(height, width, 3))
    return ndimage.gaussian_filter(noise, (4, 4, 0)).astype(np.float32)


def test_frames_follow_the_path():
    picture = smooth_picture()
    path = camera.path(5, 120, 160, seed=1)
    frames = list(camera.film(picture, path))
    assert len(frames) == 5
    assert frames[0].shape == (*camera.frame_size(120, 160), 3)
    a0, a1, a2, b0, b1, b2 = path[3, :6]
    rows, columns = np.mgrid[: frames[0].shape[0], : frames[0].shape[1]]
    places = [b0 * columns + b1 * rows + b2, a0 * columns + a1 * rows + a2]
    for channel in range(3):
        expected = ndimage.map_coordinates(picture[..., channel], places, order=1, mode="nearest")
        np.testing.assert_allclose(frames[3][..., channel], expected, atol=1e-4)


def test_finer_pictures_are_filmed_with_the_same_motion():
    # Each pixel tells where it is, in pixels of a picture half as fine.
    rows, columns = (np.mgrid[:240, :320] - 0.5) / 2
    path = camera.path(4, 120, 160, seed=1)
    frames = list(camera.film(np.stack([columns, rows], -1).astype(np.float32), path, scale=2))
    height, width = camera.frame_size(120, 160)
    assert frames[0].shape == (2 * height, 2 * width, 2)
    rows, columns = (np.mgrid[: 2 * height, : 2 * width] - 0.5) / 2
    a0, a1, a2, b0, b1, b2 = path[3, :6]
    np.testing.assert_allclose(frames[3][..., 0], a0 * columns + a1 * rows + a2, atol=1e-3)
    np.testing.assert_allclose(frames[3][..., 1], b0 * columns + b1 * rows + b2, atol=1e-3)


def test_the_path_stays_in_the_picture_and_moves_a_few_pixels_at_most():
    for seed in range(5):
        path = camera.path(200, 480, 640, seed)
        height, width = camera.frame_size(480, 640)
        for x, y in ((0, 0), (width - 1, 0), (0, height - 1), (width - 1, height - 1)):
            at = path[:, [0, 3]] * x + path[:, [1, 4]] * y + path[:, [2, 5]]
            assert at.min() >= 0 and (at <= [639, 479]).all()
            assert np.linalg.norm(np.diff(at, axis=0), axis=1).max() < 4.0


def test_motion_explains_the_frames():
    path = camera.path(6, 120, 160)
    frames = np.stack(list(camera.film(smooth_picture(), path)))
    known = camera.motion(path).astype(np.float32)
    still = np.tile(np.array([1, 0, 0, 0, 1, 0, 0, 0], np.float32), (5, 1))
    assert metrics.warping_error(frames, known) < 0.02 * metrics.warping_error(frames, still)


def test_motion_of_finer_frames_is_the_same_motion():
    path = camera.path(4, 120, 160)
    coarse, fine = camera.motion(path), camera.motion(path, scale=2)
    point = np.array([10.0, 20.0])
    finer = 2 * point + 0.5  # the same place between pixel centres
    for a, b in zip(coarse, fine):
        moved = np.array([a[0:2] @ point + a[2], a[3:5] @ point + a[5]])
        moved_finer = np.array([b[0:2] @ finer + b[2], b[3:5] @ finer + b[5]])
        np.testing.assert_allclose(moved_finer, 2 * moved + 0.5, atol=1e-9)


def test_a_path_of_one_frame_is_refused():
    with pytest.raises(ValueError, match=r"frames must be a whole number of at least 2.*1"):
        camera.path(1, 100, 100)


def test_rescaled_is_deprecated():
    known = camera.motion(camera.path(4, 120, 160))
    with pytest.warns(DeprecationWarning, match="rescale_transforms$"):
        finer = camera.rescaled(known, 2)
    np.testing.assert_allclose(finer, camera.motion(camera.path(4, 120, 160), scale=2), atol=1e-12)
