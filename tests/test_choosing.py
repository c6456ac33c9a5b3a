"""Choosing alpha: which alphas are tried, what is chosen, and that the model stays as it is."""

import functools

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

from keras_temporal_reg import choosing, losses, scenes

PLAIN = {
    "temporal_error": 1.0,
    "psnr": 30.0,
    "smoothness": 1.0,
    "contrast_ratio": 1.0,
    "relative_smoothness": 1.0,
    "structure": 0.9,
}


def network():
    return keras.Sequential(
        [keras.Input((None, None, 3)), keras.layers.Conv2D(3, 3, padding="same")]
    )


def pictures(count=4, height=32, width=32):
    y = np.stack([scenes.scene(n, height, width) for n in range(count)])
    y = np.clip(y, 0.0, 1.0)
    noise = np.random.default_rng(0).normal(0.0, 0.1, y.shape).astype(np.float32)
    return y + noise, y


def dataset():
    return tf.data.Dataset.from_tensor_slices(pictures()).batch(2)


def chosen(monkeypatch, measures_of, **options):
    """`choose_alpha` with measures that are a function of alpha; and the alphas it tried."""
    tried = []

    def loss(alpha):
        tried.append(alpha)
        return losses.SparseJacobianLoss(alpha)

    monkeypatch.setattr(choosing.RegularizedModel, "fit", lambda *arguments, **options: None)
    monkeypatch.setattr(choosing, "_measured", lambda model, clips: measures_of(tried[-1]))
    x, y = pictures()
    options = {"trivial": np.zeros_like, **options}
    choice = choosing.choose_alpha(network(), dataset(), x, y, loss=loss, steps=2, **options)
    return choice, tried


def up_to(limit):
    """Counts up to an alpha; beyond it PSNR falls."""
    return lambda alpha: {
        **PLAIN,
        "temporal_error": 1.0 - 0.2 * alpha,
        "psnr": 30.0 if alpha <= limit else 29.0,
    }


@pytest.mark.parametrize("limit", choosing.ALPHAS)
def test_bisection_finds_the_strongest_that_counts(monkeypatch, limit):
    choice, tried = chosen(monkeypatch, up_to(limit))
    assert choice.alpha == limit
    assert tried[0] == 0.0 and len(tried) <= 1 + choosing.MAX_TRIALS
    assert choice.cost <= 3.0
    assert [trial.alpha for trial in choice.tried] == sorted(tried[1:])
    assert [trial.counts for trial in choice.tried] == [a <= limit for a in sorted(tried[1:])]
    assert "STABILISED" in choice.reason


def test_where_weak_ones_change_nothing_stronger_ones_are_tried(monkeypatch):
    def measures(alpha):
        return {**PLAIN, "temporal_error": 0.9 if alpha > 0.93 else 1.0}

    choice, _ = chosen(monkeypatch, measures)
    assert choice.alpha == 0.98


def test_where_nothing_counts_alpha_is_0_and_the_reason_says_why(monkeypatch):
    choice, _ = chosen(monkeypatch, up_to(0.0))
    assert choice.alpha == 0.0
    assert "No alpha of" in choice.reason and "PSNR fell from 30.00 to 29.00" in choice.reason


def test_where_the_network_is_no_better_than_the_trivial_predictor_alpha_is_0(monkeypatch):
    choice, _ = chosen(monkeypatch, up_to(1.0), trivial=lambda x: pictures()[1])
    assert choice.alpha == 0.0
    assert "does not clearly beat the trivial predictor" in choice.reason


def test_numbers_that_are_none_do_not_count(monkeypatch):
    choice, _ = chosen(
        monkeypatch, lambda alpha: dict.fromkeys(PLAIN, np.nan) if alpha else dict(PLAIN)
    )
    assert choice.alpha == 0.0


def test_a_choice_for_a_real_network_leaves_it_as_it_was(tmp_path):
    model = network()
    model.compile("sgd", "mae")
    before = [w.numpy() for w in model.weights]
    x, y = pictures(2, 48, 64)
    loss = functools.partial(losses.TransformInvarianceLoss, distance="mae")

    def choose():
        return choosing.choose_alpha(
            model, dataset(), stills=[*zip(x, y)], loss=loss, alphas=(0.9, 0.5), steps=6, seed=1
        )

    choice = choose()
    for old, new in zip(before, model.weights):
        np.testing.assert_array_equal(old, new.numpy())
    assert model.loss == "mae"
    assert choice.alpha in (0.0, 0.5, 0.9) and choice.reason
    assert set(PLAIN) <= set(choice.plain.measures)
    assert choice.plain.measures["psnr"] != choice.tried[0].measures["psnr"]
    assert choice == choose()
    choice.plot(tmp_path / "alpha.png")
    assert (tmp_path / "alpha.png").stat().st_size > 5000


def test_inputs_of_stills_are_made_after_the_motion():
    y = scenes.scene(0, 48, 64)
    made, frames = choosing._filmed(y[::2, ::2], y, lambda t: tf.nn.avg_pool2d(t, 2, 2, "VALID"), 0)
    assert frames.shape == (choosing.FRAMES, 36, 48, 3)
    np.testing.assert_allclose(
        made, frames.reshape(choosing.FRAMES, 18, 2, 24, 2, 3).mean(axis=(2, 4)), rtol=1e-5
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alphas": ()}, "alphas must hold at least one number"),
        ({"alphas": (0.5, 1.0)}, r"alphas must be a number in \(0, 1\)"),
        ({"steps": 1}, "steps must be a whole number of at least 2"),
        ({"learning_rate": 0.0}, "learning_rate must be a number above 0"),
        ({"seed": -1}, "seed must be a whole number"),
        ({"reference": None}, "clip and reference must both be given"),
        ({"clip": None, "reference": None}, "or stills, must be given"),
        ({"reference": np.zeros((3, 8, 8, 3))}, "with as many frames"),
    ],
)
def test_wrong_arguments_are_refused(options, message):
    x, y = pictures()
    with pytest.raises(ValueError, match=message):
        choosing.choose_alpha(network(), dataset(), **{"clip": x, "reference": y, **options})
