"""Frames as a stream: in chunks, decoded ahead of time, split at cuts."""

from __future__ import annotations

import collections
import concurrent.futures
import itertools
from collections.abc import Generator, Iterable, Iterator
from typing import Any

import numpy as np

from keras_temporal_reg.io.video._clip import BrokenClip

CUT_THRESHOLD = 0.1
_CHUNK_PIXELS = 2**20


def chunks(frames: Iterable[Any], pixels: int) -> Iterator[list[Any]]:
    """Group frames into lists of up to 8, shorter for large frames.

    Args:
        frames: of a clip; where it raises `BrokenClip`, the frames before it come first.
        pixels: of a frame.
    """
    size = max(1, min(8, _CHUNK_PIXELS // pixels))
    chunk: list[Any] = []
    try:
        for frame in frames:
            chunk.append(frame)
            if len(chunk) == size:
                yield chunk
                chunk = []
    except BrokenClip:
        if chunk:
            yield chunk
        raise
    if chunk:
        yield chunk


def prefetch(items: Iterable[Any], count: int = 8) -> Generator[Any, None, None]:
    """Yield the same items in the same order; another thread computes up to `count` in advance.

    An error in `items` is raised here, after the items before it.
    """
    iterator, end = iter(items), object()
    with concurrent.futures.ThreadPoolExecutor(max_workers=1) as executor:
        pending = collections.deque(executor.submit(next, iterator, end) for _ in range(count))
        try:
            while (item := pending.popleft().result()) is not end:
                pending.append(executor.submit(next, iterator, end))
                yield item
        finally:
            executor.shutdown(cancel_futures=True)


def find_cuts(frames: np.ndarray) -> list[int]:
    """Find the frames that start a new shot.

    Args:
        frames: ``(frames, height, width, 3)`` uint8.

    Returns:
        Indices of the frames whose mean absolute difference to the frame before, of values in
        [0, 1], exceeds `CUT_THRESHOLD`, which motion within a shot does not reach.
    """
    small = frames[:, ::2, ::2].astype(np.float32) / 255.0
    changes = (float(np.abs(b - a).mean()) for a, b in itertools.pairwise(small))
    return [index for index, change in enumerate(changes, 1) if change > CUT_THRESHOLD]
