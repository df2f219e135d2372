"""Memory that a process and those that it starts have in common."""

from __future__ import annotations

import mmap
import os
import tempfile
from collections.abc import Callable
from multiprocessing.reduction import DupFd
from typing import Any, BinaryIO

import torch
from torch import Tensor


class SharedMemory:
    """`size` bytes, zero; lives as long as somebody holds it, and can be given to a process that is being started.

    None of it is taken before it is written to: torch's own takes all at once, half a second for each GB. Where the
    system has files in memory alone (Linux) it is one, so that a small `/dev/shm`, as containers have it, is no limit.
    """

    def __init__(self, size: int):
        self._size = max(size, 1)  # nothing cannot be mapped
        self._file: BinaryIO = _file_in_memory()
        self._file.truncate(self._size)
        self._map()

    def __reduce__(self) -> tuple[Callable[..., SharedMemory], tuple[Any, ...]]:
        return _opened, (DupFd(self._file.fileno()), self._size)

    @property
    def bytes(self) -> Tensor:
        """uint8 (size,), the memory itself."""
        return self._bytes

    def _map(self) -> None:
        self._bytes = torch.frombuffer(mmap.mmap(self._file.fileno(), self._size), dtype=torch.uint8)


def _opened(descriptor: Any, size: int) -> SharedMemory:
    memory = SharedMemory.__new__(SharedMemory)
    memory._size = size
    memory._file = os.fdopen(descriptor.detach(), "r+b", buffering=0)
    memory._map()
    return memory


def _file_in_memory() -> BinaryIO:
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("samples"), "r+b", buffering=0)
    return tempfile.TemporaryFile()
