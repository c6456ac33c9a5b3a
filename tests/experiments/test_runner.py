"""Experiments: rows that can be resumed, and claims that are judged by the rows alone."""

import json
from fractions import Fraction

import numpy as np
import pytest
from tensorflow import keras

from keras_temporal_reg.evaluation import camera
from keras_temporal_reg.experiments import claims, demo, scenes
from keras_temporal_reg.experiments import configs as plans
from keras_temporal_reg.experiments import results as findings
from keras_temporal_reg.experiments import runner as experiments
from keras_temporal_reg.experiments.configs import AUGMENTED, INVARIANCE, JACOBIAN, PLAIN, Plan
from keras_temporal_reg.io import image_files, video

TINY = Plan(
    methods=(PLAIN, AUGMENTED, JACOBIAN),
    alphas=(0.9,),
    sizes=(2,),
    base_steps=2,
    steps=2,
    channels=2,
    frames=3,
)
FIELDS = {
    "experiment",
    "method",
    "alpha",
    "data",
    "seed",
    "base_steps",
    "converged",
    "steps",
    *claims.MEASURES,
    "trivial_psnr",
    "stabilised",
    "verdict",
    "seconds",
    "settings",
}


@pytest.fixture
def trained(monkeypatch):
    """Training in name only, for speed; how many steps each was asked for."""
    steps = []

    def train(network, loss, batches, count, rate, progress):
        y = next(iter(batches))[1]
        # Weights that follow from the batch.
        noise = np.random.default_rng(int(1e4 * float(np.mean(y)) + 1e6))
        network.set_weights([w + noise.normal(0.0, 0.01, w.shape) for w in network.get_weights()])
        for _ in range(count):
            progress.advance()
        steps.append(count)

    monkeypatch.setattr(experiments, "_train", train)
    return steps


@pytest.fixture
def small(monkeypatch):
    """Smaller clips, and networks of one layer."""
    clip = scenes.clip
    monkeypatch.setattr(scenes, "clip", lambda seed, frames, *size: clip(seed % 2, frames, 32, 48))

    def network(inputs, outputs):
        layer = keras.layers.Conv2D(outputs, 3, padding="same")
        return keras.Sequential([keras.Input((None, None, inputs)), layer])

    monkeypatch.setattr(experiments.networks, "hdr_unet", lambda channels: network(3, 3))
    monkeypatch.setattr(experiments.networks, "colorization_unet", lambda channels: network(1, 2))
    super_resolution_net = experiments.networks.super_resolution_net
    monkeypatch.setattr(
        experiments.networks,
        "super_resolution_net",
        lambda scale, channels: super_resolution_net(scale, channels, depth=1),
    )
    monkeypatch.setattr(experiments, "FILMED", 3)


def _without_time(rows):
    return [{key: value for key, value in row.items() if key != "seconds"} for row in rows]


def _run(output, experiment="hdr", plan=TINY, **options):
    return experiments.reproduce(experiment, output, plan=plan, show_progress=False, **options)


def test_a_run_goes_on_where_it_was_interrupted(tmp_path, trained, small, monkeypatch):
    whole = _run(tmp_path / "whole", seeds=(0,))
    assert trained == [2] * 4  # the base, and three methods
    assert whole.trained == 3

    row, made = experiments._row, []

    def interrupted(*arguments):
        if len(made) == 2:
            raise KeyboardInterrupt
        made.append(row(*arguments))
        return made[-1]

    monkeypatch.setattr(experiments, "_row", interrupted)
    with pytest.raises(KeyboardInterrupt):
        _run(tmp_path / "cut", seeds=(0,))
    assert len(json.loads((tmp_path / "cut" / "rows.json").read_text())) == 2
    monkeypatch.setattr(experiments, "_row", row)
    trained.clear()
    resumed = _run(tmp_path / "cut", seeds=(0,))
    assert trained == [2] and resumed.trained == 1
    assert _without_time(resumed.rows) == _without_time(whole.rows)

    trained.clear()
    again = _run(tmp_path / "cut", seeds=(0,))
    assert trained == [] and again.trained == 0
    assert again.rows == resumed.rows


@pytest.mark.slow
@pytest.mark.parametrize("experiment", ["colorization", "hdr"])
def test_the_same_seed_gives_the_same_numbers(tmp_path, experiment, monkeypatch):
    clip = scenes.clip
    monkeypatch.setattr(scenes, "clip", lambda seed, frames, *size: clip(seed, frames, 32, 48))
    plan = Plan(**{**vars(TINY), "methods": (PLAIN, AUGMENTED, "noise-stability", JACOBIAN)})
    folder = None
    if experiment == "colorization":
        _clip_file(folder := tmp_path)
    first, again = (
        _run(tmp_path / name, experiment, plan, data=folder, seeds=(0,))
        for name in ("first", "again")
    )
    assert _without_time(first.rows) == _without_time(again.rows)
    # Each method trains in a way of its own, from the same weights.
    assert len({row["psnr"] for row in first.rows}) == len(plan.methods)


def test_rows_page_summary_and_plot_agree(tmp_path, trained, small, capsys):
    result = _run(tmp_path, seeds=(3,))
    rows = json.loads((tmp_path / "rows.json").read_text())
    assert rows == list(result.rows)
    for row in rows:
        assert set(row) == FIELDS
        assert all(isinstance(row[key], float) for key in claims.MEASURES)
        assert (isinstance(row["stabilised"], bool) and "STABILISED" in row["verdict"]) or (
            row["method"] == PLAIN and row["stabilised"] is None
        )
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert [group["method"] for group in summary["groups"]] == list(TINY.methods)
    assert summary["groups"][0]["mean"]["psnr"] == pytest.approx(rows[0]["psnr"])
    assert [claim["verdict"] for claim in summary["claims"]] == [c.verdict for c in result.claims]
    assert [goal["verdict"] for goal in summary["goals"]] == [g.verdict for g in result.goals]
    page = (tmp_path / "results.md").read_text()
    for claim in (*result.claims, *result.goals):
        assert claim.claim in page and claim.measured in page
    assert f"{rows[0]['temporal_error']:.3f}" in page and "One seed" in page
    assert (tmp_path / "pareto.png").stat().st_size > 5000
    findings.show(result)
    assert "temporal error" in capsys.readouterr().out


def test_other_settings_are_other_runs(tmp_path, trained, small):
    plan = Plan(**{**vars(TINY), "methods": (PLAIN,)})
    _run(tmp_path, plan=plan, seeds=(0,))
    assert len(trained) == 2
    other = _run(tmp_path, plan=Plan(**{**vars(plan), "steps": 1}), seeds=(0,))
    assert len(trained) == 4 and len(other.rows) == 1
    assert len(json.loads((tmp_path / "rows.json").read_text())) == 2
    # More methods are more runs of the same settings.
    wider = Plan(**{**vars(plan), "methods": (PLAIN, AUGMENTED)})
    assert _run(tmp_path, plan=wider, seeds=(0,)).trained == 1


def _clip_file(folder):
    picture = np.clip(scenes.scene(1, 96, 112), 0.0, 1.0)
    path = camera.path(8, 96, 112)
    frames = [image_files.to_uint8(frame) for frame in camera.film(picture, path)]
    video.write(folder / "own.mp4", frames, Fraction(25))
    image_files.write(folder / "photo.png", picture)


@pytest.mark.parametrize(
    "experiment", ["colorization", "finetune", "small-data", "super-resolution"]
)
def test_own_clips_and_photographs(tmp_path, experiment, trained, small):
    _clip_file(tmp_path)
    plan = Plan(
        **{
            **vars(TINY),
            "methods": (PLAIN, AUGMENTED, INVARIANCE),
            "sizes": (1, 2) if experiment == "small-data" else (2,),
            "base_steps": 0 if experiment == "small-data" else 1,
            "rounds": 2 if experiment == "finetune" else 1,
        }
    )
    result = _run(tmp_path / "out", experiment, plan, data=tmp_path, seeds=(0,))
    bases = {"finetune": [1, 1], "small-data": []}.get(experiment, [1])
    methods = len(plan.methods) * len(plan.sizes)
    assert trained in (bases + [2] * methods, bases[:1] + [2] * methods)
    assert all(row["warping_error"] > 0 for row in result.rows)
    page = (tmp_path / "out" / "results.md").read_text()
    assert ("had converged for" in page) == (experiment == "finetune")
    plot = "data-size.png" if experiment == "small-data" else "pareto.png"
    assert (tmp_path / "out" / plot).stat().st_size > 5000


def test_photographs_are_learned_from_but_not_where_data_are_to_be_small(tmp_path):
    _clip_file(tmp_path)
    for photographs, count in ((True, 3), (False, 2)):
        name = "colorization" if photographs else "small-data"
        problem = experiments._problem(name, TINY, tmp_path)
        assert len(problem.learned(2)) == count
    x, _ = problem.clips[0][:2]
    assert len(x) == TINY.frames and problem.clips[0].motion is None
    assert problem.filmed[0].motion.shape == (experiments.FILMED - 1, 8)
    assert all(side % demo.SIZE_MULTIPLE == 0 for side in problem.filmed[0].x.shape[1:3])


def test_real_scenes_are_taken_for_hdr(tmp_path):
    for number in range(3):
        image_files.write(tmp_path / f"{number}.exr", 7.0 * scenes.scene(number, 192, 224))
    problem = experiments._hdr(TINY, tmp_path)
    assert len(problem.learned(9)) == 2 and len(problem.clips) == 1
    x, y, motion = problem.clips[0]
    assert x.shape == y.shape and len(motion) == len(x) - 1
    # 10 % of a picture are above white, whatever its own unit of light was.
    light = np.exp(problem.learned(9)[0][1]) - scenes.OFFSET
    assert np.mean(light.max(axis=-1) > 1.0) == pytest.approx(0.1, abs=0.01)


def test_hdr_is_measured_where_the_camera_clipped():
    problem = experiments._hdr(TINY, None)
    _, y, _ = problem.clips[0]
    clipped = y.max(axis=-1) > scenes.to_log(np.float32(1.0))
    elsewhere = y.max(axis=-1) < scenes.to_log(np.float32(scenes.SATURATION))
    judged = experiments._where_it_counts(problem, y + 1.0, y)
    np.testing.assert_allclose(judged[clipped], y[clipped] + 1.0, atol=1e-5)
    np.testing.assert_allclose(judged[elsewhere], y[elsewhere], atol=1e-5)


@pytest.mark.parametrize("experiment", ["colorization", "hdr"])
def test_a_folder_without_data_is_refused(tmp_path, experiment):
    with pytest.raises(ValueError, match="data must hold at least"):
        _run(tmp_path / "out", experiment, data=tmp_path)
    with pytest.raises(ValueError, match="data must be a folder"):
        _run(tmp_path / "out", experiment, data=tmp_path / "none")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"experiment": "magic"}, "experiment must be one of colorization, small-data"),
        ({"seeds": ()}, "seeds must be different whole numbers"),
        ({"seeds": (1, 1)}, "seeds must be different whole numbers"),
        ({"seeds": (-1,)}, "seeds must be a whole number of at least 0"),
    ],
)
def test_wrong_arguments_are_refused_before_anything_is_written(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        _run(tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_broken_rows_are_refused(tmp_path):
    (tmp_path / "rows.json").write_text('[{"method": 1}]')
    with pytest.raises(ValueError, match=r"rows\.json must hold the rows of earlier runs"):
        _run(tmp_path)


def test_the_time_left_follows_from_finished_runs():
    rows = [{"method": PLAIN, "seconds": 10.0}, {"method": JACOBIAN, "seconds": 20.0}]
    plan = Plan(steps=100)
    assert "known after" in experiments._Progress(600, [], plan, print).estimate()
    progress = experiments._Progress(1200, rows, plan, lambda *_: None)
    assert progress.estimate() == "about 2 min left"  # 10 batches a second
    progress.weight = 2
    for _ in range(400):
        progress.advance()
    assert progress.estimate() == "about 1 min left"


# Claims, on rows made up.


def row(method, alpha=0.0, seed=0, data=16, **changes):
    measures = {
        "temporal_error": 1.0,
        "psnr": 30.0,
        "ssim": 0.9,
        "smoothness": 1.0,
        "contrast_ratio": 0.95,
        "relative_smoothness": 1.0,
        "structure": 0.7,
        "warping_error": 1e-3,
        "trivial_psnr": 26.0,
    }
    measures.update(changes)
    return {"method": method, "alpha": alpha, "seed": seed, "data": data, **measures}


def grid(invariance, jacobian, seeds=(0, 1, 2)):
    """Rows of both baselines, and of both regularizers by ``{alpha: changes}``."""
    rows = []
    for seed in seeds:
        jitter = 0.001 * seed
        rows += [row(PLAIN, seed=seed), row(AUGMENTED, seed=seed, temporal_error=1.01)]
        for method, by_alpha in ((INVARIANCE, invariance), (JACOBIAN, jacobian)):
            for alpha, changes in by_alpha.items():
                changes = {key: value + jitter for key, value in changes.items()}
                rows.append(row(method, alpha, seed, **changes))
    return rows


def verdicts(experiment, rows):
    return [claim.verdict for claim in claims.claims(experiment, rows)]


GOOD = {"temporal_error": 0.85, "relative_smoothness": 1.2, "psnr": 30.4}
BAD = {"temporal_error": 1.05, "relative_smoothness": 0.9, "psnr": 29.0}


def test_claims_hold_on_rows_where_they_do():
    invariance = {
        0.5: GOOD,
        0.9: {**GOOD, "temporal_error": 0.8},
        0.97: {**GOOD, "psnr": 28.0, "contrast_ratio": 0.6},
    }
    jacobian = {0.5: GOOD, 0.9: GOOD, 0.97: {**GOOD, "psnr": 30.1}}
    rows = grid(invariance, jacobian)
    assert verdicts("colorization", rows) == ["holds"] * 4
    assert verdicts("hdr", rows) == ["holds"] * 4
    assert verdicts("finetune", rows) == ["holds"] * 2


def test_claims_do_not_hold_on_rows_where_they_do_not():
    rows = grid({0.5: BAD, 0.9: BAD}, {0.5: BAD, 0.9: {**BAD, "psnr": 25.0, "contrast_ratio": 0.5}})
    assert verdicts("colorization", rows) == ["does not hold"] * 4
    assert verdicts("finetune", rows) == ["does not hold"] * 2


def test_claims_hold_in_part():
    rows = grid({0.5: GOOD, 0.9: GOOD}, {0.5: BAD, 0.9: BAD})
    assert verdicts("colorization", rows)[:2] == ["holds in part"] * 2
    assert verdicts("finetune", rows)[0] == "holds in part"


def test_steadiness_bought_with_contrast_is_no_gain():
    faded = {0.9: {**GOOD, "contrast_ratio": 0.5}}
    assert verdicts("colorization", grid(faded, faded))[0] == "does not hold"
    assert verdicts("finetune", grid(faded, faded))[0] == "does not hold"


def test_transform_invariance_is_not_better_where_it_fades():
    faded = {0.9: {**GOOD, "temporal_error": 0.7, "contrast_ratio": 0.5}}
    assert verdicts("colorization", grid(faded, {0.9: GOOD}))[3] == "does not hold"


def test_a_gain_within_the_spread_over_seeds_is_none():
    rows = grid({0.9: GOOD}, {0.9: GOOD})
    for each in rows:
        if each["method"] in (INVARIANCE, JACOBIAN):
            each["psnr"] += (0.0, 2.0, -2.0)[each["seed"]]
    assert verdicts("colorization", rows)[1] == "does not hold"


def test_a_gain_below_the_bar_is_none():
    slight = {0.9: {**GOOD, "temporal_error": 0.95}}
    assert verdicts("colorization", grid(slight, slight))[0] == "does not hold"
    assert verdicts("finetune", grid(slight, slight))[0] == "does not hold"


def test_one_seed_proves_nothing():
    found = verdicts("colorization", grid({0.9: GOOD}, {0.9: BAD}, seeds=(0,)))
    assert all(each.startswith(("one seed", "not tested")) for each in found)


def by_size(gain):
    rows = []
    for seed in range(3):
        for size in (2, 8, 32):
            own = gain if size <= 8 else 0.0
            rows += [
                row(PLAIN, 0.0, seed, size, psnr=28.0 + 0.1 * seed),
                row(AUGMENTED, 0.0, seed, size, psnr=28.2 + 0.1 * seed),
                row(INVARIANCE, 0.9, seed, size, psnr=27.0 + 0.1 * seed),
                row(JACOBIAN, 0.9, seed, size, psnr=28.2 + own + 0.1 * seed),
            ]
    return rows


def test_a_boost_on_small_data_is_held_against_the_better_baseline():
    (claim,) = claims.claims("small-data", by_size(0.3))
    assert claim.verdict == "holds"
    assert "2: 0.300 +- 0.000 dB (sparse-jacobian 0.9)" in claim.measured
    assert verdicts("small-data", by_size(-0.1)) == ["does not hold"]
    # Better than reconstruction only, but not than augmentation, is not enough.
    assert verdicts("small-data", by_size(-0.05)) == ["does not hold"]


def test_what_was_not_run_is_not_tested():
    rows = [row(PLAIN)]
    assert verdicts("colorization", rows) == ["not tested"] * 4
    assert verdicts("small-data", rows) == ["not tested"]
    assert verdicts("finetune", []) == ["not tested"] * 2


def beyond(changes, seeds=(0, 1, 2)):
    rows = []
    for seed in seeds:
        rows += [row(PLAIN, seed=seed), row(AUGMENTED, seed=seed)]
        rows.append(row(JACOBIAN + plans.CONTRAST, 0.9, seed, **changes))
    return rows


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({"temporal_error": 0.79, "relative_smoothness": 1.3, "psnr": 30.1}, "holds"),
        ({"temporal_error": 0.81, "relative_smoothness": 1.3, "psnr": 30.1}, "does not hold"),
        ({"temporal_error": 0.79, "relative_smoothness": 1.1, "psnr": 30.1}, "does not hold"),
        ({"temporal_error": 0.79, "relative_smoothness": 1.3, "psnr": 29.9}, "does not hold"),
    ],
)
def test_the_goal_past_the_paper(changes, verdict):
    assert [g.verdict for g in claims.goals("hdr", beyond(changes))] == [verdict]


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({"temporal_error": 0.99, "psnr": 29.95}, "holds"),
        ({"temporal_error": 0.99, "psnr": 29.85}, "does not hold"),
        ({"temporal_error": 1.0, "psnr": 30.0}, "does not hold"),
    ],
)
def test_the_goal_of_super_resolution(changes, verdict):
    assert [g.verdict for g in claims.goals("super-resolution", beyond(changes))] == [verdict]


def test_goals_of_one_seed_or_of_nothing():
    good = {"temporal_error": 0.7, "relative_smoothness": 1.3}
    (goal,) = claims.goals("colorization", beyond(good, seeds=(0,)))
    assert goal.verdict == "one seed, which points that way"
    assert [g.verdict for g in claims.goals("colorization", [row(PLAIN)])] == ["not tested"]
    assert claims.goals("small-data", beyond(good)) == []


def test_every_experiment_has_a_quick_and_a_full_plan():
    for size in (plans.QUICK, plans.FULL):
        assert tuple(sorted(size)) == tuple(sorted(plans.EXPERIMENTS))
        for plan in size.values():
            assert plan.methods[0] == PLAIN and {*plan.methods} <= {*plans.METHODS}
    assert {2, 4, 8, 16, 32} == {*plans.FULL["small-data"].sizes}
    assert plans.FULL["colorization"].alphas == (0.5, 0.8, 0.9, 0.97)
