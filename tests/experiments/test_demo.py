"""The demo: its parts, and a short run of all of it on a real clip."""

import json
from fractions import Fraction

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

from keras_temporal_reg import metrics
from keras_temporal_reg.experiments import demo, networks
from keras_temporal_reg.io import video
from keras_temporal_reg.losses import _regularized as losses


def _pictures(value=0.5):
    return [(np.full((80, 96, 1), value, np.float32), np.full((80, 96, 2), 0.1, np.float32))]


def test_the_network_returns_chroma_of_any_fitting_size():
    network = networks.colorization_unet(channels=4, levels=2)
    assert network.predict(np.zeros((1, 24, 40, 1)), verbose=0).shape == (1, 24, 40, 2)


def test_the_same_seed_gives_the_same_batches():
    rng = np.random.default_rng(0)
    picture = (rng.uniform(size=(80, 96, 1)), rng.uniform(size=(80, 96, 2)))

    def first(seed):
        return next(iter(demo.batches([picture], seed)))[0].numpy()

    np.testing.assert_array_equal(first(1), first(1))
    assert np.any(first(1) != first(2))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_broken_numbers_are_refused_before_training(value):
    with pytest.raises(ValueError, match="x of all pictures must be finite"):
        demo.batches(_pictures(value), seed=0)


def test_stills_and_test_frames_come_from_two_halves_and_are_no_neighbours(monkeypatch):
    numbers = np.zeros((80, 64, 64, 3), np.uint8) + np.arange(80, dtype=np.uint8).reshape(
        -1, 1, 1, 1
    )
    monkeypatch.setattr(video, "read", lambda *a, **k: video.DecodedClip(numbers, Fraction(25)))
    footage = demo.divide("clip.mp4")
    seen = sorted(int(s[0, 0, 0]) for s in footage.stills)
    assert len(seen) == demo.STILLS
    assert min(np.diff(seen)) >= 2
    assert max(seen) < 39 and footage.first_test_frame == 40
    assert [int(f[0, 0, 0]) for f in footage.test] == list(range(40, 80))


def test_test_frames_end_at_a_cut(monkeypatch):
    frames = np.zeros((40, 64, 64, 3), np.uint8)
    frames[30:] = 200
    monkeypatch.setattr(video, "read", lambda *a, **k: video.DecodedClip(frames, Fraction(25)))
    assert len(demo.divide("clip.mp4").test) == 10


def test_a_clip_too_short_to_divide_is_refused(tmp_path):
    video.write(tmp_path / "short.mp4", np.zeros((3, 64, 64, 3), np.uint8), Fraction(25))
    with pytest.raises(video.ClipError, match=r"short\.mp4 must have at least 4 frames"):
        demo.divide(tmp_path / "short.mp4")


@pytest.mark.parametrize(
    ("argument", "value"),
    [("method", "magic"), ("alpha", 1.0), ("contrast", -1.0), ("steps", 0), ("seed", -1)],
)
def test_wrong_arguments_are_refused_before_anything_is_written(tmp_path, argument, value):
    with pytest.raises(ValueError, match=f"{argument} must be"):
        demo.run(tmp_path / "out", **{argument: value})
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_short_run_writes_all_that_it_promises(tmp_path, capsys):
    clip = demo.shipped_clips()[2]
    summary = demo.run(tmp_path, clips=[clip], steps=24, contrast=0.1, seed=3)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "comparison.mp4",
        "evaluation.json",
        "plain.keras",
        "report.html",
        "slices.png",
        "stabilized.keras",
        "summary.json",
    ]
    assert json.loads((tmp_path / "summary.json").read_text()) == summary
    for group in ("before", "baseline", "stabilized"):
        assert set(summary[group]) == set(demo.MEASURES)
        assert set(summary["clips"]["carphone_pristine"][group]) == set(demo.MEASURES)
    printed = capsys.readouterr().out
    assert "temporal error" in printed and "STABILISED" in printed
    # The report measures the saved networks again, and comes to the same figures.
    evaluated = json.loads((tmp_path / "evaluation.json").read_text())
    assert evaluated["verdict"] == summary["verdict"]
    for key in demo.MEASURES:
        assert evaluated["mean"]["plain fine-tuning"][key] == pytest.approx(
            summary["baseline"][key], rel=1e-3
        )
    assert len(video.read(tmp_path / "comparison.mp4").frames) == demo.TEST_FRAMES

    # The figures are those of the saved networks, which plain Keras loads.
    plain, stabilized = (
        keras.models.load_model(tmp_path / f"{name}.keras") for name in ("plain", "stabilized")
    )
    assert [w.shape for w in plain.get_weights()] == [w.shape for w in stabilized.get_weights()]
    assert [type(a) for a in plain.layers] == [type(a) for a in stabilized.layers]
    x, y = demo.colorization.encode(demo.divide(clip).test / 255.0)
    for name, network in (("baseline", plain), ("stabilized", stabilized)):
        measured = metrics.stability(y, network.predict(x, batch_size=10, verbose=0))
        assert measured == pytest.approx(summary[name], rel=1e-4)


def test_plain_and_regularized_training_see_the_same_batches():
    # With alpha 0 the regularized loss is the plain one, so the weights must agree.
    batch = next(iter(demo.batches(_pictures(), seed=0)))
    weights = []
    for loss in ("mse", losses.SparseJacobianLoss(alpha=0.0)):
        keras.utils.set_random_seed(0)
        network = networks.colorization_unet(channels=2, levels=1)
        model = (
            network if loss == "mse" else demo.RegularizedModel(network, demo.RandomAffine(seed=0))
        )
        model.compile(keras.optimizers.SGD(0.1), loss, jit_compile=False)
        model.fit(tf.data.Dataset.from_tensors(batch), verbose=0)
        weights.append(network.get_weights())
    for a, b in zip(*weights):
        np.testing.assert_allclose(a, b, atol=1e-6)
