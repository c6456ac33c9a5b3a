"""Broken files: what fuzzing found stays fixed, and random mutations of valid files do no harm.

`tests/fuzz/run.py` fuzzes for longer, guided by coverage.
"""

import pathlib

import numpy as np
import pytest
from fuzz import targets

CORPUS = sorted((pathlib.Path(__file__).parent / "corpus").iterdir())
# As many as take a few seconds.
ROUNDS = {
    "png": 600,
    "exr": 300,
    "hdr": 300,
    "clip": 80,
    "hdf5": 60,
    "keras": 80,
    "config": 40,
    "h5": 20,
    "savedmodel": 40,
}


def mutated(content, rng):
    """`content` with some bytes changed, removed or repeated, or truncated."""
    for _ in range(rng.integers(1, 5)):
        start = int(rng.integers(len(content)))
        stop = start + int(rng.integers(1, 17))
        kind = rng.integers(5)
        if kind == 0:
            made = bytes(rng.integers(0, 256, stop - start, np.uint8))
        elif kind == 1:
            made = b"\xff" * (stop - start)
        elif kind == 2:
            made = b""
        elif kind == 3:
            made = 2 * content[start:stop]
        else:
            made, stop = b"", len(content)
        content = (content[:start] + made + content[stop:]) or b"\0"
    return content


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.name)
def test_finds_stay_fixed(path, tmp_path):
    targets.check(path.name.partition("-")[0], path.read_bytes(), tmp_path)


@pytest.mark.parametrize("name", targets.SEEDS)
def test_seeds_are_read(name, tmp_path, monkeypatch):
    monkeypatch.setattr(targets, "REFUSALS", ())
    for content in targets.SEEDS[name]():
        targets.check(name, content, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", targets.SEEDS)
def test_mutations_are_read_or_refused_by_name(name, tmp_path):
    seeds = [*targets.SEEDS[name]()]
    rng = np.random.default_rng(0)
    for number in range(ROUNDS[name]):
        targets.check(name, mutated(seeds[number % len(seeds)], rng), tmp_path)
