"""Samples from the workers to the trainer through memory that both have had since before the workers began.

Torch's own way opens a shared file for every tensor and passes its descriptor over a socket, with a handshake that
waits for the worker's interpreter: some milliseconds a sample, for the trainer and the worker alike. Here a worker
writes its samples' tensors into slots of one memory, and only their places travel.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import Dataset, get_worker_info

from mtv_train.data.batch import Batch
from mtv_train.data.errors import DataError
from mtv_train.data.samples import Samples
from mtv_train.data.shared_memory import SharedMemory

_ALIGNED = 64
"""Tensors begin at multiples of this, so that any type can be read there."""


class Placed(NamedTuple):
    """Where a tensor lies in its slot: what stands for it on the way."""

    start: int
    dtype: torch.dtype
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Handed:
    """A sample on its way: a batch with `Placed` for its tensors, and their bytes where they did not fit the slot."""

    position: int
    sample: Batch
    own: Tensor | None


class Slots:
    """`count` slots, each with room for tensors of some sizes in bytes.

    Position p of the rank's sequence has slot p modulo `count`, so nobody keeps account of them: the trainer must have
    copied sample p before it asks for a sample that lets a worker begin with p + count. `check` finds out if it had
    not.
    """

    def __init__(self, count: int, sizes: Iterable[int]):
        self._count, self._size = count, sum(map(_aligned, sizes))
        self._shared = SharedMemory(_aligned(count * 8) + count * self._size)
        self._taken: list[int] = []

    def put(self, position: int, sample: Batch) -> Handed:
        """In a worker: writes a sample's tensors down."""
        placed: list[tuple[Placed, Tensor]] = []
        end = 0

        def place(tensor: Tensor) -> Any:
            nonlocal end
            placed.append((Placed(end, tensor.dtype, tuple(tensor.shape)), tensor))
            end = _aligned(end + tensor.nbytes)
            return placed[-1][0]

        hollow = sample.mapped(place, waves=place)
        own = None
        if end <= self._size:
            memory = self._slot(position)
            self._holds[position % self._count] = position + 1
        else:
            memory = own = torch.empty(end, dtype=torch.uint8)
        for where, tensor in placed:
            _within(memory, where).copy_(tensor)
        return Handed(position, hollow, own)

    def take(self, handed: Handed) -> Batch:
        """In the trainer: the sample. Its tensors but the waves are views of the slot: join them, then `check`."""
        memory = handed.own
        if memory is None:
            memory = self._slot(handed.position)
            self._taken.append(handed.position)
        there = partial(_within, memory)
        return handed.sample.mapped(there, waves=lambda placed: there(placed).clone())

    def check(self) -> None:
        """Raises DataError if a sample taken since the last check was written over meanwhile."""
        taken, self._taken = self._taken, []
        for position in taken:
            if int(self._holds[position % self._count]) != position + 1:
                raise DataError(
                    f"the worker that made sample {position} of this rank wrote over it before it was copied; "
                    "set data.loader.workers=0 and report this"
                )

    @property
    def _holds(self) -> Tensor:
        """Which position's bytes each slot holds, plus 1: int64 (count,)."""
        return self._shared.bytes[: self._count * 8].view(torch.int64)

    def _slot(self, position: int) -> Tensor:
        start = _aligned(self._count * 8) + position % self._count * self._size
        return self._shared.bytes[start : start + self._size]


class Handing(Dataset[list[Handed | DataError]]):
    """`Samples` as a worker process answers them: `size` positions at a time."""

    def __init__(self, samples: Samples, slots: Slots, size: int):
        self._samples, self._slots, self._size = samples, slots, size

    def __getitem__(self, positions: range) -> list[Handed | DataError]:
        return [self._handed(position) for position in positions]

    def _handed(self, position: int) -> Handed | DataError:
        sample = self._samples.at(position, self._coming(position))
        return sample if isinstance(sample, DataError) else self._slots.put(position, sample)

    def _coming(self, position: int) -> Iterator[int]:
        """What this worker is going to be asked for after a position, as long as all answer in turn."""
        worker = get_worker_info()
        others = worker.num_workers - 1 if worker else 0
        while True:
            position += 1
            if position % self._size == 0:
                position += others * self._size
            yield position


def _within(memory: Tensor, placed: Any) -> Tensor:
    """The tensor that lies there, a view of the slot's bytes."""
    size = placed.dtype.itemsize * torch.Size(placed.shape).numel()
    return memory[placed.start : placed.start + size].view(placed.dtype).view(placed.shape)


def _aligned(size: int) -> int:
    return -(-size // _ALIGNED) * _ALIGNED
