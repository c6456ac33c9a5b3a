"""Decoded samples that are kept in memory, within a limit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from keras_temporal_reg.core import bands, free_memory
from keras_temporal_reg.data._crops import Sample
from keras_temporal_reg.io import image_files

_SHARE_OF_FREE = 0.5  # of the free memory, for samples; the training needs the rest


def cached(
    load: Callable[[Any], Sample], cache_bytes: float | None = None
) -> Callable[[Any], Sample]:
    """`load`, whose samples are kept, up to so many bytes.

    Nothing is dropped from the cache: of samples drawn at random, the first ones serve as well as
    the latest. Images of 8 bits take a byte per number.

    Args:
        load: from an item to its sample.
        cache_bytes: None: half of the memory that is free at the first call.
    """
    kept: dict[Any, Sample] = {}
    used, limit = 0, cache_bytes

    def load_or_take(item: Any) -> Sample:
        nonlocal used, limit
        if limit is None:
            limit = _SHARE_OF_FREE * free_memory.free_bytes()
        if item in kept:
            return kept[item]
        sample = load(item)
        if used < limit:
            x, y = sample
            compact_y = _compact(y)
            compact_x = compact_y if x is y else None if x is None else _compact(x)
            parts = {id(part): part for part in (compact_x, compact_y) if part is not None}
            size = sum(part.nbytes for part in parts.values())
            if used + size <= limit:
                used += size
                kept[item] = compact_x, compact_y
        return sample

    return load_or_take


class _Bytes:
    """A float32 image whose values are whole 255ths, as bytes; parts of it are float32."""

    def __init__(self, image: np.ndarray) -> None:
        self._image = image
        self.shape, self.ndim, self.nbytes = image.shape, image.ndim, image.nbytes

    def __getitem__(self, key: Any) -> np.ndarray:
        return _expanded(self._image[key])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        del copy  # it is always one
        return _expanded(self._image).astype(dtype or np.float32, copy=False)


def _expanded(image: np.ndarray) -> np.ndarray:
    return image / np.float32(255.0)


def _compact(image: np.ndarray) -> Any:
    """The image as `_Bytes` if they hold the same numbers, else the image itself."""
    if image.dtype != np.float32:
        return image
    found = np.empty(image.shape, np.uint8)
    for band in bands.of(image):
        found[band] = image_files.to_uint8(image[band])
        if not np.array_equal(_expanded(found[band]), image[band]):
            return image
    return _Bytes(found)
