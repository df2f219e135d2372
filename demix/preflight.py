"""Checks before any work: places that every node reaches, and room on the disk."""

from __future__ import annotations

import os
import shutil
import uuid
from pathlib import Path

from demix.build import Build
from demix.config import ConfigError
from demix.store import Store


def check_places(build: Build) -> None:
    """Raises `ConfigError` unless the dataset and the work store can be written here and seen by every Ray node."""
    for folder in (build.dataset, None if build.store.remote else Path(build.store.root)):
        if folder is not None:
            _writable(folder)
    if build.settings.engine.runner == "ray" and build.settings.engine.address != "local":
        _seen_by_all(build)


def _writable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        token = folder / f".{uuid.uuid4().hex}.tmp"
        token.touch()
        token.unlink()
    except OSError as error:
        raise ConfigError(
            f"{folder}: cannot be written ({error.strerror}); choose another --output or --work"
        ) from error
    if shutil.disk_usage(folder).free < 1 << 30:
        raise ConfigError(f"{folder}: less than 1 GB is free on this disk; make room or choose another place")


def _seen_by_all(build: Build) -> None:
    """Leaves a token in each place and asks every node of the cluster for it."""
    stores = {"--output": Store(str(build.dataset)), "--work": build.store}
    key = f"preflight-{uuid.uuid4().hex}"
    for store in stores.values():
        with store.write(key) as path:
            path.write_text("here")
    try:
        for node, blind in build.runner.on_every_node(_blind, (key, {flag: s.root for flag, s in stores.items()})):
            if blind:
                flag, root = blind[0]
                raise ConfigError(
                    f"{root}: node {node} cannot see it. All nodes must reach the dataset and the work store at the "
                    f"same path: put {flag} on a shared file system (NFS, Lustre, a mounted bucket)"
                )
    finally:
        for store in stores.values():
            store.remove(key)


def _blind(question: tuple[str, dict[str, str]]) -> list[tuple[str, str]]:
    """The places (flag, root) in which this machine does not find the token."""
    key, roots = question
    return [(flag, root) for flag, root in roots.items() if not Store(root).exists(key)]


def free_gigabytes(folder: Path) -> float:
    """Room on the disk that holds `folder` (or the nearest parent that exists)."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(os.fspath(folder)).free / 1e9
