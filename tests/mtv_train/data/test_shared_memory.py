"""Guards: what one process writes the other reads, however it was started; memory that nobody wrote to is not taken."""

from __future__ import annotations

import multiprocessing
import os
import sys

import pytest

from mtv_train.data.shared_memory import SharedMemory


def write(memory: SharedMemory) -> None:
    memory.bytes[5:8] = 7


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_a_process_that_was_given_it_writes_into_it(method: str) -> None:
    memory = SharedMemory(10)
    assert memory.bytes.tolist() == [0] * 10
    started = multiprocessing.get_context(method).Process(target=write, args=(memory,))
    started.start()
    started.join()
    assert started.exitcode == 0
    assert memory.bytes.tolist() == [0, 0, 0, 0, 0, 7, 7, 7, 0, 0]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere it is an ordinary file")
def test_nothing_is_taken_before_it_is_written_to() -> None:
    """A terabyte is more than any machine has."""
    memory = SharedMemory(1 << 40)
    assert os.fstat(memory._file.fileno()).st_blocks == 0
    memory.bytes[-1] = 1
    assert 0 < os.fstat(memory._file.fileno()).st_blocks * 512 <= 4 << 20


def test_none_at_all() -> None:
    assert SharedMemory(0).bytes.any() == 0
