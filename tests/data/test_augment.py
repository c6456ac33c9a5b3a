"""Tests of keras_temporal_reg.data: the tf.data route."""

import types

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

import keras_temporal_reg as ktr
from keras_temporal_reg.data import _pairing as pairing


def samples(count=8, channels=2, size=16, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.uniform(size=(count, size, size, 3)).astype(np.float32)
    return x, rng.uniform(size=(count, size, size, channels)).astype(np.float32)


def dataset_of(*tensors, batch=4, drop_remainder=True):
    tensors = tensors or samples()
    return tf.data.Dataset.from_tensor_slices(tensors).batch(batch, drop_remainder)


def motions(dataset):
    """All T of a data set."""
    drawn = [pairing.unpack(element[1]).transforms[1::2] for element in dataset]
    return np.concatenate([t.numpy() for t in drawn])


def shift_right():
    """A transform of a user's own: every picture one pixel to the right."""

    def sample(batch_size, height, width, seed=None):
        return tf.tile(tf.constant([[1.0, 0, -1, 0, 1, 0, 0, 0]]), (batch_size, 1))

    def apply(images, transforms):
        return ktr.image.transform(images, transforms, "bilinear", "nearest")

    return types.SimpleNamespace(sample=sample, apply=apply)


def shifted(images):
    return np.concatenate([images[:, :, :1], images[:, :, :-1]], axis=2)


def network():
    keras.utils.set_random_seed(0)
    return keras.Sequential([keras.Input((16, 16, 3)), keras.layers.Conv2D(2, 3, padding="same")])


def test_samples_and_counterparts_stand_in_turn():
    x, y = samples()
    paired = list(ktr.data.pair_with_transformed(dataset_of(x, y), shift_right()))
    assert len(paired) == 2
    paired_x = np.concatenate([element[0] for element in paired])
    paired_y = np.concatenate([element[1] for element in paired])
    np.testing.assert_array_equal(paired_x[::2], x)
    np.testing.assert_allclose(paired_x[1::2], shifted(x), atol=1e-6)
    np.testing.assert_array_equal(paired_y[::2, ..., :-1], y)
    np.testing.assert_allclose(paired_y[1::2, ..., :-1], shifted(y), atol=1e-6)


def test_element_spec_has_twice_the_rows_and_one_more_channel():
    paired = ktr.data.pair_with_transformed(dataset_of(), ktr.RandomAffine())
    x, y = paired.element_spec
    assert x.shape[1:].as_list() == [16, 16, 3] and y.shape[1:].as_list() == [16, 16, 3]
    assert x.shape[0] in (None, 8) and y.shape[0] in (None, 8)
    assert x.dtype == y.dtype == tf.float32
    assert all(element[0].shape == (8, 16, 16, 3) for element in paired)


def test_cardinality_is_kept():
    dataset = dataset_of(batch=3, drop_remainder=False)
    paired = ktr.data.pair_with_transformed(dataset, ktr.RandomAffine())
    assert int(paired.cardinality()) == int(dataset.cardinality()) == 3
    endless = ktr.data.pair_with_transformed(dataset.repeat(), ktr.RandomAffine())
    assert int(endless.cardinality()) == tf.data.INFINITE_CARDINALITY


def test_seeded_draws_repeat():
    first, again = (
        motions(ktr.data.pair_with_transformed(dataset_of(), ktr.RandomAffine(seed=7)))
        for _ in range(2)
    )
    np.testing.assert_array_equal(first, again)
    other = motions(ktr.data.pair_with_transformed(dataset_of(), ktr.RandomAffine(seed=8)))
    assert np.abs(first - other).max() > 1e-3


def test_draws_without_a_seed_follow_the_global_seed():
    drawn = []
    for seed in (1, 1, 2):
        keras.utils.set_random_seed(seed)
        drawn.append(motions(ktr.data.pair_with_transformed(dataset_of(), ktr.RandomAffine())))
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert np.abs(drawn[0] - drawn[2]).max() > 1e-3


@pytest.mark.parametrize("seed", [None, 3])
def test_every_sample_and_every_epoch_draws_anew(seed):
    paired = ktr.data.pair_with_transformed(dataset_of(), ktr.RandomAffine(seed=seed))
    drawn = np.concatenate([motions(paired), motions(paired), motions(paired.repeat(2))])
    assert drawn.shape == (32, 8)
    assert len(np.unique(drawn.round(5), axis=0)) == 32


def test_epochs_of_a_seeded_data_set_repeat_in_another_run():
    runs = []
    for _ in range(2):
        paired = ktr.data.pair_with_transformed(dataset_of(), ktr.RandomAffine(seed=3))
        runs.append(np.concatenate([motions(paired), motions(paired)]))
    np.testing.assert_array_equal(runs[0], runs[1])


def test_draws_stay_within_their_ranges():
    still = ktr.RandomAffine(translation=1.5, rotation=0, zoom=0, shear=0, seed=0)
    drawn = motions(ktr.data.pair_with_transformed(dataset_of(*samples(64)), still))
    np.testing.assert_allclose(drawn[:, [0, 1, 3, 4]] - [1, 0, 0, 1], 0, atol=1e-6)
    assert np.abs(drawn[:, [2, 5]]).max() <= 1.5 + 1e-5
    assert np.abs(drawn[:, [2, 5]]).max() > 1.0
    assert drawn[:, 2].min() < -0.5 and drawn[:, 5].min() < -0.5


def test_weights_of_samples_are_repeated():
    x, y = samples()
    weight = np.arange(8, dtype=np.float32)
    paired = ktr.data.pair_with_transformed(dataset_of(x, y, weight), ktr.RandomAffine(seed=0))
    assert len(paired.element_spec) == 3
    result = np.concatenate([element[2] for element in paired])
    np.testing.assert_array_equal(result, np.repeat(weight, 2))


@pytest.mark.parametrize("shape", [(8, 16, 16), (8, 16, 16, 1)])
def test_weights_of_pixels_move_with_their_pixels(shape):
    x, y = samples()
    weight = np.random.default_rng(1).uniform(size=shape).astype(np.float32)
    paired = ktr.data.pair_with_transformed(dataset_of(x, y, weight), shift_right())
    result = np.concatenate([element[2] for element in paired])
    np.testing.assert_array_equal(result[::2], weight)
    np.testing.assert_allclose(result[1::2], shifted(weight), atol=1e-6)


@pytest.mark.parametrize("names", [True, False], ids=["dict", "tuple"])
def test_inputs_of_several_tensors_move_alike(names):
    x, y = samples()
    level = np.arange(8, dtype=np.float32)[:, None]
    inputs = (x, x[..., :1], level)
    if names:
        inputs = dict(zip("abc", inputs))
    paired = ktr.data.pair_with_transformed(dataset_of(inputs, y), ktr.RandomAffine(seed=0))
    for paired_x, _ in paired:
        assert isinstance(paired_x, dict if names else tuple)
        a, b, c = paired_x.values() if names else paired_x
        np.testing.assert_array_equal(a[..., :1], b)
        np.testing.assert_array_equal(c[::2], c[1::2])
        assert np.abs(a[::2] - a[1::2]).max() > 1e-3


def test_last_batch_may_be_smaller():
    x, y = samples(7)
    dataset = dataset_of(x, y, batch=4, drop_remainder=False)
    paired = ktr.data.pair_with_transformed(dataset, shift_right())
    assert paired.element_spec[0].shape.as_list() == [None, 16, 16, 3]
    assert [len(element[0]) for element in paired] == [8, 6]
    paired_x = np.concatenate([element[0] for element in paired])
    np.testing.assert_array_equal(paired_x[::2], x)


def test_data_whose_shapes_are_not_known_are_paired():
    x, y = samples(4)
    spec = tf.TensorSpec((None, None, None, None), tf.float32)
    dataset = tf.data.Dataset.from_generator(lambda: [(x, y)], output_signature=(spec, spec))
    paired_x, paired_y = next(iter(ktr.data.pair_with_transformed(dataset, shift_right())))
    np.testing.assert_allclose(paired_x[1::2], shifted(x), atol=1e-6)
    np.testing.assert_allclose(paired_y[1::2, ..., :-1], shifted(y), atol=1e-6)


def test_perturbation_acts_on_the_counterparts_alone():
    x, y = samples()
    dataset = dataset_of(x, y)
    paired = ktr.data.pair_with_transformed(dataset, None, perturbation=lambda images: 1 - images)
    paired_x, paired_y = (np.concatenate(list(part)) for part in zip(*paired))
    np.testing.assert_array_equal(paired_x[::2], x)
    np.testing.assert_allclose(paired_x[1::2], 1 - x)
    np.testing.assert_array_equal(paired_y[1::2, ..., :-1], y)


def test_noise_layer_is_in_training_mode_and_draws_anew_each_batch():
    x, y = samples()
    noise = keras.layers.GaussianNoise(0.1)
    paired = ktr.data.pair_with_transformed(dataset_of(x, y), None, perturbation=noise)
    added = np.concatenate([element[0] for element in paired])[1::2] - x
    assert np.std(added) == pytest.approx(0.1, rel=0.1)
    assert np.abs(added[:4] - added[4:]).max() > 1e-3


def test_make_input_makes_the_counterpart_from_the_moved_target():
    _, y = samples(channels=3)
    dataset = dataset_of(0.5 * y, y)
    paired = ktr.data.pair_with_transformed(
        dataset, shift_right(), make_input=lambda images: 0.5 * images
    )
    paired_x = np.concatenate([element[0] for element in paired])
    np.testing.assert_allclose(paired_x[1::2], 0.5 * shifted(y), atol=1e-6)


@pytest.mark.parametrize(
    "loss_class", [ktr.losses.TransformInvarianceLoss, ktr.losses.SparseJacobianLoss]
)
def test_plain_model_trains_on_it_and_validates_on_plain_data(loss_class):
    x, y = samples()
    dataset = dataset_of(x, y)
    model = network()
    plain = np.mean((model.predict(x, verbose=0) - y) ** 2)
    model.compile(keras.optimizers.SGD(0.0), loss_class(alpha=0.9))
    paired = ktr.data.pair_with_transformed(dataset, ktr.RandomAffine(seed=0))
    history = model.fit(paired, validation_data=dataset, epochs=2, verbose=0).history
    assert history["val_loss"] == pytest.approx([plain] * 2, rel=1e-5)
    assert np.all(np.isfinite(history["loss"]))
    assert history["loss"][0] != history["loss"][1]  # another T


def test_training_lowers_the_loss():
    paired = ktr.data.pair_with_transformed(dataset_of(), ktr.RandomAffine(seed=0))
    model = network()
    loss = ktr.losses.TransformInvarianceLoss(alpha=0.5)
    model.compile(keras.optimizers.SGD(0.1), loss, jit_compile=False)
    history = model.fit(paired, epochs=5, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]


def test_weights_of_samples_reach_the_loss():
    x, y = samples()
    weight = np.repeat(np.array([0, 1], np.float32), 4)
    loss = ktr.losses.SparseJacobianLoss(alpha=0.5)
    losses = []
    for tensors in ((x, y, weight), (x[4:], y[4:])):
        model = network()
        model.compile(keras.optimizers.SGD(0.0), loss, jit_compile=False)
        batch = len(tensors[0])
        paired = ktr.data.pair_with_transformed(dataset_of(*tensors, batch=batch), shift_right())
        losses.append(model.fit(paired, verbose=0).history["loss"][0])
    assert losses[0] == pytest.approx(losses[1] / 2, rel=1e-5)


@pytest.mark.parametrize("dataset", [None, samples(2), [samples(2)]])
def test_what_is_no_data_set_is_rejected(dataset):
    with pytest.raises(TypeError, match=r"dataset must be a tf\.data\.Dataset"):
        ktr.data.pair_with_transformed(dataset, ktr.RandomAffine())


def test_elements_that_are_dicts_are_rejected():
    x, y = samples()
    dataset = tf.data.Dataset.from_tensor_slices({"x": x, "y": y}).batch(4)
    with pytest.raises(ValueError, match=r"dataset must have elements \(x, y\)"):
        ktr.data.pair_with_transformed(dataset, ktr.RandomAffine())


def test_elements_without_a_target_are_rejected():
    dataset = tf.data.Dataset.from_tensor_slices(samples()[0]).batch(4)
    with pytest.raises(ValueError, match=r"dataset must have elements \(x, y\)"):
        ktr.data.pair_with_transformed(dataset, ktr.RandomAffine())


def test_elements_that_are_not_batched_are_rejected():
    dataset = tf.data.Dataset.from_tensor_slices(samples())
    with pytest.raises(ValueError, match="dataset must be batched"):
        ktr.data.pair_with_transformed(dataset, ktr.RandomAffine())


def test_target_of_wrong_rank_is_rejected():
    x, _ = samples()
    with pytest.raises(ValueError, match="y must be a batch of images of rank 4"):
        ktr.data.pair_with_transformed(dataset_of(x, np.zeros(8)), ktr.RandomAffine())


def test_input_that_holds_no_images_is_rejected():
    _, y = samples()
    with pytest.raises(ValueError, match="x must hold a batch of images of rank 4"):
        ktr.data.pair_with_transformed(dataset_of(np.zeros((8, 16)), y), ktr.RandomAffine())


def test_several_targets_are_rejected():
    x, y = samples()
    with pytest.raises(ValueError, match="y must be one batch of images"):
        ktr.data.pair_with_transformed(dataset_of(x, (y, y)), ktr.RandomAffine())


def test_target_of_another_aspect_is_rejected():
    x, y = samples()
    with pytest.raises(ValueError, match="y must have the aspect of x"):
        ktr.data.pair_with_transformed(dataset_of(x, y[:, :8]), ktr.RandomAffine())


def test_weights_of_another_size_are_rejected():
    x, y = samples()
    dataset = dataset_of(x, y, np.zeros((8, 8, 8), np.float32))
    with pytest.raises(ValueError, match="sample_weight of rank 3 must have the height and width"):
        ktr.data.pair_with_transformed(dataset, ktr.RandomAffine())


@pytest.mark.parametrize("batch, counterparts", [(8, 2), (4, 1), (3, 1)])
def test_pair_fraction_pairs_that_part_of_each_batch(batch, counterparts):
    x, y = samples(batch)
    dataset = dataset_of(x, y, batch=batch)
    motion = ktr.RandomAffine(seed=0)
    (paired,) = ktr.data.pair_with_transformed(dataset, motion, pair_fraction=0.25)
    rows = pairing.unpack(paired[1])
    roles = [0, 1] * counterparts + [0] * (batch - counterparts)
    np.testing.assert_array_equal(rows.is_counterpart, roles)
    (start,) = np.flatnonzero((x == paired[0][0].numpy()).all(axis=(1, 2, 3)))
    plain = np.array(roles) == 0
    np.testing.assert_array_equal(paired[0].numpy()[plain], np.roll(x, -start, axis=0))
    np.testing.assert_array_equal(rows.y.numpy()[plain], np.roll(y, -start, axis=0))


def test_the_part_that_is_paired_changes_from_batch_to_batch():
    x, y = samples(4)
    dataset = dataset_of(x, y).repeat(32)
    paired = ktr.data.pair_with_transformed(dataset, ktr.RandomAffine(seed=0), pair_fraction=0.25)
    firsts = [np.flatnonzero((x == e[0][0].numpy()).all(axis=(1, 2, 3)))[0] for e in paired]
    assert set(firsts) == {0, 1, 2, 3}


def test_a_model_trains_on_partly_paired_data():
    dataset = ktr.data.pair_with_transformed(
        dataset_of(*samples(8)), ktr.RandomAffine(seed=0), pair_fraction=0.25
    )
    model = network()
    metric = ktr.metrics.Unpaired("mae", name="mae", pair_fraction=0.25)
    model.compile("sgd", ktr.losses.SparseJacobianLoss(), metrics=[metric], jit_compile=False)
    x, y = samples(8)
    before = np.abs(model.predict(x, verbose=0) - y).mean()
    assert model.evaluate(dataset, verbose=0, return_dict=True)["mae"] == pytest.approx(
        before, rel=1e-5
    )
    history = model.fit(dataset, epochs=2, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    assert history["loss"][1] < history["loss"][0]


@pytest.mark.parametrize("pair_fraction", [0, 1.5, "half"])
def test_pair_fraction_outside_of_its_interval_is_rejected(pair_fraction):
    with pytest.raises(ValueError, match=r"pair_fraction must be a number in \(0, 1\]"):
        ktr.data.pair_with_transformed(
            dataset_of(), ktr.RandomAffine(), pair_fraction=pair_fraction
        )


def kept_by(layer, *tensors):
    """All elements of an augmented data set, and of what it was made of, part by part."""
    augmented = ktr.data.augment(dataset_of(*tensors), layer)
    return [np.concatenate(part) for part in zip(*augmented)]


GEOMETRIC = {
    "flip": lambda: keras.layers.RandomFlip("horizontal_and_vertical", seed=1),
    "translation": lambda: keras.layers.RandomTranslation(0.2, 0.2, seed=1),
    "rotation": lambda: keras.layers.RandomRotation(0.1, seed=1),
    "zoom": lambda: keras.layers.RandomZoom(0.2, seed=1),
    "sequential": lambda: keras.Sequential(
        [keras.layers.RandomFlip(seed=1), keras.layers.RandomTranslation(0.2, 0.2, seed=2)]
    ),
    "brightness": lambda: keras.layers.RandomBrightness(0.2, value_range=(-9, 9), seed=1),
}


@pytest.mark.parametrize("name", GEOMETRIC)
def test_one_draw_of_a_keras_layer_changes_x_and_y(name):
    x, _ = samples()
    y = x[..., ::-1]
    new_x, new_y = kept_by(GEOMETRIC[name](), x, y)
    np.testing.assert_array_equal(new_x[..., ::-1], new_y)
    # Samples of one picture differ, so that there is a draw for each.
    same = kept_by(GEOMETRIC[name](), np.repeat(x[:1], 8, axis=0), np.repeat(y[:1], 8, axis=0))
    assert np.abs(new_x - x).max() > 0.1
    assert np.abs(same[0][0] - same[0]).max() > 0.1


@pytest.mark.parametrize("name", ["RandomFlip", "RandomShear", "RandomTranslation", "RandomZoom"])
def test_one_draw_of_a_keras_cv_layer_changes_x_and_y(name):
    keras_cv = pytest.importorskip("keras_cv")
    settings = {
        "RandomFlip": {"mode": "horizontal_and_vertical"},
        "RandomShear": {"x_factor": 0.3, "y_factor": 0.3},
        "RandomTranslation": {"height_factor": 0.2, "width_factor": 0.2},
        "RandomZoom": {"height_factor": 0.2},
    }
    layer = getattr(keras_cv.layers, name)(**settings[name])
    x, _ = samples()
    dataset = ktr.data.augment(dataset_of(x, x[..., ::-1]), layer)
    assert [spec.shape.as_list() for spec in dataset.element_spec] == [[4, 16, 16, 3]] * 2
    new_x, new_y = (np.concatenate(part) for part in zip(*dataset))
    np.testing.assert_array_equal(new_x[..., ::-1], new_y)
    assert np.abs(new_x - x).max() > 0.1
    # It goes on to be paired and trained on.
    paired = ktr.data.pair_with_transformed(dataset, ktr.RandomAffine(seed=0))
    assert next(iter(paired))[1].shape == (8, 16, 16, 4)


def test_flips_are_those_of_numpy():
    x, y = samples(32)
    flip = keras.layers.RandomFlip("horizontal", seed=1)
    new_x, new_y = kept_by(flip, x, y)
    flipped = (new_x == x[:, :, ::-1]).all(axis=(1, 2, 3))
    assert 5 < flipped.sum() < 27
    where = flipped[:, None, None, None]
    np.testing.assert_array_equal(new_x, np.where(where, x[:, :, ::-1], x))
    np.testing.assert_array_equal(new_y, np.where(where, y[:, :, ::-1], y))


@pytest.mark.parametrize("shape", [(8, 16, 16), (8, 16, 16, 1)])
def test_weights_of_pixels_are_augmented_alike(shape):
    x, y = samples()
    weight = np.reshape(x[..., 0], shape)
    new_x, _, new_weight = kept_by(keras.layers.RandomFlip(seed=1), x, y, weight)
    assert new_weight.shape == shape
    np.testing.assert_array_equal(np.reshape(new_x[..., 0], shape), new_weight)
    assert np.abs(new_x - x).max() > 0.1


def test_what_is_no_image_is_not_augmented():
    x, y = samples()
    level = np.arange(8, dtype=np.float32)[:, None]
    dataset = dataset_of({"image": x, "level": level}, y, np.arange(8.0))
    for inputs, target, weight in ktr.data.augment(dataset, lambda images: images[:, ::-1]):
        rows = weight.numpy().astype(int)
        np.testing.assert_array_equal(inputs["level"][:, 0], rows)
        np.testing.assert_array_equal(inputs["image"], x[rows][:, ::-1])
        np.testing.assert_array_equal(target, y[rows][:, ::-1])


def test_bytes_become_floats_and_other_floats_stay():
    x, y = samples()
    x, y = (255 * x).astype(np.uint8), y.astype(np.float16)
    new_x, new_y = kept_by(lambda images: images, x, y)
    assert new_x.dtype == np.float32 and new_y.dtype == np.float16
    np.testing.assert_array_equal(new_x, x)
    np.testing.assert_array_equal(new_y, y)


def test_augmentation_draws_anew_in_each_epoch_and_keeps_the_cardinality():
    x, y = samples()
    dataset = ktr.data.augment(dataset_of(x, y), keras.layers.RandomTranslation(0.2, 0.2, seed=1))
    assert int(dataset.cardinality()) == 2
    first, second = (np.concatenate([element[0] for element in dataset]) for _ in range(2))
    assert np.abs(first - second).max() > 0.1


@pytest.mark.parametrize(
    "layer, name",
    [
        (keras.layers.CenterCrop(8, 8), "center_crop"),
        (keras.layers.RandomCrop(8, 8), "random_crop"),
        (keras.layers.Resizing(32, 32), "resizing"),
        (lambda images: images[..., :1], "<lambda>"),
    ],
    ids=["centre", "crop", "resizing", "channels"],
)
def test_augmentation_that_changes_the_shape_is_refused_by_its_name(layer, name):
    message = rf"(?s)augmentation must keep the size.*Received: {name}.*\(4, 16, 16, 5\)"
    with pytest.raises(ValueError, match=message):
        ktr.data.augment(dataset_of(), layer)


def test_augmentation_that_changes_a_size_that_was_not_known_is_refused_when_it_runs():
    x, y = samples()
    unknown = tf.TensorSpec((None, None, None, 3), tf.float32)
    dataset = (
        dataset_of(x, y[..., [0, 1, 1]])
        .map(
            lambda *parts: [
                tf.ensure_shape(tf.py_function(lambda t: t, [t], t.dtype), unknown.shape)
                for t in parts
            ]
        )
        .map(lambda *parts: parts)
    )
    augmented = ktr.data.augment(dataset, lambda images: images[:, :8])
    with pytest.raises(tf.errors.InvalidArgumentError, match="must keep the size"):
        next(iter(augmented))


def test_augmentation_that_needs_three_channels_is_refused_by_its_name():
    def inverted(images):
        return tf.image.hsv_to_rgb(1.0 - tf.image.rgb_to_hsv(images))

    with pytest.raises(ValueError, match=r"(?s)any number of channels.*inverted.*\(4, 16, 16, 5\)"):
        ktr.data.augment(dataset_of(), inverted)


def test_keras_cv_layer_that_needs_three_channels_is_refused_by_its_name():
    keras_cv = pytest.importorskip("keras_cv")
    hue = keras_cv.layers.RandomHue(0.3, value_range=(0, 1))
    with pytest.raises(ValueError, match=r"(?s)any number of channels.*random_hue"):
        ktr.data.augment(dataset_of(), hue)


def test_augmentation_of_x_and_y_of_two_sizes_is_refused():
    x, y = samples()
    dataset = dataset_of(x, np.repeat(np.repeat(y, 2, 1), 2, 2))
    with pytest.raises(ValueError, match=r"(?s)one height and width.*16, 16, 3.*32, 32, 2"):
        ktr.data.augment(dataset, keras.layers.RandomFlip())


def test_augmentation_that_cannot_be_called_is_refused():
    with pytest.raises(TypeError, match=r"layer must be a preprocessing layer.*Received: 'flip'"):
        ktr.data.augment(dataset_of(), "flip")
    with pytest.raises(TypeError, match=r"dataset must be a tf\.data\.Dataset"):
        ktr.data.augment(samples(), keras.layers.RandomFlip())
    with pytest.raises(ValueError, match="dataset must be batched"):
        ktr.data.augment(tf.data.Dataset.from_tensor_slices(samples()), keras.layers.RandomFlip())


@pytest.mark.parametrize("name", ["RandomBrightness", "RandomGaussianBlur", "RandomJpegQuality"])
def test_keras_cv_layers_perturb_the_counterparts_alone(name):
    keras_cv = pytest.importorskip("keras_cv")
    settings = {
        "RandomBrightness": {"factor": (0.2, 0.2), "value_range": (0, 1)},
        "RandomGaussianBlur": {"kernel_size": 3, "factor": (1.0, 1.0)},
        "RandomJpegQuality": {"factor": (10, 20)},
    }
    layer = getattr(keras_cv.layers, name)(**settings[name])
    x, y = samples()
    paired = ktr.data.pair_with_transformed(dataset_of(x, y), None, perturbation=layer)
    paired_x, paired_y = (np.concatenate(part) for part in zip(*paired))
    np.testing.assert_array_equal(paired_x[::2], x)
    np.testing.assert_array_equal(paired_y[1::2, ..., :-1], y)
    changed = paired_x[1::2]
    assert np.abs(changed - x).max() > 0.05
    if name == "RandomBrightness":
        np.testing.assert_allclose(changed, np.clip(x + 0.2, 0, 1), atol=1e-6)
    elif name == "RandomGaussianBlur":
        assert changed.std() < 0.8 * x.std()


@pytest.mark.parametrize("name", ["GaussianNoise", "RandomBrightness", "RandomContrast"])
def test_keras_layers_perturb_the_counterparts_alone(name):
    settings = {
        "GaussianNoise": {"stddev": 0.1},
        "RandomBrightness": {"factor": (0.2, 0.2), "value_range": (0, 1)},
        "RandomContrast": {"factor": 0.5},
    }
    layer = getattr(keras.layers, name)(**settings[name])
    x, y = samples()
    paired = ktr.data.pair_with_transformed(dataset_of(x, y), None, perturbation=layer)
    paired_x, paired_y = (np.concatenate(part) for part in zip(*paired))
    np.testing.assert_array_equal(paired_x[::2], x)
    np.testing.assert_array_equal(paired_y[1::2, ..., :-1], y)
    assert np.abs(paired_x[1::2] - x).max() > 0.05
    if name == "RandomBrightness":
        np.testing.assert_allclose(paired_x[1::2], np.clip(x + 0.2, 0, 1), atol=1e-6)


def test_the_seed_of_the_route_serves_where_the_transform_has_none():
    def drawn(transform, seed):
        return motions(ktr.data.pair_with_transformed(dataset_of(), transform, seed=seed))

    first = drawn(ktr.RandomAffine(), 7)
    np.testing.assert_array_equal(first, drawn(ktr.RandomAffine(), 7))
    np.testing.assert_array_equal(first, drawn(ktr.RandomAffine(seed=7), 8))
    assert np.abs(first - drawn(ktr.RandomAffine(), 8)).max() > 1e-3


def test_what_is_imported_later_is_listed_and_all_else_is_missing():
    assert {"augment", "from_directory", "from_hdf5", "pair_with_transformed"} <= {*dir(ktr.data)}
    with pytest.raises(AttributeError, match="no attribute 'from_tape'"):
        ktr.data.from_tape  # noqa: B018
