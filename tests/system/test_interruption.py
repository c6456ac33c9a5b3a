"""Training that is killed, and writing that is: what there was stays whole, and goes on."""

import inspect
import os
import pathlib
import signal
import subprocess
import sys

import numpy as np
import pytest
from helpers import interrupted
from tensorflow import keras

from keras_temporal_reg import saved_models
from keras_temporal_reg.finetuning.api import finetune
from keras_temporal_reg.io import atomic

KILLS = 2
DOUBLE = "double_checkpoint" in inspect.signature(keras.callbacks.BackupAndRestore).parameters


def killed(way, folder):
    """Train and kill as `interrupted.py` does, in a process that has done nothing before."""
    done = subprocess.run(
        [sys.executable, interrupted.__file__, way, folder, str(KILLS)],
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-4000:]


def assert_same(a, b):
    assert len(a) == len(b) > 0
    for u, v in zip(a, b):
        np.testing.assert_array_equal(u, v)


@pytest.mark.slow
@pytest.mark.parametrize(
    "way",
    [
        "epoch",
        pytest.param("shuffled", marks=pytest.mark.slow),
        pytest.param("paired", marks=pytest.mark.slow),
        pytest.param(
            "backup", marks=pytest.mark.skipif(not DOUBLE, reason="this Keras keeps one backup")
        ),
    ],
)
def test_killed_training_goes_on_from_its_backup_to_the_same_weights(way, tmp_path):
    killed(way, tmp_path)
    whole, resumed = (np.load(tmp_path / f"{name}.npz") for name in ("whole", "killed"))
    assert whole["steps"] == resumed["steps"] == interrupted.EPOCHS * interrupted.STEPS
    assert_same([whole[n] for n in whole.files], [resumed[n] for n in whole.files])


@pytest.mark.slow
@pytest.mark.parametrize("way", ["finetune", "blend"])
def test_killed_fine_tuning_goes_on_to_the_same_weights(way, tmp_path):
    killed(way, tmp_path)
    expected = saved_models.load(tmp_path / "whole.keras").model.get_weights()
    ended = ["killed.keras", *(path.name for path in tmp_path.glob("early*.keras"))]
    for name in ended:
        assert_same(saved_models.load(tmp_path / name).model.get_weights(), expected)
    left = {name for name in os.listdir(tmp_path) if not name.startswith(".writing-")}
    plots = {"whole.strength.png", "killed.strength.png"} if way == "blend" else set()
    assert left == {"inputs", "targets", "plain.keras", "whole.keras", *ended, *plots}


def child(function):
    """Call `function`, which only writes files, in a process of its own; how that ended."""
    number = os.fork()
    if number == 0:
        try:
            function()
        finally:
            os._exit(0)
    return number


def test_a_kill_in_the_middle_of_a_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "result.bin"
    path.write_bytes(b"old")

    def write():
        with atomic.atomic_write(path) as temporary:
            temporary.write_bytes(b"half")
            os.kill(os.getpid(), signal.SIGKILL)

    _, status = os.waitpid(child(write), 0)
    assert os.WTERMSIG(status) == signal.SIGKILL
    assert path.read_bytes() == b"old"
    assert len(list(tmp_path.glob(".writing-*"))) == 1  # harmless:
    with atomic.atomic_write(path) as temporary:
        temporary.write_bytes(b"new")
    assert path.read_bytes() == b"new"


def test_two_processes_that_write_one_file_leave_it_whole(tmp_path):
    path = tmp_path / "result.bin"

    def write(byte):
        for _ in range(50):
            with atomic.atomic_write(path) as temporary:
                temporary.write_bytes(byte * 100_000)

    writers = [child(lambda byte=byte: write(byte)) for byte in (b"a", b"b")]
    seen = set()
    while writers:
        writers = [number for number in writers if os.waitpid(number, os.WNOHANG) == (0, 0)]
        if path.exists():
            seen.add(path.read_bytes())
    assert seen <= {b"a" * 100_000, b"b" * 100_000} and seen
    assert os.listdir(tmp_path) == ["result.bin"]


@pytest.fixture
def small_disk(tmp_path):
    """A file system of its own, of 256 kilobytes."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", folder]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no file system can be mounted here")
    yield folder
    subprocess.run(["umount", folder], check=True)


def large():
    layer = keras.layers.Conv2D(3, 161, padding="same")
    return keras.Sequential([keras.Input((None, None, 3)), layer])


WRITERS = {
    "bytes": lambda path: path.write_bytes(bytes(2**20)),
    "arrays": lambda path: np.savez(path, np.random.default_rng(0).random(2**17)),
    "h5": lambda path: saved_models.save(large(), path, "h5"),
    "keras": lambda path: saved_models.save(large(), path, "keras"),
}


@pytest.mark.parametrize("kind", WRITERS)
def test_a_full_disk_is_named_and_loses_nothing(kind, small_disk):
    path = small_disk / ("result.npz" if kind == "arrays" else f"result.{kind}")
    path.write_bytes(b"old")
    with pytest.raises(OSError, match=rf"{path} cannot be written: No space left on device"):
        if kind in ("bytes", "arrays"):
            with atomic.atomic_write(path) as temporary:
                WRITERS[kind](temporary)
        else:
            WRITERS[kind](path)
    assert path.read_bytes() == b"old"
    assert os.listdir(small_disk) == [path.name]


def test_fine_tuning_finds_a_full_disk_before_it_trains(small_disk, tmp_path):
    interrupted.prepare(tmp_path)
    saved_models.save(large(), tmp_path / "large.keras", "keras")
    folders = tmp_path / "inputs", tmp_path / "targets"
    (small_disk / "kept.txt").write_text("kept")
    output = small_disk / "steady.keras"
    with pytest.raises(OSError, match=rf"{output} cannot be written: .*No space left on device"):
        finetune(tmp_path / "large.keras", output, *folders, crop=16, steps=1, alpha=0.8)
    assert os.listdir(small_disk) == ["kept.txt"]


@pytest.mark.slow
def test_a_checkpoint_that_finds_no_room_leaves_the_one_before(monkeypatch, tmp_path):
    interrupted.prepare(tmp_path)
    whole, calls = np.savez, []

    def second_is_too_large(path, **arrays):
        calls.append(path)
        if len(calls) == 2:
            pathlib.Path(path).write_bytes(b"half")
            raise OSError(28, os.strerror(28))
        whole(path, **arrays)

    monkeypatch.setattr(np, "savez", second_is_too_large)
    output = tmp_path / "steady.keras"
    with pytest.raises(OSError, match=r"state.npz cannot be written: No space left on device"):
        interrupted.finetune(tmp_path, output)
    interrupted.finetune(tmp_path, output)
    interrupted.finetune(tmp_path, tmp_path / "whole.keras")
    assert_same(
        *(saved_models.load(p).model.get_weights() for p in (output, tmp_path / "whole.keras"))
    )
