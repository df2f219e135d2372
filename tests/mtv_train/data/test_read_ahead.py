"""Guards: what is coming is read once and ahead, memory stays within its bound, and a failed guess costs only time."""

from __future__ import annotations

import threading
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtv_train.data.read_ahead import ReadAhead, Span


class Disk:
    """Counts what is read."""

    def __init__(self) -> None:
        self.reads: Counter[Span] = Counter()
        self.broken: set[Span] = set()

    def read(self, span: Span) -> bytes:
        self.reads[span] += 1
        if span in self.broken:
            raise OSError("gone")
        return bytes([span.shard]) * span.size


def span(shard: int, size: int = 10) -> Span:
    return Span(shard, 0, size)


def test_what_was_announced_is_read_once() -> None:
    disk = Disk()
    ahead = ReadAhead(disk.read, 100)
    ahead.fetch([span(1), span(2)])
    assert ahead.get(span(1)) == b"\1" * 10
    assert ahead.get(span(2)) == b"\2" * 10
    ahead.fetch([span(2)])
    assert ahead.get(span(2)) == b"\2" * 10
    assert disk.reads == {span(1): 1, span(2): 1}
    ahead.close()
    assert ahead.bytes == 0


def test_it_reads_while_nobody_asks() -> None:
    read = threading.Event()

    def reading(wanted: Span) -> bytes:
        read.set()
        return bytes(wanted.size)

    ahead = ReadAhead(reading, 100)
    ahead.fetch([span(1)])
    assert read.wait(10)
    ahead.close()


@given(
    limit=st.integers(0, 60),
    asked=st.lists(st.tuples(st.booleans(), st.integers(0, 5), st.integers(1, 40)), max_size=30),
)
@settings(max_examples=60, deadline=None)
def test_memory_is_bounded_and_answers_are_right(limit: int, asked: list[tuple[bool, int, int]]) -> None:
    disk = Disk()
    ahead = ReadAhead(disk.read, limit, threads=2)
    for announce, shard, size in asked:
        if announce:
            ahead.fetch([span(shard, size), span(shard + 1, size)])
        else:
            assert ahead.get(span(shard, size)) == bytes([shard]) * size
        assert 0 <= ahead.bytes <= limit
    ahead.close()


def test_a_failure_ahead_of_time_is_tried_again_when_it_matters() -> None:
    disk = Disk()
    disk.broken.add(span(1))
    ahead = ReadAhead(disk.read, 100)
    ahead.fetch([span(1)])
    with pytest.raises(OSError, match="gone"):
        ahead.get(span(1))
    disk.broken.clear()
    assert ahead.get(span(1)) == b"\1" * 10
    ahead.close()


def test_without_room_nothing_is_kept() -> None:
    disk = Disk()
    ahead = ReadAhead(disk.read, 0)
    ahead.fetch([span(1)])
    assert ahead.get(span(1)) == ahead.get(span(1))
    assert disk.reads[span(1)] == 2
    assert ahead.bytes == 0
