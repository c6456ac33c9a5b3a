"""Tests of keras_temporal_reg.tasks, against OpenCV and the closed form of BT.601."""

import dataclasses

import cv2
import numpy as np
import pytest

import keras_temporal_reg as ktr

colorization = ktr.tasks.colorization

PRIMARIES = {  # Y, Cb, Cr in full range, from ITU-R BT.601
    (0, 0, 0): (0, 0, 0),
    (1, 1, 1): (1, 0, 0),
    (1, 0, 0): (0.299, -0.168736, 0.5),
    (0, 1, 0): (0.587, -0.331264, -0.418688),
    (0, 0, 1): (0.114, 0.5, -0.081312),
    (1, 1, 0): (0.886, -0.5, 0.081312),
}


def picture(shape=(17, 23, 3), seed=0):
    return np.random.default_rng(seed).uniform(size=shape).astype(np.float32)


@pytest.mark.parametrize("shape", [(17, 23, 3), (4, 17, 23, 3), (2, 3, 5, 7, 3)])
def test_colorization_gives_the_picture_back(shape):
    rgb = picture(shape)
    x, y = colorization.sample(rgb)
    assert x.shape == (*shape[:-1], 1) and y.shape == (*shape[:-1], 2)
    back = colorization.picture(x, y)
    assert back.shape == shape
    np.testing.assert_allclose(back, rgb, rtol=0, atol=1e-5)
    assert x.dtype == y.dtype == back.dtype == np.float32


@pytest.mark.parametrize("rgb, expected", PRIMARIES.items(), ids=str)
def test_colorization_follows_bt_601(rgb, expected):
    x, y = colorization.sample(np.array(rgb, np.float32).reshape(1, 1, 3))
    np.testing.assert_allclose([*x.ravel(), *y.ravel()], expected, rtol=0, atol=1e-6)


def test_colorization_follows_opencv():
    rgb = picture()
    x, y = colorization.sample(rgb)
    y_cr_cb = cv2.cvtColor(rgb, cv2.COLOR_RGB2YCrCb)  # its factors have three digits
    np.testing.assert_allclose(x[..., 0], y_cr_cb[..., 0], rtol=0, atol=1e-5)
    np.testing.assert_allclose(y[..., 0], y_cr_cb[..., 2] - 0.5, rtol=0, atol=1e-3)
    np.testing.assert_allclose(y[..., 1], y_cr_cb[..., 1] - 0.5, rtol=0, atol=1e-3)


def test_colorization_keeps_its_ranges():
    corners = np.stack(np.meshgrid([0, 1], [0, 1], [0, 1]), -1).reshape(2, 4, 3)
    for rgb in (picture((64, 64, 3)), corners.astype(np.float32)):
        x, y = colorization.sample(rgb)
        assert x.min() >= 0 and x.max() <= 1 + 1e-6
        assert np.abs(y).max() <= 0.5 + 1e-6


def test_colorization_clips_what_no_screen_can_show():
    x = picture((8, 8, 1))
    wild = np.random.default_rng(1).normal(scale=2.0, size=(8, 8, 2)).astype(np.float32)
    rgb = colorization.picture(x, wild)
    assert rgb.min() == 0.0 and rgb.max() == 1.0


@pytest.mark.parametrize("shape", [(17, 23, 3), (4, 17, 23, 3)])
def test_trivial_prediction_of_colorization_is_grey(shape):
    x, y = colorization.sample(picture(shape))
    grey = colorization.trivial(x)
    assert grey.shape == y.shape and grey.dtype == y.dtype
    assert not grey.any()
    shown = colorization.picture(x, grey)
    np.testing.assert_allclose(shown, np.repeat(x, 3, axis=-1), rtol=0, atol=1e-6)
    assert colorization.trivial_name == "grey"


def test_colorization_takes_float64():
    rgb = picture().astype(np.float64)
    x, y = colorization.sample(rgb)
    assert x.dtype == y.dtype == np.float32
    np.testing.assert_allclose(colorization.picture(x, y), rgb, rtol=0, atol=1e-5)


def test_task_of_a_users_own_is_one_object():
    task = ktr.tasks.Task(
        name="inversion",
        sample=lambda rgb: (rgb, 1 - rgb),
        picture=lambda x, prediction: prediction,
        trivial=lambda x: x,
        trivial_name="the input itself",
    )
    x, y = task.sample(picture())
    np.testing.assert_allclose(task.picture(x, y), 1 - picture())
    assert {field.name for field in dataclasses.fields(task)} == {
        "name",
        "sample",
        "picture",
        "trivial",
        "trivial_name",
    }
