"""What is known of the files of one set in the cache: written when a file arrives, read ever after."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from demix.store import atomic

NAME = "receipt.json"
RANDOM = "random"
"""Origin of weights that were generated for a test: data judged by them are marked."""


@dataclass(frozen=True)
class Receipt:
    """One file as it arrived."""

    size: int
    sha256: str
    origin: str
    """The address, the path in the mirror folder, `found` for a file that was put there by hand, or `random`."""


def read(folder: Path) -> dict[str, Receipt]:
    """path -> receipt for the files of a set; empty where nothing was noted."""
    try:
        tree = json.loads((folder / NAME).read_text(encoding="utf-8"))
        return {path: Receipt(**fields) for path, fields in tree.items()}
    except FileNotFoundError:
        return {}


def write(folder: Path, receipts: dict[str, Receipt]) -> None:
    """Replaces all receipts of a set. The caller holds the set's lock."""
    with atomic(folder / NAME) as aside:
        aside.write_text(
            json.dumps({path: asdict(receipt) for path, receipt in sorted(receipts.items())}, indent=1) + "\n",
            encoding="utf-8",
        )


def sha256_of(path: Path, progress: Callable[[int], None] | None = None) -> str:
    """Hex digits over a file's bytes; `progress` hears how many were read."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 22):
            digest.update(block)
            if progress is not None:
                progress(len(block))
    return digest.hexdigest()
