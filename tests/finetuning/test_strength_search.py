"""The search for a blend, on networks whose blends NumPy computes: ``a * scene + b * noise``."""

import dataclasses
import itertools
import json
import math

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
from tensorflow import keras

from keras_temporal_reg import metrics
from keras_temporal_reg.finetuning import blending, strength_search
from keras_temporal_reg.finetuning.choice import Choice, pareto_front
from keras_temporal_reg.finetuning.strength_search import ORIGINAL
from keras_temporal_reg.finetuning.validation_clips import ClipArrays
from keras_temporal_reg.io import jsonable
from keras_temporal_reg.metrics import _warping

# Name to (a, b): less noise, and so less flicker, for more loss of contrast.
NETWORKS = {
    ORIGINAL: (1.0, 0.5),
    "plain": (1.0, 0.4),
    "sparse-jacobian": (0.99, 0.3),
    "transform-invariance": (0.9, 0.1),
}
LIMITS = {
    "psnr_drop": 0.075,
    "structure_drop": 0.0075,
    "detail_drop": 0.0375,
    "contrast_shift": 0.0375,
}
IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0)


@pytest.fixture(autouse=True)
def compiled(monkeypatch):
    """Few sizes are measured often here, so that compiling pays for small ones too."""
    monkeypatch.setattr(_warping, "_COMPILED_PIXELS", 1)


def static_clip(seed=0, frames=3, height=12, width=12):
    """A still scene; x has it and noise of each frame as its channels."""
    rng = np.random.default_rng(seed)
    scene = np.tile(rng.random((1, height, width, 1)), (frames, 1, 1, 1)).astype(np.float32)
    noise = rng.normal(0.0, 0.2, scene.shape).astype(np.float32)
    motion = np.tile(np.float32(IDENTITY), (frames - 1, 1))
    return ClipArrays(np.concatenate([scene, noise], -1), scene, motion)


def result_of(clip, a, b):
    return np.float32(a) * clip.x[..., :1] + np.float32(b) * clip.x[..., 1:]


def values_of(networks):
    return {name: [np.float32(pair).reshape(1, 1, 2, 1)] for name, pair in networks.items()}


def make_network():
    layer = keras.layers.Conv2D(1, 1, use_bias=False)
    return keras.Sequential([keras.Input((None, None, 2)), layer])


def search(networks=None, clips=None, baseline_psnr=10.0, **options):
    network = make_network()
    values = values_of(networks or NETWORKS)
    choice = strength_search.search(
        network, values, clips or [static_clip()], baseline_psnr, **options
    )
    return choice, network.get_weights()[0].ravel()


def blended(weights, networks=None):
    """(a, b) of a blend."""
    pairs = networks or NETWORKS
    return tuple(np.sum([share * np.array(pairs[n]) for n, share in weights.items()], axis=0))


def expected_measures(clips, pair):
    per_clip = [metrics.stability(c.y, result_of(c, *pair), motion=c.motion) for c in clips]
    return {key: np.mean([each[key] for each in per_clip]) for key in per_clip[0]}


def flicker_of(clip, pair):
    """Flicker in closed form: a scene that does not move, and noise."""
    noise, scaled = clip.x[..., 1], result_of(clip, *pair)[..., 0]
    error = pair[1] ** 2 * np.mean(np.diff(noise.astype(float), axis=0) ** 2)
    return 100.0 * math.sqrt(error / np.mean(np.var(scaled.astype(float), axis=(1, 2))))


def without_time(choice):
    return dataclasses.replace(choice, seconds=0.0)


@pytest.mark.parametrize("count", [1, 2])
def test_the_choice_is_the_steadiest_that_the_verdict_by_half_limits_calls_stabilized(count):
    clips = [static_clip(seed, height=12 + 4 * seed) for seed in range(count)]
    choice, kernel = search(clips=clips)
    before = expected_measures(clips, NETWORKS["plain"])
    allowed = []
    for trial in choice.trials:
        measures = expected_measures(clips, blended(trial.weights))
        assert trial.measures == pytest.approx(measures, rel=1e-4, abs=1e-5)
        flickers = [flicker_of(clip, blended(trial.weights)) for clip in clips]
        assert trial.measures["flicker"] == pytest.approx(np.mean(flickers), rel=1e-4)
        verdict = metrics.verdict(before, measures, 10.0, **LIMITS)
        assert trial.outcome == verdict.outcome.value
        if verdict.is_stabilized:
            allowed.append((measures["flicker"], trial.weights))
    outcomes = {trial.outcome for trial in choice.trials}
    assert outcomes == {"stabilized", "trade_off", "no_gain"}  # there is a choice to make
    assert choice.weights == min(allowed, key=lambda pair: pair[0])[1]
    np.testing.assert_allclose(kernel, blended(choice.weights), rtol=1e-6)
    assert choice.compared_with == "plain" and choice.strength is None
    assert choice.reason.startswith(f"{choice.chosen} is the blend with the least flicker of ")


def test_rounds_are_thirds_then_sixths_and_twelfths_around_the_best():
    choice, _ = search()
    shares = [tuple(t.weights.get(name, 0.0) for name in NETWORKS) for t in choice.trials]
    thirds = {
        (0.0, a / 3, b / 3, (3 - a - b) / 3)
        for a, b in itertools.product(range(4), repeat=2)
        if a + b <= 3
    }
    assert set(shares[:11]) == {(1.0, 0.0, 0.0, 0.0)} | thirds
    stabilized = [t for t in choice.trials[:11] if t.outcome == "stabilized"]
    best = min(stabilized, key=lambda trial: trial.measures["flicker"]).weights
    center = np.array([best.get(name, 0.0) for name in NETWORKS])
    moves = [np.abs(np.array(each) - center).max() for each in shares[11:]]
    assert moves[:4] == pytest.approx([1 / 6] * 4)
    assert len(set(shares)) == len(shares)
    np.testing.assert_allclose(np.sum(shares, axis=1), 1.0)


def test_without_a_plain_member_the_original_is_blended():
    networks = {name: NETWORKS[name] for name in NETWORKS if name != "plain"}
    choice, _ = search(networks)
    assert choice.compared_with == ORIGINAL
    assert any(0.0 < trial.weights.get(ORIGINAL, 0.0) < 1.0 for trial in choice.trials)
    assert len(choice.trials) <= strength_search.evaluations([*networks][1:])


def test_all_evaluations_are_counted_and_stay_within_the_bound():
    for strength, count in itertools.product(("auto", 0.5), (2, 3, 4)):
        names = [*NETWORKS][:count]
        calls = []
        choice, _ = search(
            {name: NETWORKS[name] for name in names},
            strength=strength,
            advance=lambda count, note, calls=calls: calls.append(count),
        )
        assert sum(calls) == len(choice.trials)
        assert len(choice.trials) <= strength_search.evaluations(names[1:], strength)


def test_where_none_is_stabilized_the_network_is_the_original_and_the_reason_says_why():
    networks = {
        ORIGINAL: (1.0, 0.5),
        "plain": (1.0, 0.4),
        "sparse-jacobian": (0.7, 0.2),
        "transform-invariance": (0.5, 0.1),
    }
    choice, kernel = search(networks)
    assert choice.weights == {} and choice.chosen is None and choice.alpha == 0.0
    np.testing.assert_array_equal(kernel, np.float32(networks[ORIGINAL]))
    steadiest = min(choice.trials, key=lambda trial: trial.measures["flicker"])
    assert choice.reason == (
        f"None of {len(choice.trials)} blends is stabilized against plain; the one with the least "
        f"flicker, {steadiest}: {steadiest.verdict}"
    )
    assert steadiest.weights == {"transform-invariance": 1.0}
    assert steadiest.outcome == metrics.Outcome.TRADE_OFF.value


def test_below_the_baseline_nothing_is_stabilized():
    choice, _ = search(baseline_psnr=40.0)
    assert choice.weights == {}
    assert {trial.outcome for trial in choice.trials} == {"not_applicable"}


def test_without_the_plain_fine_tuning_verdicts_compare_with_the_original():
    networks = {name: NETWORKS[name] for name in (ORIGINAL, "sparse-jacobian")}
    choice, _ = search(networks)
    assert choice.compared_with == ORIGINAL
    assert choice.weights == {"sparse-jacobian": 1.0}
    clip = static_clip()
    before, after = (expected_measures([clip], networks[name]) for name in networks)
    verdict = metrics.verdict(before, after, 10.0, **LIMITS)
    assert choice.chosen.verdict == verdict.sentence


# A number for the strength.


def test_strength_goes_from_the_original_bit_for_bit_to_the_least_flicker():
    found = []
    for strength in np.linspace(0.0, 1.0, 6):
        choice, kernel = search(strength=float(strength))
        np.testing.assert_allclose(kernel, blended(choice.weights), rtol=1e-6)
        assert choice.strength == strength
        found.append(choice.chosen.measures["flicker"])
        if strength == 0.0:
            assert choice.weights == {ORIGINAL: 1.0}
            np.testing.assert_array_equal(kernel, np.float32(NETWORKS[ORIGINAL]))
    assert choice.weights == {"transform-invariance": 1.0}
    assert found[-1] == min(trial.measures["flicker"] for trial in choice.trials)
    assert all(a > b for a, b in itertools.pairwise(found))
    # The share of the flicker that is taken away.
    shares = (found[0] - np.array(found)) / (found[0] - found[-1])
    np.testing.assert_allclose(shares, np.linspace(0.0, 1.0, 6), atol=0.05)


def test_a_number_is_judged_by_the_whole_limits():
    clip = static_clip()
    choice, _ = search(clips=[clip], strength=0.6)
    before = expected_measures([clip], NETWORKS["plain"])
    for trial in choice.trials:
        measures = expected_measures([clip], blended(trial.weights))
        assert trial.outcome == metrics.verdict(before, measures, 10.0).outcome.value
    assert choice.reason.startswith(f"{choice.chosen} is the blend at strength 0.6.")


def test_where_nothing_is_steadier_any_strength_is_the_original():
    networks = {ORIGINAL: (1.0, 0.1), "plain": (1.0, 0.4), "sparse-jacobian": (1.0, 0.3)}
    choice, _ = search(networks, strength=1.0)
    assert choice.weights == {ORIGINAL: 1.0}


PAIRS = st.tuples(st.floats(0.5, 1.5), st.floats(0.05, 0.6))


@hypothesis.settings(
    max_examples=6, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture]
)
@hypothesis.given(st.lists(PAIRS, min_size=3, max_size=4), st.floats(0.0, 1.0))
def test_any_choice_is_a_blend_between_its_neighbours_on_the_front(pairs, strength):
    names = [ORIGINAL, "plain", "sparse-jacobian", "transform-invariance"]
    networks = dict(zip(names, pairs))
    for wanted in ("auto", strength):
        choice, kernel = search(networks, strength=wanted)
        for trial in choice.trials:
            assert math.fsum(trial.weights.values()) == pytest.approx(1.0)
            assert min(trial.weights.values()) > 0.0
        if wanted == "auto":
            stabilized = [t for t in choice.trials if t.outcome == "stabilized"]
            best = min(stabilized, key=lambda t: t.measures["flicker"], default=None)
            assert choice.weights == ({} if best is None else best.weights)
            continue
        np.testing.assert_allclose(kernel, blended(choice.weights, networks), rtol=1e-5)
        first = choice.trials[0].measures["flicker"]
        others = [t for t in choice.trials[:-1] if t.measures["flicker"] < first]
        front = pareto_front(others)
        path = [first, *(trial.measures["flicker"] for trial in front)]
        wanted_flicker = first + strength * (path[-1] - first)
        found = choice.chosen.measures["flicker"]
        # Along a line between two of these networks, noise per contrast only falls or only rises.
        high = min(level for level in path if level >= wanted_flicker - 1e-9)
        low = max((level for level in path if level <= wanted_flicker + 1e-9), default=high)
        assert low * (1 - 1e-4) <= found <= high * (1 + 1e-4)


# Repetition, alpha, JSON, the plot.


def test_the_same_search_twice_is_the_same():
    (first, a), (second, b) = (search() for _ in range(2))
    assert without_time(first) == without_time(second)
    np.testing.assert_array_equal(a, b)


def test_alpha_is_the_mean_of_the_members():
    choice, _ = search(strength=1.0)
    assert choice.alpha == pytest.approx(0.9)  # all of it from a regularized member
    choice, _ = search(alphas={"plain": 0.0, "sparse-jacobian": 0.5, "transform-invariance": 0.8})
    weights = choice.weights
    expected = 0.5 * weights.get("sparse-jacobian", 0) + 0.8 * weights.get(
        "transform-invariance", 0
    )
    assert choice.alpha == pytest.approx(expected) and expected > 0.0


def test_a_choice_is_json():
    choice, _ = search()
    stored = json.loads(json.dumps(jsonable.as_json(choice)))
    assert stored["weights"] == choice.weights and stored["strength"] is None
    assert [each["outcome"] for each in stored["trials"]] == [t.outcome for t in choice.trials]
    for each, trial in zip(stored["trials"], choice.trials, strict=True):
        assert each["measures"]["flicker"] == trial.measures["flicker"]
        assert each["measures"]["temporal_error"] is None  # infinite: the reference stands still
    assert stored["floor"] == 0.0  # of a scene that does not move
    assert {*stored} == {field.name for field in dataclasses.fields(Choice)}


@pytest.mark.parametrize("baseline_psnr", [10.0, 40.0])
def test_the_plot_names_the_networks_and_marks_the_choice(baseline_psnr, tmp_path, monkeypatch):
    from matplotlib.figure import Figure

    save, shown = Figure.savefig, []

    def seen(figure, path, **options):
        (axis,) = figure.axes
        texts = [*axis.texts, *axis.get_legend().get_texts()]
        shown.extend(text.get_text() for text in texts)
        save(figure, path, **options)

    monkeypatch.setattr(Figure, "savefig", seen)
    choice, _ = search(baseline_psnr=baseline_psnr)
    choice.plot(tmp_path / "strength.png")
    assert (tmp_path / "strength.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert {*NETWORKS} <= {*shown}
    marked = [text for text in shown if text.startswith("chosen: ")]
    assert marked == ([] if choice.chosen is None else [f"chosen: {choice.chosen}"])
    assert bool(marked) == (baseline_psnr == 10.0)


# What cannot be measured.


def test_clips_without_contrast_are_named():
    clip = static_clip()
    flat = clip._replace(y=np.zeros_like(clip.y))
    with pytest.raises(ValueError, match=r"validation clips must have contrast .*: none that has"):
        search(clips=[flat])
    alone, _ = search(clips=[clip])
    beside, _ = search(clips=[flat, clip])
    assert without_time(beside) == without_time(alone)


def test_results_without_contrast_are_not_chosen_and_not_drawn(tmp_path):
    networks = {**NETWORKS, "transform-invariance": (0.0, 0.0)}
    choice, _ = search(networks, strength=1.0)
    (dead,) = (t for t in choice.trials if t.weights == {"transform-invariance": 1.0})
    assert math.isnan(dead.measures["flicker"])
    known = [t.measures["flicker"] for t in choice.trials if t is not dead]
    assert choice.chosen.measures["flicker"] == min(known)
    choice.plot(tmp_path / "strength.png")
    nothing, _ = search({name: (0.0, 0.0) for name in NETWORKS})
    assert nothing.weights == {}
    nothing.plot(tmp_path / "nothing.png")


def test_a_number_needs_an_original_with_contrast():
    with pytest.raises(ValueError, match=r"strength must be 'auto' where .* Received: 0\.5"):
        search({**NETWORKS, ORIGINAL: (0.0, 0.0)}, strength=0.5)


# Statistics of BatchNormalization.


def test_statistics_fit_the_blend_and_are_kept_for_one_network_alone():
    normalization = keras.layers.BatchNormalization()
    layer = keras.layers.Conv2D(1, 1, use_bias=False)
    network = keras.Sequential([keras.Input((None, None, 2)), layer, normalization])
    names = [variable.name.split("/")[-1].split(":")[0] for variable in network.variables]

    def values(pair, mean):
        given = {"kernel": np.float32(pair).reshape(1, 1, 2, 1), "gamma": [1.0], "beta": [0.0]}
        given |= {"moving_mean": [mean], "moving_variance": [2.0]}
        return [np.float32(given[name]) for name in names]

    networks = {"a": values((1.0, 0.0), 5.0), "b": values((0.0, 1.0), 7.0)}
    batches = [static_clip(seed).x for seed in (0, 1)]
    blending.assign(network, networks, {"a": 1.0, "b": 0.0}, batches)
    assert normalization.moving_mean.numpy() == [5.0]
    blending.assign(network, networks, {"a": 0.25, "b": 0.75}, batches)
    results = [0.25 * x[..., 0] + 0.75 * x[..., 1] for x in batches]
    mean, variance = (np.mean([f(r) for r in results]) for f in (np.mean, np.var))
    np.testing.assert_allclose(normalization.moving_mean, [mean], rtol=1e-4)
    np.testing.assert_allclose(normalization.moving_variance, [variance], rtol=1e-4)
