"""Measures of one result in chunks, against those of the metrics on whole clips."""

import math
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import pytest
from helpers.clips import noisy_pair

from keras_temporal_reg import metrics
from keras_temporal_reg.evaluation import optical_flow
from keras_temporal_reg.evaluation.result_measures import (
    DecodedFrames,
    Motion,
    ResultMeasures,
    Truth,
)
from keras_temporal_reg.io import image_files

CHUNK = 4


@pytest.fixture
def clips():
    return [u.astype(np.float32) for u in noisy_pair(10, 24, 32)]


def measure(v, p, is_compared=True, motion=None, cuts=()):
    measures = ResultMeasures(2.0, is_compared)
    for start in range(0, len(v), CHUNK):
        chunk = slice(start, start + CHUNK)
        before = image_files.to_uint8(np.stack([v, p])[:, start - 1]) if start else (None, None)
        reference, decoded = (DecodedFrames(u[chunk], last) for u, last in zip((v, p), before))
        pairs = [i for i in range(len(v[chunk])) if start + i > 0]
        cuts_here = [i for i in pairs if start + i in cuts]
        compared = [] if motion is None else [i for i in pairs if i not in cuts_here]
        motions = Motion(
            compared, None if motion is None else motion[[start + i - 1 for i in compared]]
        )
        flows = {i: reference.flow(i) for i in pairs}
        measures.update(p[chunk], decoded, Truth(v[chunk], reference, motions, flows, cuts_here))
    return measures


@pytest.mark.parametrize("cuts", [(), (4,), (1, 6, 7), tuple(range(1, 10))])
def test_chunks_give_the_measures_of_the_whole(clips, cuts):
    v, p = clips
    motion = np.random.default_rng(0).normal(size=(9, 24, 32, 2)).astype(np.float32)
    measures = measure(v, p, motion=motion, cuts=cuts)
    found = measures.result()
    mask = np.ones((9, 24, 32))
    mask[[cut - 1 for cut in cuts]] = 0.0
    expected = {
        **metrics.stability(v, p, motion=motion, cuts=cuts),
        "ssim": metrics.ssim(v, p),
        "warping_error": metrics.warping_error(p, motion, mask),
    }
    assert {key: found[key] for key in expected} == pytest.approx(expected, rel=1e-4, nan_ok=True)
    assert {*found} == {*metrics.MEASURES}
    per_frame = [metrics.psnr(a, b) for a, b in zip(v, p)]
    assert measures.stability.frame_psnr() == pytest.approx(per_frame, rel=1e-5)


def test_the_flow_difference_is_that_of_neighbours_across_chunks(clips):
    v, p = clips
    luma = [[optical_flow.to_luma(f) for f in image_files.to_uint8(u)] for u in (v, p)]
    flows = [[optical_flow.estimate(a, b, "farneback") for a, b in pairwise(u)] for u in luma]
    lengths = [np.linalg.norm(a - b, axis=-1).mean() for a, b in zip(*flows)]
    assert measure(v, p).result()["flow_difference"] == pytest.approx(np.mean(lengths), rel=1e-5)


def test_flicker_per_frame_is_that_of_its_pair_over_the_contrast_of_the_clip(clips):
    _, p = clips
    motion = np.zeros((9, 24, 32, 2), np.float32)
    found = measure(p, p, motion=motion, cuts=(4,)).frame_flicker()
    contrast = np.sqrt(p.var(axis=(1, 2)).sum(axis=-1).mean())
    steps = np.sqrt(((p[1:] - p[:-1]) ** 2).sum(axis=-1).mean(axis=(1, 2)))
    expected = [math.nan, *(100 * steps / contrast)]
    expected[4] = math.nan
    assert found == pytest.approx(expected, rel=1e-4, nan_ok=True)


def test_of_a_result_that_is_not_compared_flicker_and_warping_error_are_measured(clips):
    _, p = clips
    motion = np.zeros((9, 24, 32, 2), np.float32)
    found = measure(p, p, is_compared=False, motion=motion).result()
    assert found.pop("warping_error") == pytest.approx(metrics.warping_error(p, motion))
    assert found.pop("flicker") == pytest.approx(metrics.flicker(p, motion))
    assert all(math.isnan(value) for value in found.values())


def test_motion_is_masked_where_forward_and_backward_flow_disagree():
    noise = np.random.default_rng(0).uniform(size=(2, 40, 40, 3)).astype(np.float32)
    with ThreadPoolExecutor(1) as pool:
        ends, flow, mask = DecodedFrames(noise, None).motion([1], "dis", pool)
        assert ends == [1] and flow.shape == (1, 40, 40, 2) and mask.shape == (1, 40, 40)
        assert np.mean(mask) < 0.9  # two unrelated frames
        same = DecodedFrames(noise[[0, 0]], None).motion([1], "dis", pool)
        assert np.mean(same.mask) == 1.0
        assert DecodedFrames(noise, None).motion([], "dis", pool) == ([], None, None)
