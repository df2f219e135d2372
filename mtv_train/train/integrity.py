"""Whether a save still is what was written: its COMMITTED mark holds the sha256 of each of its files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from mtv_train.distributed.world import World

COMMITTED = "COMMITTED"


def digests(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """The sha256 of some files of a folder, by name. Raises `OSError`."""
    found = {}
    for name in names:
        with (folder / name).open("rb") as file:
            found[name] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


def mark(hashes: Mapping[str, str]) -> str:
    """What is written into COMMITTED."""
    return json.dumps({"sha256": dict(sorted(hashes.items()))}, indent=1)


def is_marked(folder: Path) -> bool:
    """Whether a committed save holds hashes; those of earlier versions of this package hold none."""
    return (folder / COMMITTED).stat().st_size > 0


def damage(folder: Path, world: World | None = None) -> str:
    """What is wrong with a committed save, in words; "" where every file is as it was written.

    Reads the whole save: each rank its share of the files, and all get the same answer. A save without hashes cannot be
    checked and passes.
    """
    if not is_marked(folder):
        return ""
    try:
        hashes = json.loads((folder / COMMITTED).read_text(encoding="utf-8"))["sha256"]
        files = sorted(hashes.items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # a flipped byte can make any of them
        return f"{COMMITTED} does not hold the hashes that it was written with"
    rank, size = (world.rank, world.size) if world is not None else (0, 1)
    wrong = [_wrong(folder, name, wanted) for name, wanted in files[rank::size]]
    everything = [text for part in (world.gather(wrong) if world is not None else [wrong]) for text in part if text]
    return "; ".join(sorted(everything))


def _wrong(folder: Path, name: str, wanted: str) -> str:
    try:
        is_same = digests(folder, [name])[name] == wanted
    except (OSError, ValueError) as error:  # ValueError: a name that a flipped byte made impossible
        return f"{name} cannot be read ({error})"
    return "" if is_same else f"{name} is not what was written (its sha256 differs)"
