"""One of several outputs is regularized; the others train as plain Keras trains them."""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

import keras_temporal_reg as ktr
from keras_temporal_reg.data import _paired_target as paired_target

layers = keras.layers
RNG = np.random.default_rng(0)
X = RNG.uniform(size=(6, 8, 8, 3)).astype(np.float32)
IMAGE = RNG.uniform(size=(6, 8, 8, 2)).astype(np.float32)
DEPTH = RNG.uniform(size=(6, 8, 8, 1)).astype(np.float32)
LABEL = RNG.uniform(size=(6, 1)).astype(np.float32)
Y = {"depth": DEPTH, "image": IMAGE, "label": LABEL}
WEIGHT = RNG.uniform(0.5, 1.5, size=6).astype(np.float32)


@pytest.fixture(autouse=True)
def without_xla():
    """It takes seconds to compile; one slow test compiles."""
    ktr.image.set_backend("op")


def network(kind):
    keras.utils.set_random_seed(0)
    x = keras.Input((8, 8, 3))
    hidden = layers.Conv2D(4, 3, padding="same", activation="relu")(x)
    depth = layers.Conv2D(1, 3, padding="same", name="depth")(hidden)
    image = layers.Conv2D(2, 3, padding="same", name="image")(hidden)
    label = layers.Dense(1, name="label")(layers.GlobalAveragePooling2D()(hidden))
    made = {"depth": depth, "image": image, "label": label}
    return keras.Model(x, made if kind is dict else [*made.values()])


class Subclassed(keras.Model):
    """Its outputs are unknown until it is called."""

    def __init__(self, kind):
        super().__init__()
        self.kind = kind
        self.image = layers.Conv2D(2, 3, padding="same")
        self.label = layers.Dense(1)

    def call(self, x):
        made = {"image": self.image(x), "label": self.label(tf.reduce_mean(x, axis=(1, 2)))}
        return made if self.kind is dict else [*made.values()]


def losses(image="mse"):
    return {"depth": "mae", "image": image, "label": "mse"}


def fit(model, loss, y=Y, sample_weight=None, learning_rate=0.1, **options):
    model.compile(keras.optimizers.SGD(learning_rate), loss, **options)
    data = (X, y) if sample_weight is None else (X, y, sample_weight)
    dataset = tf.data.Dataset.from_tensor_slices(data).batch(3)
    return model.fit(dataset, epochs=2, verbose=0, validation_data=(X, y), batch_size=3).history


def assert_same_history(found, expected):
    assert {*found} == {*expected}
    for name, values in expected.items():
        assert found[name] == pytest.approx(values, rel=1e-4), name


@pytest.mark.parametrize(
    "kind, options",
    [
        (dict, {"run_eagerly": True}),
        pytest.param(list, {"run_eagerly": True}, marks=pytest.mark.slow),
        pytest.param(dict, {"jit_compile": False}, marks=pytest.mark.slow),
        pytest.param(list, {"jit_compile": False}, marks=pytest.mark.slow),
        pytest.param(dict, {"jit_compile": True}, marks=pytest.mark.slow),
    ],
)
def test_without_regularizer_losses_and_metrics_are_those_of_plain_keras(kind, options):
    if options.get("jit_compile"):
        ktr.image.set_backend("xla")
    options = {
        **options,
        "loss_weights": {"depth": 0.3, "image": 1.0, "label": 2.0},
        "metrics": {"depth": ["mse"], "image": ["mae"], "label": ["mae"]},
    }
    y = Y if kind is dict else tuple(Y.values())
    plain, base = network(kind), network(kind)
    expected = fit(plain, losses(), y, **options)
    model = ktr.RegularizedModel(base, ktr.RandomAffine(seed=0), output="image")
    found = fit(model, losses(ktr.losses.SparseJacobianLoss(alpha=0.0)), y, **options)
    assert_same_history(found, expected)
    for a, b in zip(base.get_weights(), plain.get_weights()):
        np.testing.assert_allclose(a, b, atol=1e-6)


@pytest.mark.parametrize("pair_fraction", [1.0, pytest.param(0.5, marks=pytest.mark.slow)])
def test_other_outputs_see_the_plain_samples_where_one_is_regularized(pair_fraction):
    """Nothing of the model changes, so each loss is that of plain Keras; the image's is not."""
    plain, base = network(dict), network(dict)
    options = {
        "learning_rate": 0.0,
        "run_eagerly": True,
        "metrics": {"image": ["mae"], "label": ["mae"]},
    }
    expected = fit(plain, losses(), **options)
    model = ktr.RegularizedModel(
        base, ktr.RandomAffine(seed=0), output="image", pair_fraction=pair_fraction
    )
    found = fit(model, losses(ktr.losses.SparseJacobianLoss(alpha=0.9)), **options)
    assert found["image_loss"] != pytest.approx(expected["image_loss"], rel=0.1)
    for each in (found, expected):
        del each["image_loss"], each["loss"]
    assert_same_history(found, expected)


@pytest.mark.parametrize("each_its_own", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_sample_weights_reach_each_output(each_its_own):
    # Per pixel, so that those of plain Keras are not those of columns on Keras 2.
    weight = {"depth": WEIGHT[:, None, None], "image": WEIGHT[:, None, None], "label": WEIGHT}
    if each_its_own:
        weight = {name: (n + 1) * w for n, (name, w) in enumerate(weight.items())}
    plain, base = network(dict), network(dict)
    expected = fit(plain, losses(), sample_weight=weight, run_eagerly=True)
    model = ktr.RegularizedModel(base, ktr.RandomAffine(seed=0), output="image")
    loss = losses(ktr.losses.SparseJacobianLoss(alpha=0.0))
    assert_same_history(fit(model, loss, sample_weight=weight, run_eagerly=True), expected)


def test_pair_leaves_the_other_targets_as_they_are():
    model = ktr.RegularizedModel(network(dict), ktr.RandomAffine(seed=0), output="image")
    model.compile("sgd", losses(ktr.losses.SparseJacobianLoss()))
    x, y, weight = model.pair(X, Y, WEIGHT)
    np.testing.assert_array_equal(x[::2], X)
    np.testing.assert_array_equal(y["label"], LABEL)
    np.testing.assert_array_equal(y["depth"], DEPTH)
    np.testing.assert_array_equal(paired_target.decode(y["image"]).y[::2], IMAGE)
    np.testing.assert_array_equal(weight["label"], WEIGHT)
    np.testing.assert_array_equal(weight["image"], np.repeat(WEIGHT, 2))


def test_partly_paired_targets_keep_their_order():
    numbers = np.arange(6, dtype=np.float32)
    x = X * 0 + numbers[:, None, None, None]
    y = {"image": x[..., :2], "label": numbers[:, None]}
    x, y, weight = ktr.pair(x, y, None, (0, 1), numbers, pair_fraction=0.5, output="image")
    rows = [*range(0, 6, 2), *range(6, 9)]  # three pairs, then the others
    np.testing.assert_array_equal(y["label"][:, 0], np.array(x)[rows, 0, 0, 0])
    np.testing.assert_array_equal(weight["label"], y["label"][:, 0])


@pytest.mark.parametrize("kind", [list, pytest.param(dict, marks=pytest.mark.slow)])
def test_subclassed_model_of_several_outputs_trains(kind):
    y, loss = {"image": IMAGE, "label": LABEL}, losses(ktr.losses.SparseJacobianLoss())
    del loss["depth"]
    if kind is list:
        y, loss = tuple(y.values()), [*loss.values()]
    model = ktr.RegularizedModel(Subclassed(kind), output="image" if kind is dict else 0)
    history = fit(model, loss, y, run_eagerly=True)
    assert history["loss"][1] < history["loss"][0]
    assert [np.shape(a) for a in tf.nest.flatten(model.predict(X, verbose=0))] == [
        IMAGE.shape,
        LABEL.shape,
    ]


@pytest.mark.parametrize("kind, given", [(dict, "tensor"), (dict, "structure"), (list, "tensor")])
def test_outputs_of_one_entry_train(kind, given):
    x = keras.Input((8, 8, 3))
    image = layers.Conv2D(2, 3, padding="same", name="image")(x)
    base = keras.Model(x, {"image": image} if kind is dict else [image])
    y = IMAGE if given == "tensor" else {"image": IMAGE} if kind is dict else (IMAGE,)
    model = ktr.RegularizedModel(base)
    history = fit(model, ktr.losses.SparseJacobianLoss(alpha=0.0), y, run_eagerly=True)
    assert history["loss"][1] < history["loss"][0]
    expected = np.mean((np.array(tf.nest.flatten(base(X))[0]) - IMAGE) ** 2)
    assert history["val_loss"][1] == pytest.approx(expected, rel=1e-5)


def test_output_without_a_loss_is_left_alone():
    base = network(dict)
    before = base.get_layer("label").get_weights()
    model = ktr.RegularizedModel(base, output="image")
    loss = {"depth": None, "image": ktr.losses.SparseJacobianLoss(), "label": None}
    history = fit(model, loss, {"image": IMAGE}, run_eagerly=True)
    assert history["loss"][1] < history["loss"][0]
    for a, b in zip(base.get_layer("label").get_weights(), before):
        np.testing.assert_array_equal(a, b)


def test_teacher_makes_the_targets_of_all_outputs():
    teacher, student = network(dict), network(dict)
    student.get_layer("label").kernel.assign_add([[1.0]] * 4)
    model = ktr.RegularizedModel(student, None, teacher=teacher, output="image")
    loss = losses(ktr.losses.SparseJacobianLoss())
    model.compile(keras.optimizers.SGD(0.0), loss, run_eagerly=True)
    found = model.fit(X, batch_size=6, verbose=0).history
    of_teacher, of_student = (np.array(each(X)["label"]) for each in (teacher, student))
    assert found["label_loss"] == pytest.approx([np.mean((of_teacher - of_student) ** 2)], rel=1e-4)
    assert found["image_loss"] == pytest.approx([0.0], abs=1e-7)


def test_stability_is_that_of_the_regularized_output():
    base = network(list)
    model = ktr.RegularizedModel(base, output="image")
    loss = losses(ktr.losses.SparseJacobianLoss())
    model.compile(keras.optimizers.SGD(0.0), loss, run_eagerly=True)
    watch = ktr.callbacks.TemporalStability(X, IMAGE, batch_size=4)
    logs = model.fit(X, tuple(Y.values()), verbose=0, callbacks=[watch]).history
    expected = ktr.metrics.stability(IMAGE, np.array(base(X)[1]))
    for name, value in expected.items():
        assert logs[f"stability_{name}"] == pytest.approx([value], rel=1e-4), name


def test_config_round_trip_keeps_the_output():
    model = ktr.RegularizedModel(network(list), output="image")
    copy = ktr.RegularizedModel.from_config(model.get_config())
    assert copy.get_config()["output"] == "image"


@pytest.mark.slow
def test_saved_model_of_several_outputs_trains_on(tmp_path):
    model = ktr.RegularizedModel(network(dict), ktr.RandomAffine(seed=0), output="image")
    fit(model, losses(ktr.losses.SparseJacobianLoss(alpha=0.8)), jit_compile=False)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.loss["image"].get_config() == model.loss["image"].get_config()
    for each in (model, loaded):
        each.fit(X, Y, batch_size=3, shuffle=False, verbose=0)
    for a, b in zip(loaded.get_weights(), model.get_weights()):
        np.testing.assert_allclose(a, b, atol=1e-6)


JACOBIAN = ktr.losses.SparseJacobianLoss()


@pytest.mark.parametrize(
    "loss, message",
    [
        (JACOBIAN, "in a list or dict with a loss or None per output"),
        (losses(), "loss must be a TransformInvarianceLoss or a SparseJacobianLoss"),
        ({**losses(JACOBIAN), "depth": JACOBIAN}, "loss must have one regularized loss"),
        ({"depth": "mse", "label": JACOBIAN}, "output must say which one of loss"),
    ],
)
def test_loss_that_does_not_fit_the_outputs_is_refused(loss, message):
    with pytest.raises(ValueError, match=message):
        ktr.RegularizedModel(network(dict), output="image").compile("sgd", loss)


def test_one_loss_for_outputs_that_were_not_known_is_refused():
    model = ktr.RegularizedModel(Subclassed(dict), output="image")
    with pytest.raises(ValueError, match="in a list or dict with a loss or None per output"):
        fit(model, JACOBIAN, {"image": IMAGE, "label": LABEL}, run_eagerly=True)


@pytest.mark.parametrize(
    "y, message",
    [
        (IMAGE, "y must be a list or dict with a target per output"),
        ({"depth": DEPTH, "label": LABEL}, "output must say which one of y"),
        ({**Y, "other": LABEL}, "names of the model's outputs, .*Received: .*other"),
        ({**Y, "image": IMAGE[..., :1]}, "the target must have the channels"),
        ({**Y, "image": LABEL}, "y must be a batch of images of rank 4"),
    ],
)
def test_target_that_does_not_fit_the_outputs_is_refused(y, message):
    model = ktr.RegularizedModel(network(dict), output="image")
    with pytest.raises(ValueError, match=message):
        fit(model, losses(JACOBIAN), y, run_eagerly=True)


def test_tf_data_route_refuses_several_outputs():
    dataset = tf.data.Dataset.from_tensor_slices((X, Y)).batch(3)
    with pytest.raises(ValueError, match=r"RegularizedModel\(base_model, output=.*3 parts"):
        ktr.data.pair_with_transformed(dataset, None)


def test_tf_data_route_pairs_a_target_of_one_entry():
    dataset = tf.data.Dataset.from_tensor_slices((X, {"image": IMAGE})).batch(3)
    paired = ktr.data.pair_with_transformed(dataset, None, perturbation=tf.identity)
    _, y = next(iter(paired))
    np.testing.assert_array_equal(paired_target.decode(y["image"]).y[::2], IMAGE[:3])


def test_augmentation_moves_the_images_of_all_outputs_alike():
    y = {"image": X[..., :2], "label": LABEL}
    dataset = tf.data.Dataset.from_tensor_slices((X, y)).batch(6)
    x, y = next(iter(ktr.data.augment(dataset, layers.RandomFlip(seed=1))))
    assert np.abs(x - X).max() > 0
    np.testing.assert_array_equal(y["image"], x[..., :2])
    np.testing.assert_array_equal(y["label"], LABEL)
