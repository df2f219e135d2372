"""Temporary files of workers, in one folder that the driver removes, also when workers were killed while they wrote.

A driver that is killed removes nothing. So whoever has such a folder holds a lock on a file in it for as long as it
lives, and every run removes the folders whose lock nobody holds any more.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_VARIABLE = "DEMIX_SCRATCH"
"""Processes that are started meanwhile inherit it. Other nodes of a cluster have none, and use the system's temporary
folder."""
_INDUCTOR = "TORCHINDUCTOR_CACHE_DIR"
"""Where torch keeps what it compiles: it makes the folder even if it compiles nothing."""
_PREFIX = "demix-"
_LOCK = ".demix-in-use"


@contextmanager
def scratch() -> Iterator[None]:
    """While this is open, `temporary_folder` makes folders in one that is removed at the end."""
    remove_deserted(Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"))
    with tempfile.TemporaryDirectory(prefix=_PREFIX, ignore_cleanup_errors=True) as folder:
        lock = claim(Path(folder))
        ours = {_VARIABLE: folder} | ({} if _INDUCTOR in os.environ else {_INDUCTOR: f"{folder}/torchinductor"})
        before = {name: os.environ.get(name) for name in ours}
        os.environ.update(ours)
        try:
            yield
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value
            release(lock)


def temporary_folder() -> tempfile.TemporaryDirectory[str]:
    """A folder for a moment."""
    folder = os.environ.get(_VARIABLE, "")
    return tempfile.TemporaryDirectory(dir=folder if os.path.isdir(folder) else None)


def claim(folder: Path) -> int | None:
    """Keeps `remove_deserted` of other processes away from a folder, until `release` or the end of this process. None
    where the file system has no locks; there the folder stays if this process is killed."""
    aside = folder / f"{_LOCK}-{uuid.uuid4().hex}"
    descriptor = os.open(aside, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.rename(aside, folder / _LOCK)  # nobody sees it before it is held
    except OSError:
        os.close(descriptor)
        aside.unlink(missing_ok=True)
        return None
    return descriptor


def is_claimed(folder: Path) -> bool:
    """Whether somebody has claimed a folder, be it that he is gone."""
    return (folder / _LOCK).exists()


def release(lock: int | None) -> None:
    if lock is not None:
        os.close(lock)


def remove_deserted(folders: Iterable[Path]) -> None:
    """Removes those folders that a process of this user had claimed and that is gone."""
    for folder in folders:
        with suppress(OSError):  # it is another user's, nobody's, in use, or being removed by somebody else
            if folder.is_symlink() or folder.stat().st_uid != os.getuid():
                continue
            descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(descriptor)
