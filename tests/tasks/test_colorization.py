"""Tests of colorization, against OpenCV and the closed form of BT.601."""

import cv2
import numpy as np
import pytest

from keras_temporal_reg.tasks import colorization

PRIMARIES = {  # Y, Cb, Cr in full range, from ITU-R BT.601
    (0, 0, 0): (0, 0, 0),
    (1, 1, 1): (1, 0, 0),
    (1, 0, 0): (0.299, -0.168736, 0.5),
    (0, 1, 0): (0.587, -0.331264, -0.418688),
    (0, 0, 1): (0.114, 0.5, -0.081312),
    (1, 1, 0): (0.886, -0.5, 0.081312),
}


def image(shape=(17, 23, 3), seed=0):
    return np.random.default_rng(seed).uniform(size=shape).astype(np.float32)


@pytest.mark.parametrize("shape", [(17, 23, 3), (4, 17, 23, 3), (2, 3, 5, 7, 3)])
def test_colorization_decodes_what_it_encodes(shape):
    rgb = image(shape)
    x, y = colorization.encode(rgb)
    assert x.shape == (*shape[:-1], 1) and y.shape == (*shape[:-1], 2)
    back = colorization.decode(x, y)
    assert back.shape == shape
    np.testing.assert_allclose(back, rgb, rtol=0, atol=1e-5)
    assert x.dtype == y.dtype == back.dtype == np.float32


@pytest.mark.parametrize("rgb, expected", PRIMARIES.items(), ids=str)
def test_colorization_follows_bt_601(rgb, expected):
    x, y = colorization.encode(np.array(rgb, np.float32).reshape(1, 1, 3))
    np.testing.assert_allclose([*x.ravel(), *y.ravel()], expected, rtol=0, atol=1e-6)


def test_colorization_follows_opencv():
    rgb = image()
    x, y = colorization.encode(rgb)
    y_cr_cb = cv2.cvtColor(rgb, cv2.COLOR_RGB2YCrCb)  # its factors have three digits
    np.testing.assert_allclose(x[..., 0], y_cr_cb[..., 0], rtol=0, atol=1e-5)
    np.testing.assert_allclose(y[..., 0], y_cr_cb[..., 2] - 0.5, rtol=0, atol=1e-3)
    np.testing.assert_allclose(y[..., 1], y_cr_cb[..., 1] - 0.5, rtol=0, atol=1e-3)


def test_colorization_keeps_its_ranges():
    corners = np.stack(np.meshgrid([0, 1], [0, 1], [0, 1]), -1).reshape(2, 4, 3)
    for rgb in (image((64, 64, 3)), corners.astype(np.float32)):
        x, y = colorization.encode(rgb)
        assert x.min() >= 0 and x.max() <= 1 + 1e-6
        assert np.abs(y).max() <= 0.5 + 1e-6


def test_colorization_decodes_to_valid_rgb():
    x = image((8, 8, 1))
    wild = np.random.default_rng(1).normal(scale=2.0, size=(8, 8, 2)).astype(np.float32)
    rgb = colorization.decode(x, wild)
    assert rgb.min() == 0.0 and rgb.max() == 1.0


@pytest.mark.parametrize("shape", [(17, 23, 3), (4, 17, 23, 3)])
def test_baseline_of_colorization_is_grey(shape):
    x, y = colorization.encode(image(shape))
    grey = colorization.baseline(x)
    assert grey.shape == y.shape and grey.dtype == y.dtype
    assert not grey.any()
    shown = colorization.decode(x, grey)
    np.testing.assert_allclose(shown, np.repeat(x, 3, axis=-1), rtol=0, atol=1e-6)
    assert colorization.baseline_name == "grey"


def test_colorization_takes_float64():
    rgb = image().astype(np.float64)
    x, y = colorization.encode(rgb)
    assert x.dtype == y.dtype == np.float32
    np.testing.assert_allclose(colorization.decode(x, y), rgb, rtol=0, atol=1e-5)
