"""Several devices and several processes train what one process does."""

import functools
import json
import os
import pathlib
import re
import socket
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from helpers import distributed
from helpers.distributed import BATCH, ODD, RATE, SAME, UNEVEN, X, Y
from tensorflow import keras

import keras_temporal_reg as ktr
from keras_temporal_reg.data import _pairing as pairing

KERAS_3 = hasattr(keras, "ops")
SCRIPT = pathlib.Path(distributed.__file__)


def in_processes(environments, cases, folder):
    """What each process of `distributed.py` saved; all of them are gone afterwards."""
    quiet = {"CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    started = []
    try:
        for number, environment in enumerate(environments):
            with open(folder / f"{number}.log", "w") as log:
                process = subprocess.Popen(
                    [sys.executable, SCRIPT, ",".join(cases), folder / f"{number}.npz"],
                    env={**os.environ, **quiet, **environment},
                    stdout=log,
                    stderr=log,
                )
            started.append(process)
        for number, process in enumerate(started):
            code = process.wait(timeout=240)
            assert code == 0, (folder / f"{number}.log").read_text()[-4000:]
    finally:
        for process in started:
            process.kill()
            process.wait()
    return [np.load(folder / f"{number}.npz") for number in range(len(started))]


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("localhost", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def by_workers(count, cases, folder):
    workers = [f"localhost:{port}" for port in free_ports(count)]
    tasks = [{"type": "worker", "index": n} for n in range(count)]
    return in_processes(
        [{"TF_CONFIG": json.dumps({"cluster": {"worker": workers}, "task": t})} for t in tasks],
        cases,
        folder,
    )


@functools.lru_cache
def by_one_process(case):
    return SAME[case]().get_weights()


def weights(found, case):
    names = [name for name in found.files if name.startswith(f"{case}/")]
    return [found[name] for name in names]


def assert_same(a, b, atol=1e-5):
    assert len(a) == len(b) == 4
    for u, v in zip(a, b):
        np.testing.assert_allclose(u, v, rtol=0, atol=atol)


def shares(rows, replicas):
    """How TensorFlow divides a batch."""
    most = -(-rows // replicas)
    return [slice(first, min(first + most, rows)) for first in range(0, rows, most)]


def step_by_step(loss, transform, rows, replicas, batch=BATCH):
    """Gradient descent by hand: the mean over replicas of what each one's share gives."""
    model = distributed.network()
    for step in range(-(-len(X[rows]) // batch)):
        x, y = (part[rows][step * batch : (step + 1) * batch] for part in (X, Y))
        sums = [0.0] * 4
        for replica, share in enumerate(shares(len(x), replicas)):
            seed = tf.random.experimental.stateless_fold_in(tf.constant([0, step]), replica)
            paired_x, y_true, _ = pairing.pair(x[share], y[share], transform=transform, seed=seed)
            with tf.GradientTape() as tape:
                value = loss(y_true, model(paired_x))
            gradients = tape.gradient(value, model.trainable_variables)
            sums = [s + np.array(g) / replicas for s, g in zip(sums, gradients)]
        model.set_weights([w - RATE * s for w, s in zip(model.get_weights(), sums)])
    return model.get_weights()


def of_uneven(replicas):
    loss = distributed.loss_of("TransformInvarianceLoss")
    return step_by_step(loss, ktr.RandomAffine(), UNEVEN, replicas)


def furthest(a, b):
    return max(np.abs(u - v).max() for u, v in zip(a, b))


# One test, since each process takes its time to begin.
@pytest.mark.slow
def test_two_devices_train_what_one_process_does(tmp_path):
    cases = [*distributed.CASES, "split pairs", *(["accumulated"] if KERAS_3 else [])]
    (mirrored,) = in_processes([{"TEST_DEVICES": "2"}], cases, tmp_path)
    assert mirrored["replicas"] == 2
    for case in SAME:
        assert furthest(by_one_process(case), distributed.network().get_weights()) > 0.01
        assert_same(weights(mirrored, case), by_one_process(case))

    # Each draws its own motions, and an uneven batch is shared as Keras shares it.
    assert_same(weights(mirrored, "uneven"), of_uneven(2))
    assert furthest(of_uneven(2), of_uneven(1)) > 1e-4
    assert_same(weights(mirrored, "alpha 0"), weights(mirrored, "plain"), atol=1e-6)

    # A data set of pairs: batches made for each replica, and batches whose pairs are split.
    loss, rows = distributed.loss_of("SparseJacobianLoss"), slice(0, 4 * ODD)
    expected = step_by_step(loss, distributed.OneMotion(), rows, 2, batch=ODD)
    assert_same(weights(mirrored, "for each replica"), expected)
    assert re.search(r"split pairs.*multiple of.*RegularizedModel", str(mirrored["split pairs"]))

    # Plain Keras cannot accumulate gradients on several devices; the wrapper says so.
    if KERAS_3:
        of_keras, own = mirrored["accumulated"]
        assert of_keras.startswith("RuntimeError") and "merge_call" in of_keras
        assert re.search(r"NotImplementedError: .*gradient_accumulation_steps.*2 replicas", own)


several_workers = pytest.mark.skipif(KERAS_3, reason="Keras 3 cannot train on several workers")


@several_workers
def test_two_workers_train_what_one_process_does(tmp_path):
    for found in by_workers(2, ["data", "uneven"], tmp_path):
        assert found["replicas"] == 2
        assert_same(weights(found, "data"), by_one_process("data"))
        assert_same(weights(found, "uneven"), of_uneven(2))


@several_workers
def test_four_workers_train_what_one_process_does(tmp_path):
    for found in by_workers(4, ["invariance"], tmp_path):
        assert found["replicas"] == 4
        assert_same(weights(found, "invariance"), by_one_process("invariance"))


@pytest.mark.skipif(not KERAS_3, reason="Keras 2 can train on several workers")
def test_keras_3_says_at_once_that_it_cannot_train_on_several_workers(monkeypatch):
    class Several:
        num_replicas_in_sync = 2
        extended = type("Extended", (), {"worker_devices": ("CPU:0",)})

    monkeypatch.setattr(tf.distribute, "MultiWorkerMirroredStrategy", Several)
    monkeypatch.setattr(tf.distribute, "get_strategy", Several)
    with pytest.raises(NotImplementedError, match=r"TF_USE_LEGACY_KERAS=1.*TensorFlow 2.15"):
        ktr.RegularizedModel(distributed.network())
