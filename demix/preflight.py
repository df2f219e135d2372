"""Checks before any work: places that every node reaches, and room on the disk."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

from demix import weights
from demix.config import ConfigError
from demix.engine.runner import EngineSettings, Runner
from demix.machine import check_room, trouble_in
from demix.stage import Stage
from demix.store import Store


def check_places(dataset: Path, work: Store) -> None:
    """Raises `ConfigError` unless the dataset and the work store can be written here, `MachineTrouble` without room."""
    for folder in (dataset, None if work.remote else Path(work.root)):
        if folder is not None:
            _writable(folder)


def _writable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        token = folder / f".{uuid.uuid4().hex}.tmp"
        token.touch()
        token.unlink()
    except OSError as error:
        trouble = trouble_in(error, folder)
        if trouble is not None:
            raise trouble from error
        raise ConfigError(
            f"{folder}: cannot be written ({error.strerror}); choose another --output or --work"
        ) from error
    check_room([folder])


def check_nodes(runner: Runner, places: Mapping[str, Store]) -> None:
    """Leaves a token in each place (option that names it -> store) and asks every node for it. Raises `ConfigError` if
    one does not find it."""
    key = f".{uuid.uuid4().hex}.tmp"  # named as an unfinished write: what a killed run leaves is swept up
    for store in places.values():
        with store.write(key) as path:
            path.write_text("here")
    try:
        for node, blind in runner.on_every_node(_blind, (key, {flag: store.root for flag, store in places.items()})):
            if blind:
                flag, root = blind[0]
                raise ConfigError(
                    f"{root}: node {node} cannot see it. All nodes must reach it at the same path: put {flag} on a "
                    "shared file system (NFS, Lustre, a mounted bucket)"
                )
    finally:
        for store in places.values():
            store.remove(key)


def _blind(question: tuple[str, dict[str, str]]) -> list[tuple[str, str]]:
    """The places (flag, root) in which this machine does not find the token."""
    key, roots = question
    return [(flag, root) for flag, root in roots.items() if not Store(root).exists(key)]


def check_weights(runner: Runner, stages: Sequence[Stage], engine: EngineSettings) -> None:
    """Raises `ConfigError` if a node lacks weights that a stage loads; fetches them first if the settings say so."""
    names = list(dict.fromkeys(name for stage in stages for name in stage.weights()))
    if not names:
        return
    question = (names, engine.weights, engine.fetch_weights)
    for node, problem in runner.on_every_node(_weights_problem, question):
        if problem:
            raise ConfigError(f"node {node}: {problem}")


def _weights_problem(question: tuple[list[str], str | None, bool]) -> str:
    """What is wrong with the weights on this machine; empty if nothing is."""
    names, folder, bring = question
    weights.use(folder)
    try:
        if bring:
            weights.ensure(names)
        for name in names:
            weights.locate(name)
    except ConfigError as error:
        return str(error)
    return ""


def free_gigabytes(folder: Path) -> float:
    """Room on the disk that holds `folder` (or the nearest parent that exists)."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(os.fspath(folder)).free / 1e9
