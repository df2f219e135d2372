"""Checks before any work: nodes that can do it, places that every node reaches, and room on the disk."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from demix.config import ConfigError
from demix.engine.proof import Proof, digests
from demix.engine.runner import EngineSettings, Runner
from demix.machine import check_room, trouble_in
from demix.sources.uri import is_remote, local_path
from demix.stage import Stage
from demix.store import Place, Store

_TOKENS = ".token"
"""Folder of tokens in a place. The name of a token is new each time: nodes keep for a while what a name stood for."""
_FILMS = 16
"""Films that a node is asked for, at most."""


def check_places(*places: Place) -> None:
    """Raises `ConfigError` unless all places can be written here, `MachineTrouble` without room, or where a store does
    not take anything."""
    for store in map(Store.at, places):
        if store.folder is not None:
            _writable(store.folder)
        else:
            key = f".{uuid.uuid4().hex}.tmp"
            with store.write(key) as path:
                path.write_text("here")
            store.remove_file(key)


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


@contextmanager
def tokens(places: Mapping[str, Store]) -> Iterator[Proof]:
    """While this is open, each place (option that names it -> store) holds a token; yields the proof that a machine
    sees them all and runs the same code as this one."""
    name = uuid.uuid4().hex
    try:
        remove_tokens(places.values())
        for store in places.values():
            with store.write(f"{_TOKENS}/{name}") as path:
                path.write_text("here")
        roots = tuple((option, store.root) for option, store in places.items())
        yield Proof(token=f"{_TOKENS}/{name}", places=roots, code=digests(["demix"]))
    finally:
        remove_tokens(places.values())


def remove_tokens(places: Iterable[Store]) -> None:
    """Removes all tokens, also those of a run that was killed; to be called while no other run is there."""
    for store in places:
        store.remove(_TOKENS)


def require(runner: Runner, proof: Proof) -> None:
    """Has a runner give work only to nodes on which the proof holds. Raises `ConfigError` unless it does on most of
    those that are there now: one of many may be out of order, while many tell of a mistake in the settings."""
    asked = runner.require(proof)
    problems = [problem for _, problem in asked if problem]
    if 2 * len(problems) >= max(1, len(asked)):
        others = f" (and {len(problems) - 1} more of {len(asked)} nodes)" if len(problems) > 1 else ""
        raise ConfigError(f"{problems[0]}{others}" if problems else "the Ray cluster has no node that answers")


def with_models(proof: Proof, stages: Sequence[Stage], engine: EngineSettings) -> Proof:
    """A proof that asks for the weights that stages load and the programs that they run, too."""
    names = dict.fromkeys([*proof.weights, *(name for stage in stages for name in stage.weights())])
    programs = tuple(dict.fromkeys([*proof.programs, *(each for stage in stages for each in stage.programs())]))
    proof = replace(proof, weights=tuple(names), programs=programs)
    return replace(proof, weights_folder=engine.weights, fetch_weights=engine.fetch_weights)


def some_films(uris: Iterable[str]) -> tuple[str, ...]:
    """Paths of a few of the films that lie on a file system and are there, one a folder."""
    folders: dict[Path, Path] = {}
    for uri in uris:
        if not is_remote(uri):
            path = local_path(uri)
            folders.setdefault(path.parent, path)
    paths = list(folders.values())
    step = max(1, len(paths) // _FILMS)
    return tuple(str(path) for path in paths[::step][:_FILMS] if path.exists())


def free_gigabytes(folder: Path) -> float:
    """Room on the disk that holds `folder` (or the nearest parent that exists)."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(os.fspath(folder)).free / 1e9
