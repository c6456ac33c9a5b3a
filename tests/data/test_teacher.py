"""Tests of self-distillation: `with_teacher`, and `RegularizedModel` with a teacher."""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

import keras_temporal_reg as ktr
from keras_temporal_reg.data import _paired_target as paired_target

layers = keras.layers


def network(seed=0, channels=2, dropout=0.0):
    """With layers that behave differently in training."""
    keras.utils.set_random_seed(seed)
    return keras.Sequential(
        [
            keras.Input((16, 16, 3)),
            layers.Conv2D(4, 3, padding="same", activation="relu"),
            layers.BatchNormalization(),
            layers.Dropout(dropout),
            layers.Conv2D(channels, 3, padding="same", kernel_regularizer="l2"),
        ]
    )


def inputs(count=8, seed=0):
    return np.random.default_rng(seed).random((count, 16, 16, 3)).astype(np.float32)


def weights(model):
    return [np.array(w) for w in model.get_weights()]


def trained(x, y=None, teacher=None, loss=None, **options):
    student = network(seed=1)
    model = ktr.RegularizedModel(student, ktr.RandomAffine(seed=3), teacher=teacher)
    loss = loss or ktr.losses.SparseJacobianLoss(0.8, contrast=0.1)
    model.compile(keras.optimizers.SGD(0.1), loss, **options)
    model.fit(x, y, batch_size=4, epochs=2, shuffle=False, verbose=0)
    return student, model


@pytest.mark.parametrize("jit_compile", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "loss", [ktr.losses.SparseJacobianLoss(0.8), ktr.losses.TransformInvarianceLoss(0.8)]
)
def test_a_teacher_trains_as_its_outputs_as_targets_do(loss, jit_compile):
    x, teacher = inputs(), network(dropout=0.5)
    before = weights(teacher)
    taught, _ = trained(x, teacher=teacher, loss=loss, jit_compile=jit_compile)
    expected, _ = trained(x, teacher.predict(x, verbose=0), loss=loss, jit_compile=jit_compile)
    for a, b in zip(weights(taught), weights(expected)):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    for a, b in zip(weights(teacher), before):
        np.testing.assert_array_equal(a, b)


def test_a_teacher_is_no_part_of_what_is_trained():
    teacher = network()
    student, model = trained(inputs(), teacher=teacher)
    assert len(model.trainable_variables) == len(student.trainable_variables) == 6
    assert len(model.losses) == 1
    assert teacher.trainable
    assert {id(v) for v in student.trainable_variables} == {
        id(v) for v in model.trainable_variables
    }


def test_the_function_route_gives_the_same_targets():
    x, teacher = inputs(), network(dropout=0.5)
    for element in (x, (x,)):
        dataset = tf.data.Dataset.from_tensor_slices(element).batch(4)
        batches = [*ktr.data.with_teacher(dataset, teacher)]
        np.testing.assert_array_equal(np.concatenate([b[0] for b in batches]), x)
        found = np.concatenate([b[1] for b in batches])
        np.testing.assert_allclose(found, teacher.predict(x, verbose=0), atol=1e-6)


def test_its_batches_pair_and_train():
    dataset = tf.data.Dataset.from_tensor_slices(inputs()).batch(4)
    dataset = ktr.data.with_teacher(dataset, network())
    paired = ktr.data.pair_with_transformed(dataset, ktr.RandomAffine(seed=3))
    student = network(seed=1)
    student.compile("sgd", ktr.losses.TransformInvarianceLoss(0.8))
    history = student.fit(paired, verbose=0).history
    assert np.isfinite(history["loss"][-1])


def test_the_target_of_a_pair_is_the_warped_output_of_the_teacher():
    x, teacher = tf.constant(inputs(2)), network()
    model = ktr.RegularizedModel(network(seed=1), ktr.RandomAffine(seed=3), teacher=teacher)
    model.compile("sgd", ktr.losses.SparseJacobianLoss(0.8))
    _, y_true, _ = model.pair(x)
    target = paired_target.decode(y_true)
    y = teacher(x, training=False)
    np.testing.assert_allclose(target.y[::2], y, atol=1e-6)
    moved = ktr.RandomAffine(seed=3).apply(y, target.transforms[1::2])
    np.testing.assert_allclose(target.y[1::2], moved, atol=1e-5)


def test_validation_is_against_targets_where_there_are_some():
    x, teacher = inputs(), network()
    student, model = trained(x, teacher=teacher)
    own = np.mean((student.predict(x, verbose=0) - teacher.predict(x, verbose=0)) ** 2)
    penalty = float(tf.add_n(student.losses))
    assert model.evaluate(x, verbose=0) == pytest.approx(own + penalty, rel=1e-4)
    truth = np.zeros((8, 16, 16, 2), np.float32)
    own = np.mean(student.predict(x, verbose=0) ** 2)
    assert model.evaluate(x, truth, verbose=0) == pytest.approx(own + penalty, rel=1e-4)


@pytest.mark.slow
def test_it_is_saved_and_loaded_with_its_teacher(tmp_path):
    x = inputs()
    _, model = trained(x, teacher=network(seed=5))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for a, b in zip(weights(loaded.teacher), weights(model.teacher)):
        np.testing.assert_array_equal(a, b)
    model.fit(x, batch_size=4, shuffle=False, verbose=0)
    loaded.fit(x, batch_size=4, shuffle=False, verbose=0)
    for a, b in zip(weights(loaded.base_model), weights(model.base_model)):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_targets_of_half_precision_are_float32():
    def teacher(x):
        return tf.cast(x[..., :2], tf.float16)

    dataset = tf.data.Dataset.from_tensors(inputs(2))
    assert ktr.data.with_teacher(dataset, teacher).element_spec[1].dtype == tf.float32


def test_data_with_targets_beside_a_teacher_are_refused():
    x = inputs()
    with pytest.raises(ValueError, match="x alone with a teacher"):
        trained(x, np.zeros((8, 16, 16, 2), np.float32), teacher=network())
    with pytest.raises(ValueError, match=r"\(x, y\) without one. Received: no y"):
        trained(x)
    dataset = tf.data.Dataset.from_tensors((x, x))
    with pytest.raises(ValueError, match=r"batches of x alone.*Received: 2 parts"):
        ktr.data.with_teacher(dataset, network())


def test_wrong_teachers_are_refused():
    student = network()
    shared = keras.Model(student.inputs, student.outputs)
    for teacher in (student, shared):
        with pytest.raises(ValueError, match="teacher must not share weights"):
            ktr.RegularizedModel(student, teacher=teacher)
    with pytest.raises(ValueError, match=r"teacher must have the outputs.*16, 16, 2.*16, 16, 3"):
        ktr.RegularizedModel(student, teacher=network(channels=3))
    with pytest.raises(TypeError, match="teacher must be a Keras model or a function"):
        ktr.RegularizedModel(student, teacher="model.keras")
    with pytest.raises(ValueError, match="make_input makes inputs from targets"):
        ktr.RegularizedModel(student, teacher=network(seed=1), make_input=lambda y: y)
    dataset = tf.data.Dataset.from_tensors(inputs())
    with pytest.raises(ValueError, match="teacher must return one batch of images"):
        ktr.data.with_teacher(dataset, lambda x: tf.reduce_mean(x, axis=(1, 2)))
    with pytest.raises(TypeError, match=r"dataset must be a tf\.data\.Dataset"):
        ktr.data.with_teacher(inputs(), network())
