"""One process at a time has numba compile: of several that write its cache at once, most die (segmentation fault)."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def compiling() -> Iterator[None]:
    """Held by one process of this user's at a time, on this machine. Inside, call once what will be called later, with
    numbers of the same type: then it is compiled and kept on disk, and outside nothing is written any more."""
    path = Path(tempfile.gettempdir()) / f"demix-compiles-{os.getuid()}.lock"
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600), "wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(file, fcntl.LOCK_UN)  # closing would leave it to a process that was forked meanwhile
