"""A local copy of a source: the file itself where it is local, otherwise downloaded once per machine."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import fsspec

from demix.sources.uri import is_remote, local_path
from demix.store import atomic

_SPARE = 0.1
"""Share of the disk that downloads leave free; least recently used copies go to make room."""


@contextmanager
def local_copy(uri: str) -> Iterator[Path]:
    """A path to read the source at `uri` from, valid inside the block.

    A remote source is downloaded whole, once for all processes of this machine, into `$DEMIX_CACHE` or the system's
    folder for temporary files; when its size, time or tag there changes, it is a new one. Raises `FileNotFoundError`,
    or whatever `OSError` the file system reports.
    """
    if not is_remote(uri):
        path = local_path(uri)
        if not path.is_file():
            raise FileNotFoundError(f"{uri}: no such file on this machine; every node must reach the sources")
        yield path
        return
    filesystem, address = fsspec.core.url_to_fs(uri)
    version = hashlib.blake2b(f"{uri}\0{filesystem.ukey(address)}".encode(), digest_size=16).hexdigest()
    folder = _cache()
    path = folder / version
    with open(folder / f"{version}.lock", "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # one process downloads, the others wait here
        if not path.exists():
            _make_room(folder, int(filesystem.size(address) or 0))
            with atomic(path) as aside:
                filesystem.get_file(address, str(aside))
        os.utime(path)
        fcntl.flock(lock, fcntl.LOCK_SH)  # in use: `_make_room` of others leaves it alone
        yield path


def stamp_of(uri: str) -> str:
    """Changes when the file at `uri` is replaced: its size and time. Empty for remote ones, where asking for every one
    would take hours, and for a file that is not there."""
    if is_remote(uri):
        return ""
    try:
        status = local_path(uri).stat()
    except OSError:
        return ""
    return f"{status.st_size}-{status.st_mtime_ns}"


def _cache() -> Path:
    root = os.environ.get("DEMIX_CACHE") or os.path.join(tempfile.gettempdir(), f"demix-sources-{os.getuid()}")
    folder = Path(root)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def _make_room(folder: Path, needed: int) -> None:
    """Removes least recently used copies that nobody reads until `needed` bytes fit with some to spare."""
    copies = [path for path in folder.iterdir() if not path.name.startswith(".") and path.suffix != ".lock"]
    for path in sorted(copies, key=lambda copy: copy.stat().st_mtime):
        usage = shutil.disk_usage(folder)
        if usage.free - needed > _SPARE * usage.total:
            return
        with open(path.with_suffix(".lock"), "a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            path.unlink(missing_ok=True)
