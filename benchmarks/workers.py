"""How training scales over processes on this machine: 1, 2 and 4 workers, with and without T.

    TF_USE_LEGACY_KERAS=1 .venv/bin/python benchmarks/workers.py

Each worker trains the demo's network on a batch of its own size under a
MultiWorkerMirroredStrategy on loopback, held to one core, which it may share. The time of a step is
the median of all but the first steps; "plain" is mean squared error on twice the batch.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import socket
import statistics
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--batch", type=int, default=8, help="of each worker (%(default)s)")
    parser.add_argument("--size", type=int, default=64, help="pixels (%(default)s)")
    parser.add_argument("--steps", type=int, default=40, help="timed (%(default)s)")
    parser.add_argument("--output", type=pathlib.Path, default=HERE / "results/workers.json")
    options = parser.parse_args()
    if "TF_CONFIG" in os.environ:
        cores = sorted(os.sched_getaffinity(0))
        index = json.loads(os.environ["TF_CONFIG"])["task"]["index"]
        os.sched_setaffinity(0, {cores[index % len(cores)]})
        print(json.dumps(work(options.batch, options.size, options.steps)))
        return
    results = []
    print(f"{'workers':>8}{'':>14}{'step ms':>10}{'images/s':>10}{'MB a step and worker':>22}")
    for count in options.workers:
        for row in together(count, sys.argv[1:]):
            rate = count * options.batch / row["seconds"]
            sent = 2 * (count - 1) / count * row["parameters"] * 4
            results.append({"workers": count, **row, "images_per_second": rate, "bytes": sent})
            print(
                f"{count:>8}{row['label']:>14}{1e3 * row['seconds']:>10.1f}{rate:>10.1f}"
                f"{sent / 1e6:>22.2f}",
                flush=True,
            )
    setting = {"batch": options.batch, "size": options.size, "cores": len(os.sched_getaffinity(0))}
    options.output.write_text(json.dumps({**setting, "rows": results}, indent=1) + "\n")


def together(count: int, arguments: list[str]) -> list[dict]:
    """What so many processes measured: of each kind of step, the slowest worker's."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("localhost", 0))
    workers = [f"localhost:{each.getsockname()[1]}" for each in sockets]
    for each in sockets:
        each.close()
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
    processes = []
    try:
        for index in range(count):
            task = {"type": "worker", "index": index}
            config = json.dumps({"cluster": {"worker": workers}, "task": task})
            processes.append(
                subprocess.Popen(
                    [sys.executable, __file__, *arguments],
                    env={**os.environ, **quiet, "TF_CONFIG": config},
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    text=True,
                )
            )
        answers = [json.loads(p.communicate(timeout=900)[0].splitlines()[-1]) for p in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    return [max(rows, key=lambda row: row["seconds"]) for rows in zip(*answers, strict=True)]


def work(batch: int, size: int, steps: int) -> list[dict]:
    """Both kinds of step, timed in this worker."""
    import tensorflow as tf

    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    from tensorflow import keras

    import keras_temporal_reg as ktr
    from cases import common
    from cases.steps import network

    class Clock(keras.callbacks.Callback):
        ends: list[float]

        def on_train_begin(self, logs: dict | None = None) -> None:
            self.ends = []

        def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
            self.ends.append(time.perf_counter())

    rows = []
    for label, twice in (("plain at 2B", 2), ("regularized", 1)):
        with strategy.scope():
            model = network()
            loss = "mse"
            if label == "regularized":
                model = ktr.RegularizedModel(model, ktr.RandomAffine(seed=0))
                loss = ktr.losses.SparseJacobianLoss(common.ALPHA)
            optimizer = keras.optimizers.Adam(common.LEARNING_RATE)
            model.compile(optimizer, loss, jit_compile=False)
        x = tf.constant(common.pictures(twice * batch, size, size, 1))
        y = tf.constant(common.pictures(twice * batch, size, size, 2, seed=1))
        batches = strategy.distribute_datasets_from_function(
            lambda context, x=x, y=y: tf.data.Dataset.from_tensors((x, y)).repeat()
        )
        clock = Clock()
        model.fit(batches, steps_per_epoch=steps + 5, verbose=0, callbacks=[clock])
        taken = [b - a for a, b in zip(clock.ends[4:], clock.ends[5:])]
        count = int(sum(tf.size(v).numpy() for v in model.trainable_variables))
        rows.append({"label": label, "seconds": statistics.median(taken), "parameters": count})
    return rows


if __name__ == "__main__":
    main()
