"""Blending: weights against NumPy, outputs of linear networks, statistics, refusals by name."""

import warnings

import numpy as np
import pytest
import tensorflow as tf
from helpers import models as helpers
from tensorflow import keras

import keras_temporal_reg as ktr
from keras_temporal_reg import saved_models
from keras_temporal_reg.finetuning import blending

layers = keras.layers


def randomize(model, seed=0):
    """Give each float variable random values, variances positive ones."""
    rng = np.random.default_rng(seed)
    for variable in model.variables:
        if tf.as_dtype(variable.dtype).is_floating:
            variable.assign(rng.uniform(0.1, 1.0, size=variable.shape))
    return model


def network(seed=0, filters=4):
    """A small network without BatchNormalization; its layers have new automatic names each time."""
    x = keras.Input((None, None, 2))
    h = layers.Conv2D(filters, 3, padding="same", activation="relu")(x)
    h = layers.Dropout(0.5)(h)
    h = layers.Conv2D(filters, 3, padding="same")(h)
    return randomize(keras.Model(x, layers.Conv2D(2, 1)(layers.Concatenate()([x, h]))), seed)


def linear(seed):
    stack = [keras.Input((5, 6, 2)), layers.Conv2D(3, 3, use_bias=True)]
    return randomize(keras.Sequential(stack), seed)


def normalized(seed=0, frozen=False):
    """Two BatchNormalization layers, one of them in an inner model, and a Dropout layer."""
    inner_x = keras.Input((None, None, 3))
    inner = keras.Model(inner_x, layers.BatchNormalization(trainable=not frozen)(inner_x))
    x = keras.Input((None, None, 2))
    h = layers.BatchNormalization()(x)
    h = layers.Dropout(0.9)(h)
    return randomize(keras.Model(x, inner(layers.Conv2D(3, 1)(h))), seed)


def values_of(model):
    return [variable.numpy() for variable in model.variables]


def assert_equal(first, second):
    assert len(first) == len(second)
    for a, b in zip(first, second):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a.view(np.uint8), b.view(np.uint8))


def floats_of(model):
    return [a for a in values_of(model) if np.issubdtype(a.dtype, np.floating)]


def batches_of(count=5, seed=7, channels=2):
    rng = np.random.default_rng(seed)
    return [rng.normal(n, 1 + n, size=(3, 8, 9, channels)).astype(np.float32) for n in range(count)]


# Weights


@pytest.mark.parametrize("weights", [[0.3, 0.7], [0.25, 0.75], [0.2, 0.3, 0.5]])
def test_weights_are_numpys_averages(weights):
    models = [network(seed) for seed, _ in enumerate(weights)]
    blended = ktr.blend(models, weights)
    for found, *given in zip(floats_of(blended), *map(floats_of, models)):
        expected = np.average([np.float64(a) for a in given], axis=0, weights=weights)
        np.testing.assert_allclose(found, expected, rtol=2e-7)


def test_a_blend_of_linear_networks_returns_the_average_of_their_outputs():
    x = np.random.default_rng(0).normal(size=(2, 5, 6, 2)).astype(np.float32)
    first, second = linear(0), linear(1)
    expected = 0.3 * np.asarray(first(x)) + 0.7 * np.asarray(second(x))
    np.testing.assert_allclose(ktr.blend([first, second], [0.3, 0.7])(x), expected, rtol=1e-5)


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("make", [network, normalized])
def test_weight_1_copies_a_model_bit_for_bit(make, place):
    models = [make(0), make(1)]
    kernel = next(v for v in models[place].variables if len(v.shape) == 4)
    special = np.array(kernel.numpy())
    special.flat[:3] = -0.0, np.inf, np.nan
    kernel.assign(special)
    weights = [0.0, 0.0]
    weights[place] = 1.0
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # the statistics fit
        blended = ktr.blend(models, weights)
    assert_equal(values_of(blended), values_of(models[place]))
    blended = ktr.blend(models, weights, batches_of())
    assert_equal(values_of(blended), values_of(models[place]))


def test_one_model_alone_is_copied():
    model = network()
    blended = ktr.blend([model], [1])
    assert blended is not model
    assert_equal(values_of(blended), values_of(model))


def test_the_models_are_not_changed_and_not_shared():
    models = [normalized(0), normalized(1)]
    before = [values_of(model) for model in models]
    names = [[layer.name for layer in model.layers] for model in models]
    blended = ktr.blend(models, [0.5, 0.5], batches_of())
    for variable in blended.variables:
        variable.assign(tf.zeros_like(variable))
    for model, values, kept in zip(models, before, names):
        assert_equal(values_of(model), values)
        assert [layer.name for layer in model.layers] == kept


def test_variables_that_are_not_floats_come_from_the_first_model():
    counts = [np.int64(3), np.int64(9)]
    lists = [[np.float32([n]), count] for n, count in enumerate(counts)]
    assert blending.average(lists, [0.5, 0.5])[1] == 3
    assert blending.average(lists, [0.5, 0.5])[1].dtype == np.int64


def test_half_precision_is_averaged_in_float64():
    lists = [[np.float16([1.0, 60000.0])], [np.float16([1.002, 60000.0])]]
    lists += [[tf.cast([a[0][0], a[0][1]], tf.bfloat16).numpy()] for a in lists]
    (half,) = blending.average(lists[:2], [0.5, 0.5])
    assert half.dtype == np.float16
    expected = np.mean([np.float64(a[0]) for a in lists[:2]], axis=0)
    np.testing.assert_array_equal(half, expected.astype(np.float16))
    (brain,) = blending.average(lists[2:], [0.5, 0.5])
    assert brain.dtype == lists[2][0].dtype


def test_an_infinite_weight_of_a_model_without_a_share_does_no_harm():
    assert blending.average([[np.float32([1])], [np.float32([np.inf])]], [1.0, 0.0])[0] == [1.0]


def test_frozen_variables_are_averaged_and_stay_frozen():
    models = [network(0), network(1)]
    for model in models:
        model.layers[1].trainable = False
    blended = ktr.blend(models, [0.5, 0.5])
    assert not blended.layers[1].trainable and blended.layers[3].trainable
    kernels = [np.float64(model.layers[1].get_weights()[0]) for model in models]
    np.testing.assert_allclose(
        blended.layers[1].get_weights()[0], np.mean(kernels, axis=0), rtol=1e-6
    )


def test_a_regularized_model_stands_for_its_base_model():
    base, other = network(0), network(1)
    blended = ktr.blend([ktr.RegularizedModel(base), other], [1.0, 0.0])
    assert type(blended) is type(base)
    assert_equal(values_of(blended), values_of(base))


# Copies


def test_another_architecture_is_refused_by_the_place_of_the_model():
    with pytest.raises(ValueError, match=r"models\[2\] differs from models\[0\]: layer .* 5"):
        ktr.blend([network(), network(), network(filters=5)], [0.5, 0.25, 0.25])


def opaque():
    model = helpers.Opaque(2)
    model(np.zeros((1, 4, 4, 2), np.float32))
    return model


def test_a_model_that_cannot_be_copied_is_refused_by_name():
    with pytest.raises(ValueError, match=r"models\[0\], opaque.* must be a model that Keras can"):
        ktr.blend([opaque(), opaque()], [0.5, 0.5])


class Scale(keras.layers.Layer):
    """A layer that is registered nowhere."""

    def __init__(self, start=1.0, **kwargs):
        super().__init__(**kwargs)
        self.start = start

    def build(self, shape):
        self.factor = self.add_weight(
            name="factor", shape=(shape[-1],), initializer=keras.initializers.Constant(self.start)
        )

    def call(self, x):
        return x * self.factor

    def get_config(self):
        return {**super().get_config(), "start": self.start}


def test_layers_of_the_user_are_blended():
    def model(start):
        return keras.Sequential([keras.Input((4, 4, 2)), layers.Conv2D(2, 1), Scale(start)])

    first, second = model(1.0), model(1.0)
    second.layers[-1].set_weights([np.float32([3.0, 5.0])])
    blended = ktr.blend([first, second], [0.5, 0.5])
    np.testing.assert_array_equal(blended.layers[-1].get_weights()[0], [2.0, 3.0])


# Statistics


def test_statistics_are_the_means_over_the_batches_as_numpy_computes_them():
    blended = ktr.blend([normalized(0), normalized(1)], [0.4, 0.6], batches_of())
    outer, inner = blended.layers[1], blended.layers[-1].layers[1]
    kernel, bias = (np.float64(w) for w in blended.layers[3].get_weights())
    means, variances = [], []
    for x in batches_of():
        x = np.float64(x)
        mean, variance = x.mean(axis=(0, 1, 2)), x.var(axis=(0, 1, 2))
        gamma, beta = (np.float64(w) for w in outer.get_weights()[:2])
        h = (x - mean) / np.sqrt(variance + outer.epsilon) * gamma + beta
        h = h @ kernel[0, 0] + bias  # Dropout does nothing
        means.append((mean, h.mean(axis=(0, 1, 2))))
        variances.append((variance, h.var(axis=(0, 1, 2))))
    for n, layer in enumerate((outer, inner)):
        expected = [np.mean([pair[n] for pair in pairs], axis=0) for pairs in (means, variances)]
        np.testing.assert_allclose(layer.get_weights()[2], expected[0], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(layer.get_weights()[3], expected[1], rtol=1e-4)


def test_only_statistics_change_and_inference_uses_them():
    model = normalized()
    before = values_of(model)
    blending.reestimate_statistics(model, batches_of())
    names = [getattr(v, "path", v.name) for v in model.variables]
    for name, old, new in zip(names, before, values_of(model)):
        assert np.array_equal(old, new) == ("moving" not in name), name
    x = batches_of()[0]
    mean, variance = (np.float64(w) for w in model.layers[1].get_weights()[2:])
    gamma, beta = model.layers[1].get_weights()[:2]
    expected = (x - mean) / np.sqrt(variance + model.layers[1].epsilon) * gamma + beta
    np.testing.assert_allclose(model.layers[1](x, training=False), expected, rtol=1e-4, atol=1e-4)
    trained = np.asarray(model.layers[1](x, training=True))  # its call is its own again
    np.testing.assert_allclose(trained.mean(axis=(0, 1, 2)), beta, atol=1e-3)


def test_batches_may_be_tuples_and_a_data_set_and_32_are_used():
    x = batches_of(40)
    used = []

    def counted():
        for each in x:
            used.append(each)
            yield each, "y", "weights"

    models = [normalized(0), normalized(1)]
    first = ktr.blend(models, [0.5, 0.5], counted())
    assert len(used) == 32
    dataset = tf.data.Dataset.from_tensor_slices(np.stack(x)).map(lambda each: (each, each))
    assert_equal(values_of(ktr.blend(models, [0.5, 0.5], dataset)), values_of(first))


def test_frozen_statistics_are_averaged():
    models = [normalized(0, frozen=True), normalized(1, frozen=True)]
    blended = ktr.blend(models, [0.5, 0.5], batches_of())
    given = [np.float64(model.layers[-1].layers[1].get_weights()) for model in models]
    np.testing.assert_allclose(
        blended.layers[-1].layers[1].get_weights(), np.mean(given, axis=0), rtol=1e-6
    )


def test_without_batches_statistics_are_averaged_with_a_warning():
    models = [normalized(0), normalized(1)]
    with pytest.warns(UserWarning, match="give batches of inputs"):
        blended = ktr.blend(models, [0.5, 0.5])
    given = [np.float64(model.layers[1].get_weights()) for model in models]
    np.testing.assert_allclose(blended.layers[1].get_weights(), np.mean(given, axis=0), rtol=1e-6)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        ktr.blend([network(0), network(1)], [0.5, 0.5])


@pytest.mark.parametrize(
    "batches, message",
    [
        ([], "batches must hold at least one batch"),
        (np.zeros((2, 8, 8, 2), np.float32), r"iterable of batches, such as \[x\]"),
        ([np.full((2, 8, 8, 2), np.nan, np.float32)], "batches must give finite statistics"),
    ],
)
def test_batches_without_use_are_refused_and_change_nothing(batches, message):
    model = normalized()
    before = values_of(model)
    with pytest.raises(ValueError, match=message):
        blending.reestimate_statistics(model, batches)
    assert_equal(values_of(model), before)


# Files


@pytest.mark.parametrize("format", helpers.OWN_FORMATS)
def test_files_are_blended_and_the_result_can_be_saved(tmp_path, format):
    paths = [tmp_path / f"{n}-{helpers.NAMES[format]}" for n in range(2)]
    models = [randomize(helpers.network(), seed) for seed in range(2)]
    for model, path in zip(models, paths):
        saved_models.save(model, path, format)
    x = batches_of(3, channels=3)
    x = [each[:, :, :8] for each in x]
    blended = ktr.blend([str(paths[0]), paths[1]], [0.5, 0.5], x)
    in_memory = ktr.blend(models, [0.5, 0.5], x)
    np.testing.assert_array_equal(blended(x[0], training=False), in_memory(x[0], training=False))
    saved_models.save(blended, tmp_path / "blended.keras", "keras")
    loaded = saved_models.load(tmp_path / "blended.keras").model
    assert_equal(values_of(loaded), values_of(blended))


def test_a_file_that_is_no_model_is_refused_by_name(tmp_path):
    (tmp_path / "notes.keras").write_text("notes")
    with pytest.raises(ValueError, match=r"notes.keras"):
        ktr.blend([network(), tmp_path / "notes.keras"], [0.5, 0.5])


# Arguments


@pytest.mark.parametrize(
    "weights, message",
    [
        ([0.5], "one per model.*1 weights for 2 models"),
        ([0.5, 0.25, 0.25], "one per model.*3 weights for 2 models"),
        ([0.5, 0.6], "must sum to 1. Received: 0.5, 0.6, which sum to 1.1"),
        ([0.5, 0.50001], "must sum to 1"),
        ([1.5, -0.5], "of at least 0. Received: -0.5"),
        ([float("nan"), 0.5], "of at least 0. Received: nan"),
        (["0.5", 0.5], "must be numbers of at least 0. Received: '0.5'"),
        ([True, 0.0], "must be numbers of at least 0. Received: True"),
    ],
)
def test_wrong_weights_are_refused_before_files_are_read(weights, message):
    with pytest.raises(ValueError, match=message):
        ktr.blend(["none.keras", "none.keras"], weights)


def test_weights_may_be_rounded_and_numpys():
    models = [network(seed) for seed in range(3)]
    exact = ktr.blend(models, [1 / 3] * 3)
    rounded = ktr.blend(models, np.float32([1 / 3] * 3))
    for a, b in zip(floats_of(exact), floats_of(rounded)):
        np.testing.assert_allclose(a, b, rtol=1e-6)


@pytest.mark.parametrize(
    "models, message",
    [
        (lambda: network(), "models must be a list .*Received: "),
        (lambda: "a.keras", "models must be a list .*Received: str"),
        (lambda: [network(), 3], r"models\[1\] must be a Keras model .*Received: int"),
    ],
)
def test_what_is_no_list_of_models_is_refused(models, message):
    with pytest.raises(TypeError, match=message):
        ktr.blend(models(), [0.5, 0.5])


def test_no_models_are_refused():
    with pytest.raises(ValueError, match="models at least one"):
        ktr.blend([], [])
