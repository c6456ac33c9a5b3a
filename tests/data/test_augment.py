"""Tests of augment: one random draw changes x, y and weights per pixel."""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

import keras_temporal_reg as ktr


def samples(count=8, channels=2, size=16, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.uniform(size=(count, size, size, 3)).astype(np.float32)
    return x, rng.uniform(size=(count, size, size, channels)).astype(np.float32)


def dataset_of(*tensors, batch=4, drop_remainder=True):
    tensors = tensors or samples()
    return tf.data.Dataset.from_tensor_slices(tensors).batch(batch, drop_remainder)


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


def test_weights_of_several_outputs_are_refused():
    images = tf.zeros((2, 8, 8, 1))
    data = tf.data.Dataset.from_tensors((images, {"a": images}, {"a": tf.ones(2)}))
    with pytest.raises(ValueError, match="sample_weight must be one tensor to be augmented"):
        ktr.data.augment(data, tf.identity)
