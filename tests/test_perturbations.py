"""Tests of the perturbations against OpenCV, SciPy and closed forms, and in both routes."""

import numpy as np
import pytest
import scipy.ndimage
import tensorflow as tf
from tensorflow import keras

import keras_temporal_reg as ktr
from keras_temporal_reg import perturbations
from keras_temporal_reg.core import seeding

SEED = (3, 4)
ALL = [
    perturbations.SensorNoise(0.1, 0.02),
    perturbations.ExposureDrift(0.3),
    perturbations.WhiteBalanceDrift(0.1),
    perturbations.Defocus(1.5),
    perturbations.CompressionArtifacts((20, 80)),
    perturbations.Chain([perturbations.ExposureDrift(), perturbations.SensorNoise()]),
]
EACH = pytest.mark.parametrize("perturbation", ALL, ids=lambda p: type(p).__name__)


def images(batch=3, height=21, width=26, channels=3):
    """Smooth images of values around 1/2."""
    drawn = np.random.default_rng(0).uniform(size=(batch, height, width, channels))
    smooth = 0.5 + 2.0 * (scipy.ndimage.gaussian_filter(drawn, (0, 1, 1, 0)) - 0.5)
    return smooth.clip(0.05, 0.95).astype("float32")


@EACH
def test_a_batch_keeps_its_shape_and_dtype_and_changes_by_its_seed(perturbation):
    x = images()
    changed = perturbation(x, seed=SEED)
    assert (changed.shape, changed.dtype) == (x.shape, tf.float32)
    assert np.isfinite(changed).all()
    assert 0.0 <= np.min(changed) <= np.max(changed) <= 1.0
    np.testing.assert_array_equal(perturbation(x, seed=SEED), changed)
    assert not np.allclose(perturbation(x, seed=(3, 5)), changed, atol=1e-4)
    same = np.repeat(x[:1], 3, axis=0)
    each = perturbation(same, seed=SEED).numpy()
    assert not np.allclose(each[0], each[1], atol=1e-4)  # each image has its own


@EACH
def test_without_a_seed_the_global_seed_is_followed(perturbation):
    drawn = []
    for _ in range(2):
        tf.random.set_seed(7)
        drawn.append([perturbation(images()).numpy() for _ in range(2)])
    np.testing.assert_array_equal(*drawn)
    assert not np.allclose(*drawn[0], atol=1e-4)


@EACH
def test_it_compiles_and_takes_sizes_that_are_unknown_while_tracing(perturbation):
    x = images()
    compiled = tf.function(perturbation, jit_compile=True, autograph=False)(x, seed=SEED)
    assert np.abs(compiled - x).max() > 1e-3
    if not isinstance(perturbation, (perturbations.SensorNoise, perturbations.Chain)):
        # Normal numbers are others under XLA. A frequency may round to the next step.
        difference = np.abs(compiled - perturbation(x, seed=SEED))
        assert np.quantile(difference, 0.99) < 1e-3
    spec = tf.TensorSpec((None, None, None, 3), tf.float32)
    traced = tf.function(perturbation, input_signature=[spec], autograph=False)
    assert traced(x).shape == x.shape


@EACH
def test_other_ranges_and_dtypes(perturbation):
    x = images()
    config = perturbation.get_config()
    if "value_range" in config:
        wide = type(perturbation).from_config({**config, "value_range": (-1.0, 1.0)})
        expected = 2.0 * perturbation(x, seed=SEED) - 1.0
        np.testing.assert_allclose(wide(2.0 * x - 1.0, seed=SEED), expected, atol=0.03)
    half = perturbation(x.astype("float16"), seed=SEED)
    assert half.dtype == tf.float16


@EACH
def test_serialization_round_trip(perturbation):
    stored = keras.utils.serialize_keras_object(perturbation)
    again = keras.utils.deserialize_keras_object(stored)
    assert type(again) is type(perturbation)
    np.testing.assert_array_equal(again(images(), seed=SEED), perturbation(images(), seed=SEED))


def test_the_variance_of_sensor_noise_rises_with_the_light():
    shot, read = 0.05, 0.02
    noise = perturbations.SensorNoise(shot, read)
    levels = seeding.uniform((200, 1, 1, 1), seeding.split(SEED, 2)[0]).numpy().ravel()
    for value in (0.1, 0.3, 0.7):
        flat = tf.fill((200, 40, 40, 1), value)
        deviations = np.std(noise(flat, seed=SEED), axis=(1, 2, 3))
        expected = levels * np.sqrt(shot**2 * value + read**2)
        np.testing.assert_allclose(deviations, expected, rtol=0.1, atol=1e-4)


def test_exposure_multiplies_each_image_by_one_factor_within_its_stops():
    x = 0.4 + 0.2 * images(batch=200, height=6, width=6)
    factors = perturbations.ExposureDrift(0.5)(x, seed=SEED) / x
    assert np.ptp(factors, axis=(1, 2, 3)).max() < 1e-5
    stops = np.log2(factors[:, 0, 0, 0])
    assert -0.5 <= stops.min() < -0.45
    assert 0.45 < stops.max() <= 0.5


def test_white_balance_multiplies_channels_by_factors_of_mean_1():
    x = np.full((200, 6, 6, 3), 0.5, np.float32)
    factors = (perturbations.WhiteBalanceDrift(0.1)(x, seed=SEED) / x).numpy()[:, 0, 0]
    np.testing.assert_allclose(factors.mean(axis=1), 1.0, atol=1e-5)
    assert 0.05 < np.ptp(factors, axis=1).max() < 0.25


def test_defocus_is_the_blur_of_scipy():
    sigma = 1.4
    x = images()
    drawn = seeding.uniform((3, 1, 1, 1), seeding.split(SEED, 1)[0]).numpy().ravel()
    blurred = perturbations.Defocus(sigma)(x, seed=SEED)
    for image, ours, share in zip(x, blurred, drawn):
        spread = (sigma * share, sigma * share, 0)
        theirs = scipy.ndimage.gaussian_filter(image, spread, mode="nearest", radius=(5, 5, 0))
        np.testing.assert_allclose(ours, theirs, atol=1e-4)


@pytest.mark.parametrize("quality", [10, 40, 75])
@pytest.mark.parametrize("channels", [1, 3])
def test_compression_is_the_jpeg_of_opencv(quality, channels):
    cv2 = pytest.importorskip("cv2")
    levels = np.round(255.0 * images(1, 24, 32, channels)[0]).astype(np.uint8)
    options = [cv2.IMWRITE_JPEG_QUALITY, quality]
    if channels == 3:
        options += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    theirs = cv2.imdecode(cv2.imencode(".jpg", levels[..., ::-1], options)[1], -1)
    theirs = theirs.reshape(levels.shape)[..., ::-1].astype(np.float64)
    unit = levels[np.newaxis].astype(np.float32) / 255.0
    fill = tf.fill((1, 1, 1, 1), float(quality))
    ours = 255.0 * np.clip(perturbations._compress(unit, fill, tf.constant([0, 0]))[0], 0, 1)
    # libjpeg rounds to whole levels in between, so that some frequencies round to the next step.
    assert np.median(np.abs(ours - theirs)) < 1.5
    assert np.abs(ours - theirs).mean() < 0.2 * np.abs(ours - levels).mean()


def test_the_grid_of_blocks_moves():
    # A quantized ramp is constant in places, whose borders are those of blocks.
    perturbation = perturbations.CompressionArtifacts(5)
    x = np.tile(np.linspace(0.2, 0.8, 64, dtype=np.float32)[:, np.newaxis], (1, 32, 1, 1))
    edges = set()
    for number in range(12):
        changed = perturbation(x, seed=(0, number)).numpy()[0, 10, :, 0]
        steps = np.flatnonzero(np.abs(np.diff(changed)) > 0.02)
        edges |= {int(step) % 8 for step in steps}
    assert len(edges) > 4


def test_a_chain_gives_each_part_its_own_seed():
    exposure = perturbations.ExposureDrift(0.5)
    x = np.full((4, 6, 6, 3), 0.4, np.float32)
    once = perturbations.Chain([exposure])(x, seed=SEED) / x
    twice = perturbations.Chain([exposure, exposure])(x, seed=SEED) / x
    assert not np.allclose(twice, once**2, rtol=1e-3)
    np.testing.assert_array_equal(perturbations.Chain([])(x, seed=SEED), x)


@pytest.mark.parametrize("jit_compile", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_regularized_model_trains_with_a_chain(jit_compile):
    inputs = keras.Input((16, 16, 3))
    base = keras.Model(inputs, keras.layers.Conv2D(3, 3, padding="same")(inputs))
    chain = perturbations.Chain(ALL[:5])
    model = ktr.RegularizedModel(base, perturbation=chain)
    model.compile("adam", ktr.losses.SparseJacobianLoss(alpha=0.5), jit_compile=jit_compile)
    x = images(4, 16, 16)
    losses = model.fit(x, x, batch_size=4, epochs=4, verbose=0).history["loss"]
    assert np.isfinite(losses).all()
    assert losses[-1] < losses[0]


def test_values_below_the_range_give_no_nan():
    assert np.isfinite(perturbations.SensorNoise()(-0.1 * images(), seed=SEED)).all()


def test_the_data_set_route_perturbs_the_counterparts_alone_and_anew_in_each_epoch():
    x = images(2, 16, 16)
    dataset = tf.data.Dataset.from_tensors((x, x))
    paired = ktr.data.pair_with_transformed(
        dataset, None, perturbation=perturbations.SensorNoise(0.1), seed=1
    )
    first, second = (next(iter(paired))[0].numpy() for _ in range(2))
    for epoch in (first, second):
        np.testing.assert_array_equal(epoch[::2], x)
        assert np.abs(epoch[1::2] - x).max() > 0.01
    assert not np.allclose(first, second)


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: perturbations.SensorNoise(shot=-1), "shot"),
        (lambda: perturbations.SensorNoise(value_range=(1, 0)), "value_range"),
        (lambda: perturbations.ExposureDrift(-0.1), "stops"),
        (lambda: perturbations.WhiteBalanceDrift(1.0), "amount"),
        (lambda: perturbations.Defocus(0.0), "sigma"),
        (lambda: perturbations.CompressionArtifacts((60, 30)), "quality"),
        (lambda: perturbations.CompressionArtifacts(0), "quality"),
        (lambda: perturbations.SensorNoise()(tf.ones((8, 8, 3))), "images must be a batch"),
    ],
)
def test_wrong_arguments_are_named(make, match):
    with pytest.raises(ValueError, match=match):
        make()


def test_a_part_of_a_chain_that_is_no_function_is_named():
    with pytest.raises(TypeError, match="perturbations must be functions"):
        perturbations.Chain([0.1])
