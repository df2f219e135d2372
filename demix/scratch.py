"""Temporary files of workers, in one folder that the driver removes, also when workers were killed while they wrote."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

_VARIABLE = "DEMIX_SCRATCH"
"""Processes that are started meanwhile inherit it. Other nodes of a cluster have none, and use the system's temporary
folder."""


@contextmanager
def scratch() -> Iterator[None]:
    """While this is open, `temporary_folder` makes folders in one that is removed at the end."""
    with tempfile.TemporaryDirectory(prefix="demix-", ignore_cleanup_errors=True) as folder:
        before = os.environ.get(_VARIABLE)
        os.environ[_VARIABLE] = folder
        try:
            yield
        finally:
            if before is None:
                del os.environ[_VARIABLE]
            else:
                os.environ[_VARIABLE] = before


def temporary_folder() -> tempfile.TemporaryDirectory[str]:
    """A folder for a moment."""
    folder = os.environ.get(_VARIABLE, "")
    return tempfile.TemporaryDirectory(dir=folder if os.path.isdir(folder) else None)
