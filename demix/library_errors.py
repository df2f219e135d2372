"""What native libraries write to descriptor 2 goes to a log, and the program's own words to the user.

Ray's C++ core tells of itself on standard error ("Actor has constructor arguments in the object store"). No setting
turns that off, and it says nothing to a user. So a command gives Python's `sys.stderr` a descriptor of its own, and
while Ray runs, descriptor 2 is a file in the log folder.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

_separate = False


@contextmanager
def separated() -> Iterator[None]:
    """While this is open, `sys.stderr` does not depend on descriptor 2, and `logged_to` may send that elsewhere.

    Does nothing where `sys.stderr` is not descriptor 2: somebody has replaced it already.
    """
    global _separate
    if _separate or not _is_descriptor_2(sys.stderr):
        yield
        return
    before, own = sys.stderr, os.dup(2)
    # Closed with its last user and not here: log handlers may hold it.
    sys.stderr = os.fdopen(own, "w", buffering=1, encoding=before.encoding, errors=before.errors)
    _separate = True
    try:
        yield
    finally:
        _separate = False
        os.dup2(own, 2)
        sys.stderr = before


def logged_to(file: Path) -> None:
    """From now on, until `separated` ends, what is written to descriptor 2 is appended to `file`.

    Does nothing outside `separated`: in somebody else's program descriptor 2 is not ours to take.
    """
    if _separate:
        file.parent.mkdir(parents=True, exist_ok=True)
        log = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
        os.dup2(log, 2)
        os.close(log)


def _is_descriptor_2(stream: TextIO | None) -> bool:
    try:
        return stream is not None and stream.fileno() == 2
    except (OSError, ValueError):  # it stands for no file, or it is closed
        return False
