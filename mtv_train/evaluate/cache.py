"""What was measured, kept by the hash of the video: an evaluation that is given again goes on where it stopped."""

from __future__ import annotations

import hashlib
import json
import zipfile
from pathlib import Path

import numpy as np

from demix.store import atomic
from mtv_train.evaluate.metric import Arrays, Column, Unscorable

_REASON = "unscorable"


class Cache:
    """Measurements below one folder: `FOLDER/<metric>/<fingerprint>/<sha256 of the video>.npz`.

    The fingerprint covers all that a measurement depends on but the video itself: settings, weights, revisions.
    """

    def __init__(self, folder: Path):
        self.folder = folder

    def get(self, metric: str, fingerprint: str, key: str) -> Arrays | None:
        """None if it is not there. Raises `Unscorable` if that was the outcome."""
        path = self._path(metric, fingerprint, key)
        if not path.exists():
            return None
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = dict(file)
        except (zipfile.BadZipFile, ValueError, OSError):
            path.unlink()  # damaged on the disk: it is measured again
            return None
        if _REASON in arrays:
            raise Unscorable(str(arrays[_REASON]))
        return arrays

    def put(self, metric: str, fingerprint: str, key: str, outcome: Arrays | Unscorable) -> None:
        arrays = {_REASON: np.array(str(outcome))} if isinstance(outcome, Unscorable) else outcome
        with atomic(self._path(metric, fingerprint, key)) as path:
            np.savez(path, allow_pickle=False, **dict(arrays))

    def _path(self, metric: str, fingerprint: str, key: str) -> Path:
        return self.folder / metric / fingerprint / f"{key}.npz"


def key_of(sha256: str, text: str | None, no_text: str, columns: tuple[Column, ...]) -> str:
    """The video's hash, with that of its text, or of why it has none, where the metric reads it."""
    if not any(column.needs_text for column in columns):
        return sha256
    read = text if text is not None else f"\0{no_text}"
    return f"{sha256}-{hashlib.sha256(read.encode()).hexdigest()[:16]}"


def fingerprint(**facts: object) -> str:
    """16 hex digits over JSON-able facts."""
    text = json.dumps(facts, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
