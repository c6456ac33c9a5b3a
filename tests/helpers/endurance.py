"""Long runs: python tests/endurance.py steps 50000; python tests/endurance.py clip 10000 100000.

Each prints a line of JSON. `tests/test_endurance.py` has short forms of both.
"""

import json
import os
import pathlib
import resource
import sys
import tempfile
import time
from fractions import Fraction

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import psutil
import tensorflow as tf
from tensorflow import keras

import keras_temporal_reg as ktr
from keras_temporal_reg.io import video

BLOCK = 50  # steps that are timed together


def network():
    return keras.Sequential(
        [
            keras.Input((None, None, 3)),
            keras.layers.Conv2D(4, 3, padding="same", activation="relu"),
            keras.layers.Conv2D(3, 3, padding="same"),
        ]
    )


class Watch(keras.callbacks.Callback):
    """Notes memory, time and CPU time of blocks of steps."""

    def __init__(self):
        super().__init__()
        self.memory, self.clock, self.cpu = [], [], []

    def on_train_batch_end(self, batch, logs=None):
        if batch % BLOCK == 0:
            self.memory.append(psutil.Process().memory_info().rss / 2**20)
            self.clock.append(time.perf_counter())
            self.cpu.append(time.process_time())


def train(steps):
    """Train a tiny network; what it cost at first and at last, after a tenth to warm up."""
    keras.utils.set_random_seed(0)
    x = np.random.default_rng(0).random((8, 16, 16, 3)).astype(np.float32)
    dataset = tf.data.Dataset.from_tensor_slices((x, x)).batch(4).repeat()
    model = ktr.RegularizedModel(network(), ktr.RandomAffine())
    model.compile("adam", ktr.losses.SparseJacobianLoss(contrast=0.1))
    watch = Watch()
    history = model.fit(dataset, steps_per_epoch=steps, callbacks=[watch], verbose=0).history
    warm = max(1, len(watch.memory) // 10)
    found = {"steps": steps, "loss": history["loss"][0], "seconds": 0.0}
    found["seconds"] = round(watch.clock[-1] - watch.clock[0], 1)
    found["memory_mb"] = [round(watch.memory[at], 1) for at in (warm, -1)]
    for name, moments in (("clock", watch.clock), ("cpu", watch.cpu)):
        each = np.diff(moments)[warm:] / BLOCK * 1000
        fifth = max(1, len(each) // 5)
        of_fifths = (each[:fifth], each[-fifth:])
        found[f"{name}_ms_a_step"] = [round(float(np.median(part)), 4) for part in of_fifths]
    return found


def write_clip(path, frames):
    """A small clip of noise that moves."""
    texture = np.random.default_rng(0).integers(0, 256, (32, 64, 3), np.uint8)
    video.write(path, (np.roll(texture, t, axis=1)[:, :32] for t in range(frames)), Fraction(25))


def evaluate(frames):
    """Measure a network on a long clip, with a report; the highest memory of the process."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "long.mp4"
        write_clip(path, frames)
        after_writing = peak()
        started = time.time()
        result = ktr.evaluate(
            {"network": network()}, [path], pathlib.Path(folder) / "out", show_progress=False
        )
        size = (pathlib.Path(folder) / "out" / "report.html").stat().st_size
    return {
        "frames": result.clips[0].frames,
        "seconds": round(time.time() - started, 1),
        "peak_mb": [after_writing, peak()],
        "report_kb": size // 1024,
    }


def peak():
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)


if __name__ == "__main__":
    for number in sys.argv[2:]:
        print(json.dumps({"steps": train, "clip": evaluate}[sys.argv[1]](int(number))), flush=True)
