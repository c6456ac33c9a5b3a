"""Training part by part: the batches of each part, early stopping, and resuming."""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

import keras_temporal_reg as ktr
from keras_temporal_reg.finetuning import config, training
from keras_temporal_reg.finetuning.checkpoints import RunFolder

X = np.random.default_rng(0).random((12, 8, 8, 1)).astype(np.float32)


def network(learning_rate=0.01, wrapped=True):
    keras.utils.set_random_seed(0)
    base = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Conv2D(1, 3, padding="same")])
    model = ktr.RegularizedModel(base, ktr.RandomAffine(seed=0)) if wrapped else base
    loss = ktr.losses.SparseJacobianLoss(0.5) if wrapped else "mse"
    model.compile(keras.optimizers.Adam(learning_rate), loss, jit_compile=False)
    return model


def batches(start, stop):
    """One batch per step, another one each."""
    whole = tf.data.Dataset.from_tensor_slices((X, X**2)).batch(2).repeat()
    return whole.skip(start).take(stop - start)


def validation():
    return tf.data.Dataset.from_tensor_slices((X[:2], X[:2] ** 2)).batch(2)


def test_the_losses_are_those_of_the_config():
    assert tuple(training.LOSSES) == config.METHODS


def test_parts_cover_the_steps_without_a_gap():
    for steps in (1, 4, 10, 37):
        bounds = [training.first_step(part, steps, 10) for part in range(11)]
        assert bounds[0] == 0 and bounds[-1] == steps and bounds == sorted(bounds)


def test_one_part_is_a_call_of_fit():
    alone, trained = network(wrapped=False), network(wrapped=False)
    alone.fit(batches(0, 6), shuffle=False, verbose=0)
    seen = []
    # Endless batches will do: the number of steps is given.
    history = training.train(
        trained, lambda *_: batches(0, 100), 6, advance=lambda count, note: seen.append(count)
    )
    assert (history.steps, len(history.loss), history.val_loss) == (6, 1, [])
    assert seen == [0] + [1] * 6
    for a, b in zip(alone.get_weights(), trained.get_weights()):
        np.testing.assert_array_equal(a, b)


class Stop(Exception):
    pass


class StopInPart(keras.callbacks.Callback):
    """Stops in the first batch of a part."""

    def __init__(self, part):
        super().__init__()
        self.part = part

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == self.part:
            raise Stop


def test_a_resumed_run_is_the_uninterrupted_one(tmp_path):
    def train(name, *called):
        model, advanced = network(), []
        history = training.train(
            model,
            batches,
            3,
            parts=3,
            validation=validation(),
            patience=9,
            run=RunFolder(tmp_path / name, {"steps": 3}),
            advance=lambda count, note: advanced.append(count),
            callbacks=called,
        )
        return model.base_model.get_weights(), history, advanced

    weights, history, _ = train("whole")
    with pytest.raises(Stop):
        train("stopped", StopInPart(1))
    resumed_weights, resumed, advanced = train("stopped")
    assert advanced == [1, 1, 1]
    assert (resumed.steps, resumed.loss, resumed.val_loss) == (3, history.loss, history.val_loss)
    for a, b in zip(weights, resumed_weights):
        np.testing.assert_array_equal(a, b)


@pytest.mark.slow
def test_early_stopping_takes_the_weights_of_the_best_part(tmp_path):
    model = network(learning_rate=1.0)
    weights = {}
    keep = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: weights.update({epoch: model.base_model.get_weights()})
    )
    history = training.train(
        model, batches, 10, parts=10, validation=validation(), patience=2, callbacks=[keep]
    )
    best = int(np.argmin(history.val_loss))
    assert len(history.val_loss) == best + 3 < 10 and history.steps == best + 3
    for a, b in zip(model.base_model.get_weights(), weights[best]):
        np.testing.assert_array_equal(a, b)
