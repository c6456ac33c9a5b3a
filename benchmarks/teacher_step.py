"""What a teacher adds to a training step, against one forward pass of the batch.

    python benchmarks/teacher_step.py [--rounds 15]

The demo's network on batches of 16 x 64 x 64 and 4 x 256 x 256, with and without XLA. The steps
with and without a teacher and the forward pass alternate; medians. Results go to
`benchmarks/results/teacher_step.json`.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import statistics
import time
from collections.abc import Callable
from typing import Any

import tensorflow as tf
from tensorflow import keras

import keras_temporal_reg as ktr
from cases import common, steps
from keras_temporal_reg import saved_models

RESULTS = pathlib.Path(__file__).parent / "results" / "teacher_step.json"
SIZES = ((16, 64), (4, 256))  # rows of a batch, and their side in pixels


def step(teacher: keras.Model | None, rows: int, size: int, jit_compile: bool) -> Callable[[], Any]:
    """One training step as a call."""
    model = ktr.RegularizedModel(steps.network(), ktr.RandomAffine(seed=0), teacher=teacher)
    loss = ktr.losses.TransformInvarianceLoss(common.ALPHA)
    return steps.prepare(model, loss, rows, size, jit_compile, has_targets=teacher is None)


def forward(teacher: keras.Model, rows: int, size: int, jit_compile: bool) -> Callable[[], Any]:
    """One forward pass of the batch as a call."""
    x = tf.constant(common.pictures(rows, size, size, 1))
    run = tf.function(lambda: teacher(x, training=False), jit_compile=jit_compile, autograph=False)
    return lambda: run().numpy()


def seconds(calls: dict[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Median time of each call, alternating; the first round does not count."""
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(rounds + 1):
        for name, call in calls.items():
            started = time.perf_counter()
            call()
            if number:
                taken[name].append(time.perf_counter() - started)
    return {name: statistics.median(times) for name, times in taken.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    rows = []
    for (batch, size), jit_compile in ((s, j) for s in SIZES for j in (False, True)):
        teacher = steps.network()
        setting = batch, size, jit_compile
        calls = {
            "without": step(None, *setting),
            "with": step(teacher, *setting),
            "forward": forward(teacher, *setting),
        }
        found = seconds(calls, rounds)
        added = (found["with"] - found["without"]) / found["forward"]
        rows.append({"batch": batch, "size": size, "xla": jit_compile, **found, "added": added})
        print(
            f"{batch} x {size} x {size}{', XLA' if jit_compile else ''}: without "
            f"{1e3 * found['without']:.1f} ms, with {1e3 * found['with']:.1f} ms; the difference "
            f"is {added:.2f} forward passes of {1e3 * found['forward']:.1f} ms",
            flush=True,
        )
    text = json.dumps({"versions": saved_models.versions(), "rows": rows}, indent=1)
    RESULTS.write_text(text + "\n")


if __name__ == "__main__":
    main()
