"""Old names work, with a warning that names the new one and the line that uses the old one."""

import dataclasses
import importlib
import sys
import types

import pytest

import keras_temporal_reg as ktr
from keras_temporal_reg.core import deprecation

NEW_MODULES = {
    "camera": "keras_temporal_reg.evaluation.camera",
    "choosing": "keras_temporal_reg.finetuning",
    "networks": "keras_temporal_reg.experiments.networks",
    "processing": "keras_temporal_reg.evaluation",
    "scenes": "keras_temporal_reg.experiments.scenes",
}


def check(record, old, new):
    """One warning, at a line of this file."""
    (warning,) = record
    assert str(warning.message).startswith(f"{old} is deprecated")
    assert str(warning.message).endswith(f"; use {new}")
    assert warning.filename == __file__


@pytest.mark.parametrize(("old", "new"), NEW_MODULES.items())
def test_a_module_is_an_attribute_by_its_old_name(old, new):
    with pytest.warns(DeprecationWarning) as record:
        module = getattr(ktr, old)
    assert module is importlib.import_module(new)
    check(record, f"keras_temporal_reg.{old}", new)


@pytest.mark.parametrize(("old", "new"), NEW_MODULES.items())
def test_a_module_is_imported_by_its_old_name(old, new, monkeypatch):
    monkeypatch.delitem(sys.modules, f"keras_temporal_reg.{old}", raising=False)
    with pytest.warns(DeprecationWarning, match=f"keras_temporal_reg.{old} is deprecated"):
        importlib.import_module(f"keras_temporal_reg.{old}")
    assert sys.modules[f"keras_temporal_reg.{old}"] is importlib.import_module(new)
    # The module keeps its own name and specification.
    assert importlib.import_module(new).__name__ == new
    assert importlib.import_module(new).__spec__.name == new


def test_no_other_module_is_made_up():
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("keras_temporal_reg.nothing")
    with pytest.raises(AttributeError, match="nothing"):
        _ = ktr.nothing


def test_a_renamed_name_of_a_module(monkeypatch):
    module = types.ModuleType("some_module")
    module.new = object()
    module.__getattr__ = deprecation.renamed_names("some_module", {"old": "new"})
    monkeypatch.setitem(sys.modules, "some_module", module)
    with pytest.warns(DeprecationWarning) as record:
        assert module.old is module.new
    check(record, "some_module.old", "some_module.new")
    with pytest.raises(AttributeError, match="'some_module' has no attribute 'other'"):
        _ = module.other


def test_a_renamed_argument():
    @deprecation.renamed_arguments(old="new")
    def double(new):
        return 2 * new

    assert double(2) == double(new=2) == 4
    with pytest.warns(DeprecationWarning) as record:
        assert double(old=3) == 6
    check(record, "double(old=...)", "new=...")
    with pytest.warns(DeprecationWarning), pytest.raises(TypeError, match="both old and new"):
        double(old=3, new=3)


def test_a_renamed_field_of_a_dataclass():
    @deprecation.renamed_fields(old="new")
    @dataclasses.dataclass(frozen=True)
    class Point:
        new: int

    assert Point(1) == Point(new=1)
    with pytest.warns(DeprecationWarning) as record:
        point = Point(old=1)
    check(record, "Point(..., old=...)", "new=...")
    with pytest.warns(DeprecationWarning) as record:
        assert point.old == point.new == 1
    check(record, "Point.old", "Point.new")
    assert dataclasses.replace(point, new=2).new == 2
    with pytest.raises(AttributeError, match="has no attribute 'other'"):
        _ = point.other
