"""Trouble of the machine, told from faults of a film or clip: the one place that knows the difference.

An operating system says by an error number what is wrong; the numbers below never speak of an item. Libraries often
lose the number, so where writing fails in another way the place itself is asked (`check_writable`).
"""

from __future__ import annotations

import errno
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from demix.errors import MachineTrouble

GO_ON = "then give the same command again: it goes on where it stopped"

_MOUNT = "check the disk or mount"
_SAID = {
    errno.ENOSPC: ("no space is left on the device", "make room"),
    errno.EDQUOT: ("the disk quota is used up", "make room or have the quota raised"),
    errno.EROFS: ("the file system is read-only", "make it writable (a disk with errors is often remounted so)"),
    errno.EIO: ("the device answers with input/output errors", _MOUNT),
    errno.ESTALE: ("the network mount is stale", "mount it again"),
    errno.ENOTCONN: ("the mount is not connected", "mount it again"),
    errno.ENODEV: ("the device is gone", "mount it again"),
    errno.ENXIO: ("the device is gone", "mount it again"),
    errno.EHOSTDOWN: ("the file server is down", _MOUNT),
    errno.EREMOTEIO: ("the file server answers with errors", _MOUNT),
    errno.ENOLCK: ("the file system has no locks left", _MOUNT),
    errno.EMFILE: ("this process has too many open files", "raise the limit (ulimit -n)"),
    errno.ENFILE: ("the machine has too many open files", "end other programs or raise fs.file-max"),
    errno.ENOMEM: ("the machine has no memory left", "end other programs or use fewer workers"),
}
LEAST_FREE = 1 << 30
"""Bytes of room in a place below which what fails there says nothing of an item: a smaller one would still fit."""
_LEAST_BYTES = 1 << 20
"""What must fit into a place that is said to be writable."""


def trouble_in(error: BaseException, where: str | os.PathLike[str] = "") -> MachineTrouble | None:
    """What `error`, or what caused it, says of the machine; None where it may be about an item. `where`: the file or
    folder that it was about, if the error does not know."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, MachineTrouble):
            return cause
        # PyAV's errors derive from OSError too, and damaged media have them all.
        if isinstance(cause, OSError) and cause.errno in _SAID and not type(cause).__module__.startswith("av."):
            return MachineTrouble(_sentence(cause, where))
        cause = cause.__cause__
    return None


def end_of(error: BaseException) -> MachineTrouble | None:
    """The trouble that ends a command with `error`, which no item had to do with; None where it is something else."""
    if isinstance(error, MemoryError):
        return MachineTrouble(f"no memory is left; end other programs or use fewer workers, {GO_ON}")
    return trouble_in(error)


def _sentence(error: OSError, where: str | os.PathLike[str]) -> str:
    what, remedy = _SAID[error.errno or 0]
    place = os.fspath(where) or error.filename or "the machine"
    return f"{place}: {what}; {remedy}, {GO_ON}"


def speaks_of_machine(text: str) -> bool:
    """Whether the record of an old failure tells of the machine. Earlier versions charged such failures to items."""
    # Damaged media have input/output errors too, and decoders reach the limit of their memory.
    numbers = _SAID.keys() - {errno.EIO, errno.ENOMEM}
    return any(os.strerror(number) in text for number in numbers) or "killed by signal 9" in text


@contextmanager
def expecting_trouble(where: str | os.PathLike[str], doing: str) -> Iterator[None]:
    """Around what no item can be blamed for: whatever the operating system reports is raised as `MachineTrouble`, but
    for `FileNotFoundError`."""
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        trouble = trouble_in(error, where)
        if trouble is None:
            why = error.strerror or str(error) or type(error).__name__
            trouble = MachineTrouble(f"{os.fspath(where)}: cannot be {doing} ({why}); put that right, {GO_ON}")
        raise trouble from error


def check_writable(folder: Path) -> None:
    """Writes a little into a folder that exists. Raises `MachineTrouble` where that fails."""
    token = folder / f".{uuid.uuid4().hex}.tmp"
    try:
        with expecting_trouble(folder, "written"):
            try:
                with open(token, "wb") as file:
                    file.write(bytes(_LEAST_BYTES))
                    file.flush()
                    os.fsync(file.fileno())
            finally:
                with suppress(OSError):
                    token.unlink(missing_ok=True)
    except FileNotFoundError as error:
        raise MachineTrouble(f"{folder}: the folder is gone; bring it back (is it mounted?), {GO_ON}") from error


def check_room(folders: Iterable[Path]) -> None:
    """Raises `MachineTrouble` where less than `LEAST_FREE` is left in a folder."""
    for folder in folders:
        if shutil.disk_usage(folder).free < LEAST_FREE:
            raise MachineTrouble(
                f"{folder}: less than 1 GB is free on this disk; make room or choose another place, {GO_ON}"
            )
