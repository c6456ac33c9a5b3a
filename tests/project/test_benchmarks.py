"""The cases of the benchmark that need this environment only run, and agree."""

import importlib
import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest

FOLDER = pathlib.Path(__file__).parents[2] / "benchmarks"
WARP = {"batch": 2, "size": 16, "gradient": True}
CLIP = {"batch": 3, "size": 32, "network": "small"}
STEP = {"batch": 4, "size": 32, "jit_compile": False}
CLIP_PARTS = ("read twice and run", "read, run and write", "evaluate", "process")


@pytest.fixture
def cases(monkeypatch):
    """A function that imports a case, as the worker does."""
    monkeypatch.syspath_prepend(str(FOLDER))
    yield lambda name: importlib.import_module(f"cases.{name}")
    for name in [name for name in sys.modules if name.split(".")[0] == "cases"]:
        del sys.modules[name]


def test_warps_compute_the_same(cases):
    ours = cases("warp_ktr").prepare(**WARP)()
    theirs = cases("warp_op").prepare(**WARP)()
    np.testing.assert_allclose(ours[0], theirs[0], atol=1e-5)
    assert ours[1].shape == theirs[1].shape  # the op's gradient is not the adjoint


@pytest.mark.slow  # all of them together
@pytest.mark.parametrize(
    "name, setting",
    [
        ("warp_keras", WARP),
        ("step_keras", {**STEP, "rows": 2}),
        ("step_ktr", {**STEP, "pair_fraction": 0.25}),
        ("step_two_passes", STEP),
        ("step_part", {**STEP, "part": "pairing"}),
        ("step_part", {**STEP, "part": "loss"}),
        ("step_part", {**STEP, "part": "plain loss"}),
        ("pipeline", {"batch": 2, "size": 16}),
        ("pipeline", {"batch": 2, "size": 16, "paired": "op"}),
        *(("clip", {**CLIP, "part": part}) for part in CLIP_PARTS),
    ],
)
def test_case_runs(cases, name, setting):
    call = cases(name).prepare(**setting)
    call()
    assert cases(name).version()


def test_a_case_that_cannot_says_why(cases):
    with pytest.raises(NotImplementedError, match="does not compile"):
        cases("step_two_passes").prepare(**{**STEP, "jit_compile": True})


@pytest.mark.slow
def test_worker_answers_in_json():
    requests = [{"prepare": WARP}, {"time": 2}, {"end": True}]
    done = subprocess.run(
        [sys.executable, FOLDER / "worker.py", "warp_op"],
        input="".join(json.dumps(request) + "\n" for request in requests),
        capture_output=True,
        text=True,
        timeout=300,
    )
    prepared, timed, ended = map(json.loads, done.stdout.splitlines())
    assert prepared["first"] > 0 and timed["seconds"] > 0
    assert ended["peak"] >= ended["before"] > 0
    assert "tensorflow" in ended["version"]
