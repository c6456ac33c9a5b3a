"""Short forms of the long runs in `tests/endurance.py`: nothing piles up in memory."""

import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest


def run(kind, number):
    """In a process of its own, since what others took at most counts, too."""
    pytest.importorskip("resource")
    program = pathlib.Path(__file__).parents[1] / "helpers" / "endurance.py"
    done = subprocess.run(
        [sys.executable, program, kind, str(number)], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
def test_training_for_long_takes_no_more_memory():
    found = run("steps", 1500)
    first, last = found["memory_mb"]
    assert found["steps"] == 1500 and np.isfinite(found["loss"])
    assert last - first < 8  # 6 kB a step would be more


@pytest.mark.slow
def test_a_long_clip_takes_no_more_memory_than_a_short_one():
    short, long = run("clip", 700), run("clip", 1600)
    assert (short["frames"], long["frames"]) == (700, 1600)
    # 900 frames as the networks take them would be 11 MB.
    assert long["peak_mb"][1] - short["peak_mb"][1] < 6
