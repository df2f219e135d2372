"""Weights: which files a model needs, from where, under which licence, and the one folder here that holds them.

    from demix import weights

    paths = weights.locate("lr_asd")             # {"model": Path(...)}, or WeightsMissing with the remedy
    state = weights.load_state(paths["model"])   # tensors by name; nothing in the file is executed

Entries are data: one module a role, listed below. Nothing is ever fetched unless somebody asks for it by name
(`demix weights fetch NAME`) or sets `weights.fetch`.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from demix.config import ConfigError
from demix.weights import active_speaker, audio_quality, captioning, demixing, diarization, metrics, persons, shots
from demix.weights.files import load_state
from demix.weights.registry import WeightFile, Weights, WeightsBroken, WeightsMissing, hub_files
from demix.weights.store import Cache, cache_folder, mirror_folder

MODULES = (shots, audio_quality, demixing, persons, diarization, active_speaker, captioning, metrics)


@cache
def entries() -> dict[str, Weights]:
    """Every known set of weights by name, in the order of the roles."""
    found = [entry for module in MODULES for entry in module.ENTRIES]
    return {entry.name: entry for entry in found}


def find(name: str) -> Weights:
    """The set of that name. Raises `ConfigError` naming the nearest."""
    if name not in entries():
        near = difflib.get_close_matches(name, entries(), n=1)
        hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(entries())}"
        raise ConfigError(f"there are no weights {name!r}; {hint}")
    return entries()[name]


def locate(name: str) -> dict[str, Path]:
    """key -> path of every file of the set `name`. Raises `WeightsMissing` (a `ConfigError`) with the remedy."""
    return Cache().locate(find(name))


def folder(name: str) -> Path:
    """The folder that holds a whole set, for libraries that want one. Raises as `locate`."""
    locate(name)
    return Cache().folder(find(name))


def use(root: str | None) -> None:
    """Makes `root` the cache folder of this process and its children; None leaves it as it is."""
    if root is not None:
        os.environ["DEMIX_WEIGHTS"] = root


def ensure(names: Iterable[str]) -> None:
    """Fetches what is missing of some sets; at most one process of a machine does it at a time."""
    from demix.weights.fetch import fetch

    for name in names:
        fetch(find(name))


def revision(name: str) -> str:
    """What stands for the contents of a set in fingerprints and records; see `Cache.revision`."""
    return Cache().revision(find(name))


__all__ = [
    "Cache",
    "WeightFile",
    "Weights",
    "WeightsBroken",
    "WeightsMissing",
    "cache_folder",
    "ensure",
    "entries",
    "find",
    "folder",
    "hub_files",
    "load_state",
    "locate",
    "mirror_folder",
    "revision",
    "use",
]
