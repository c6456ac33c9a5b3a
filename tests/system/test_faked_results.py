"""What only looks steadier is not judged stabilized: faked results on a clip that moves."""

import functools

import numpy as np
import pytest
from scipy import ndimage
from skimage import data, transform

from keras_temporal_reg import metrics
from keras_temporal_reg.evaluation import camera
from keras_temporal_reg.metrics import Outcome

GREY_PSNR = 15.0  # of the baseline prediction; the result below has more


@functools.cache
def clip():
    """Reference, motion, and a result with flicker and blur, as a network has them."""
    picture = transform.resize(data.astronaut(), (160, 160), anti_aliasing=True)
    path = camera.path(80, 160, 160, seed=1)[::4]  # up to 6 pixels per frame
    reference = np.stack([*camera.film(picture.astype(np.float32), path)])
    noise = np.random.default_rng(0).normal(size=reference.shape)
    flicker = ndimage.gaussian_filter(noise, (0, 3, 3, 0))
    result = ndimage.gaussian_filter(reference, (0, 0.7, 0.7, 0)) + 0.02 * flicker / flicker.std()
    return reference, camera.motion(path), result


def smooth(result, sigma):
    return ndimage.gaussian_filter1d(result, sigma, axis=0)


FAKES = {
    "faded": (lambda p: p.mean() + 0.6 * (p - p.mean()), Outcome.NO_GAIN),
    "blurred": (lambda p: ndimage.gaussian_filter(p, (0, 3, 3, 0)), Outcome.TRADE_OFF),
    "frozen": (lambda p: np.repeat(p[:1], len(p), axis=0), Outcome.NO_GAIN),
    "low-passed": (lambda p: smooth(p, 1.0), None),
    "delayed": (lambda p: np.concatenate([p[:1], p[:-1]]), Outcome.NO_GAIN),
    "flat": (lambda p: np.full_like(p, p.mean()), Outcome.NO_GAIN),
}


def judge(after):
    reference, motion, result = clip()
    before, after = (metrics.stability(reference, p, motion=motion) for p in (result, after))
    assert before["psnr"] > GREY_PSNR + 1.5
    return metrics.verdict(before, after, GREY_PSNR)


@pytest.mark.parametrize("name", FAKES)
def test_a_fake_is_not_stabilized(name):
    fake, outcome = FAKES[name]
    verdict = judge(fake(clip()[2]))
    assert verdict.outcome is not Outcome.STABILIZED
    assert outcome is None or verdict.outcome is outcome
    # What is worse is named, whichever the outcome is.
    before, after = verdict.changes["psnr"]
    if after < before - 0.1:
        assert any(f"{after - before:+.2f} dB PSNR" in reason for reason in verdict.reasons)


def test_less_of_the_flicker_is_stabilized():
    reference, _, result = clip()
    blurred = ndimage.gaussian_filter(reference, (0, 0.7, 0.7, 0))
    assert judge(blurred + 0.7 * (result - blurred)).outcome is Outcome.STABILIZED


def test_fading_changes_contrast_but_not_flicker():
    verdict = judge(FAKES["faded"][0](clip()[2]))
    before, after = verdict.changes["flicker"]
    assert after == pytest.approx(before, rel=1e-4)
    assert any(reason.startswith("contrast") for reason in verdict.reasons)


def test_in_a_scene_that_does_not_move_low_passing_is_a_gain():
    reference, _, result = clip()
    still = np.repeat(reference[:1], len(reference), axis=0)
    before, after = (
        metrics.stability(
            still, still + p - reference, motion=np.zeros((len(still) - 1, *still.shape[1:3], 2))
        )
        for p in (result, reference + smooth(result - reference, 2.0))
    )
    assert metrics.verdict(before, after, GREY_PSNR).outcome is Outcome.STABILIZED
