"""Choosing alpha: which alphas are tried, what is chosen, and that the model stays as it is."""

import dataclasses
import functools
import json

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

from keras_temporal_reg import losses, metrics, tasks
from keras_temporal_reg.experiments import scenes
from keras_temporal_reg.finetuning import strength_search

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

    monkeypatch.setattr(strength_search.training, "train", lambda *arguments, **options: None)
    monkeypatch.setattr(strength_search, "_measures", lambda *arguments: measures_of(tried[-1]))
    x, y = pictures()
    options = {"baseline": np.zeros_like, **options}
    choice = strength_search.choose_alpha(network(), dataset(), x, y, loss=loss, steps=2, **options)
    return choice, tried


def up_to(limit):
    """Measures that are stabilized up to an alpha; beyond it PSNR falls."""
    return lambda alpha: {
        **PLAIN,
        "temporal_error": 1.0 - 0.2 * alpha,
        "psnr": 30.0 if alpha <= limit else 29.0,
    }


@pytest.mark.parametrize("limit", strength_search.ALPHAS)
def test_bisection_finds_the_strongest_that_stabilizes(monkeypatch, limit):
    choice, tried = chosen(monkeypatch, up_to(limit))
    assert choice.alpha == limit
    assert tried[0] == 0.0 and len(tried) <= 1 + strength_search.MAX_TRIALS
    assert choice.cost <= 3.0
    assert [trial.alpha for trial in choice.tried] == sorted(tried[1:])
    assert [trial.stabilized for trial in choice.tried] == [a <= limit for a in sorted(tried[1:])]
    assert choice.reason.startswith(f"The strongest of {len(tried) - 1} trials that stabilizes")
    assert (
        f"model. {choice.tried[[t.alpha for t in choice.tried].index(limit)].verdict}"
        in choice.reason
    )


def test_where_weak_ones_change_nothing_stronger_ones_are_tried(monkeypatch):
    def measures(alpha):
        return {**PLAIN, "temporal_error": 0.9 if alpha > 0.93 else 1.0}

    choice, _ = chosen(monkeypatch, measures)
    assert choice.alpha == 0.98


def test_where_none_stabilizes_alpha_is_0_and_the_reason_says_why(monkeypatch):
    choice, _ = chosen(monkeypatch, up_to(0.0))
    assert choice.alpha == 0.0
    assert "No alpha of" in choice.reason and "PSNR falls from 30.00 to 29.00" in choice.reason


def test_where_the_network_is_no_better_than_the_baseline_alpha_is_0(monkeypatch):
    choice, _ = chosen(monkeypatch, up_to(1.0), baseline=lambda x: pictures()[1])
    assert choice.alpha == 0.0
    assert choice.tried[0].verdict.startswith("NOT APPLICABLE: ")
    assert choice.reason.endswith(choice.tried[0].verdict)


@pytest.mark.parametrize("pair_fraction", [1.0, 0.25, 0.01])
def test_the_cost_counts_images_and_stays_below_3(monkeypatch, pair_fraction):
    choice, _ = chosen(monkeypatch, up_to(1.0), pair_fraction=pair_fraction)
    one = 1.0 + pair_fraction  # images a step: 2 steps of fine-tuning, 1 of each trial
    assert choice.cost == pytest.approx((2 * one + 1 + 3 * one) / (2 * one))
    assert choice.cost < 3.0


def test_a_choice_survives_json(monkeypatch):
    choice, _ = chosen(monkeypatch, up_to(0.8))
    kept = json.loads(json.dumps(dataclasses.asdict(choice)))
    assert strength_search.Choice.from_dict(kept) == choice


@pytest.mark.parametrize(("limit", "label"), [(0.8, ["alpha 0.8, chosen"]), (0.0, [])])
def test_the_plot_marks_what_was_chosen(monkeypatch, tmp_path, limit, label):
    from matplotlib.figure import Figure

    drawn = []

    def save(figure, path, **options):
        drawn.extend(text.get_text() for text in figure.axes[0].texts)
        path.write_bytes(b"")

    monkeypatch.setattr(Figure, "savefig", save)
    choice, tried = chosen(monkeypatch, up_to(limit))
    choice.plot(tmp_path / "alpha.png")
    assert len(drawn) == len(tried) and "alpha 0" in drawn
    assert [text for text in drawn if "chosen" in text] == label


def test_measures_of_nan_are_not_stabilized(monkeypatch):
    choice, _ = chosen(
        monkeypatch, lambda alpha: dict.fromkeys(PLAIN, np.nan) if alpha else dict(PLAIN)
    )
    assert choice.alpha == 0.0


@pytest.mark.slow
def test_a_choice_for_a_real_network_leaves_it_as_it_was(tmp_path):
    model = network()
    model.compile("sgd", "mae")
    before = [w.numpy() for w in model.weights]
    x, y = pictures(2, 48, 64)
    loss = functools.partial(losses.TransformInvarianceLoss, distance="mae")

    def choose():
        return strength_search.choose_alpha(
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


def test_the_baseline_repeats_pixels_where_y_is_larger():
    x = np.arange(6, dtype=np.float32).reshape(1, 2, 3, 1)
    y = np.zeros((1, 4, 6, 1), np.float32)
    np.testing.assert_array_equal(
        strength_search._baseline(x, y, None)[0, :, :, 0], np.kron(x[0, :, :, 0], np.ones((2, 2)))
    )


def test_psnr_goes_by_the_range_of_the_values():
    x, y = pictures(4)
    runs = {x.shape[1:]: lambda frames: frames}
    scaled = strength_search._measures(runs, [(255 * x, 255 * y)], 255.0)
    for key, value in metrics.stability(y, x).items():
        assert scaled[key] == pytest.approx(value, rel=1e-4)


def test_the_seed_governs_inputs_that_are_made_by_chance(monkeypatch):
    monkeypatch.setattr(strength_search.training, "train", lambda *arguments, **options: None)
    monkeypatch.setattr(strength_search, "_measures", lambda *arguments: dict(PLAIN))
    options = {"stills": [(None, scenes.scene(0, 32, 32))], "steps": 2}
    found = [
        strength_search.choose_alpha(
            network(), dataset(), make_input=tasks.denoising.make_input, seed=seed, **options
        ).baseline_psnr
        for seed in (3, 3, 4)
    ]
    assert found[0] == found[1] != found[2]


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
        ({"reference": np.zeros((3, 8, 8, 3))}, "with the same number of frames, at least 2"),
        ({"pair_fraction": 0.0}, r"pair_fraction must be a number in \(0, 1\]"),
        ({"value_range": 0.0}, "value_range must be a number above 0"),
        (
            {"stills": [(np.zeros((8, 8, 3)), np.zeros((12, 12, 3)))]},
            r"a whole number of times .* \(8, 8, 3\) and \(12, 12, 3\)",
        ),
        (
            {"stills": [(None, np.zeros((8, 8)))], "make_input": lambda y: y},
            r"y of stills must be \(height, width, channels\)",
        ),
    ],
)
def test_wrong_arguments_are_refused(options, message):
    x, y = pictures()
    with pytest.raises(ValueError, match=message):
        strength_search.choose_alpha(network(), dataset(), **{"clip": x, "reference": y, **options})


def test_old_names_work_with_a_warning(monkeypatch):
    choice, _ = chosen(monkeypatch, up_to(1.0))
    x, y = pictures()
    options = {"loss": losses.SparseJacobianLoss, "steps": 2, "trivial": np.zeros_like}
    with pytest.warns(DeprecationWarning, match=r"choose_alpha\(trivial=...\) .* baseline="):
        with pytest.raises(ValueError, match="alphas must hold"):
            strength_search.choose_alpha(network(), dataset(), x, y, alphas=(), **options)
    with pytest.warns(DeprecationWarning, match=r"Choice.baseline_psnr"):
        assert choice.trivial_psnr == choice.baseline_psnr
    with pytest.warns(DeprecationWarning, match=r"Trial.stabilized"):
        assert choice.tried[0].counts is choice.tried[0].stabilized
