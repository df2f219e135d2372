"""This node's copies of files of a remote store: bounded, shared by all processes of the node, and emptied at the end.

A copy lies at ROOT/<store>/<key>/<version>/<name>. A process that is given one holds a shared lock on it (the kernel's,
so it goes with the process) until it has been given `_HELD` others. What nobody holds may go, least recently used
first.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections import OrderedDict
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path, PurePosixPath
from threading import Lock

BOUND = "DEMIX_STORE_COPIES_GB"
"""Environment variable: how much the copies of all stores on a node may take."""
_BOUND_GB = 20.0
_SPARE = 0.1
"""Share of the disk that is left free, whatever the bound says."""
_HELD = 128
"""Copies that a process may still be reading."""

_held: OrderedDict[Path, int] = OrderedDict()
"""Copies that this process holds -> their descriptors."""
_used: set[str] = set()
"""Addresses of the stores that this process has copied from."""
_lock = Lock()


def forget_held() -> None:
    """In a forked child: its parent's copies are not its own."""
    while _held:
        os.close(_held.popitem()[1])


os.register_at_fork(after_in_child=forget_held)


def bound() -> int:
    """Bytes that the copies may take."""
    return int(float(os.environ.get(BOUND) or _BOUND_GB) * 1e9)


class NodeCopies:
    """Copies of the files of one store, named by its address."""

    def __init__(self, address: str):
        self._root = Path(tempfile.gettempdir()) / f"demix-store-{os.getuid()}"
        self.folder = self._root / hashlib.blake2b(address.encode(), digest_size=8).hexdigest()
        self._address = address

    def find(self, key: str, version: str, size: int, fetch: Callable[[Path], None]) -> Path:
        """The copy of a key in some version; `fetch` is given a path to bring it to where it is not here yet."""
        _used.add(self._address)
        folder = self.folder / key / hashlib.blake2b(version.encode(), digest_size=8).hexdigest()
        path = folder / PurePosixPath(key).name
        while not self._hold(path):
            self._make_room(size)
            self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder.mkdir(parents=True, exist_ok=True)
            aside = folder / f".{os.getpid()}-{os.urandom(4).hex()}.tmp"
            try:
                fetch(aside)
                with suppress(FileNotFoundError):  # another process has emptied the folder: again
                    os.replace(aside, path)
            finally:
                aside.unlink(missing_ok=True)
        return path

    def forget(self, key: str) -> None:
        """Removes the copies of a key or of a whole folder of keys, which nobody asks for any more."""
        with _lock:
            for path in [path for path in _held if path.is_relative_to(self.folder / key)]:
                os.close(_held.pop(path))
        shutil.rmtree(self.folder / key, ignore_errors=True)

    def _hold(self, path: Path) -> bool:
        """Holds a copy; False where there is none."""
        with _lock:
            if path in _held and path.exists():
                _held.move_to_end(path)
                os.utime(path)
                return True
            try:
                descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                return False
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            if not path.exists():  # removed in the moment between
                os.close(descriptor)
                return False
            os.utime(path)
            if path in _held:
                os.close(_held.pop(path))
            _held[path] = descriptor
            while len(_held) > _HELD:
                os.close(_held.popitem(last=False)[1])
            return True

    def _make_room(self, size: int) -> None:
        """Removes least recently used copies, of all stores, until `size` bytes more fit."""
        found = []
        for place, _, names in os.walk(self._root):
            for name in names:
                with suppress(FileNotFoundError):
                    status = os.stat(path := Path(place, name))
                    found.append((status.st_mtime, status.st_size, path))
        taken, most = sum(entry[1] for entry in found) + size, bound()
        for _, bytes_, path in sorted(found):
            if taken <= most and self._is_spare(size):
                return
            if _removed(path):
                taken -= bytes_

    def _is_spare(self, size: int) -> bool:
        usage = shutil.disk_usage(self._root if self._root.exists() else self._root.parent)
        return usage.free - size > _SPARE * usage.total


def _removed(path: Path) -> bool:
    """Removes a copy unless somebody holds it; with its folder, which is of one version."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink(missing_ok=True)
        with suppress(OSError):
            path.parent.rmdir()
            path.parent.parent.rmdir()
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True


def empty(addresses: Iterable[str]) -> None:
    """Removes this node's copies of some stores, but for those that another process reads."""
    for address in addresses:
        folder = NodeCopies(address).folder
        with _lock:
            for path in [path for path in _held if path.is_relative_to(folder)]:
                os.close(_held.pop(path))
        for path in [path for path in folder.rglob("*") if path.is_file()]:
            _removed(path)
        for place in sorted((path for path in folder.rglob("*") if path.is_dir()), reverse=True):
            with suppress(OSError):
                place.rmdir()
        with suppress(OSError):
            folder.rmdir()


def empty_used() -> None:
    """The same for the stores that this process has copied from. To be called when a command has ended."""
    empty(sorted(_used))
    _used.clear()
