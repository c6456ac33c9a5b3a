"""Tests of keras_temporal_reg.model: the in-graph route, on every kind of model and mode."""

import itertools
import types

import numpy as np
import pytest
import tensorflow as tf
from helpers.models import KERAS_3
from tensorflow import keras

import keras_temporal_reg as ktr
from keras_temporal_reg.data import _paired_target as paired_target
from keras_temporal_reg.data import _pairing as pairing

layers = keras.layers
DEFAULT = object()


def samples(count=8, channels=2, size=16, scale=1, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.uniform(size=(count, size, size, 3))
    y = rng.uniform(size=(count, scale * size, scale * size, channels))
    return x.astype(np.float32), y.astype(np.float32)


def network(channels=2, size=16):
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input((size, size, 3)),
            layers.Conv2D(4, 3, padding="same", activation="relu"),
            layers.Conv2D(channels, 3, padding="same"),
        ]
    )


def linear(channels=2):
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [keras.Input((16, 16, 3)), layers.Conv2D(channels, 3, padding="same", use_bias=False)]
    )


def fixed_motions(count=8, seed=0):
    """Translations, each of some pixels and a half, that stay the same for ever."""
    rng = np.random.default_rng(seed)
    motions = np.tile(np.array([1, 0, 0, 0, 1, 0, 0, 0], np.float32), (count, 1))
    motions[:, [2, 5]] = rng.integers(-3, 3, size=(count, 2)) + 0.5
    return motions


def fixed_transform(motions):
    """A transform of a user's own: always the same T, and nothing that RandomAffine has."""

    def sample(batch_size, height, width, seed=None):
        return tf.constant(motions)[:batch_size]

    def apply(images, transforms):
        return ktr.image.transform(images, transforms, "bilinear", "reflect")

    return types.SimpleNamespace(sample=sample, apply=apply)


def weights(model):
    return [np.array(w) for w in model.get_weights()]


def assert_same_weights(a, b, atol=0.0):
    assert len(a) == len(b)
    for u, v in zip(a, b):
        np.testing.assert_allclose(u, v, rtol=0, atol=atol)


def train(base, data=None, epochs=1, batch_size=4, loss=None, optimizer=None, **kwargs):
    """Train with a RegularizedModel; returns it and the history.

    Without XLA, which takes seconds to compile, unless told otherwise; `jit_compile=DEFAULT`
    leaves the choice to Keras, and Keras 3 takes XLA.
    """
    options = {name: kwargs.pop(name) for name in ("run_eagerly", "metrics") if name in kwargs}
    jit_compile = kwargs.pop("jit_compile", False)
    if jit_compile is not DEFAULT and "run_eagerly" not in options:
        options["jit_compile"] = jit_compile
    x, y = samples() if data is None else data
    model = ktr.RegularizedModel(base, **kwargs)
    loss = loss or ktr.losses.TransformInvarianceLoss(alpha=0.9)
    model.compile(optimizer or keras.optimizers.SGD(0.1), loss, **options)
    history = model.fit(x, y, epochs=epochs, batch_size=batch_size, shuffle=False, verbose=0)
    return model, history.history


def assert_trains(base, data=None, **kwargs):
    before = weights(base)
    _, history = train(base, data, epochs=2, **kwargs)
    assert np.all(np.isfinite(history["loss"]))
    moved = [np.abs(a - b).max() for a, b in zip(before, weights(base))]
    assert max(moved) > 0 and np.all(np.isfinite(moved))


def formula(loss, model, x, y, motions, sample_weight=None):
    """L as method.md has it, from f, T, x and y alone: no pairing, no Keras loss."""
    transforms = tf.constant(motions)

    def moved(images):
        return ktr.image.transform(images, transforms, "bilinear", "reflect")

    rows, columns = np.mgrid[:16, :16].astype(np.float32)
    from_x = columns + motions[:, 2, None, None]
    from_y = rows + motions[:, 5, None, None]
    inside = (from_x >= 0) & (from_x <= 15) & (from_y >= 0) & (from_y <= 15)
    inside = inside.astype(np.float32)
    share = inside / inside.mean(axis=(1, 2), keepdims=True)
    output, moved_output = model(x), model(moved(x))
    if isinstance(loss, ktr.losses.SparseJacobianLoss):
        difference = (moved_output - output) - (moved(y) - y)
    else:
        difference = moved_output - moved(output)
    vis = tf.reduce_mean((output - y) ** 2, axis=-1)
    reg = share * tf.reduce_mean(difference**2, axis=-1)
    weight = tf.ones((len(x), 1, 1)) if sample_weight is None else sample_weight
    if weight.shape.rank == 1:
        weight = weight[:, None, None]
    moved_weight = weight
    if weight.shape[1] != 1:
        moved_weight = moved(weight[..., None])[..., 0]
        if isinstance(loss, ktr.losses.SparseJacobianLoss):
            moved_weight = tf.maximum(weight, moved_weight)
    return tf.reduce_mean((1 - loss.alpha) * weight * vis + loss.alpha * moved_weight * reg)


LOSSES = [ktr.losses.TransformInvarianceLoss, ktr.losses.SparseJacobianLoss]


@pytest.mark.parametrize("loss_class", LOSSES)
def test_first_sgd_step_follows_the_formula(loss_class):
    x, y = samples()
    motions = fixed_motions()
    base = linear()
    loss = loss_class(alpha=0.7)
    variables = base.trainable_variables
    with tf.GradientTape() as tape:
        value = formula(loss, base, x, y, motions)
    expected = [
        w.numpy() - 0.5 * g.numpy() for w, g in zip(variables, tape.gradient(value, variables))
    ]
    sgd = keras.optimizers.SGD(0.5)
    _, history = train(
        base,
        batch_size=8,
        loss=loss,
        optimizer=sgd,
        transform=fixed_transform(motions),
        jit_compile=DEFAULT,
    )
    assert history["loss"][0] == pytest.approx(float(value), rel=1e-5)
    assert_same_weights(weights(base), expected, atol=1e-5)


@pytest.mark.parametrize("loss_class", LOSSES)
def test_first_sgd_step_equals_a_gradient_tape_on_the_paired_batch(loss_class):
    x, y = samples()
    base = network()
    loss = loss_class(alpha=0.9, distance="mae")
    transform = fixed_transform(fixed_motions())
    paired_x, paired_y, _ = pairing.pair(x, y, transform=transform, seed=(0, 0))
    variables = base.trainable_variables
    with tf.GradientTape() as tape:
        value = loss(paired_y, base(paired_x))
    expected = [
        w.numpy() - 0.5 * g.numpy() for w, g in zip(variables, tape.gradient(value, variables))
    ]
    sgd = keras.optimizers.SGD(0.5)
    train(base, batch_size=8, loss=loss, optimizer=sgd, transform=transform)
    assert_same_weights(weights(base), expected, atol=1e-5)


@pytest.mark.parametrize("loss_class", LOSSES)
@pytest.mark.parametrize("per_pixel", [False, True])
def test_sample_weights_follow_the_formula(loss_class, per_pixel):
    x, y = samples()
    shape = (8, 16, 16) if per_pixel else (8,)
    sample_weight = np.random.default_rng(1).uniform(size=shape).astype(np.float32)
    motions = fixed_motions()
    base = linear()
    loss = loss_class(alpha=0.7)
    value = formula(loss, base, x, y, motions, tf.constant(sample_weight))
    model = ktr.RegularizedModel(base, fixed_transform(motions))
    model.compile(keras.optimizers.SGD(0.0), loss, jit_compile=False)
    history = model.fit(
        x, y, sample_weight=sample_weight, batch_size=8, shuffle=False, verbose=0
    ).history
    assert history["loss"][0] == pytest.approx(float(value), rel=1e-5)


def test_sample_weights_with_a_channel_axis_follow_the_formula():
    x, y = samples()
    sample_weight = np.random.default_rng(1).uniform(size=(8, 16, 16, 1)).astype(np.float32)
    motions = fixed_motions()
    base = linear()
    loss = ktr.losses.SparseJacobianLoss(alpha=0.7)
    value = formula(loss, base, x, y, motions, tf.constant(sample_weight[..., 0]))
    dataset = tf.data.Dataset.from_tensor_slices((x, y, sample_weight)).batch(8)
    model = ktr.RegularizedModel(base, fixed_transform(motions))
    model.compile(keras.optimizers.SGD(0.0), loss, jit_compile=False)
    history = model.fit(dataset, verbose=0).history
    assert history["loss"][0] == pytest.approx(float(value), rel=1e-5)


@pytest.mark.parametrize("loss_class", LOSSES)
def test_both_routes_give_the_same_loss_and_weights(loss_class):
    x, y = samples()
    transform = fixed_transform(fixed_motions())
    loss = loss_class(alpha=0.8)
    in_graph = network()
    _, history = train(in_graph, epochs=2, loss=loss, transform=transform)
    by_data = network()
    by_data.compile(keras.optimizers.SGD(0.1), loss, jit_compile=False)
    dataset = tf.data.Dataset.from_tensor_slices((x, y)).batch(4)
    paired = ktr.data.pair_with_transformed(dataset, transform)
    other = by_data.fit(paired, epochs=2, verbose=0).history
    assert other["loss"] == pytest.approx(history["loss"], rel=1e-5)
    assert_same_weights(weights(by_data), weights(in_graph), atol=1e-5)


@pytest.mark.slow
def test_all_compile_modes_give_the_same_weights():
    results, losses = [], []
    modes = (
        {"jit_compile": DEFAULT},
        {"jit_compile": True},
        {"jit_compile": False},
        {"run_eagerly": True},
    )
    for mode in modes:
        base = network()
        transform = fixed_transform(fixed_motions())
        _, history = train(base, epochs=2, transform=transform, pair_fraction=0.5, **mode)
        results.append(weights(base))
        losses.append(history["loss"])
    for result, loss in zip(results[1:], losses[1:]):
        assert_same_weights(result, results[0], atol=1e-4)
        assert loss == pytest.approx(losses[0], rel=1e-4)


def test_compiled_and_plain_training_draw_the_same_transforms():
    x, y = samples()
    model = ktr.RegularizedModel(network(), ktr.RandomAffine(seed=3))
    model.compile("sgd", ktr.losses.TransformInvarianceLoss())

    def draw():
        return paired_target.decode(model.pair(x, y)[1]).transforms

    eager = draw()
    np.testing.assert_allclose(tf.function(draw)(), eager, atol=1e-5)
    np.testing.assert_allclose(tf.function(draw, jit_compile=True)(), eager, atol=1e-5)


def functional():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((None, None, 3))
    hidden = layers.Conv2D(4, 3, padding="same", activation="relu")(inputs)
    return keras.Model(inputs, layers.Conv2D(2, 3, padding="same")(hidden))


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.convolution = layers.Conv2D(2, 3, padding="same")

    def call(self, inputs, training=None):
        return self.convolution(inputs)


def test_functional_model_of_any_size_trains():
    assert_trains(functional(), jit_compile=DEFAULT)


def test_built_subclassed_model_trains():
    keras.utils.set_random_seed(0)
    base = Subclassed()
    base(np.zeros((1, 16, 16, 3), np.float32))
    assert_trains(base)


def test_subclassed_model_that_is_not_built_yet_trains():
    keras.utils.set_random_seed(0)
    base = Subclassed()
    _, history = train(base, epochs=2)
    assert np.isfinite(history["loss"][-1])
    assert history["loss"][-1] < history["loss"][0]
    assert base.built and len(base.trainable_variables) == 2


def test_batch_normalization_and_dropout_train():
    keras.utils.set_random_seed(0)
    base = keras.Sequential(
        [
            keras.Input((16, 16, 3)),
            layers.Conv2D(4, 3, padding="same"),
            layers.BatchNormalization(),
            layers.Dropout(0.2),
            layers.Conv2D(2, 3, padding="same"),
        ]
    )
    moving_mean = base.layers[1].get_weights()[2]
    assert_trains(base, jit_compile=DEFAULT)
    assert np.abs(base.layers[1].get_weights()[2] - moving_mean).max() > 0


def two_inputs(names):
    keras.utils.set_random_seed(0)
    frame, past = keras.Input((16, 16, 3), name="frame"), keras.Input((16, 16, 1), name="past")
    strength = keras.Input((1,), name="strength")
    hidden = layers.Concatenate()([frame, past])
    hidden = layers.Conv2D(2, 3, padding="same")(hidden)
    output = layers.Multiply()([hidden, layers.Reshape((1, 1, 1))(strength)])
    inputs = (frame, past, strength)
    if names:
        inputs = dict(zip(("frame", "past", "strength"), inputs))
    return keras.Model(inputs, output)


@pytest.mark.parametrize("names", [True, False], ids=["dict", "tuple"])
def test_model_of_several_inputs_trains(names):
    x, y = samples()
    inputs = (x, x[..., :1], np.linspace(0, 1, 8, dtype=np.float32)[:, None])
    if names:
        inputs = dict(zip(("frame", "past", "strength"), inputs))
    base = two_inputs(names)
    before = weights(base)
    model = ktr.RegularizedModel(base, ktr.RandomAffine(seed=0))
    model.compile("sgd", ktr.losses.TransformInvarianceLoss(), jit_compile=False)
    dataset = tf.data.Dataset.from_tensor_slices((inputs, y)).batch(4)
    assert np.isfinite(model.fit(dataset, verbose=0).history["loss"][0])
    assert np.abs(base.get_weights()[0] - before[0]).max() > 0
    np.testing.assert_allclose(
        model.predict(dataset, verbose=0), base.predict(dataset, verbose=0), atol=1e-6
    )


def test_model_of_several_inputs_moves_all_images_alike():
    x, y = samples()
    model = ktr.RegularizedModel(two_inputs(True), ktr.RandomAffine(seed=0))
    model.compile("sgd", ktr.losses.TransformInvarianceLoss())
    strength = np.arange(8, dtype=np.float32)[:, None]
    paired, _, _ = model.pair({"frame": x, "past": x[..., :1], "strength": strength}, y)
    np.testing.assert_array_equal(paired["past"], paired["frame"][..., :1])
    np.testing.assert_array_equal(paired["strength"][:, 0], np.repeat(np.arange(8), 2))


def upsampling():
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input((16, 16, 3)),
            layers.UpSampling2D(2),
            layers.Conv2D(2, 3, padding="same"),
        ]
    )


def test_upsampling_model_trains():
    assert_trains(upsampling(), samples(scale=2))


def test_transform_of_the_target_is_carried_over_to_its_pixel_grid():
    x, y = samples(scale=2)
    motions = fixed_motions()
    model = ktr.RegularizedModel(upsampling(), fixed_transform(motions))
    model.compile("sgd", ktr.losses.TransformInvarianceLoss())
    _, paired_y, _ = model.pair(x, y)
    on_fine_grid = paired_target.decode(paired_y).transforms[1::2]
    expected = motions.copy()
    expected[:, [2, 5]] *= 2
    np.testing.assert_allclose(on_fine_grid, expected, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("pair_fraction", [1.0, 0.25])
def test_metrics_see_the_plain_samples_only(pair_fraction):
    x, y = samples(10)
    base = network()
    plain = np.abs(base.predict(x, verbose=0) - y).mean()
    sgd = keras.optimizers.SGD(0.0)
    model, history = train(
        base,
        (x, y),
        optimizer=sgd,
        metrics=["mae"],
        pair_fraction=pair_fraction,
        jit_compile=DEFAULT,
        batch_size=4,  # the last batch has 2 samples
    )
    assert history["mae"][0] == pytest.approx(plain, rel=1e-5)
    assert model.evaluate(x, y, batch_size=4, verbose=0)[1] == pytest.approx(plain, rel=1e-5)


@pytest.mark.parametrize("batch, counterparts", [(8, 2), (5, 2), (4, 1), (3, 1), (1, 1)])
def test_pair_fraction_pairs_that_part_of_the_batch(batch, counterparts):
    x, y = samples(batch)
    model = ktr.RegularizedModel(network(), ktr.RandomAffine(seed=0), pair_fraction=0.25)
    model.compile("sgd", ktr.losses.TransformInvarianceLoss())
    paired_x, paired_y, _ = model.pair(x, y)
    rows = paired_target.decode(paired_y)
    assert paired_x.shape[0] == batch + counterparts
    roles = [False, True] * counterparts + [False] * (batch - counterparts)
    np.testing.assert_array_equal(rows.is_counterpart, roles)
    plain = ~np.array(roles)
    (start,) = np.flatnonzero((x == np.array(paired_x)[0]).all(axis=(1, 2, 3)))
    np.testing.assert_array_equal(np.array(paired_x)[plain], np.roll(x, -start, axis=0))
    np.testing.assert_array_equal(np.array(rows.y)[plain], np.roll(y, -start, axis=0))


def test_loss_of_a_partly_paired_batch_follows_the_formula():
    x, y = samples(8)
    motions = fixed_motions()
    base = linear()
    loss = ktr.losses.SparseJacobianLoss(alpha=0.6)
    only = ktr.losses.SparseJacobianLoss(alpha=0.999999)
    of_reg = [
        float(
            formula(
                only,
                base,
                x.take([i, i + 1], 0, mode="wrap"),
                y.take([i, i + 1], 0, mode="wrap"),
                motions[:2],
            )
        )
        for i in range(8)
    ]
    only_vis = np.mean((base.predict(x, verbose=0) - y) ** 2)
    _, history = train(
        base,
        (x, y),
        batch_size=8,
        loss=loss,
        optimizer=keras.optimizers.SGD(0.0),
        transform=fixed_transform(motions),
        pair_fraction=0.25,
        jit_compile=False,
    )
    # Which two neighbours of the eight are paired is chance.
    expected = 0.4 * only_vis + 0.6 * np.array(of_reg)
    assert np.abs(expected - history["loss"][0]).min() < 1e-4 * expected.min()


def gradients_of(fraction, steps):
    """Gradients of so many training steps on one and the same batch, which move no weight."""
    x, y = samples(4)
    base = linear()
    motion = fixed_transform(fixed_motions()[[0] * 4])
    model = ktr.RegularizedModel(base, motion, pair_fraction=fraction)
    loss = ktr.losses.SparseJacobianLoss(alpha=0.9)
    model.compile(keras.optimizers.SGD(0.0), loss, jit_compile=False)

    @tf.function
    def gradient():
        paired_x, paired_y, _ = model.pair(x, y)
        with tf.GradientTape() as tape:
            value = loss(paired_y, base(paired_x, training=True))
        model.optimizer.iterations.assign_add(1)
        return tape.gradient(value, base.trainable_variables[0])

    return np.array([gradient() for _ in range(steps)])


def test_expected_gradient_of_a_partly_paired_batch_is_that_of_full_pairing():
    (full,), partly = gradients_of(1.0, 1), gradients_of(0.25, 256)
    largest = np.abs(full).max()
    np.testing.assert_allclose(partly.mean(axis=0), full, atol=0.05 * largest)
    # A choice that is always the same would be off by this much.
    assert np.abs(partly - full).max(axis=(1, 2, 3, 4)).min() > 0.1 * largest


@pytest.mark.slow
def test_metrics_of_a_batch_that_is_not_divisible_are_right():
    x, y = samples(8)
    base = network()
    plain = np.abs(base.predict(x, verbose=0) - y).mean()
    sgd = keras.optimizers.SGD(0.0)
    kwargs = dict(metrics=["mae"], pair_fraction=0.25, jit_compile=False, batch_size=5)
    _, history = train(base, (x, y), optimizer=sgd, **kwargs)
    assert history["mae"][0] == pytest.approx(plain, rel=1e-5)
    assert np.isfinite(history["loss"][0])


def test_weighted_metrics_see_the_weights_of_the_plain_samples():
    x, y = samples(8)
    sample_weight = np.linspace(0.1, 1, 8, dtype=np.float32)[:, None, None]
    base = network()
    of_sample = np.abs(base.predict(x, verbose=0) - y).mean(axis=(1, 2, 3))
    weight = sample_weight.ravel()
    model = ktr.RegularizedModel(base, ktr.RandomAffine(seed=0), pair_fraction=0.5)
    model.compile(
        keras.optimizers.SGD(0.0),
        ktr.losses.SparseJacobianLoss(),
        weighted_metrics=[keras.metrics.MeanAbsoluteError(name="mae")],
        jit_compile=False,
    )
    history = model.fit(x, y, sample_weight=sample_weight, batch_size=4, verbose=0).history
    expected = (weight * of_sample).sum() / weight.sum()
    assert history["mae"][0] == pytest.approx(expected, rel=1e-5)


def test_validation_loss_is_the_reconstruction_loss():
    x, y = samples()
    base = network()
    plain = np.mean((base.predict(x, verbose=0) - y) ** 2)
    model = ktr.RegularizedModel(base, ktr.RandomAffine(seed=0))
    model.compile(keras.optimizers.SGD(0.0), ktr.losses.TransformInvarianceLoss())
    history = model.fit(x, y, batch_size=4, epochs=2, validation_data=(x, y), verbose=0).history
    assert history["val_loss"] == pytest.approx([plain] * 2, rel=1e-5)


@pytest.mark.slow
def test_data_whose_shapes_are_not_known_trains_and_evaluates():
    x, y = samples()
    spec = tf.TensorSpec((None, None, None, None), tf.float32)

    def batches():
        for start in (0, 4):
            yield x[start : start + 4], y[start : start + 4]

    dataset = tf.data.Dataset.from_generator(batches, output_signature=(spec, spec))
    base = functional()
    plain = np.abs(base.predict(x, verbose=0) - y).mean()
    model = ktr.RegularizedModel(base, ktr.RandomAffine(seed=0))
    sgd = keras.optimizers.SGD(0.0)
    model.compile(sgd, ktr.losses.TransformInvarianceLoss(), metrics=["mae"])
    assert model.evaluate(dataset, verbose=0)[1] == pytest.approx(plain, rel=1e-5)
    assert model.fit(dataset, verbose=0).history["mae"][0] == pytest.approx(plain, rel=1e-5)


def test_whole_number_targets_train():
    x, y = samples()
    y = np.round(255 * y).astype(np.uint8)
    _, history = train(linear(), (x, y), optimizer=keras.optimizers.SGD(0.0), jit_compile=False)
    assert np.isfinite(history["loss"][0])


def test_gaussian_noise_as_perturbation_is_in_training_mode():
    x, y = samples()
    noise = layers.GaussianNoise(0.1)
    model = ktr.RegularizedModel(network(), transform=None, perturbation=noise)
    model.compile("sgd", ktr.losses.TransformInvarianceLoss())
    paired_x, paired_y, _ = model.pair(x, y)
    np.testing.assert_array_equal(paired_x[::2], x)
    assert np.std(paired_x[1::2] - x) == pytest.approx(0.1, rel=0.1)
    np.testing.assert_array_equal(paired_y[1::2, ..., :-1], y)


def test_stability_training_without_a_transform_trains():
    noise = layers.GaussianNoise(0.1)
    assert_trains(network(), transform=None, perturbation=noise, jit_compile=DEFAULT)


def test_perturbation_may_be_a_function():
    x, y = samples()
    model = ktr.RegularizedModel(network(), None, perturbation=lambda images: 1.0 - images)
    model.compile("sgd", ktr.losses.TransformInvarianceLoss())
    paired_x, _, _ = model.pair(x, y)
    np.testing.assert_allclose(paired_x[1::2], 1.0 - x)


def test_keras_cv_layer_as_perturbation_trains():
    keras_cv = pytest.importorskip("keras_cv")
    brightness = keras_cv.layers.RandomBrightness(factor=0.3, value_range=(0, 1), seed=0)
    x, y = samples()
    model = ktr.RegularizedModel(network(), None, perturbation=brightness)
    model.compile("sgd", ktr.losses.TransformInvarianceLoss())
    paired_x, _, _ = model.pair(x, y)
    assert np.abs(paired_x[1::2] - x).max() > 0.01
    assert_trains(network(), perturbation=brightness)


@pytest.mark.parametrize("name", ["RandomGaussianBlur", "RandomShear", "RandomJpegQuality"])
def test_keras_cv_layers_of_all_kinds_perturb_in_the_training_step(name):
    keras_cv = pytest.importorskip("keras_cv")
    settings = {
        "RandomGaussianBlur": {"kernel_size": 3, "factor": (1.0, 1.0)},
        "RandomShear": {"x_factor": 0.2},
        "RandomJpegQuality": {"factor": (20, 50)},
    }
    assert_trains(network(), perturbation=getattr(keras_cv.layers, name)(**settings[name]))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["RandomTranslation", "RandomBrightness", "RandomContrast"])
def test_keras_preprocessing_layers_perturb_in_the_training_step(name):
    settings = {
        "RandomTranslation": {"height_factor": 0.1, "width_factor": 0.1},
        "RandomBrightness": {"factor": 0.2, "value_range": (0, 1)},
        "RandomContrast": {"factor": 0.2},
    }
    assert_trains(network(), perturbation=getattr(layers, name)(**settings[name]))


def half(images):
    return 0.5 * images


def test_make_input_makes_the_counterpart_from_the_moved_target():
    _, y = samples(channels=3)
    motions = fixed_motions()
    transform = fixed_transform(motions)
    model = ktr.RegularizedModel(network(3), transform, make_input=half)
    model.compile("sgd", ktr.losses.TransformInvarianceLoss())
    paired_x, paired_y, _ = model.pair(0.5 * y, y)
    moved_y = transform.apply(y, motions)
    np.testing.assert_allclose(paired_x[1::2], 0.5 * moved_y, atol=1e-6)
    np.testing.assert_allclose(paired_y[1::2, ..., :-1], moved_y, atol=1e-6)


def test_make_input_of_a_super_resolution_task_trains():
    _, y = samples(channels=3, scale=2)

    def shrink(images):
        return tf.nn.avg_pool2d(images, 2, 2, "VALID")

    keras.utils.set_random_seed(0)
    base = keras.Sequential(
        [keras.Input((16, 16, 3)), layers.Conv2DTranspose(3, 4, strides=2, padding="same")]
    )
    assert_trains(base, (shrink(y).numpy(), y), make_input=shrink, jit_compile=False)


@pytest.fixture
def mixed_precision():
    policy = keras.mixed_precision.global_policy()
    keras.mixed_precision.set_global_policy("mixed_float16")
    yield
    keras.mixed_precision.set_global_policy(policy)


@pytest.mark.slow
def test_mixed_precision_trains_and_draws_anew_each_step(mixed_precision):
    x, y = samples()
    base = network()
    model = ktr.RegularizedModel(base, ktr.RandomAffine(seed=0))
    model.compile("adam", ktr.losses.TransformInvarianceLoss(), jit_compile=False)
    before = weights(base)
    drawn = []
    for _ in range(4):
        drawn.append(np.array(model.pair(x, y)[1]))
        logs = model.train_on_batch(x, y, return_dict=True)
        assert np.isfinite(logs["loss"])
    for earlier, later in itertools.pairwise(drawn):
        assert np.abs(earlier - later).max() > 1e-3
    assert max(np.abs(a - b).max() for a, b in zip(before, weights(base))) > 0
    assert model.predict(x, verbose=0).dtype == np.float16


@pytest.mark.slow
def test_mixed_precision_loss_equals_full_precision_roughly(mixed_precision):
    x, y = samples()
    motions = fixed_motions()
    base = linear()
    loss = ktr.losses.TransformInvarianceLoss(alpha=0.7)
    half_precision = np.array(base.get_weights()[0])
    keras.mixed_precision.set_global_policy("float32")
    copy = linear()
    copy.set_weights([half_precision])
    value = formula(loss, copy, x, y, motions)
    keras.mixed_precision.set_global_policy("mixed_float16")
    sgd = keras.optimizers.SGD(0.0)
    _, history = train(
        base, batch_size=8, loss=loss, optimizer=sgd, transform=fixed_transform(motions)
    )
    assert history["loss"][0] == pytest.approx(float(value), rel=1e-2)


def test_evaluate_and_predict_are_those_of_the_base_model():
    x, y = samples()
    base = network()
    model, _ = train(base, metrics=["mae"], jit_compile=False)
    base.compile("sgd", "mse", metrics=["mae"], jit_compile=False)
    np.testing.assert_allclose(
        model.predict(x, verbose=0), base.predict(x, verbose=0), rtol=0, atol=1e-6
    )
    assert model.evaluate(x, y, verbose=0) == pytest.approx(
        base.evaluate(x, y, verbose=0), rel=1e-5
    )
    np.testing.assert_allclose(model(x), base(x), rtol=0, atol=1e-6)


def test_training_leaves_the_architecture_of_the_base_model():
    base = network()
    config = base.get_config()
    model, _ = train(base, jit_compile=False)
    assert model.base_model is base
    assert base.get_config() == config
    assert model.count_params() == base.count_params()


@pytest.mark.slow
@pytest.mark.parametrize("loss_class", LOSSES)
def test_saved_model_loads_and_trains_on(tmp_path, loss_class):
    x, y = samples()
    model, _ = train(
        network(),
        loss=loss_class(alpha=0.8, contrast=0.1),
        optimizer="adam",
        transform=ktr.RandomAffine(translation=1.0, seed=4),
        perturbation=layers.GaussianNoise(0.0),
        pair_fraction=0.5,
        jit_compile=False,
    )
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert isinstance(loaded, ktr.RegularizedModel)
    assert (loaded.pair_fraction, loaded.transform.seed) == (0.5, 4)
    assert loaded.transform.get_config() == model.transform.get_config()
    assert loaded.loss.get_config() == model.loss.get_config()
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), model.predict(x, verbose=0))
    assert int(loaded.optimizer.iterations) == int(model.optimizer.iterations) == 2
    for each in (model, loaded):
        each.fit(x, y, batch_size=4, shuffle=False, verbose=0)
    assert_same_weights(weights(loaded), weights(model), atol=1e-5)


def test_saved_base_model_loads_without_the_regularizer(tmp_path):
    x, _ = samples()
    model, _ = train(network(), jit_compile=False)
    model.base_model.save(tmp_path / "base.keras")
    loaded = keras.models.load_model(tmp_path / "base.keras")
    assert type(loaded) is type(model.base_model)
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), model.predict(x, verbose=0))


def test_saved_weights_load(tmp_path):
    x, _ = samples()
    model, _ = train(network(), jit_compile=False)
    model.save_weights(tmp_path / "model.weights.h5")
    other = ktr.RegularizedModel(network())
    other.build((None, 16, 16, 3))
    other.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_array_equal(other.predict(x, verbose=0), model.predict(x, verbose=0))


def test_config_round_trip_keeps_all_parts():
    model = ktr.RegularizedModel(
        network(), ktr.RandomAffine(zoom=0.1), layers.GaussianNoise(0.2), pair_fraction=0.3
    )
    copy = ktr.RegularizedModel.from_config(model.get_config())
    assert copy.transform.get_config() == model.transform.get_config()
    assert copy.perturbation.get_config()["stddev"] == 0.2
    assert (copy.make_input, copy.pair_fraction, copy.name) == (None, 0.3, model.name)
    assert copy.base_model.get_config() == model.base_model.get_config()


def test_config_without_a_transform_stays_without():
    model = ktr.RegularizedModel(network(), None, layers.GaussianNoise(0.2))
    assert ktr.RegularizedModel.from_config(model.get_config()).transform is None


def trained_weights(seed=None, global_seed=None):
    base = network()
    if global_seed is not None:
        keras.utils.set_random_seed(global_seed)
    train(base, epochs=2, transform=ktr.RandomAffine(seed=seed), jit_compile=False)
    return weights(base)


@pytest.mark.slow
def test_seeded_runs_repeat_exactly():
    first = trained_weights(seed=5, global_seed=1)
    assert_same_weights(first, trained_weights(seed=5, global_seed=2))
    assert np.abs(first[0] - trained_weights(seed=6)[0]).max() > 0


@pytest.mark.slow
def test_runs_without_a_seed_repeat_under_the_global_seed():
    first = trained_weights(global_seed=1)
    assert_same_weights(first, trained_weights(global_seed=1))
    assert np.abs(first[0] - trained_weights(global_seed=2)[0]).max() > 0


def test_each_step_draws_anew():
    x, y = samples()
    model = ktr.RegularizedModel(network(), ktr.RandomAffine(seed=0))
    model.compile(
        keras.optimizers.SGD(0.0), ktr.losses.TransformInvarianceLoss(), jit_compile=False
    )
    drawn, losses = [], []
    for _ in range(4):
        drawn.append(np.array(paired_target.decode(model.pair(x, y)[1]).transforms[1::2]))
        losses.append(model.train_on_batch(x, y, return_dict=True)["loss"])
    for i in range(4):
        for j in range(i):
            assert np.abs(drawn[i] - drawn[j]).max() > 1e-3
    assert len({float(loss) for loss in losses}) == 4
    assert len(np.unique(drawn[0][:, 2])) == 8  # one T for each sample


@pytest.mark.skipif(not KERAS_3, reason="only Keras 3 accumulates gradients")
@pytest.mark.parametrize("scales_the_loss", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_each_batch_draws_anew_where_gradients_accumulate(scales_the_loss):
    x, y = samples()
    model = ktr.RegularizedModel(network(), ktr.RandomAffine(seed=0))
    optimizer = keras.optimizers.SGD(1e-3, gradient_accumulation_steps=4)
    if scales_the_loss:
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    model.compile(optimizer, ktr.losses.TransformInvarianceLoss(), jit_compile=False)
    drawn = []
    for _ in range(8):
        drawn.append(np.array(paired_target.decode(model.pair(x, y)[1]).transforms[1::2]))
        model.train_on_batch(x, y)
    assert int(model.optimizer.iterations) == 2  # updates of the weights
    assert len(np.unique(np.stack(drawn)[:, 0, 2])) == 8


def test_pair_shows_what_the_next_step_trains_on():
    x, y = samples()
    base = linear()
    model = ktr.RegularizedModel(base, ktr.RandomAffine(seed=0))
    loss = ktr.losses.TransformInvarianceLoss()
    model.compile(keras.optimizers.SGD(0.0), loss, jit_compile=False)
    for _ in range(2):
        paired_x, paired_y, _ = model.pair(x, y)
        value = float(loss(paired_y, base(paired_x)))
        history = model.fit(x, y, batch_size=8, shuffle=False, verbose=0).history
        assert history["loss"][0] == pytest.approx(value, rel=1e-5)


def test_training_is_traced_once():
    x, y = samples()
    traces = []

    def perturbation(images):
        traces.append(images.shape)
        return images

    model = ktr.RegularizedModel(network(), perturbation=perturbation)
    model.compile("sgd", ktr.losses.TransformInvarianceLoss())
    for epochs in (1, 3):
        model.fit(x, y, batch_size=4, epochs=epochs, verbose=0)
        if epochs == 1:
            after_one_epoch = len(traces)
    assert 1 <= len(traces) == after_one_epoch <= 3


@pytest.mark.parametrize("loss", ["mse", None, "keras", lambda a, b: 0.0])
def test_compile_rejects_other_losses(loss):
    loss = keras.losses.MeanSquaredError() if loss == "keras" else loss
    with pytest.raises(
        ValueError, match="loss must be a TransformInvarianceLoss or a SparseJacobianLoss"
    ):
        ktr.RegularizedModel(network()).compile("adam", loss)


def test_model_of_several_outputs_is_rejected():
    inputs = keras.Input((16, 16, 3))
    base = keras.Model(inputs, [layers.Conv2D(2, 3)(inputs), layers.Conv2D(2, 3)(inputs)])
    with pytest.raises(ValueError, match="base_model must have one output"):
        ktr.RegularizedModel(base)


def test_model_that_returns_no_images_is_rejected():
    base = keras.Sequential([keras.Input((16, 16, 3)), layers.Flatten(), layers.Dense(2)])
    with pytest.raises(ValueError, match="base_model must return images of rank 4"):
        ktr.RegularizedModel(base)


def test_output_of_another_aspect_is_rejected():
    base = keras.Sequential([keras.Input((16, 16, 3)), layers.UpSampling2D((1, 2))])
    with pytest.raises(ValueError, match="the output must have the aspect of the input"):
        ktr.RegularizedModel(base)


def test_target_of_another_aspect_is_rejected():
    x, y = samples(size=16)
    model = ktr.RegularizedModel(functional())
    model.compile("sgd", ktr.losses.TransformInvarianceLoss())
    with pytest.raises(ValueError, match="y must have the aspect of x"):
        model.fit(x, np.repeat(y, 2, axis=1), verbose=0)


@pytest.mark.parametrize("pair_fraction", [0, -0.1, 1.1, "1", None, True])
def test_pair_fraction_outside_of_its_interval_is_rejected(pair_fraction):
    with pytest.raises(ValueError, match=r"pair_fraction must be a number in \(0, 1\]"):
        ktr.RegularizedModel(network(), pair_fraction=pair_fraction)


@pytest.mark.parametrize("base", [None, "model", layers.Conv2D(2, 3), lambda x: x])
def test_base_model_that_is_no_model_is_rejected(base):
    with pytest.raises(ValueError, match=r"base_model must be a keras\.Model"):
        ktr.RegularizedModel(base)


def test_input_that_holds_no_images_is_rejected():
    base = keras.Sequential([keras.Input((16, 48)), layers.Reshape((16, 16, 3))])
    model = ktr.RegularizedModel(base)
    model.compile("sgd", ktr.losses.TransformInvarianceLoss())
    with pytest.raises(ValueError, match="x must hold a batch of images of rank 4"):
        model.fit(np.zeros((4, 16, 48)), np.zeros((4, 16, 16, 3)), verbose=0)


def test_target_of_wrong_channels_is_rejected():
    x, y = samples(channels=4)
    model = ktr.RegularizedModel(network(2))
    model.compile("sgd", ktr.losses.TransformInvarianceLoss())
    with pytest.raises(ValueError, match="target must have the channels of the model's output"):
        model.fit(x, y, batch_size=4, verbose=0)
