"""Training that is killed repeatedly, for test_interruption.

Run as ``python interrupted.py WAY FOLDER KILLS``. Each life of a training is a process forked after
the imports, so that it starts at once; TensorFlow has not started anything before the fork.
"""

import functools
import os
import pathlib
import shutil
import signal
import sys
import time
import traceback

import numpy as np
import tensorflow as tf
from tensorflow import keras

import keras_temporal_reg as ktr
from keras_temporal_reg import saved_models
from keras_temporal_reg.io import image_files

EPOCHS, STEPS, BATCH = 4, 4, 4


def life(function, *, seconds=None):
    """Call `function` in a forked process, killed after `seconds`; whether it finished."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            function()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
    if seconds is not None:
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL, status
        return False
    assert os.WEXITSTATUS(status) == 0
    return True


class Kill(keras.callbacks.Callback):
    """Kills this process at the end of a batch, counted from the start of training."""

    def __init__(self, batch):
        super().__init__()
        self.left = batch

    def on_train_batch_end(self, batch, logs=None):
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def model_and_data(in_graph=True):
    keras.utils.set_random_seed(0)
    base = keras.Sequential(
        [
            keras.Input((16, 16, 1)),
            keras.layers.Conv2D(3, 3, padding="same", activation="relu"),
            keras.layers.Conv2D(1, 3, padding="same"),
        ]
    )
    model = ktr.RegularizedModel(base, ktr.RandomAffine(seed=0)) if in_graph else base
    loss = ktr.losses.SparseJacobianLoss(alpha=0.5)
    model.compile(keras.optimizers.Adam(0.01), loss, jit_compile=False)
    x = np.random.default_rng(0).uniform(size=(STEPS * BATCH, 16, 16, 1)).astype(np.float32)
    return model, x, x**2


def fit(backup, *callbacks, shuffled=False, in_graph=True):
    """Train with BackupAndRestore; where the data are shuffled, with a call per epoch."""
    model, x, y = model_and_data(in_graph)
    callbacks = [backup(), *callbacks]
    options = {"shuffle": False, "callbacks": callbacks, "verbose": 0}
    if not shuffled:
        model.fit(x, y, batch_size=BATCH, epochs=EPOCHS, **options)
        return model
    for epoch in range(EPOCHS):
        order = np.random.default_rng(epoch).permutation(len(x))
        batches = tf.data.Dataset.from_tensor_slices((x[order], y[order])).batch(BATCH)
        if not in_graph:
            batches = ktr.data.pair_with_transformed(batches, ktr.RandomAffine(), seed=epoch)
        model.fit(batches, initial_epoch=epoch, epochs=epoch + 1, **options)
    return model


def fit_and_save(path, *arguments, **options):
    model = fit(*arguments, **options)
    np.savez(path, *model.get_weights(), steps=model.optimizer.iterations.numpy())


def fits(folder, kills, shuffled=False, in_graph=True, **options):
    """One uninterrupted run, and one that is killed in random batches."""

    def backup(name):
        return functools.partial(
            keras.callbacks.BackupAndRestore,
            str(folder / name),
            delete_checkpoint=not shuffled,
            **options,
        )

    start = functools.partial(fit_and_save, shuffled=shuffled, in_graph=in_graph)
    assert life(lambda: start(folder / "whole.npz", backup("one")))
    rng = np.random.default_rng(0)
    for _ in range(kills):
        # Late enough that some of the lives get through an epoch.
        kill = Kill(int(rng.integers(1, 2 * STEPS)))
        if life(lambda kill=kill: start(folder / "killed.npz", backup("other"), kill)):
            return
    assert life(lambda: start(folder / "killed.npz", backup("other")))


def killed_in_a_backup(folder, kills):
    """Killed when Keras 3 has half written a backup, the second of each life."""

    def dies():
        whole, calls = keras.Model.save_weights, []

        def half(model, filepath, **options):
            whole(model, filepath, **options)
            calls.append(filepath)
            if len(calls) == 2:
                data = pathlib.Path(filepath).read_bytes()
                pathlib.Path(filepath).write_bytes(data[: len(data) // 2])
                os.kill(os.getpid(), signal.SIGKILL)

        keras.Model.save_weights = half
        fit(backup)

    def backup():
        path = str(folder / "backup")
        return keras.callbacks.BackupAndRestore(path, double_checkpoint=True)

    assert life(lambda: fit_and_save(folder / "whole.npz", backup))
    for _ in range(kills):
        assert not life(dies)
    assert life(lambda: fit_and_save(folder / "killed.npz", backup))


def finetune(folder, output, **options):
    return ktr.finetune(
        folder / "plain.keras",
        output,
        folder / "inputs",
        task="denoising",  # whose noise is drawn for x and for T(x)
        batch_size=2,
        crop=16,
        show_progress=False,
        **{"steps": 30, "alpha": 0.8, **options},
    )


def prepare(folder):
    for name, power in (("inputs", 1), ("targets", 2)):
        (folder / name).mkdir()
        for number in range(4):
            coarse = np.random.default_rng(number).random((1, 4, 4, 3))
            picture = tf.image.resize(tf.constant(coarse, tf.float32), (32, 40))[0].numpy()
            image_files.write(folder / name / f"{number}.png", picture**power)
    keras.utils.set_random_seed(0)
    layer = keras.layers.Conv2D(3, 3, padding="same")
    base = keras.Sequential([keras.Input((None, None, 3)), layer])
    saved_models.save(base, folder / "plain.keras", "keras")


def finetunes(folder, kills, **options):
    """`ktr.finetune`, killed after random times, some of them during a write."""
    assert life(lambda: prepare(folder))
    started = time.monotonic()
    assert life(lambda: finetune(folder, folder / "whole.keras", **options))
    whole = time.monotonic() - started
    output, rng, faster = folder / "killed.keras", np.random.default_rng(0), 0
    for number in range(kills):
        if life(lambda: finetune(folder, output, **options), seconds=rng.uniform(0.2, 1.0) * whole):
            faster += 1
            output.unlink()  # once more
        elif output.exists():
            shutil.copy(output, folder / f"early{number}.keras")
    print(f"killed {kills - faster} times, faster {faster} times", flush=True)
    if not output.exists():
        assert life(lambda: finetune(folder, output, **options))


WAYS = {
    "epoch": functools.partial(fits, save_freq="epoch"),
    "shuffled": functools.partial(fits, shuffled=True),
    "paired": functools.partial(fits, shuffled=True, in_graph=False),
    "batches": functools.partial(fits, save_freq=3),
    "backup": killed_in_a_backup,
    "finetune": finetunes,
    "blend": functools.partial(
        finetunes, alpha=None, strength=0.5, members=("plain", "sparse-jacobian"), steps=10
    ),
}

if __name__ == "__main__":
    WAYS[sys.argv[1]](pathlib.Path(sys.argv[2]), int(sys.argv[3]))
