"""Tests of keras_temporal_reg.core.outputs: which entry belongs to the regularized output."""

import numpy as np
import pytest

from keras_temporal_reg.core import outputs

NAMES = ("image", "label")


@pytest.mark.parametrize(
    "structure, output, names, expected",
    [
        (np.zeros(3), None, (), None),
        (np.zeros(3), "image", NAMES, None),
        ([1], None, (), 0),
        ({"a": 1}, None, (), "a"),
        ([1, 2], 1, (), 1),
        ([1, 2], "label", NAMES, 1),
        ({"a": 1, "b": 2}, "b", (), "b"),
        ({"image": 1, "label": 2}, 1, NAMES, "label"),
        # The names of layers need not be the keys.
        ({"a": 1, "b": 2}, "a", NAMES, "a"),
    ],
)
def test_key_is_that_of_the_entry(structure, output, names, expected):
    assert outputs.key_of("y", structure, output, names) == expected


@pytest.mark.parametrize(
    "structure, output, message",
    [
        ([1, 2], None, r"one of y is regularized.*one of image, label\. Received: output=None"),
        ([1, 2], "other", r"one of image, label\. Received: output='other'"),
        ({"a": 1, "b": 2}, 2, r"one of a, b\. Received: output=2"),
        ({"a": 1, "b": [2, 3]}, "a", r"y must be .* flat list or dict.*Received: int, list"),
    ],
)
def test_key_that_cannot_be_found_is_refused(structure, output, message):
    with pytest.raises(ValueError, match=message):
        outputs.key_of("y", structure, output, NAMES)


@pytest.mark.parametrize(
    "structure, key, expected",
    [
        (1, None, -1),
        (None, None, None),
        ([1, 2, None], 1, [10, -2, None]),
        ((1, 2), 0, (-1, 20)),
        ({"b": 1, "a": 2}, "b", {"b": -1, "a": 20}),
        (None, "b", None),
    ],
)
def test_each_entry_passes_through_its_function(structure, key, expected):
    found = outputs.mapped(structure, key, lambda n: -n, lambda n: 10 * n)
    assert found == expected and type(found) is type(expected)


@pytest.mark.parametrize(
    "returned, structure, expected",
    [
        (1, [5], 5),
        (1, {"any": 5}, 5),
        ([1], 5, [5]),
        ({"a": 1}, 5, {"a": 5}),
        ([1, 2], {"label": 6, "image": 5}, [5, 6]),
        ([1, 2], {"label": 6}, [None, 6]),
        ([1, 2], 5, 5),  # a weight for all outputs
        ({"a": 1, "b": 2}, {"b": 6}, {"b": 6}),
        ([1, 2], None, None),
    ],
)
def test_targets_take_the_structure_of_the_outputs(returned, structure, expected):
    assert outputs.in_structure_of(returned, structure, NAMES) == expected


def test_targets_of_unknown_names_are_refused():
    with pytest.raises(ValueError, match=r"names of the model's outputs, a\. Received: b"):
        outputs.in_structure_of({"a": 1}, {"b": 1})
    with pytest.raises(ValueError, match=r"none: give lists\. Received: b"):
        outputs.in_structure_of([1, 2], {"b": 1})
