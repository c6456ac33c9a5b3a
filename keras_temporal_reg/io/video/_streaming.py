"""Frames as a stream: in chunks, decoded ahead of time."""

from __future__ import annotations

import collections
import concurrent.futures
from collections.abc import Generator, Iterable, Iterator
from typing import Any

from keras_temporal_reg.io.video._clip import BrokenClip

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
