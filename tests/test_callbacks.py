"""Tests of keras_temporal_reg.callbacks."""

import numpy as np
import pytest
from scipy import ndimage
from tensorflow import keras

import keras_temporal_reg as ktr

KEYS = {
    "stability_smoothness",
    "stability_contrast_ratio",
    "stability_relative_smoothness",
    "stability_temporal_error",
    "stability_structure",
    "stability_psnr",
    "stability_error",
    "stability_detail",
}


def clip(frames=11, channels=3, seed=0):
    rng = np.random.default_rng(seed)
    still = rng.uniform(size=(1, 16, 16, channels))
    return (0.8 * still + 0.2 * rng.uniform(size=(frames, 16, 16, channels))).astype(np.float32)


def network(learning_rate=0.05, channels=3):
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [keras.Input((16, 16, 3)), keras.layers.Conv2D(channels, 3, padding="same")]
    )
    model.compile(keras.optimizers.SGD(learning_rate), "mse", jit_compile=False)
    return model


def fit(model, *callbacks, epochs=1):
    x = clip(4, seed=1)
    y = clip(4, model.output_shape[-1], seed=2)
    return model.fit(x, y, epochs=epochs, verbose=0, callbacks=list(callbacks)).history


def measured(model, frames, reference, sigma=2.0, **options):
    result = model.predict(frames, verbose=0).astype(np.float64)
    measures = ktr.metrics.stability(reference, result, sigma, **options)
    return {f"stability_{name}": value for name, value in measures.items()}


def test_history_holds_all_measures():
    history = fit(network(), ktr.callbacks.TemporalStability(clip()), epochs=2)
    assert KEYS <= set(history)
    assert all(len(history[key]) == 2 for key in KEYS)
    assert history["stability_psnr"][0] != history["stability_psnr"][1]


@pytest.mark.parametrize("batch_size", [1, 4, 8, 100])
def test_measures_are_those_of_the_predictions(batch_size):
    frames, reference = clip(), clip(seed=5)
    model = network()
    callback = ktr.callbacks.TemporalStability(frames, reference, batch_size=batch_size)
    history = fit(model, callback)
    expected = measured(model, frames, reference)
    assert {key: history[key][0] for key in KEYS} == pytest.approx(expected, rel=1e-4)


def test_flicker_is_logged_where_the_motion_is_known():
    frames = clip()
    model = network(channels=2)
    reference = clip(channels=2, seed=5)
    flow = np.full((10, 16, 16, 2), (1.5, -0.5), np.float32)
    mask = (np.arange(16) < 12) * np.ones((10, 16, 16))
    callback = ktr.callbacks.TemporalStability(frames, reference, motion=flow, mask=mask, cuts=[4])
    history = fit(model, callback)
    assert {*history} >= KEYS | {"stability_flicker"}
    result = model.predict(frames, verbose=0)
    rows, columns = np.mgrid[:16, :16]
    places = [rows - 0.5, columns + 1.5]
    trusted = (rows >= 1) & (columns < 12)  # the others lead out of the frame
    errors = []
    for t in set(range(10)) - {3}:
        planes = np.moveaxis(result[t + 1], -1, 0)
        warped = [ndimage.map_coordinates(plane, places, order=1) for plane in planes]
        errors.append(((np.stack(warped, -1) - result[t]) ** 2).sum(-1)[trusted].mean())
    contrast = np.sqrt(result.var(axis=(1, 2)).sum(-1).mean())
    expected = 100 * np.sqrt(np.mean(errors)) / contrast
    assert history["stability_flicker"][0] == pytest.approx(expected, rel=1e-3)
    others = measured(model, frames, reference, motion=flow, mask=mask, cuts=[4])
    assert {key: history[key][0] for key in others} == pytest.approx(others, rel=1e-4)


def test_a_static_camera_has_no_motion():
    frames = np.repeat(clip(1), 11, axis=0)
    static = np.zeros((10, 16, 16, 2))
    callback = ktr.callbacks.TemporalStability(frames, motion=static)
    assert fit(network(), callback)["stability_flicker"][0] == pytest.approx(0.0, abs=1e-3)


def test_motion_may_be_transforms():
    frames, model = clip(), network()
    motion = np.tile([1.0, 0, 1, 0, 1, 0, 0, 0], (10, 1))
    flow = np.full((10, 16, 16, 2), (1.0, 0.0))
    history = fit(model, ktr.callbacks.TemporalStability(frames, motion=motion))
    expected = measured(model, frames, frames, motion=flow)["stability_flicker"]
    assert history["stability_flicker"][0] == pytest.approx(expected, rel=1e-3)


FLOW = np.zeros((10, 16, 16, 2))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"motion": FLOW[1:]}, r"motion must have shape \(10, 16, 16, 2\) or \(10, 8\)"),
        ({"motion": np.zeros((11, 8))}, r"motion must have shape .*Received: \(11, 8\)"),
        ({"motion": FLOW, "mask": FLOW}, r"mask must have shape \(10, 16, 16\)"),
        ({"mask": FLOW[..., 0]}, "mask must come with motion"),
        ({"cuts": [11]}, r"cuts must be indices of frames, from 1 to 10\. Received: \[11\]"),
        ({"cuts": [3, 0]}, r"cuts must be indices .*Received: \[0\]"),
        ({"cuts": [1.5]}, r"cuts must be indices .*Received: \[1\.5\]"),
    ],
)
def test_motion_that_does_not_fit_is_rejected_at_once(options, message):
    with pytest.raises(ValueError, match=message):
        ktr.callbacks.TemporalStability(clip(), **options)


def test_motion_is_in_pixels_of_the_reference():
    large = np.repeat(np.repeat(clip(), 2, axis=1), 2, axis=2)
    ktr.callbacks.TemporalStability(clip(), large, motion=np.zeros((10, 32, 32, 2)))
    with pytest.raises(ValueError, match="motion must have shape"):
        ktr.callbacks.TemporalStability(clip(), large, motion=FLOW)


def test_sigma_reaches_the_measures():
    frames = clip()
    model = network()
    history = fit(model, ktr.callbacks.TemporalStability(frames, sigma=0.7))
    expected = measured(model, frames, frames, sigma=0.7)
    assert {key: history[key][0] for key in KEYS} == pytest.approx(expected, rel=1e-4)


def test_reference_is_the_clip_by_default():
    frames = clip()
    model = network()
    history = fit(model, ktr.callbacks.TemporalStability(frames))
    expected = measured(model, frames, frames)
    assert {key: history[key][0] for key in KEYS} == pytest.approx(expected, rel=1e-4)


def test_reference_may_have_other_channels_than_the_clip():
    frames, reference = clip(), clip(channels=2, seed=5)
    model = network(channels=2)
    history = fit(model, ktr.callbacks.TemporalStability(frames, reference))
    expected = measured(model, frames, reference)
    assert {key: history[key][0] for key in KEYS} == pytest.approx(expected, rel=1e-4)


def test_regularized_model_is_watched_likewise():
    frames = clip()
    base = network()
    model = ktr.RegularizedModel(base, ktr.RandomAffine(seed=0))
    model.compile("sgd", ktr.losses.SparseJacobianLoss(), jit_compile=False)
    callback = ktr.callbacks.TemporalStability(frames)
    history = model.fit(clip(4), clip(4), verbose=0, callbacks=[callback]).history
    expected = measured(base, frames, frames)
    assert {key: history[key][0] for key in KEYS} == pytest.approx(expected, rel=1e-4)


class Seen(keras.callbacks.Callback):
    """Records the logs that later callbacks receive."""

    def __init__(self):
        super().__init__()
        self.logs = []

    def on_epoch_end(self, epoch, logs=None):
        self.logs.append(dict(logs or {}))


def test_every_leaves_out_the_epochs_between():
    seen = Seen()
    callback = ktr.callbacks.TemporalStability(clip(), every=2)
    fit(network(), callback, seen, epochs=5)
    assert [KEYS <= set(logs) for logs in seen.logs] == [False, True, False, True, False]


def test_early_stopping_sees_the_measures():
    stop = keras.callbacks.EarlyStopping(
        monitor="stability_temporal_error", mode="min", patience=0, min_delta=1e9
    )
    history = fit(network(), ktr.callbacks.TemporalStability(clip()), stop, epochs=6)
    assert len(history["loss"]) == 2  # a gain of 1e9 never comes
    assert stop.best == pytest.approx(history["stability_temporal_error"][0])


def test_validation_logs_stay_beside_the_measures():
    model = network()
    history = model.fit(
        clip(4),
        clip(4),
        validation_data=(clip(4), clip(4)),
        verbose=0,
        callbacks=[ktr.callbacks.TemporalStability(clip())],
    ).history
    assert KEYS | {"loss", "val_loss"} == set(history)


@pytest.mark.parametrize("shape", [(16, 16, 3), (1, 16, 16, 3), (0, 16, 16, 3)])
def test_clip_that_is_no_clip_is_rejected(shape):
    with pytest.raises(ValueError, match="clip must have shape"):
        ktr.callbacks.TemporalStability(np.zeros(shape))


def test_reference_that_is_no_clip_is_rejected():
    with pytest.raises(ValueError, match="reference must have shape"):
        ktr.callbacks.TemporalStability(clip(), np.zeros((16, 16, 3)))


def test_reference_of_another_length_is_rejected():
    with pytest.raises(ValueError, match="reference must have the 11 frames of clip"):
        ktr.callbacks.TemporalStability(clip(), clip(10))


@pytest.mark.parametrize("name", ["every", "batch_size"])
@pytest.mark.parametrize("value", [0, -1, 1.5, None, True])
def test_number_that_is_not_whole_is_rejected(name, value):
    with pytest.raises(ValueError, match=f"{name} must be a whole number of at least 1"):
        ktr.callbacks.TemporalStability(clip(), **{name: value})


def test_sigma_that_is_not_positive_is_rejected_at_once():
    with pytest.raises(ValueError, match="sigma must be a number above 0"):
        ktr.callbacks.TemporalStability(clip(), sigma=0)
