"""Sums over the pixels of frames, against their definitions in NumPy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_temporal_reg.metrics import _moments


@pytest.mark.parametrize("dtype, tolerance", [(np.float32, 1e-4), (np.float64, 1e-10)])
@given(
    height=st.integers(1, 400),
    width=st.integers(1, 90),
    channels=st.integers(1, 4),
    offset=st.floats(-10, 10),
    seed=st.integers(0, 2**31),
)
def test_moments_of_a_pair_equal_their_definitions(
    dtype, tolerance, height, width, channels, offset, seed
):
    rng = np.random.default_rng(seed)
    v, p = (rng.normal(offset, 1.0, (height, width, channels)).astype(dtype) for _ in range(2))
    found = _moments.of_pair(v, p)
    v, p = v.astype(np.float64), p.astype(np.float64)
    a, b = (u - u.mean(axis=(0, 1)) for u in (v, p))
    products = np.stack([(x * y).sum(axis=(0, 1)) for x, y in ((a, a), (b, b), (a, b))])
    scale = height * width
    np.testing.assert_allclose(found.centred, products, rtol=tolerance, atol=tolerance * scale)
    edges = [np.concatenate([np.diff(u, axis=n).ravel() for n in (0, 1)]) for u in (v, p)]
    gradients = [edges[1] @ edges[0], edges[0] @ edges[0]]
    np.testing.assert_allclose(found.gradients, gradients, rtol=tolerance, atol=tolerance * scale)
    assert found.squared_error == pytest.approx(np.square(p - v).sum(), rel=tolerance)
    assert _moments.variance(v) == pytest.approx(v.var(axis=(0, 1)).sum(), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("value", [0.0, 0.1, 0.3, 1e4])
def test_a_flat_frame_has_no_variance_at_all(value):
    flat = np.full((700, 300, 3), value, np.float32)
    assert _moments.variance(flat) == 0.0
    assert not _moments.of_pair(flat, flat).centred.any()


def test_a_small_variance_is_not_lost_beside_a_pixel_that_is_far_away():
    frame = np.random.default_rng(0).normal(0.0, 1e-3, (400, 300, 3)).astype(np.float32)
    frame[0, 0] = 100.0
    expected = frame.astype(np.float64).var(axis=(0, 1)).sum()
    assert _moments.variance(frame) == pytest.approx(expected, rel=1e-4)
