"""Files appear whole or not at all."""

import os
import subprocess
import sys

import pytest

from keras_temporal_reg.io import atomic


def test_a_finished_file_replaces_the_old_one(tmp_path):
    path = tmp_path / "result.txt"
    path.write_text("old")
    with atomic.replacing(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert os.listdir(tmp_path) == ["result.txt"]


def test_a_failure_leaves_what_was_there_and_nothing_else(tmp_path):
    path = tmp_path / "result.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError, match="broken"), atomic.replacing(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError("broken")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["result.txt"]


def test_a_folder_is_made_with_its_parents(tmp_path):
    assert atomic.writable_folder(tmp_path / "a" / "b").is_dir()


def test_a_file_in_the_place_of_the_folder_is_named(tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(OSError, match=r"output folder .*taken.* cannot be written to"):
        atomic.writable_folder(tmp_path / "taken" / "inside")


def test_the_lock_of_a_dead_process_does_not_hold(tmp_path):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    for number in (gone.pid, os.getpid()):  # a number may come again, this one's included
        lock = tmp_path / ".t.keras.lock"
        lock.mkdir()
        (lock / "pid").write_text(str(number))
        with atomic.locked(tmp_path / "t.keras"):
            assert (lock / "pid").read_text() == str(os.getpid())
        assert os.listdir(tmp_path) == []
