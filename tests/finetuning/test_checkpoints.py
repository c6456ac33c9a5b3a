"""The state of an interrupted run: it comes back as it was, or says why not."""

import dataclasses
import json

import numpy as np
import pytest
import tensorflow as tf

from keras_temporal_reg.finetuning.checkpoints import Checkpoint, RunFolder

SETTINGS = {"steps": 10, "alpha": 0.8, "clip": None, "model": "digest", "value_range": [0.0, 1.0]}


@pytest.fixture
def run(tmp_path):
    return RunFolder(tmp_path / ".out.training", SETTINGS)


def a_checkpoint():
    values = [np.arange(3, dtype=np.float32), np.array(7, np.int64)]
    return Checkpoint({"steps": 4, "loss": [0.5]}, values, [np.ones((2, 2), np.float32)])


def test_a_run_comes_back_as_it_was_last_saved(run):
    assert run.read() is None and not run.path.exists()
    run.write(Checkpoint({"steps": 1}, [], []))
    run.write(a_checkpoint())
    found, expected = run.read(), a_checkpoint()
    assert found.history == expected.history
    for name in ("values", "best"):
        assert len(getattr(found, name)) == len(getattr(expected, name))
        for a, b in zip(getattr(found, name), getattr(expected, name)):
            np.testing.assert_array_equal(a, b)
            assert a.dtype == b.dtype
    run.delete()
    assert not run.path.exists() and run.read() is None


def test_bfloat16_comes_back_to_the_same_bits(run):
    value = tf.constant([1 / 3, 1e-30, -65280.0], tf.bfloat16)
    run.write(Checkpoint({}, [value.numpy()], []))
    (found,) = run.read().values
    np.testing.assert_array_equal(tf.cast(found, tf.bfloat16).numpy(), value.numpy())


def test_a_run_within_the_folder_of_another_is_deleted_with_it(run):
    member = RunFolder(run.path / "plain", SETTINGS)
    member.write(a_checkpoint())
    assert run.read() is None and member.read().history == a_checkpoint().history
    run.delete()
    assert not member.path.exists()


def test_other_settings_are_named_and_digests_are_not_shown(run):
    run.check_settings()
    run.write(a_checkpoint())
    other = dataclasses.replace(run, settings={**SETTINGS, "alpha": 0.5, "model": "other"})
    message = r"other settings \(alpha 0\.8 -> 0\.5, model\): repeat them .* --restart"
    with pytest.raises(ValueError, match=message):
        other.check_settings()
    dataclasses.replace(run, settings=json.loads(json.dumps(SETTINGS))).check_settings()


@pytest.mark.parametrize("content", [b"PK\x03\x04 and no more", b"", b"\x93NUMPY"])
def test_a_broken_checkpoint_is_named(run, content):
    run.path.mkdir()
    (run.path / "state.npz").write_bytes(content)
    with pytest.raises(ValueError, match=r"\.out\.training cannot be read .*--restart"):
        run.read()


def test_a_write_that_fails_leaves_what_was_saved_before(run, monkeypatch):
    run.write(a_checkpoint())

    def fail(path, **arrays):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", fail)
    with pytest.raises(OSError, match="No space left"):
        run.write(Checkpoint({"steps": 9}, [], []))
    assert run.read().history == a_checkpoint().history
