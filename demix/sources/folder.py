"""Files below a folder, in an order that does not depend on the file system."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from demix.config import ConfigError
from demix.redact import redacted
from demix.remote import filesystem, patiently
from demix.sources.uri import chained


def files_below(folder: Path) -> Iterator[Path]:
    """Whatever is no folder in `folder` and below, sorted by name within each folder; hidden names are left out. Broken
    links and pipes are named as well: who put them there may count on them.

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
        else:
            yield path


def no_file(path: Path) -> str:
    """What is at a path where one expects a file: a broken link, a pipe, ...; empty for a file, or nothing at all."""
    try:
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode):
            mode = path.stat().st_mode
    except OSError:
        return "broken link" if path.is_symlink() else ""
    kinds = {stat.S_IFIFO: "pipe", stat.S_IFSOCK: "socket", stat.S_IFCHR: "device", stat.S_IFBLK: "device"}
    return kinds.get(stat.S_IFMT(mode), "")


def remote_files(uri: str) -> list[str]:
    """URIs of the files at or below a remote URI, sorted; hidden names are left out. Raises `ConfigError`."""
    try:
        _, archive = chained(uri)
        files, path = filesystem(uri)
        found = patiently(redacted(uri), "listed", lambda: [str(name) for name in files.find(path)])
    except FileNotFoundError:
        found = []
    start = len(path.rstrip("/"))
    visible = (name for name in found if not any(part.startswith(".") for part in name[start:].split("/")))
    return sorted(files.unstrip_protocol(name) + archive for name in visible)
