"""The free memory, of the machine and of a control group."""

import psutil
import pytest

from keras_temporal_reg.core import free_memory


def test_a_control_group_limits_what_is_free(monkeypatch, tmp_path):
    monkeypatch.setattr(free_memory, "_CONTROL_GROUP", tmp_path)
    unlimited = free_memory.free_bytes()
    assert unlimited > 100e6
    for name, text in (("max", 60e6), ("current", 50e6)):
        (tmp_path / f"memory.{name}").write_text(f"{text:.0f}\n")
    (tmp_path / "memory.stat").write_text("anon 30000000\nfile 20000000\n")
    assert free_memory.free_bytes() == pytest.approx(30e6)
    (tmp_path / "memory.max").write_text("max\n")
    assert free_memory.free_bytes() > 100e6


def test_without_a_control_group_it_is_that_of_the_machine(monkeypatch, tmp_path):
    monkeypatch.setattr(free_memory, "_CONTROL_GROUP", tmp_path / "none")
    assert free_memory.free_bytes() == pytest.approx(psutil.virtual_memory().available, rel=0.2)
