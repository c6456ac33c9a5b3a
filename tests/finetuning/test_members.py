"""The members of a blend, and `choose_strength` and `choose_alpha`, which train them."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

import keras_temporal_reg as ktr
from keras_temporal_reg import losses, tasks
from keras_temporal_reg.experiments import scenes
from keras_temporal_reg.finetuning import (
    blending,
    members,
    schedule,
    strength_search,
    training,
    validation_clips,
)
from keras_temporal_reg.finetuning.strength_search import ORIGINAL
from keras_temporal_reg.metrics import _warping

NAMES = ("plain", "sparse-jacobian", "transform-invariance")


@pytest.fixture(autouse=True)
def compiled(monkeypatch):
    """One size is measured often here, so that compiling pays for a small one too."""
    monkeypatch.setattr(_warping, "_COMPILED_PIXELS", 1)


def network(center=1.0):
    """3 x 3 averaging with so much of the weight in the center."""
    layer = keras.layers.Conv2D(3, 3, padding="same")
    model = keras.Sequential([keras.Input((None, None, 3)), layer])
    layer.set_weights(averaging(center))
    return model


def averaging(center):
    kernel = np.full((3, 3), (1.0 - center) / 8.0)
    kernel[1, 1] = center
    return [np.float32(kernel[:, :, None, None] * np.eye(3)), np.zeros(3, np.float32)]


def pictures(count=4, side=24):
    """Smooth pictures, and those with noise."""
    coarse = np.random.default_rng(0).random((count, 5, 5, 3))
    y = tf.image.resize(tf.constant(coarse, tf.float32), (side, side), "bicubic").numpy()
    return y + np.random.default_rng(1).normal(0.0, 0.1, y.shape).astype(np.float32), y


def clip():
    """A still scene with other noise in each frame."""
    x, y = pictures()
    return y[:1] + x - y, np.tile(y[:1], (len(y), 1, 1, 1))


def dataset():
    return tf.data.Dataset.from_tensor_slices(pictures()).batch(2)


@pytest.fixture
def hand_made(monkeypatch):
    """Training sets weights: of the n-th member `averaging` by centers[n]. What was trained."""
    trained, centers = [], [0.6, 0.4, 0.3]

    def train(network, batches, steps, **options):
        start = network.base_model.get_weights()
        trained.append((start, network, network.loss, steps))
        network.base_model.set_weights(averaging(centers[len(trained) - 1]))
        return training.History()

    monkeypatch.setattr(training, "train", train)
    return trained


def choose(model=None, **options):
    x, y = clip()
    options = {"clip": x, "reference": y, "steps": 2, **options}
    return ktr.choose_strength(model or network(), dataset(), **options)


def assert_weights(model, expected):
    for found, value in zip(model.get_weights(), expected, strict=True):
        np.testing.assert_array_equal(found, value)


def test_each_member_starts_from_the_same_weights_and_the_model_gets_the_blend(hand_made):
    model = network()
    model.compile("sgd", "mae")
    choice = choose(model)
    assert len(hand_made) == 3
    for start, _, _, steps in hand_made:
        for value, expected in zip(start, averaging(1.0), strict=True):
            np.testing.assert_array_equal(value, expected)
        assert steps == 2
    assert choice.chosen.outcome == "stabilized"
    centers = dict(zip((ORIGINAL, *NAMES), (1.0, 0.6, 0.4, 0.3)))
    center = sum(weight * centers[name] for name, weight in choice.weights.items())
    np.testing.assert_allclose(model.get_weights()[0], averaging(center)[0], atol=1e-6)
    assert model.loss == "mae"  # how its owner compiled it
    regularized = sum(w for name, w in choice.weights.items() if name != "plain")
    assert choice.alpha == pytest.approx(members.MEMBER_ALPHA * regularized)


@pytest.mark.parametrize("strong", [0.9, 0.97])
def test_the_losses_of_the_members_have_their_settings(hand_made, strong):
    given = {} if strong == members.MEMBER_ALPHA else {"member_alpha": strong}
    choice = choose(reconstruction="mae", contrast=0.2, pair_fraction=0.5, **given)
    regularized = sum(w for name, w in choice.weights.items() if name != "plain")
    assert choice.alpha == pytest.approx(strong * regularized)
    kinds = (losses.SparseJacobianLoss, losses.SparseJacobianLoss, losses.TransformInvarianceLoss)
    for (_, wrapper, loss, _), kind, alpha in zip(hand_made, kinds, (0.0, strong, strong)):
        settings = loss.get_config()
        assert type(loss) is kind and settings["alpha"] == alpha
        assert settings["reconstruction"] == "mae"
        assert settings["contrast"] == (0.2 if alpha else 0.0)
        assert wrapper.pair_fraction == 0.5
    assert [isinstance(w, members.Unregularized) for _, w, _, _ in hand_made] == [
        True,
        False,
        False,
    ]


def test_members_may_be_losses_of_ones_own(hand_made):
    own = {
        "plain": losses.SparseJacobianLoss(0.0),
        "absolute": losses.TransformInvarianceLoss(0.5, distance="mae"),
    }
    choice = choose(members=own)
    assert [loss for _, _, loss, _ in hand_made] == [*own.values()]
    assert {name for trial in choice.trials for name in trial.weights} == {ORIGINAL, *own}
    assert choice.alpha == pytest.approx(0.5 * choice.weights["absolute"])


def test_where_none_is_stabilized_the_model_keeps_its_weights(hand_made):
    model = network()
    choice = choose(model, baseline=lambda x: clip()[1])  # perfect, so that none beats it
    assert choice.weights == {}
    assert_weights(model, averaging(1.0))


def test_strength_0_is_the_model_itself(hand_made):
    model = network()
    choice = choose(model, strength=0, members=("plain", "sparse-jacobian"))
    assert choice.weights == {ORIGINAL: 1.0} and choice.strength == 0.0
    assert_weights(model, averaging(1.0))


@pytest.mark.parametrize("place", ["training", "search"])
def test_after_an_error_the_model_has_its_own_weights(place, hand_made, monkeypatch):
    model = network()
    # Two members are trained by hand, or all and one blend is evaluated.
    owner, name = (
        (schedule, "compile_for") if place == "training" else (strength_search._Blends, "evaluate")
    )
    whole, calls = getattr(owner, name), []

    def fail(*arguments, **options):
        calls.append(name)
        if len(calls) == 3:
            raise RuntimeError("for a test")
        return whole(*arguments, **options)

    monkeypatch.setattr(owner, name, fail)
    with pytest.raises(RuntimeError, match="for a test"):
        choose(model)
    assert len(hand_made) == (2 if place == "training" else 3)
    assert_weights(model, averaging(1.0))


@pytest.mark.slow
def test_the_members_are_fine_tuned_as_by_hand(monkeypatch):
    searched = {}

    def search(network, values, *arguments, **options):
        searched.update(values)
        raise InterruptedError

    monkeypatch.setattr(strength_search, "search", search)
    model = network()
    with pytest.raises(InterruptedError):
        choose(model, steps=2, learning_rate=1e-2, members=NAMES[:2], seed=3)
    assert_weights(model, averaging(1.0))
    alone = network()
    schedule.compile_for(alone, "mse", 1e-2, 2)
    alone.fit(dataset(), epochs=1, shuffle=False, verbose=0)
    regularized = network()
    wrapper = ktr.RegularizedModel(regularized, ktr.RandomAffine(seed=3))
    keras.utils.set_random_seed(3)
    schedule.compile_for(wrapper, losses.SparseJacobianLoss(0.9, contrast=0.1), 1e-2, 2)
    wrapper.fit(dataset(), epochs=1, shuffle=False, verbose=0)
    for name, by_hand in (("plain", alone), ("sparse-jacobian", regularized)):
        for found, expected in zip(searched[name], by_hand.get_weights(), strict=True):
            np.testing.assert_allclose(found, expected, atol=1e-6)
    moved = np.abs(searched["plain"][0] - searched["sparse-jacobian"][0]).max()
    assert moved > 1e-4  # the two differ


def test_statistics_of_batch_normalization_are_those_of_the_blend(monkeypatch):
    normalization = keras.layers.BatchNormalization()
    convolution = keras.layers.Conv2D(3, 1, use_bias=False)
    model = keras.Sequential([keras.Input((None, None, 3)), convolution, normalization])
    convolution.set_weights([np.eye(3, dtype=np.float32)[None, None]])
    gains = iter((2.0, 4.0))

    def train(network, batches, steps, **options):
        convolution.set_weights([np.eye(3, dtype=np.float32)[None, None] * next(gains)])

    def search(network, values, *arguments, batches, **options):
        weights = {"plain": 0.5, "sparse-jacobian": 0.5}
        blending.assign(network, values, weights, batches)

    monkeypatch.setattr(training, "train", train)
    monkeypatch.setattr(strength_search, "search", search)
    choose(model, members=NAMES[:2])
    results = [3.0 * x.numpy() for x, _ in dataset()]
    mean = np.mean([r.mean(axis=(0, 1, 2)) for r in results], axis=0)
    np.testing.assert_allclose(normalization.moving_mean, mean, rtol=1e-4)
    assert members.statistics_batches(network(), dataset()) is None


def test_the_seed_governs_inputs_that_are_drawn(hand_made, monkeypatch):
    monkeypatch.setattr(validation_clips, "STILL_FRAMES", 3)

    def search(network, values, clips, baseline_psnr, **options):
        return baseline_psnr

    monkeypatch.setattr(strength_search, "search", search)
    options = {"stills": [(None, scenes.scene(0, 24, 24))], "clip": None, "reference": None}
    found = []
    for seed in (3, 3, 4):
        hand_made.clear()
        found.append(choose(make_input=tasks.denoising.make_input, seed=seed, **options))
    assert found[0] == found[1] != found[2]


ONE = np.zeros((1, 8, 8, 3), np.float32)
SHOTS = np.random.default_rng(0).random((3, 24, 24, 3)).astype(np.float32)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"strength": 1.5}, r"^strength must be a number in \[0, 1\] or 'auto'. Received: 1\.5"),
        ({"strength": -0.1}, r"^strength must be a number in \[0, 1\] or 'auto'. Received: -0\.1"),
        ({"strength": "automatic"}, r"^strength must be .* or 'auto'. Received: 'automatic'"),
        ({"strength": float("nan")}, r"^strength must be .* Received: nan"),
        ({"members": ("plain", "magic")}, r"^members must be some of plain, .* Received: .*magic"),
        ({"members": ()}, r"^members must be some of .* Received: \(\)"),
        ({"members": ("plain",)}, r"^members must be .* one of the regularizers among them"),
        ({"members": ("sparse-jacobian",) * 2}, r"^members must be some of .*, each once"),
        ({"member_alpha": 1.0}, r"^member_alpha must be a number in \(0, 1\)\. Received: 1\.0"),
        ({"members": "sparse-jacobian"}, r"^members must be some of .* Received: 'sparse-jacob"),
        ({"members": {}}, r"^members must hold a loss besides 'plain'.* Received: none"),
        ({"members": {"original": None}}, r"^members must hold .* none named 'original'"),
        ({"steps": 0}, "^steps must be a whole number of at least 1"),
        ({"learning_rate": 0.0}, "^learning_rate must be a number above 0"),
        ({"seed": -1}, "^seed must be a whole number"),
        ({"pair_fraction": 0.0}, r"^pair_fraction must be a number in \(0, 1\]"),
        ({"value_range": 0.0}, "^value_range must be a number above 0"),
        ({"reference": None}, "^clip and reference must both be given.* no reference"),
        ({"clip": None}, "^clip and reference must both be given.* no clip"),
        ({"clip": None, "reference": None}, "or stills, must be given. Received: neither"),
        ({"reference": ONE}, "with the same number of frames, at least 2"),
        ({"clip": ONE, "reference": ONE}, "at least 2. Received: .*1, 8, 8, 3"),
        (
            {"reference": np.zeros((4, 40, 36, 3))},
            r"^reference must have frames a whole number of times .* \(40, 36\) and \(24, 24\)",
        ),
        (
            {"reference": np.zeros((4, 48, 48, 3))},
            r"^validation clips must have targets.* \(24, 24, 3\). Received: \(48, 48, 3\)",
        ),
        ({"clip": SHOTS, "reference": SHOTS}, r"^clip must have .* a cut at each of its 3 frames"),
    ],
)
def test_wrong_arguments_are_refused_before_training(options, message, hand_made):
    model = network()
    with pytest.raises(ValueError, match=message):
        choose(model, **options)
    assert hand_made == []
    assert_weights(model, averaging(1.0))


# choose_alpha


def test_choose_alpha_keeps_the_model_and_says_the_alpha_of_the_blend(hand_made):
    model, (x, y) = network(), clip()
    choice = ktr.choose_alpha(model, dataset(), x, y, alphas=(0.5, 0.8), steps=2)
    assert_weights(model, averaging(1.0))
    assert [loss.alpha for _, _, loss, _ in hand_made] == [0.0, 0.8]
    assert 0.0 < choice.alpha <= 0.8
    assert choice.alpha == pytest.approx(0.8 * choice.weights["alpha 0.8"])


def test_choose_alpha_takes_the_loss_that_is_given(hand_made):
    x, y = clip()
    ktr.choose_alpha(network(), dataset(), x, y, loss=losses.TransformInvarianceLoss, steps=2)
    assert [type(loss) for _, _, loss, _ in hand_made] == [losses.TransformInvarianceLoss] * 2
    assert [loss.alpha for _, _, loss, _ in hand_made] == [0.0, members.MEMBER_ALPHA]


@pytest.mark.parametrize(
    ("alphas", "message"),
    [
        ((), "^alphas must hold at least one number"),
        ((0.5, 1.0), r"^alphas must be a number in \(0, 1\)"),
    ],
)
def test_wrong_alphas_are_refused(alphas, message, hand_made):
    model = network()
    with pytest.raises(ValueError, match=message):
        ktr.choose_alpha(model, dataset(), *clip(), alphas=alphas)
    assert hand_made == []


def test_the_old_name_of_the_baseline_works_with_a_warning():
    with pytest.warns(DeprecationWarning, match=r"choose_alpha\(trivial=...\) .* baseline="):
        with pytest.raises(ValueError, match="alphas must hold"):
            ktr.choose_alpha(network(), dataset(), *clip(), alphas=(), trivial=np.zeros_like)


@pytest.mark.slow
def test_a_choice_is_the_same_twice():
    found = []
    for _ in range(2):
        model = network(0.9)
        choice = choose(model, members=NAMES[:2], strength=0.5, learning_rate=1e-2)
        found.append((dataclasses.replace(choice, seconds=0.0), model.get_weights()))
    (first, weights), (second, others) = found
    assert first == second
    assert 0.0 < first.alpha < 0.9
    for a, b in zip(weights, others, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("transform", [ktr.RandomAffine(1.0), ktr.RandomFlow(1.0, 8.0)])
def test_a_transform_without_a_seed_gets_that_of_the_run(transform):
    seeded = members.transform_of(transform, 7)
    assert type(seeded) is type(transform)
    assert seeded.get_config() == {**transform.get_config(), "seed": 7}
    assert members.transform_of(seeded, 8) is seeded
    assert type(members.transform_of(None, 7)) is ktr.RandomAffine
