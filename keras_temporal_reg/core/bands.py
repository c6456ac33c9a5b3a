"""Bands of rows, small enough to stay in the cache while several operations pass over them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

_NUMBERS = 2**16  # in a band


def of(array: np.ndarray) -> Iterator[slice]:
    """The rows of each band along the first axis, which together are all rows."""
    rows = max(1, _NUMBERS // max(array[:1].size, 1))
    for start in range(0, len(array), rows):
        yield slice(start, min(start + rows, len(array)))
