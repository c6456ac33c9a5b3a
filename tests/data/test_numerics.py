"""Tests of check_numerics: it raises at NaN and infinity, and names where they are."""

import numpy as np
import pytest
import tensorflow as tf

import keras_temporal_reg as ktr


def samples(count=4):
    x = np.random.default_rng(0).uniform(size=(count, 16, 16, 1)).astype(np.float32)
    return x, x**2


def with_value(row, value):
    x, _ = samples(12)
    x[row, 3, 4, 0] = value
    return x


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("part", ["x", "y", "sample_weight"])
def test_a_batch_with_nan_or_infinity_is_named_and_not_returned(part, bad):
    x, y = samples(12)
    parts = {"x": {"picture": x}, "y": y, "sample_weight": np.ones(12, np.float32)}
    parts[part] = {
        "x": {"picture": with_value(9, bad)},
        "y": with_value(9, bad),
        "sample_weight": np.where(np.arange(12) == 9, bad, 1.0).astype(np.float32),
    }[part]
    dataset = tf.data.Dataset.from_tensor_slices(tuple(parts.values())).batch(4)
    checked = ktr.data.check_numerics(dataset)
    assert checked.element_spec == dataset.element_spec
    taken = []
    with pytest.raises(tf.errors.InvalidArgumentError) as error:
        for element in checked:
            taken.append(element)
    assert len(taken) == 2
    message = str(error.value).split("[Op:")[0]
    assert f"{part} must be finite. Received: NaN or infinity" in message
    assert "[2] [1]" in message  # batch 2, row 1
    for name in {*parts} - {part}:
        assert f"{name} must be finite" not in message


def test_a_finite_data_set_is_unchanged():
    x, y = samples(12)
    dataset = tf.data.Dataset.from_tensor_slices((x, y, np.arange(12))).batch(5)
    pairs = list(zip(dataset, ktr.data.check_numerics(dataset)))
    assert len(pairs) == 3
    for before, after in pairs:
        for a, b in zip(before, after):
            np.testing.assert_array_equal(a, b)
