"""Tests of which data sets are accepted."""

import numpy as np
import pytest
import tensorflow as tf

import keras_temporal_reg as ktr


def samples(count=8, channels=2, size=16, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.uniform(size=(count, size, size, 3)).astype(np.float32)
    return x, rng.uniform(size=(count, size, size, channels)).astype(np.float32)


@pytest.mark.parametrize("dataset", [None, samples(2), [samples(2)]])
def test_what_is_no_data_set_is_rejected(dataset):
    with pytest.raises(TypeError, match=r"dataset must be a tf\.data\.Dataset"):
        ktr.data.pair_with_transformed(dataset, ktr.RandomAffine())


def test_elements_that_are_dicts_are_rejected():
    x, y = samples()
    dataset = tf.data.Dataset.from_tensor_slices({"x": x, "y": y}).batch(4)
    with pytest.raises(ValueError, match=r"dataset must have elements \(x, y\)"):
        ktr.data.pair_with_transformed(dataset, ktr.RandomAffine())


def test_elements_without_a_target_are_rejected():
    dataset = tf.data.Dataset.from_tensor_slices(samples()[0]).batch(4)
    with pytest.raises(ValueError, match=r"dataset must have elements \(x, y\)"):
        ktr.data.pair_with_transformed(dataset, ktr.RandomAffine())


def test_elements_that_are_not_batched_are_rejected():
    dataset = tf.data.Dataset.from_tensor_slices(samples())
    with pytest.raises(ValueError, match="dataset must be batched"):
        ktr.data.pair_with_transformed(dataset, ktr.RandomAffine())
