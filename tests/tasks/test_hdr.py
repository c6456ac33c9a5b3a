"""Tests of HDR reconstruction and its virtual camera."""

import numpy as np
import pytest
import tensorflow as tf

from keras_temporal_reg.tasks import _hdr, hdr


def some_light(shape=(100, 100, 3)):
    return np.random.default_rng(0).lognormal(0.0, 1.5, shape).astype(np.float32)


def test_the_virtual_camera_clips_a_share_of_the_pixels():
    light = some_light()
    x, y = hdr.encode(light)
    np.testing.assert_allclose(np.exp(y) - 1 / 255, light, rtol=1e-3, atol=1e-5)
    clipped = (x.max(axis=-1) >= 0.97).mean()
    assert 0.03 < clipped < 0.3
    assert np.corrcoef(x.ravel(), np.argsort(np.argsort(light.ravel())))[0, 1] > 0.8


def test_captures_have_8_bits():
    x, _ = hdr.encode(some_light())
    np.testing.assert_allclose(x * 255, np.round(x * 255), atol=1e-4)


def test_log_and_light_are_inverse():
    light = some_light()
    np.testing.assert_allclose(_hdr.to_light(_hdr.to_log(light)), light, rtol=1e-4, atol=1e-6)


def test_the_mean_response_is_inverted_up_to_white():
    light = np.linspace(0.0, 2.0, 201).astype(np.float32)
    x = _hdr.respond(light, _hdr.CURVE_EXPONENT, _hdr.CURVE_OFFSET, tf.zeros_like(light)).numpy()
    assert np.all(np.diff(x[:101]) > 0) and np.all(x[100:] == pytest.approx(1.0))
    np.testing.assert_allclose(_hdr.invert_response(x), np.minimum(light, 1.0), atol=1e-5)


def test_without_exposure_light_above_1_clips():
    light = np.full((4, 16, 16, 3), 2.0, np.float32)
    light[:, :, :8] = 0.2
    x = _hdr.capture(_hdr.to_log(light), seed=(1, 2), expose=False).numpy()
    assert x[:, :, 8:].mean() > 0.98
    assert x[:, :, :8].max() < 0.95


def test_jpeg_quality_differs_from_image_to_image():
    wave = 0.5 + 0.3 * np.sin(np.arange(64) / 3)  # smooth, as photographs are
    y = _hdr.to_log(np.broadcast_to(wave[:, np.newaxis, np.newaxis], (8, 64, 64, 3)))
    draw = dict(seed=(1, 2), expose=False)
    plain = _hdr.capture(y, **draw).numpy()
    stored = _hdr.capture(y, jpeg=True, **draw).numpy()
    loss = np.square(plain - stored).mean(axis=(1, 2, 3))
    assert stored.shape == y.shape and 0 <= stored.min() and stored.max() <= 1
    assert loss.max() > 1.2 * loss.min() > 0
