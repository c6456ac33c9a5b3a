"""Bands of rows."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from keras_temporal_reg.core import bands


@given(rows=st.integers(0, 3000), width=st.integers(0, 400))
def test_bands_are_all_rows_in_order_and_small(rows, width):
    array = np.empty((rows, width, 3), np.uint8)
    found = [*bands.of(array)]
    assert [n for band in found for n in range(band.start, band.stop)] == [*range(rows)]
    assert all(array[band].size <= 2**16 for band in found)


def test_a_row_that_is_larger_is_a_band():
    assert [*bands.of(np.empty((2, 2**17)))] == [slice(0, 1), slice(1, 2)]
