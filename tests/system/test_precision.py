"""Low and high precision, bit-equal runs, NaN and infinity."""

import dataclasses
import os
import pathlib
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import tensorflow as tf
from helpers import interrupted
from tensorflow import keras

import keras_temporal_reg as ktr
from keras_temporal_reg import cli, tasks, transforms
from keras_temporal_reg.data import _directory
from keras_temporal_reg.finetuning import api as finetuning
from keras_temporal_reg.io import image_files
from keras_temporal_reg.losses import _regularized as losses

LOSSES = ("TransformInvarianceLoss", "SparseJacobianLoss")
ROUTES = ("in graph", "data set")
RATE = 0.1


@pytest.fixture
def policy():
    """A function that sets the global precision policy, which is restored after the test."""
    before = keras.mixed_precision.global_policy()
    yield keras.mixed_precision.set_global_policy
    keras.mixed_precision.set_global_policy(before)


def samples(count=4):
    x = np.random.default_rng(0).uniform(size=(count, 16, 16, 1)).astype(np.float32)
    return x, x**2


def network():
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input((16, 16, 1)),
            # No bias: TensorFlow sums its gradient in bfloat16, whatever the loss.
            keras.layers.Conv2D(4, 3, padding="same", activation="tanh", use_bias=False),
            keras.layers.Conv2D(1, 3, padding="same", use_bias=False),
        ]
    )


def step(loss, route, motion):
    """The loss of one eager step of Keras, and its gradient."""
    base, (x, y) = network(), samples()
    rng = np.random.default_rng(1)
    before = [rng.normal(scale=0.3, size=w.shape).astype(np.float32) for w in base.get_weights()]
    base.set_weights(before)
    model = ktr.RegularizedModel(base, motion) if route == "in graph" else base
    model.compile(keras.optimizers.SGD(RATE), loss, run_eagerly=True)
    if route == "data set":
        dataset = tf.data.Dataset.from_tensors((x, y))
        x, y = next(iter(ktr.data.pair_with_transformed(dataset, motion)))
    value = model.train_on_batch(x, y)
    after = base.get_weights()
    gradient = [(np.float64(u) - np.float64(v)) / RATE for u, v in zip(before, after)]
    return float(np.ravel(value)[0]), np.concatenate([g.ravel() for g in gradient])


# Rounding to a dtype has a relative error of at most this, half its epsilon.
ROUNDING = {"mixed_float16": 2.0**-11, "mixed_bfloat16": 2.0**-8}
# Products in the longest sums of a step: of an output, of a weight's gradient (8 rows).
OUTPUT_SUM, GRADIENT_SUM = 3 * 3 * 4, 8 * 16 * 16


@pytest.mark.slow
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("route", ROUTES)
def test_gradients_of_mixed_precision_are_those_of_full_precision(loss, route, policy):
    """A sum of n terms, each addition of which is rounded, has a relative error of sqrt(n)
    roundings (Higham and Mary 2019, "A new approach to probabilistic rounding error analysis").

    How many additions a CPU rounds differs: with AVX-512 it adds bfloat16 in float32.
    """

    def of(name):
        policy(name)
        return step(getattr(ktr.losses, loss)(alpha=0.7), route, ktr.RandomAffine(seed=0))

    value, gradient = of("float32")
    assert np.linalg.norm(gradient) > 0
    for name, rounding in ROUNDING.items():
        low_value, low = of(name)
        error = np.linalg.norm(low - gradient) / np.linalg.norm(gradient)
        assert error < np.sqrt(GRADIENT_SUM) * rounding, name
        # The loss is the square of an output.
        assert low_value == pytest.approx(value, rel=2 * np.sqrt(OUTPUT_SUM) * rounding), name
        assert not np.array_equal(low, gradient), name  # the policy was in effect
    high_value, high = of("float64")
    assert np.linalg.norm(high - gradient) < 1e-4 * np.linalg.norm(gradient)
    assert high_value == pytest.approx(value, rel=1e-4)
    assert not np.array_equal(high, gradient)


@pytest.mark.slow
@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("name", ["mixed_float16", "mixed_bfloat16"])
def test_the_loss_sees_the_motion_that_was_drawn(name, route, policy):
    drawn, seen = [], []

    class Motion(ktr.RandomAffine):
        def sample(self, *arguments, **options):
            made = super().sample(*arguments, **options)
            tf.py_function(lambda t: drawn.append(t.numpy()), [made], [])
            return made

    class Loss(ktr.losses.TransformInvarianceLoss):
        @staticmethod
        def compared(y, moved_y, output, moved_output, motions):
            seen.append(motions.numpy())
            return losses.transform_invariance(y, moved_y, output, moved_output, motions)

    policy(name)
    step(Loss(), route, Motion(seed=0))
    identity = np.array(transforms.IDENTITY, np.float32)
    exact = drawn[-1] - identity
    assert np.abs(exact[:, [0, 1, 2, 3, 4, 5]]).min() > 0
    assert (np.abs(seen[-1] - drawn[-1]) <= 2.0**-15 * np.abs(exact) + 1e-6).all()


DETERMINISTIC = """
    import numpy as np
    import tensorflow as tf
    from tensorflow import keras

    tf.config.experimental.enable_op_determinism()
    import keras_temporal_reg as ktr

    x = np.random.default_rng(0).uniform(size=(12, 16, 16, 1)).astype(np.float32)

    def trained_twice(compiled, in_graph):
        keras.utils.set_random_seed(0)
        base = keras.Sequential([
            keras.Input((16, 16, 1)),
            keras.layers.Conv2D(3, 3, padding="same", activation="relu"),
            keras.layers.Conv2D(1, 3, padding="same"),
        ])
        model = ktr.RegularizedModel(base) if in_graph else base
        optimizer = keras.optimizers.SGD(0.1)
        loss = ktr.losses.TransformInvarianceLoss(0.7)
        model.compile(optimizer, loss, jit_compile=compiled)
        start = base.get_weights()
        for _ in range(2):
            base.set_weights(start)
            optimizer.iterations.assign(0)
            keras.utils.set_random_seed(1)
            dataset = tf.data.Dataset.from_tensor_slices((x, x**2)).shuffle(12).batch(4)
            if not in_graph:
                dataset = ktr.data.pair_with_transformed(dataset, ktr.RandomAffine())
            model.fit(dataset, epochs=2, verbose=0)
            yield base.get_weights()

    for way in ((False, True), (True, True), (False, False)):
        first, second = trained_twice(*way)
        for a, b in zip(first, second):
            assert np.array_equal(a, b) and np.isfinite(a).all(), way
"""


@pytest.mark.slow
def test_op_determinism_gives_the_same_bits_with_and_without_xla():
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(DETERMINISTIC)],
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-4000:]


# NaN and infinity.


class Weights(keras.callbacks.Callback):
    """Weights and optimizer state before each batch."""

    def on_train_begin(self, logs=None):
        self.kept = []

    def on_train_batch_begin(self, batch, logs=None):
        model = self.model
        self.kept.append([np.array(v) for v in [*model.variables, *model.optimizer.variables]])


def undone(loss, x, y, compiled):
    """The error of a run that must stop, after a check that it restored the last good state."""
    base = network()
    model = ktr.RegularizedModel(base, ktr.RandomAffine(seed=0))
    model.compile(keras.optimizers.Adam(0.01), loss, jit_compile=compiled)
    weights, check = Weights(), ktr.callbacks.CheckNumerics()
    with pytest.raises(ValueError, match=r"batch 2 in epoch 0 .* as they were") as error:
        model.fit(x, y, batch_size=4, shuffle=False, verbose=0, callbacks=[check, weights])
    after = [np.array(v) for v in [*model.variables, *model.optimizer.variables]]
    assert len(after) == len(weights.kept[-1])
    assert len(weights.kept) == 3
    for u, v in zip(weights.kept[-1], after):
        np.testing.assert_array_equal(u, v)
    assert max(np.abs(u - v).max() for u, v in zip(after, weights.kept[0])) > 0
    return str(error.value)


@pytest.mark.slow
@pytest.mark.parametrize("compiled", [False, True])
def test_a_non_finite_loss_is_undone(compiled):
    x, y = samples(12)
    y[9] = np.inf
    said = undone(ktr.losses.SparseJacobianLoss(0.5), x, y, compiled)
    assert said.startswith("the loss of batch 2")


def test_a_non_finite_gradient_is_undone():
    x, y = samples(12)
    y[8:] = -1.0

    @tf.custom_gradient
    def of_no_gradient(values):
        return values, lambda upstream: upstream * np.nan

    def reconstruction(y_true, y_pred):
        return tf.cond(
            tf.reduce_any(y_true == -1.0),
            lambda: of_no_gradient(tf.square(y_pred - y_true)),
            lambda: tf.square(y_pred - y_true),
        )

    said = undone(ktr.losses.SparseJacobianLoss(0.5, reconstruction), x, y, False)
    assert said.startswith("the gradient of batch 2")


@pytest.mark.slow
def test_finite_numbers_train_as_without_a_check():
    x, y = samples(12)

    def trained(*callbacks):
        model = ktr.RegularizedModel(network(), ktr.RandomAffine(seed=0))
        model.compile("adam", ktr.losses.SparseJacobianLoss(0.5), jit_compile=False)
        model.fit(x, y, batch_size=4, shuffle=False, verbose=0, callbacks=list(callbacks))
        return model.get_weights()

    for a, b in zip(trained(), trained(ktr.callbacks.CheckNumerics())):
        np.testing.assert_array_equal(a, b)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finetune")
    interrupted.prepare(folder)
    return folder


def test_fine_tuning_names_the_picture_that_holds_no_number(folder, tmp_path, monkeypatch):
    calls = []

    def input_of(rgb):
        calls.append(rgb)
        # The fourth picture turns bad after all were looked at, and the first one twice.
        return np.full_like(rgb, np.nan) if len(calls) > 5 and rgb.mean() == bad else rgb

    loader = _directory.loader
    monkeypatch.setattr(_directory, "loader", lambda task, cache_bytes=None: loader(task, 0))
    bad = image_files.read(folder / "inputs" / "3.png").mean()
    task = dataclasses.replace(tasks.restoration, encode_input=input_of)
    with pytest.raises(ValueError, match=r"the x of step \d+ is NaN .* Its images: 3\.png$"):
        finetuning.finetune(
            folder / "plain.keras",
            tmp_path / "steady.keras",
            folder / "inputs",
            folder / "targets",
            task=task,
            steps=10,
            batch_size=2,
            crop=16,
            validation=0.0,
            show_progress=False,
            check_numerics=True,
            alpha=0.8,
        )
    assert not (tmp_path / "steady.keras").exists()


@pytest.mark.slow
def test_fine_tuning_names_the_step_whose_loss_is_no_number(folder, tmp_path):
    def reconstruction(y_true, y_pred):
        return tf.square(y_pred - y_true) / 0.0

    with pytest.raises(ValueError, match=r"the loss of step 0 is .* Its images: \d.png, \d.png$"):
        interrupted.finetune(
            folder,
            tmp_path / "steady.keras",
            reconstruction=reconstruction,
            check_numerics=True,
        )


def test_the_command_checks_numbers_on_request():
    words = "finetune m.keras --inputs in --output out.keras --check-numerics".split()
    options = cli._parser().parse_args(words)
    assert options.check_numerics
    assert not cli._parser().parse_args(words[:-1]).check_numerics
    assert options.model == pathlib.Path("m.keras")
