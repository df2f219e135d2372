"""Files below a folder, in an order that does not depend on the file system."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import fsspec

from demix.config import ConfigError


def files_below(folder: Path) -> Iterator[Path]:
    """Regular files in `folder` and below, sorted by name within each folder; hidden names are left out.

    Symbolic links are followed; a folder that is reached a second time (a loop, a second link) is not entered again.
    Raises `ConfigError` for a folder that cannot be read: silence would lose films.
    """
    yield from _walk(folder, set())


def _walk(folder: Path, seen: set[tuple[int, int]]) -> Iterator[Path]:
    try:
        status = folder.stat()
        if (status.st_dev, status.st_ino) in seen:
            return
        seen.add((status.st_dev, status.st_ino))
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries if not entry.name.startswith("."))
    except OSError as error:
        raise ConfigError(f"{folder}: cannot be read ({error.strerror}); check its permissions") from error
    for path in (folder / name for name in names):
        if path.is_dir():
            yield from _walk(path, seen)
        elif path.is_file():
            yield path


def remote_files(uri: str) -> list[str]:
    """URIs of the files at or below a remote URI, sorted; hidden names are left out. Raises `ConfigError`."""
    try:
        filesystem, path = fsspec.core.url_to_fs(uri)
        found = [str(name) for name in filesystem.find(path)]
    except (OSError, ValueError, ImportError) as error:
        raise ConfigError(f"{uri}: cannot be listed ({error}); check the address, access rights and driver") from error
    start = len(path.rstrip("/"))
    visible = (name for name in found if not any(part.startswith(".") for part in name[start:].split("/")))
    return sorted(filesystem.unstrip_protocol(name) for name in visible)
