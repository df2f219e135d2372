"""One driver at a time: two builds in one place would take each other's parts and remove each other's shards.

The lock is the kernel's (`flock`), so it goes with the process that held it, however that ended: a killed build never
stands in the way of the next one.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from demix.config import ConfigError
from demix.engine import log

_NAME = ".lock"
_UNSUPPORTED = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)


_open: set[int] = set()
"""Descriptors of the locks that this process holds."""


def _let_go_in_child() -> None:
    """A lock goes with the last process that has it open: a child that outlives its parent must not keep it."""
    while _open:
        os.close(_open.pop())


os.register_at_fork(after_in_child=_let_go_in_child)


@contextmanager
def held(folder: Path, work: str = "build") -> Iterator[None]:
    """While this is open, nobody else holds `folder` (made if absent). Raises `ConfigError` naming who does.

    `work`: what is done there, for the message. A process that is forked meanwhile does not hold it.

    A file system without locks (some network ones) is used without: the log says so.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / _NAME
    try:
        descriptor = _acquire(path, work)
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
        log.get_logger("engine.lock").warning("no_locks", extra=log.event(folder=str(folder), why=str(error)))
        yield
        return
    _open.add(descriptor)
    try:
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"process {os.getpid()} on {socket.gethostname()}".encode())
        yield
    finally:
        if descriptor in _open:  # not in a forked child that ends here
            path.unlink(missing_ok=True)  # before it is let go: who opened it meanwhile sees that it is no longer there
            _open.remove(descriptor)
            os.close(descriptor)


def _acquire(path: Path, work: str) -> int:
    """The descriptor of the locked file, which is the one that lies at `path` now."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_at(descriptor, path):
                return descriptor
        except BlockingIOError:
            holder = os.read(descriptor, 200).decode(errors="replace") or "another process"
            os.close(descriptor)
            raise ConfigError(
                f"{path.parent}: another {work} works here ({holder}); wait until it has ended, or stop it, and give "
                "the same command again"
            ) from None
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _is_at(descriptor: int, path: Path) -> bool:
    mine = os.fstat(descriptor)
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    return (mine.st_dev, mine.st_ino) == (there.st_dev, there.st_ino)
