"""What people use beside Keras's own `fit`: its callbacks, KerasTuner, TensorBoard, exports."""

import importlib
import inspect
import logging

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

import keras_temporal_reg as ktr
from keras_temporal_reg import image
from keras_temporal_reg.experiments import media, networks

KERAS_3 = hasattr(keras, "ops")
MEASURE = "stability_temporal_error"


def pictures(count=8):
    rng = np.random.default_rng(0)
    y = rng.uniform(size=(count, 16, 16, 1)).astype(np.float32)
    return y + rng.normal(scale=0.1, size=y.shape).astype(np.float32), y


def network():
    return keras.Sequential(
        [
            keras.Input((16, 16, 1), name="frames"),
            keras.layers.Conv2D(2, 3, padding="same", activation="relu"),
            keras.layers.Conv2D(1, 3, padding="same"),
        ]
    )


def regularized(rate=0.01, alpha=0.5, **kwargs):
    model = ktr.RegularizedModel(network(), ktr.RandomAffine(seed=0), **kwargs)
    loss = ktr.losses.SparseJacobianLoss(alpha=alpha)
    model.compile(keras.optimizers.SGD(rate), loss, jit_compile=False)
    return model


def fit(model, *callbacks, epochs=2, **kwargs):
    x, y = pictures()
    watch = ktr.callbacks.TemporalStability(x, y)
    model.fit(x, y, batch_size=4, epochs=epochs, verbose=0, callbacks=[watch, *callbacks], **kwargs)
    return model.history.history


def weights(model):
    return [np.array(w) for w in model.get_weights()]


def assert_same(a, b):
    for u, v in zip(weights(a), weights(b)):
        np.testing.assert_array_equal(u, v)


def test_early_stopping_ends_training_by_a_measure_of_ours():
    stop = keras.callbacks.EarlyStopping(MEASURE, mode="min", min_delta=100.0, patience=1)
    assert len(fit(regularized(), stop, epochs=5)[MEASURE]) == 2


def test_reduce_lr_on_plateau_follows_a_measure_of_ours():
    model = regularized(rate=0.01)
    reduce = keras.callbacks.ReduceLROnPlateau(
        MEASURE, mode="min", factor=0.1, min_delta=100.0, patience=1
    )
    fit(model, reduce, epochs=2)
    assert float(model.optimizer.learning_rate.numpy()) == pytest.approx(0.001)


@pytest.mark.slow
def test_model_checkpoint_keeps_the_steadiest_which_trains_on(tmp_path):
    path = tmp_path / "best.keras"
    keep = keras.callbacks.ModelCheckpoint(str(path), MEASURE, mode="min", save_best_only=True)
    # A rate this large makes each epoch worse than the one before.
    model = regularized(rate=30.0)
    history = fit(model, keep, epochs=3)
    best = keras.models.load_model(path)
    x, y = pictures()
    measured = ktr.metrics.temporal_error(y, best.predict(x, verbose=0))
    assert measured == pytest.approx(np.nanmin(history[MEASURE]), rel=1e-4)
    assert np.isfinite(fit(best, epochs=1)["loss"]).all()


@pytest.mark.slow
def test_backup_and_restore_goes_on_where_training_broke_off(tmp_path):
    class Broken(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                raise KeyboardInterrupt

    undisturbed = regularized()
    start = weights(undisturbed)
    fit(undisturbed, epochs=3, shuffle=False)

    def again():
        model = regularized()
        model.set_weights(start)
        return model

    backup = tmp_path / "backup"
    with pytest.raises(KeyboardInterrupt):
        fit(again(), keras.callbacks.BackupAndRestore(backup), Broken(), epochs=3, shuffle=False)
    resumed = again()
    losses = fit(resumed, keras.callbacks.BackupAndRestore(backup), epochs=3, shuffle=False)["loss"]
    assert len(losses) == 1
    assert_same(resumed, undisturbed)


def test_tensorboard_gets_the_measures(tmp_path):
    pytest.importorskip("tensorboard")
    fit(regularized(), keras.callbacks.TensorBoard(tmp_path), epochs=1)
    found = set()
    for path in tmp_path.rglob("events*"):
        for event in tf.compat.v1.train.summary_iterator(str(path)):
            found |= {value.tag for value in event.summary.value}
    assert any(MEASURE in tag for tag in found), found


@pytest.mark.slow
def test_keras_tuner_finds_an_alpha(tmp_path):
    keras_tuner = pytest.importorskip("keras_tuner")
    if not issubclass(keras.Model, importlib.import_module("keras").Model):
        pytest.skip("KerasTuner takes models of the package keras, not of tf_keras")

    def build(choices):
        keras.utils.set_random_seed(0)
        return regularized(alpha=choices.Float("alpha", 0.0, 0.9, step=0.3))

    tuner = keras_tuner.GridSearch(
        build,
        keras_tuner.Objective(MEASURE, "min"),
        max_trials=4,
        directory=tmp_path,
        project_name="alpha",
    )
    x, y = pictures()
    watch = ktr.callbacks.TemporalStability(x, y)
    tuner.search(x, y, epochs=1, batch_size=4, verbose=0, callbacks=[watch])
    trials = tuner.oracle.trials.values()
    reached = {trial.hyperparameters.get("alpha"): trial.score for trial in trials}
    assert len(reached) == 4 and len({*reached.values()}) > 1
    assert tuner.get_best_hyperparameters()[0].get("alpha") == min(reached, key=reached.get)


@pytest.mark.slow
def test_set_random_seed_is_honoured():
    def trained():
        keras.utils.set_random_seed(3)
        model = ktr.RegularizedModel(network())
        model.compile("sgd", ktr.losses.TransformInvarianceLoss())
        fit(model, epochs=1)
        return model

    first, second = trained(), trained()
    assert_same(first, second)
    keras.utils.set_random_seed(4)
    other = ktr.RegularizedModel(network())
    other.set_weights(weights(first))
    assert other._first_seed != first._first_seed


@pytest.mark.parametrize("which", ["regularized", "base"])
def test_an_export_serves_what_the_network_predicts(which, tmp_path):
    model = regularized()
    fit(model, epochs=1)
    exported = model if which == "regularized" else model.base_model
    x, _ = pictures()
    expected = model.predict(x, verbose=0)
    exported.export(str(tmp_path / "served"))
    served = tf.saved_model.load(str(tmp_path / "served"))
    np.testing.assert_allclose(served.serve(tf.constant(x)), expected, atol=1e-5)


@pytest.mark.slow
def test_the_base_model_becomes_tflite(tmp_path):
    model = regularized()
    fit(model, epochs=1)
    x, _ = pictures(1)
    model.base_model.export(str(tmp_path / "served"))
    converter = tf.lite.TFLiteConverter.from_saved_model(str(tmp_path / "served"))
    interpreter = tf.lite.Interpreter(model_content=converter.convert())
    (taken,), (made,) = interpreter.get_input_details(), interpreter.get_output_details()
    interpreter.allocate_tensors()
    interpreter.set_tensor(taken["index"], x)
    interpreter.invoke()
    expected = model.predict(x, verbose=0)
    np.testing.assert_allclose(interpreter.get_tensor(made["index"]), expected, atol=1e-5)


@pytest.mark.skipif(not KERAS_3, reason="Keras 3 exports ONNX by itself")
def test_the_base_model_becomes_onnx(tmp_path):
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("tf2onnx")
    model = regularized()
    fit(model, epochs=1)
    x, _ = pictures(1)
    model.base_model.export(str(tmp_path / "network.onnx"), format="onnx", verbose=False)
    session = runtime.InferenceSession(str(tmp_path / "network.onnx"))
    (made,) = session.run(None, {session.get_inputs()[0].name: x})
    np.testing.assert_allclose(made, model.predict(x, verbose=0), atol=1e-5)


def public_classes():
    """All classes of the package that Keras makes anew from a config, by name."""
    modules = [ktr, ktr.losses, ktr.metrics, ktr.data, ktr.callbacks, ktr.image]
    found = {c for m in modules for _, c in inspect.getmembers(m, inspect.isclass)}
    own = {c for c in found if c.__module__.startswith("keras_temporal_reg")}
    return {c.__name__: c for c in own if hasattr(c, "get_config") and c.__name__[0] != "_"}


def test_every_public_class_with_a_config_comes_back_from_it():
    made = {
        "RandomAffine": ktr.RandomAffine(1.0, (-2.0, 3.0), seed=5),
        "RandomFlow": ktr.RandomFlow(1.0, 9.0, "wrap", seed=5),
        "TransformInvarianceLoss": ktr.losses.TransformInvarianceLoss(0.7, "mae", "ssim"),
        "SparseJacobianLoss": ktr.losses.SparseJacobianLoss(0.7, contrast=0.1, border=2),
        "Unpaired": ktr.metrics.Unpaired(keras.metrics.RootMeanSquaredError(), pair_fraction=0.5),
        "RegularizedModel": ktr.RegularizedModel(network(), pair_fraction=0.5),
    }
    assert {*public_classes()} == {*made}
    for name, one in made.items():
        config = keras.utils.serialize_keras_object(one)
        assert config["registered_name"] == f"keras_temporal_reg>{name}"
        other = keras.utils.deserialize_keras_object(config)
        assert type(other) is type(one)
        assert keras.utils.serialize_keras_object(other) == config


@pytest.mark.slow
@pytest.mark.parametrize("name", ["op", "tfa"])
def test_a_backend_chosen_by_name_trains_the_demos_network_in_the_graph(name, monkeypatch):
    traced = []
    if name == "tfa":
        tfa = pytest.importorskip("tensorflow_addons")
        real = tfa.image.transform
        monkeypatch.setattr(
            tfa.image, "transform", lambda *a, **k: traced.append(1) or real(*a, **k)
        )
    else:
        real = image._forward_op
        monkeypatch.setattr(image, "_forward_op", lambda *a, **k: traced.append(1) or real(*a, **k))

    def trained(backend):
        image.set_backend(backend)
        keras.utils.set_random_seed(0)
        base = networks.colorization_unet(4)
        model = ktr.RegularizedModel(base, ktr.RandomAffine(seed=0))
        loss = ktr.losses.TransformInvarianceLoss(alpha=0.8)
        model.compile(keras.optimizers.SGD(0.1), loss, jit_compile=False)
        rng = np.random.default_rng(0)
        x, y = (rng.uniform(size=(4, media.CROP, media.CROP, n)).astype(np.float32) for n in (1, 2))
        model.fit(x, y, batch_size=2, shuffle=False, verbose=0)
        return base

    through_plain_ops = trained("xla")
    assert not traced
    through_the_op = trained(name)
    # Of the pair once, and of f(x) in the loss.
    assert len(traced) >= 2
    for a, b in zip(weights(through_plain_ops), weights(through_the_op)):
        np.testing.assert_allclose(a, b, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["op", "tfa"])
def test_under_xla_such_a_backend_gives_way_and_says_so_once(name, caplog):
    if name == "tfa":
        pytest.importorskip("tensorflow_addons")
    image._log_fallback.cache_clear()
    image.set_backend(name)
    model = ktr.RegularizedModel(network(), ktr.RandomAffine(seed=0))
    model.compile("sgd", ktr.losses.TransformInvarianceLoss(), jit_compile=True)
    with caplog.at_level(logging.WARNING, logger="keras_temporal_reg"):
        history = fit(model, epochs=2)
    said = [r.getMessage() for r in caplog.records if r.name.startswith("keras_temporal_reg")]
    assert len(said) == 1 and f"'{name}' has no XLA kernel" in said[0]
    assert np.isfinite(history["loss"]).all()
