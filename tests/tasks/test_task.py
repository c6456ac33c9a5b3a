"""Tests of keras_temporal_reg.tasks, against OpenCV and the closed form of BT.601."""

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
    np.testing.assert_allclose(task.input(picture()), x)
    np.testing.assert_allclose(task.target(picture()), y)


OWN = [
    ktr.tasks.restoration,
    ktr.tasks.colorization,
    ktr.tasks.super_resolution,
    ktr.tasks.super_resolution_3,
    ktr.tasks.super_resolution_4,
    ktr.tasks.denoising,
    ktr.tasks.hdr,
]


@pytest.mark.parametrize("task", OWN, ids=lambda task: task.name)
def test_every_task_takes_a_picture_and_a_clip(task):
    rng = np.random.default_rng(0)
    rgb = rng.uniform(size=(2, 26, 37, 3)).astype(np.float32)
    for frames in (rgb[0], rgb):
        x, y = task.sample(frames)
        height, width = (side // task.scale for side in (26, 37))
        assert x.shape[-3:-1] == (height, width)
        assert y.shape[-3:-1] == (height * task.scale, width * task.scale)
        assert x.dtype == y.dtype == np.float32
        assert task.trivial(x).shape == y.shape
        shown = task.picture(x, y)
        assert shown.shape == (*y.shape[:-1], 3)
        assert shown.dtype == np.float32 and 0 <= shown.min() and shown.max() <= 1
        assert task.input(frames).shape[-1] == x.shape[-1]
        np.testing.assert_array_equal(task.target(frames), y)


@pytest.mark.parametrize("task", OWN, ids=lambda task: task.name)
def test_every_task_is_found_by_its_name(task):
    assert ktr.tasks.find(task.name) is task


def test_a_task_is_found_by_its_dotted_path():
    assert ktr.tasks.find("keras_temporal_reg.tasks.denoising") is ktr.tasks.denoising


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("magic", "task must be one of colorization, denoising, hdr.*Received: 'magic'"),
        ("no_module.task", "Received: 'no_module.task'"),
        ("os.path", "must be a keras_temporal_reg.tasks.Task"),
    ],
)
def test_an_unknown_task_is_refused(name, message):
    with pytest.raises(ValueError, match=message):
        ktr.tasks.find(name)


def test_values_of_another_range_are_carried_over():
    task = ktr.tasks.with_values(ktr.tasks.super_resolution, -1.0, 1.0)
    rgb = np.random.default_rng(0).uniform(size=(8, 8, 3)).astype(np.float32)
    x, y = task.sample(rgb)
    plain_x, plain_y = ktr.tasks.super_resolution.sample(rgb)
    np.testing.assert_allclose(x, 2 * plain_x - 1, atol=1e-6)
    np.testing.assert_allclose(y, 2 * plain_y - 1, atol=1e-6)
    np.testing.assert_allclose(task.picture(x, y), plain_y, atol=1e-6)
    np.testing.assert_allclose(task.trivial(x), 2 * ktr.tasks.super_resolution.trivial(plain_x) - 1)
    np.testing.assert_allclose(task.make_input(y[np.newaxis])[0], x, atol=1e-6)
    with pytest.raises(ValueError, match=r"the lower first\. Received: 1\.0, 0\.0"):
        ktr.tasks.with_values(task, 1.0, 0.0)


def test_super_resolution_averages_pixels():
    rgb = np.arange(48, dtype=np.float32).reshape(4, 4, 3) / 48
    x, _ = ktr.tasks.super_resolution.sample(rgb)
    np.testing.assert_allclose(x[0, 1], rgb[:2, 2:].mean(axis=(0, 1)), rtol=1e-6)


@pytest.mark.parametrize("task", [ktr.tasks.denoising, ktr.tasks.hdr], ids=lambda task: task.name)
@pytest.mark.parametrize("values", [(0.0, 1.0), (0.0, 255.0)])
def test_what_makes_x_by_chance_draws_what_its_seed_says(task, values):
    make_input = ktr.tasks.with_values(task, *values).make_input
    y = picture((2, 12, 12, 3))
    first, again, other = (make_input(y, seed=(0, n)).numpy() for n in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert np.std(first - other) > 0.001
    # Without one it is another each time.
    assert np.any(make_input(y).numpy() != make_input(y).numpy())


@pytest.mark.parametrize(
    "task",
    [ktr.tasks.super_resolution, ktr.tasks.super_resolution_3, ktr.tasks.super_resolution_4],
    ids=lambda task: task.name,
)
@pytest.mark.parametrize("values", [(0.0, 1.0), (0.0, 255.0)])
def test_what_makes_x_without_chance_makes_the_same(task, values):
    make_input = ktr.tasks.with_values(task, *values).make_input
    y = picture((2, 12, 12, 3))
    np.testing.assert_array_equal(make_input(y), make_input(y))


def test_noise_has_the_strength_that_it_says():
    x, y = ktr.tasks.denoising.sample(np.full((200, 200, 3), 0.5, np.float32))
    assert np.std(x - y) == pytest.approx(0.05, rel=0.02)


def test_the_virtual_camera_clips_a_share_of_the_pixels():
    light = np.random.default_rng(0).lognormal(0.0, 1.5, (100, 100, 3)).astype(np.float32)
    x, y = ktr.tasks.hdr.sample(light)
    np.testing.assert_allclose(np.exp(y) - 1 / 255, light, rtol=1e-3, atol=1e-5)
    clipped = (x.max(axis=-1) >= 0.97).mean()
    assert 0.03 < clipped < 0.3
    assert np.corrcoef(x.ravel(), np.argsort(np.argsort(light.ravel())))[0, 1] > 0.8
