"""Tests of Task, its deprecated names and value ranges, and of what holds for every task."""

import dataclasses

import numpy as np
import pytest

import keras_temporal_reg as ktr
from keras_temporal_reg.tasks._registry import TASKS

every_task = pytest.mark.parametrize("task", TASKS.values(), ids=TASKS.keys())


def image(shape=(17, 23, 3), seed=0):
    return np.random.default_rng(seed).uniform(size=shape).astype(np.float32)


def inversion(**fields):
    defaults = dict(
        name="inversion",
        encode=lambda rgb: (rgb, 1 - rgb),
        decode=lambda x, prediction: prediction,
        baseline=lambda x: x,
        baseline_name="the input itself",
    )
    return ktr.tasks.Task(**{**defaults, **fields})


def test_a_custom_task_is_one_object():
    task = inversion()
    x, y = task.encode(image())
    np.testing.assert_allclose(task.decode(x, y), 1 - image())
    np.testing.assert_allclose(task.input(image()), x)
    np.testing.assert_allclose(task.target(image()), y)


def test_old_keywords_and_attributes_warn_and_give_the_new_ones():
    functions = {
        "sample": lambda rgb: (rgb, rgb),
        "picture": lambda x, prediction: prediction,
        "trivial": lambda x: x,
        "frame": lambda rgb: rgb,
    }
    with pytest.warns(DeprecationWarning) as warned:
        task = ktr.tasks.Task("own", **functions, trivial_name="the input itself")
    assert {str(w.message).split("use ")[1] for w in warned} == {
        "encode=...",
        "decode=...",
        "baseline=...",
        "baseline_name=...",
        "encode_input=...",
    }
    assert all(w.filename == __file__ for w in warned)
    new_names = {
        "sample": "encode",
        "picture": "decode",
        "trivial": "baseline",
        "trivial_name": "baseline_name",
        "frame": "encode_input",
    }
    for old, new in new_names.items():
        with pytest.warns(DeprecationWarning, match=rf"Task\.{old} is .*use Task\.{new}$"):
            value = getattr(task, old)
        assert value is getattr(task, new)
        assert value == functions.get(old, "the input itself")


def test_an_unknown_attribute_is_an_error_as_usual():
    with pytest.raises(AttributeError, match="'Task' object has no attribute 'samples'"):
        getattr(inversion(), "samples")  # noqa: B009


def test_replace_takes_new_and_old_names():
    def grey(x):
        return 0 * x

    task = inversion()
    assert dataclasses.replace(task, baseline=grey).baseline is grey
    with pytest.warns(DeprecationWarning, match="use baseline=...$"):
        assert dataclasses.replace(task, trivial=grey).baseline is grey


def test_a_task_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        inversion().name = "other"


@every_task
def test_every_task_takes_an_image_and_a_clip(task):
    rgb = image((2, 26, 37, 3))
    for frames in (rgb[0], rgb):
        x, y = task.encode(frames)
        height, width = (side // task.scale for side in (26, 37))
        assert x.shape[-3:-1] == (height, width)
        assert y.shape[-3:-1] == (height * task.scale, width * task.scale)
        assert x.dtype == y.dtype == np.float32
        assert task.baseline(x).shape == y.shape
        shown = task.decode(x, y)
        assert shown.shape == (*y.shape[:-1], 3)
        assert shown.dtype == np.float32 and 0 <= shown.min() and shown.max() <= 1
        assert task.input(frames).shape[-1] == x.shape[-1]
        np.testing.assert_array_equal(task.target(frames), y)


def test_with_value_range_rescales_inputs_and_outputs():
    unit = ktr.tasks.super_resolution
    task = ktr.tasks.with_value_range(unit, -1.0, 1.0)
    rgb = image((8, 8, 3))
    x, y = task.encode(rgb)
    unit_x, unit_y = unit.encode(rgb)
    np.testing.assert_allclose(x, 2 * unit_x - 1, atol=1e-6)
    np.testing.assert_allclose(y, 2 * unit_y - 1, atol=1e-6)
    np.testing.assert_allclose(task.decode(x, y), unit_y, atol=1e-6)
    np.testing.assert_allclose(task.baseline(x), 2 * unit.baseline(unit_x) - 1)
    np.testing.assert_allclose(task.make_input(y[np.newaxis])[0], x, atol=1e-6)
    with pytest.raises(ValueError, match=r"low, high must be two finite.* Received: 1, 0"):
        ktr.tasks.with_value_range(task, 1.0, 0.0)


def test_outputs_can_have_another_value_range_than_inputs():
    unit = ktr.tasks.denoising
    task = ktr.tasks.with_value_range(unit, 0.0, 255.0, -1.0, 1.0)
    rgb = image()
    np.testing.assert_allclose(task.input(rgb), 255.0 * rgb, rtol=1e-5)
    np.testing.assert_allclose(task.target(rgb), 2.0 * rgb - 1.0, atol=1e-6)
    shown = task.decode(task.input(rgb), task.target(rgb))
    np.testing.assert_allclose(shown, rgb, atol=1e-5)
    np.testing.assert_allclose(task.baseline(task.input(rgb)), 2.0 * rgb - 1.0, atol=1e-5)
    x = task.make_input(task.target(rgb[np.newaxis]), seed=(1, 2))
    expected = 255.0 * unit.make_input(rgb[np.newaxis], seed=(1, 2))
    np.testing.assert_allclose(x, expected, atol=1e-2)
    with pytest.raises(ValueError, match=r"those of the outputs\. Received: 0, 1, 2"):
        ktr.tasks.with_value_range(unit, 0.0, 1.0, 2.0)


def test_with_values_is_the_old_name_of_with_value_range():
    with pytest.warns(DeprecationWarning, match="use keras_temporal_reg.tasks.with_value_range"):
        assert ktr.tasks.with_values is ktr.tasks.with_value_range


@pytest.mark.parametrize("task", [ktr.tasks.denoising, ktr.tasks.hdr], ids=lambda task: task.name)
@pytest.mark.parametrize("values", [(0.0, 1.0), (0.0, 255.0)])
def test_a_random_make_input_draws_by_its_seed(task, values):
    make_input = ktr.tasks.with_value_range(task, *values).make_input
    y = image((2, 12, 12, 3))
    first, again, other = (make_input(y, seed=(0, n)).numpy() for n in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert np.std(first - other) > 0.001
    # Without a seed every call draws other numbers.
    assert np.any(make_input(y).numpy() != make_input(y).numpy())
