"""Networks on frames of any size: padded, tiled, and cropped back."""

import numpy as np
import pytest
from tensorflow import keras

from keras_temporal_reg.core import free_memory
from keras_temporal_reg.evaluation import inference

pytestmark = pytest.mark.stacks
layers = keras.layers


def frames(height, width, channels=3, count=2):
    rng = np.random.default_rng(0)
    return rng.uniform(size=(count, height, width, channels)).astype(np.float32)


def network(scale=1, depth=0, channels=3, size=(None, None)):
    """`depth` halvings and as many doublings with skip connections, then a larger head."""
    keras.utils.set_random_seed(0)
    x = keras.Input((*size, channels))
    h = layers.Conv2D(4, 3, padding="same", activation="relu")(x)
    skips = []
    for _ in range(depth):
        skips.append(h)
        h = layers.Conv2D(4, 3, strides=2, padding="same", activation="relu")(h)
    for skip in reversed(skips):
        h = layers.Concatenate()([layers.Conv2DTranspose(4, 2, strides=2)(h), skip])
    if scale > 1:
        h = layers.UpSampling2D(scale)(h)
    return keras.Model(x, layers.Conv2D(channels, 3, padding="same")(h))


def test_frames_that_fit_go_through_as_they_are():
    model, x = network(), frames(33, 47)
    run = inference.runner(model, 33, 47, 3)
    assert (run.multiple, run.scale, run.tiles) == (1, 1, 1)
    np.testing.assert_allclose(run(x), model.predict(x, verbose=0), atol=1e-5)


@pytest.mark.parametrize(("depth", "scale"), [(1, 1), (3, 1), (2, 2), (0, 3)])
def test_odd_frames_are_padded_to_what_the_network_takes(depth, scale):
    model, x = network(scale, depth), frames(37, 51)
    run = inference.runner(model, 37, 51, 3)
    assert (run.multiple, run.scale) == (2**depth, scale)
    result = run(x)
    assert result.shape == (2, 37 * scale, 51 * scale, 3)
    multiple = 2**depth
    pad = [(0, 0), (0, -37 % multiple), (0, -51 % multiple), (0, 0)]
    whole = model.predict(np.pad(x, pad, mode="symmetric"), verbose=0)
    np.testing.assert_allclose(result, whole[:, : 37 * scale, : 51 * scale], atol=1e-5)


@pytest.mark.parametrize("scale", [1, 2])
def test_tiles_give_what_the_whole_gives(scale):
    model, x = network(scale), frames(150, 220)
    whole = inference.runner(model, 150, 220, 3)(x)
    run = inference.runner(model, 150, 220, 3, memory=1.0)
    assert run.tiles > 3
    assert run.tile[0] * run.tile[1] < 150 * 220
    # Two layers of 3 x 3 see 2 pixels far; tiles share 32. Only their very edges differ.
    assert np.abs(run(x) - whole).max() < 0.1 * np.abs(whole).max()
    assert np.abs(run(x) - whole).mean() < 1e-3 * np.abs(whole).mean()


def test_without_a_limit_the_layers_take_half_of_what_is_free(monkeypatch):
    model = network()
    for free, memory in ((2.0, 1.0), (1e6, 1e6)):
        monkeypatch.setattr(free_memory, "free_bytes", lambda free=free: 1e6 * free)
        run = inference.runner(model, 150, 220, 3)
        assert run.tile == inference.runner(model, 150, 220, 3, memory=memory).tile
        assert bool(run.note) == (run.tiles > 1) == (free == 2.0)


def test_a_network_of_one_fixed_size_sees_tiles_of_that_size():
    model, x = network(size=(64, 64)), frames(100, 70)
    run = inference.runner(model, 100, 70, 3)
    assert run.tile == (64, 64) and run.tiles == 6
    larger = keras.models.Model.from_config(network().get_config())
    larger.set_weights(model.get_weights())
    whole = larger.predict(x, verbose=0)
    assert np.abs(run(x) - whole).mean() < 5e-3 * np.abs(whole).mean()


def test_a_frame_smaller_than_the_fixed_size_is_padded():
    run = inference.runner(network(size=(64, 64)), 20, 30, 3)
    assert run(frames(20, 30)).shape == (2, 20, 30, 3)


def test_layers_that_need_known_sizes_run_on_odd_ones():
    x = keras.Input((None, None, 3))
    smooth = keras.Model(x, layers.UpSampling2D(2, interpolation="bilinear")(x))
    run = inference.runner(smooth, 33, 47, 3)
    assert run(frames(33, 47, count=9)).shape == (9, 66, 94, 3)


def test_values_are_scaled_to_the_range_of_the_model():
    x = frames(16, 16)
    doubled = keras.Sequential([keras.Input((None, None, 3)), layers.Rescaling(1.0, 51.0)])
    to_unit = keras.Sequential([keras.Input((None, None, 3)), layers.Rescaling(1 / 255)])
    run = inference.runner(to_unit, 16, 16, 3, value_range=(0.0, 255.0, 0.0, 1.0))
    unit = np.random.default_rng(3).uniform(size=(2, 16, 16, 3)).astype(np.float32)
    np.testing.assert_allclose(run(unit), unit, atol=1e-5)
    run = inference.runner(doubled, 16, 16, 3, value_range=(0.0, 255.0))
    np.testing.assert_allclose(run(x), x + 0.2, atol=1e-5)


def test_more_frames_than_a_batch_come_in_order():
    run = inference.runner(network(), 16, 16, 3)
    x = frames(16, 16, count=3 * run.batch + 1)
    one_by_one = np.concatenate([run(x[i : i + 1]) for i in range(len(x))])
    np.testing.assert_allclose(run(x), one_by_one, atol=1e-5)


def test_wrong_channels_are_named():
    with pytest.raises(ValueError, match=r"images of 1 channels.*a model for 3"):
        inference.runner(network(), 32, 32, 1)


def test_a_network_that_returns_no_images_is_refused():
    flat = keras.Sequential([keras.Input((None, None, 3)), layers.GlobalAveragePooling2D()])
    with pytest.raises(ValueError, match="must return one batch of images"):
        inference.runner(flat, 32, 32, 3)


def test_a_network_that_returns_smaller_images_is_refused():
    smaller = keras.Sequential([keras.Input((None, None, 3)), layers.AveragePooling2D(2)])
    with pytest.raises(ValueError, match=r"1, 2, 3, \.\.\. times their size"):
        inference.runner(smaller, 32, 32, 3)


def test_many_runners_give_no_warning_of_retracing(caplog):
    network = keras.Sequential(
        [keras.Input((None, None, 1)), keras.layers.Conv2D(1, 3, padding="same")]
    )
    for size in range(8, 20):
        inference.runner(network, size, size, 1)(np.zeros((1, size, size, 1), np.float32))
    assert "retracing" not in caplog.text
