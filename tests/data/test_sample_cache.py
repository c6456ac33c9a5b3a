"""Decoded samples that are kept in memory."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_temporal_reg.core import free_memory
from keras_temporal_reg.data import _sample_cache


def bytes_image(seed=0, shape=(300, 100, 3)):
    values = np.random.default_rng(seed).integers(0, 256, shape).astype(np.float32)
    return values / np.float32(255)


def noise_image(seed=0, shape=(300, 100, 3)):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def kept(sample, limit):
    """What the cache returns of a sample the second time, and how often it was loaded."""
    loads = []
    load = _sample_cache.cached(lambda item: loads.append(item) or sample, limit)
    load("a")
    return load("a"), len(loads)


@given(
    is_bytes=st.booleans(),
    top=st.integers(0, 299),
    height=st.integers(1, 300),
    seed=st.integers(0, 2**31),
)
def test_kept_samples_have_the_same_numbers(is_bytes, top, height, seed):
    y = bytes_image(seed) if is_bytes else noise_image(seed)
    (x, found), loads = kept((None, y), 1e9)
    assert loads == 1 and x is None and found.shape == y.shape and found.ndim == 3
    part = found[top : top + height, 3:50]
    assert part.dtype == np.float32
    np.testing.assert_array_equal(part, y[top : top + height, 3:50])
    np.testing.assert_array_equal(np.asarray(found), y)


@pytest.mark.parametrize("row", [0, 150, 299])
@pytest.mark.parametrize("value", [np.nan, np.inf, -1 / 255, 256 / 255, 0.1001])
def test_one_other_number_is_kept_too(row, value):
    y = bytes_image()
    y[row, 50, 1] = value
    (_, found), _ = kept((None, y), 1e9)
    np.testing.assert_array_equal(np.asarray(found), y)


@pytest.mark.parametrize("make, size", [(bytes_image, 1), (noise_image, 4)])
@pytest.mark.parametrize("shared", [False, True])
def test_the_limit_counts_what_is_kept(make, size, shared):
    y = make()
    x = y if shared else make(1)
    needed = size * y.size * (1 if shared else 2)
    assert [kept((x, y), limit)[1] for limit in (needed - 1, needed)] == [2, 1]


def test_without_a_limit_half_of_what_is_free_is_used(monkeypatch):
    y = noise_image()
    for free, loads in ((2 * y.nbytes, 1), (2 * y.nbytes - 2, 2)):
        monkeypatch.setattr(free_memory, "free_bytes", lambda free=free: free)
        assert kept((None, y), None)[1] == loads
