"""Chunks and prefetching."""

import threading

import pytest

from keras_temporal_reg.io import video


def test_prefetched_items_come_in_order_from_another_thread():
    threads = set()

    def items():
        for number in range(50):
            threads.add(threading.get_ident())
            yield number

    assert list(video.prefetch(items(), 4)) == list(range(50))
    assert threads and threading.get_ident() not in threads


def test_an_error_of_prefetched_items_comes_after_the_items_before_it():
    def items():
        yield 1
        yield 2
        raise video.BrokenClip("gone", 2)

    got = []
    with pytest.raises(video.BrokenClip, match="gone"):
        for item in video.prefetch(items()):
            got.append(item)
    assert got == [1, 2]


def test_closing_prefetch_ends_its_thread():
    before = threading.active_count()
    endless = video.prefetch(iter(int, 1), 2)
    assert next(endless) == 0
    assert threading.active_count() == before + 1
    endless.close()
    assert threading.active_count() == before


def test_chunks_hold_all_frames_and_fewer_large_ones():
    assert [len(c) for c in video.chunks(range(20), 100)] == [8, 8, 4]
    assert [len(c) for c in video.chunks(range(3), 2**21)] == [1, 1, 1]

    def broken():
        yield 1
        raise video.BrokenClip("gone", 1)

    chunks = video.chunks(broken(), 100)
    assert next(chunks) == [1]
    with pytest.raises(video.BrokenClip):
        next(chunks)
