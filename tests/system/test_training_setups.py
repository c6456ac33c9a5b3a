"""Accumulation, losses of the model, dtypes: what wrapping a model must not change in training."""

import itertools

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

import keras_temporal_reg as ktr
from keras_temporal_reg.data import _paired_target as paired_target

layers = keras.layers
KERAS_3 = hasattr(keras, "ops")
only_keras_3 = pytest.mark.skipif(not KERAS_3, reason="only Keras 3 accumulates gradients")
RNG = np.random.default_rng(0)
X = RNG.uniform(size=(8, 8, 8, 3)).astype(np.float32)
Y = RNG.uniform(size=(8, 8, 8, 3)).astype(np.float32)


@pytest.fixture(autouse=True)
def without_xla():
    """It takes seconds to compile, and what is tested here does not depend on it."""
    ktr.image.set_backend("op")


def convolution(**kwargs):
    return layers.Conv2D(3, 3, padding="same", **kwargs)


def network():
    return network_of(lambda: [convolution()])


def network_of(make):
    keras.utils.set_random_seed(0)  # layers of Keras 3 take their seeds when they are made
    return keras.Sequential([keras.Input((8, 8, 3)), *make()])


def noisy(images, seed):
    return images + 0.1 * tf.random.stateless_normal(tf.shape(images), seed)


def accumulating(steps=4, scales_the_loss=False, **options):
    """A compiled model, whose optimizer updates the weights every few batches."""
    transform = ktr.RandomAffine(seed=0)
    model = ktr.RegularizedModel(network(), transform, **options)
    optimizer = keras.optimizers.Adam(1e-2, gradient_accumulation_steps=steps)
    if scales_the_loss:
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    model.compile(optimizer, ktr.losses.SparseJacobianLoss(), run_eagerly=True)
    return model


def train(model, batches, y=Y):
    """The paired batches of so many steps."""
    seen = []
    for _ in range(batches):
        paired_x, paired_y, _ = model.pair(X[:2], y[:2])
        seen.append((np.array(paired_x), np.array(paired_y)))
        model.train_on_batch(X[:2], y[:2])
    return seen


def assert_all_differ(arrays):
    for a, b in itertools.combinations(arrays, 2):
        assert np.abs(a - b).max() > 1e-3


@only_keras_3
@pytest.mark.parametrize("name", ["perturbation", "make_input"])
def test_each_batch_draws_anew_where_gradients_accumulate(name):
    """T is the identity in effect: what differs is the noise."""
    still = ktr.RandomAffine(0.0, 0.0, 0.0, 0.0, seed=0)
    model = ktr.RegularizedModel(network(), still, **{name: noisy})
    optimizer = keras.optimizers.SGD(1e-3, gradient_accumulation_steps=4)
    model.compile(optimizer, ktr.losses.SparseJacobianLoss(), run_eagerly=True)
    assert_all_differ([x[1::2] for x, _ in train(model, 6)])


@only_keras_3
@pytest.mark.parametrize("scales_the_loss", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_run_resumed_between_two_updates_is_that_of_one_piece(tmp_path, scales_the_loss):
    whole = accumulating(perturbation=noisy, scales_the_loss=scales_the_loss)
    expected = train(whole, 6)
    first = accumulating(perturbation=noisy, scales_the_loss=scales_the_loss)
    train(first, 3)
    first.save_weights(tmp_path / "run.weights.h5")
    resumed = accumulating(perturbation=noisy, scales_the_loss=scales_the_loss)
    resumed.optimizer.build(resumed.trainable_variables)
    resumed.load_weights(tmp_path / "run.weights.h5")
    for found, wanted in zip(train(resumed, 3), expected[3:]):
        for a, b in zip(found, wanted):
            np.testing.assert_array_equal(a, b)
    for a, b in zip(resumed.get_weights(), whole.get_weights()):
        np.testing.assert_allclose(a, b, atol=1e-6)


class Interrupt(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 2:
            raise KeyboardInterrupt


@pytest.mark.slow
@only_keras_3
def test_run_that_a_backup_restores_is_that_of_one_piece(tmp_path):
    """An epoch has three batches, an update takes four."""

    def fit(*callbacks):
        model = accumulating()
        model.fit(
            X[:6], Y[:6], batch_size=2, epochs=4, shuffle=False, verbose=0, callbacks=[*callbacks]
        )
        return model.get_weights()

    expected = fit()
    backup = keras.callbacks.BackupAndRestore(tmp_path / "backup")
    with pytest.raises(KeyboardInterrupt):
        fit(backup, Interrupt())
    for a, b in zip(fit(keras.callbacks.BackupAndRestore(tmp_path / "backup")), expected):
        np.testing.assert_allclose(a, b, atol=1e-6)


@only_keras_3
def test_batch_whose_gradients_overflow_is_followed_by_another_draw():
    """Keras does not count it, and trains on; T must not come again."""
    model = ktr.RegularizedModel(network(), ktr.RandomAffine(seed=0))
    optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(1e-3), initial_scale=2e38)
    model.compile(optimizer, ktr.losses.SparseJacobianLoss(), run_eagerly=True)
    seen = train(model, 4, 1e6 * Y)
    assert int(model.optimizer.iterations) < 4
    assert_all_differ([x for x, _ in seen])


def test_draws_without_an_overflow_are_those_without_loss_scaling():
    drawn = []
    for scales_the_loss in (False, True):
        model = ktr.RegularizedModel(network(), ktr.RandomAffine(seed=0))
        optimizer = keras.optimizers.SGD(1e-3)
        if scales_the_loss:
            scaling = keras.optimizers if KERAS_3 else keras.mixed_precision
            optimizer = scaling.LossScaleOptimizer(optimizer)
        model.compile(optimizer, ktr.losses.SparseJacobianLoss(), run_eagerly=True)
        drawn.append(train(model, 3))
    for a, b in zip(*drawn):
        np.testing.assert_array_equal(a[0], b[0])


@pytest.mark.slow
@only_keras_3
def test_tf_data_route_accumulates_as_the_in_graph_route_does():
    class Shift:
        def sample(self, batch_size, height, width, seed=None):
            return tf.tile([[1.0, 0.0, 1.5, 0.0, 1.0, 0.0, 0.0, 0.0]], (batch_size, 1))

        def apply(self, images, transforms):
            return ktr.image.transform(images, transforms, "bilinear", "reflect")

    loss = ktr.losses.SparseJacobianLoss()
    dataset = tf.data.Dataset.from_tensor_slices((X, Y)).batch(2)
    trained = []
    for in_graph in (True, False):
        base = network()
        model = ktr.RegularizedModel(base, Shift()) if in_graph else base
        optimizer = keras.optimizers.SGD(0.1, gradient_accumulation_steps=2)
        model.compile(optimizer, loss, run_eagerly=True)
        data = dataset if in_graph else ktr.data.pair_with_transformed(dataset, Shift())
        model.fit(data, verbose=0)
        trained.append(base.get_weights())
    for a, b in zip(*trained):
        np.testing.assert_allclose(a, b, atol=1e-6)


@only_keras_3
def test_loop_with_two_optimizers_that_accumulate_draws_anew_for_each_batch():
    """The step that seeds the draw is the loop's own count, as in how-to/custom-loop.md."""
    generator, discriminator = network(), keras.Sequential([keras.Input((8, 8, 3)), convolution()])
    optimizers = [keras.optimizers.Adam(1e-2, gradient_accumulation_steps=n) for n in (2, 3)]
    temporal = ktr.losses.SparseJacobianLoss()
    motion = ktr.RandomAffine(seed=0)
    drawn, updates = [], []
    before = [np.array(v) for v in generator.trainable_variables]
    for step in range(6):
        rows, y_true, _ = ktr.pair(X[:2], Y[:2], motion, seed=(0, step))
        drawn.append(np.array(rows))
        with tf.GradientTape(persistent=True) as tape:
            made = generator(rows, training=True)
            score = tf.reduce_mean(discriminator(made[::2], training=True))
            loss = temporal(y_true, made) - 0.1 * score
        for model, optimizer, value in zip((generator, discriminator), optimizers, (loss, score)):
            variables = model.trainable_variables
            optimizer.apply_gradients(zip(tape.gradient(value, variables), variables))
        after = [np.array(v) for v in generator.trainable_variables]
        updates.append(any((a != b).any() for a, b in zip(after, before)))
        before = after
    assert updates == [False, True] * 3
    assert_all_differ(drawn)


class AddsLoss(layers.Layer):
    """A loss of the rows: their mean, or their sum, of all that come through."""

    def __init__(self, reduce, **kwargs):
        super().__init__(**kwargs)
        self.reduce = reduce

    def call(self, x):
        self.add_loss(0.1 * self.reduce(tf.square(x)))
        return x


OWN_LOSSES = {
    "activity": lambda: [convolution(activity_regularizer="l2"), convolution()],
    "sum": lambda: [convolution(), AddsLoss(tf.reduce_sum), convolution(kernel_regularizer="l2")],
    "not linear": lambda: [convolution(), AddsLoss(tf.math.reduce_std)],
    "weights": lambda: [convolution(kernel_regularizer="l2", bias_regularizer="l1")],
}


@pytest.mark.parametrize(
    "name, options",
    [
        ("activity", {"run_eagerly": True}),
        ("sum", {"run_eagerly": True}),
        pytest.param("not linear", {"run_eagerly": True}, marks=pytest.mark.slow),
        pytest.param("weights", {"run_eagerly": True}, marks=pytest.mark.slow),
        pytest.param("activity", {"jit_compile": False}, marks=pytest.mark.slow),
        pytest.param("sum", {"jit_compile": True}, marks=pytest.mark.slow),
    ],
)
def test_losses_that_the_model_adds_are_those_of_plain_keras(name, options):
    if options.get("jit_compile"):
        ktr.image.set_backend("xla")
    plain, base = (network_of(OWN_LOSSES[name]) for _ in range(2))
    model = ktr.RegularizedModel(base, ktr.RandomAffine(seed=0))
    histories = []
    for each, loss in ((plain, "mse"), (model, ktr.losses.SparseJacobianLoss(alpha=0.0))):
        each.compile(keras.optimizers.SGD(1e-3), loss, **options)
        data = {"validation_data": (X, Y), "batch_size": 4, "shuffle": False, "verbose": 0}
        histories.append(each.fit(X, Y, epochs=2, **data).history)
    for key, values in histories[0].items():
        assert histories[1][key] == pytest.approx(values, rel=1e-5), key
    for a, b in zip(base.get_weights(), plain.get_weights()):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_model_without_losses_of_its_rows_is_called_once_per_step():
    calls = []

    class Counted(layers.Layer):
        def call(self, x):
            calls.append(x.shape[0])
            return x

    model = ktr.RegularizedModel(network_of(lambda: [Counted(), *OWN_LOSSES["weights"]()]))
    model.compile("sgd", ktr.losses.SparseJacobianLoss(), run_eagerly=True)
    model.train_on_batch(X[:2], Y[:2])
    calls.clear()
    model.train_on_batch(X[:2], Y[:2])
    assert calls == [4]


def test_own_losses_with_unknown_channels_are_refused():
    spec = tf.TensorSpec((None, None, None, None), tf.float32)
    dataset = tf.data.Dataset.from_generator(lambda: [(X, Y)], output_signature=(spec, spec))
    model = ktr.RegularizedModel(network_of(OWN_LOSSES["sum"]))
    model.compile("sgd", ktr.losses.SparseJacobianLoss(), jit_compile=False)
    with pytest.raises(ValueError, match=r"channels that is known.*adds losses.*ensure_shape"):
        model.fit(dataset, verbose=0)


def values_of(model, loss, x, y, options, data):
    """The history of two epochs without learning."""
    model.compile(keras.optimizers.SGD(0.0), loss, **options)
    return model.fit(x, y, batch_size=4, epochs=2, shuffle=False, verbose=0, **data).history


WHOLE = (255 * X).astype(np.uint8)


@pytest.mark.parametrize(
    "x, y, options, data",
    [
        (WHOLE, Y, {}, {}),
        pytest.param(X, WHOLE, {}, {}, marks=pytest.mark.slow),
        pytest.param(X, Y, {"loss_weights": [0.5]}, {}, marks=pytest.mark.slow),
        (X, Y, {"weighted_metrics": ["mae"]}, {"sample_weight": np.arange(8.0)[:, None, None]}),
        pytest.param(
            *(X, Y, {"run_eagerly": False, "steps_per_execution": 2}, {}), marks=pytest.mark.slow
        ),
    ],
    ids=["uint8 x", "uint8 y", "loss_weights", "weighted_metrics", "steps_per_execution"],
)
def test_without_regularizer_training_is_that_of_plain_keras(x, y, options, data):
    options = {"run_eagerly": True, "metrics": ["mse"], **options}
    expected = values_of(network(), "mse", x, y, options, data)
    model = ktr.RegularizedModel(network(), ktr.RandomAffine(seed=0))
    found = values_of(model, ktr.losses.SparseJacobianLoss(alpha=0.0), x, y, options, data)
    assert {*found} == {*expected}
    for key, values in expected.items():
        assert found[key] == pytest.approx(values, rel=1e-5), key


@pytest.mark.slow
def test_each_batch_of_an_execution_draws_anew():
    losses = []
    for steps in (1, 4):
        model = ktr.RegularizedModel(network(), ktr.RandomAffine(seed=0))
        loss = ktr.losses.SparseJacobianLoss()
        model.compile(keras.optimizers.SGD(1e-2), loss, steps_per_execution=steps)
        model.fit(X, Y, batch_size=2, shuffle=False, verbose=0)
        losses.append(model.get_weights())
    for a, b in zip(*losses):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_sequential_without_an_input_layer_trains():
    keras.utils.set_random_seed(0)
    model = ktr.RegularizedModel(keras.Sequential([convolution()]), ktr.RandomAffine(seed=0))
    loss = ktr.losses.SparseJacobianLoss(alpha=0.0)
    model.compile(keras.optimizers.SGD(0.1), loss, run_eagerly=True)
    losses = model.fit(X, Y, epochs=2, verbose=0).history["loss"]
    assert losses[1] < losses[0]


def test_noise_on_whole_numbers_is_rounded_and_clipped():
    """A cast would cut fractions off, and wrap 256 around to 0."""
    x, _, _ = ktr.pair(WHOLE, Y, None, (0, 1), perturbation=lambda t: tf.cast(t, tf.float32) + 9.6)
    assert x.dtype == tf.uint8
    np.testing.assert_array_equal(x[1::2], np.minimum(WHOLE.astype(int) + 10, 255))


@pytest.mark.parametrize(
    "x", [tf.RaggedTensor.from_tensor(X), tf.sparse.from_dense(X)], ids=["ragged", "sparse"]
)
def test_tensors_that_are_not_dense_are_refused(x):
    with pytest.raises(ValueError, match=rf"must be dense.*Received: a {type(x).__name__}"):
        ktr.pair(x, Y, ktr.RandomAffine(), (0, 1))
    dataset = tf.data.Dataset.from_tensors((x, Y))
    with pytest.raises(ValueError, match="must be dense"):
        ktr.data.pair_with_transformed(dataset, ktr.RandomAffine())


@pytest.mark.parametrize("shape", [(2, 3, 32, 48), (2, 1, 24, 24)])
def test_data_that_looks_channels_first_is_warned_of(shape):
    images = np.zeros(shape, np.float32)
    with pytest.warns(UserWarning, match=rf"channels-last.*Received: x of shape \({shape[0]}, "):
        ktr.pair(images, images, None, (0, 1), perturbation=tf.identity)


def test_data_set_that_looks_channels_first_is_warned_of():
    images = np.zeros((2, 3, 32, 48), np.float32)
    dataset = tf.data.Dataset.from_tensors((images, images))
    with pytest.warns(UserWarning, match="y must be in channels-last order"):
        ktr.data.pair_with_transformed(dataset, None, perturbation=tf.identity)


class WithoutSeed:
    """A transform of a user's own that draws from TensorFlow's global generator."""

    def sample(self, batch_size, height, width):
        shift = tf.random.uniform((batch_size, 1))
        return ktr.transforms.identity(batch_size) + shift * [0.0, 0, 1, 0, 0, 1, 0, 0]

    def apply(self, images, transforms):
        return ktr.image.transform(images, transforms, "bilinear", "reflect")


def test_transform_whose_sample_takes_no_seed_is_warned_of_and_trains():
    with pytest.warns(UserWarning, match=r"no argument `seed`.*resumed.*other transforms") as found:
        model = ktr.RegularizedModel(network(), WithoutSeed())
    assert [w.filename for w in found if w.category is UserWarning] == [__file__]
    model.compile("sgd", ktr.losses.SparseJacobianLoss(), run_eagerly=True)
    assert_all_differ([x for x, _ in train(model, 3)])
    dataset = tf.data.Dataset.from_tensor_slices((X, Y)).batch(4)
    with pytest.warns(UserWarning, match="no argument `seed`"):
        paired = ktr.data.pair_with_transformed(dataset, WithoutSeed())
    moved = [paired_target.decode(y).transforms[1::2] for _, y in paired]
    assert_all_differ([np.array(t) for t in moved])


def test_methods_of_a_transform_that_cannot_be_called_are_refused():
    class NoSize(WithoutSeed):
        def sample(self, batch_size, seed=None):
            raise NotImplementedError

    class NoTransforms(ktr.RandomAffine):
        def apply(self, images):
            raise NotImplementedError

    with pytest.raises(TypeError, match=r"sample\(batch_size, height, width.*Received: sample\("):
        ktr.RegularizedModel(network(), NoSize())
    with pytest.raises(TypeError, match=r"Received: apply\(images\): too many"):
        ktr.data.pair_with_transformed(tf.data.Dataset.from_tensors((X, Y)), NoTransforms())
