"""Files appear whole or not at all; one run at a time writes an output."""

import contextlib
import os
import signal

import pytest
from helpers import processes

from keras_temporal_reg.io import atomic


def test_a_finished_file_replaces_the_old_one(tmp_path):
    path = tmp_path / "result.txt"
    path.write_text("old")
    with atomic.atomic_write(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert os.listdir(tmp_path) == ["result.txt"]


def test_a_failure_leaves_what_was_there_and_nothing_else(tmp_path):
    path = tmp_path / "result.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError, match="broken"), atomic.atomic_write(path) as temporary:
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


def test_a_lock_is_held_until_its_process_is_killed(tmp_path):
    output, other = tmp_path / "t.keras", tmp_path / "other.keras"
    locked, to_write = os.pipe()

    def hold():
        with atomic.locked(output):
            os.write(to_write, b"held")
            signal.pause()

    holder = processes.forked(hold)
    assert os.read(locked, 4) == b"held"
    with pytest.raises(FileExistsError, match=r"another run is writing .*t\.keras: wait until"):
        with atomic.locked(output):
            pass
    with atomic.locked(other):
        pass
    os.kill(holder, signal.SIGKILL)
    assert processes.exit_code(holder) == -signal.SIGKILL
    with atomic.locked(output):
        pass
    assert os.listdir(tmp_path) == []


def test_a_lock_is_held_within_one_process_and_released_after_an_error(tmp_path):
    output = tmp_path / "t.keras"
    with pytest.raises(RuntimeError, match="broken"), atomic.locked(output):
        with pytest.raises(FileExistsError, match="another run"), atomic.locked(output):
            pass
        raise RuntimeError("broken")
    with atomic.locked(output):
        pass
    assert os.listdir(tmp_path) == []


def test_no_update_of_three_processes_under_a_lock_is_lost(tmp_path):
    path = tmp_path / "count.txt"
    path.write_text("0")

    def count():
        done = 0
        while done < 30:
            with contextlib.suppress(FileExistsError), atomic.locked(path):
                number = int(path.read_text())
                with atomic.atomic_write(path) as temporary:
                    temporary.write_text(str(number + 1))
                done += 1

    counting = [processes.forked(count) for _ in range(3)]
    assert [processes.exit_code(number) for number in counting] == [0, 0, 0]
    assert path.read_text() == "90"
    assert os.listdir(tmp_path) == ["count.txt"]
