"""Functions that misbehave, for the sandbox to run in its children."""

from __future__ import annotations

import builtins
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np

from demix.media.errors import MediaError


def echo(**arguments: object) -> dict[str, object]:
    print("noise on stdout must not reach the records")
    return arguments


def environment() -> dict[str, str]:
    return dict(os.environ)


def count(records: int, size: int) -> Iterator[tuple[bytes, np.ndarray]]:
    for number in range(records):
        yield number.to_bytes(4, "little"), np.full((size,), number % 251, np.uint8)


def count_then(records: int, end: str) -> Iterator[bytes]:
    for number in range(records):
        yield bytes([number])
    globals()[end]()


def hang() -> None:
    time.sleep(3600)


def spin() -> None:
    while True:
        pass


def crash() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def leave() -> None:
    os._exit(0)


def eat_memory() -> int:
    return len(bytearray(64 << 30))


def write_file(path: str) -> None:
    Path(path).write_bytes(b"x" * 100)


def shout() -> None:
    for _ in range(2000):
        sys.stderr.write("\033[31mred\033[0m and long " * 50 + "\n")
    raise MediaError("decode", "said enough", evidence={"lines": 2000})


def fail(error: str) -> None:
    raise getattr(builtins, error)("a bug")


def refuse() -> None:
    raise ValueError("a number that cannot be")


def damaged() -> None:
    raise av.error.InvalidDataError(1, "damaged")


def echo_nothing() -> None:
    """Takes nothing, whatever it is called with."""
