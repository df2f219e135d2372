"""Claims: which worker is busy with which items, so that an item that kills its worker is found out.

A worker notes what it is about to run in one small file of its own and removes it afterwards. If it dies (killed, out
of memory, a crash in native code, a hang), the note stays, and whoever gets the batch next knows. The driver clears all
notes when a run starts: a killed run is nobody's fault.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from demix.store import Store

_FOLDER = "ledger/claims"


class Claims:
    """One worker's view of all claims."""

    def __init__(self, store: Store):
        self.store = store

    @contextmanager
    def held(self, stage: str, ids: Sequence[str]) -> Iterator[None]:
        """While this is open, a death of the process is charged to these items."""
        key = f"{_FOLDER}/{uuid.uuid4().hex}.json"
        with self.store.write(key) as path:
            path.write_text(json.dumps({"stage": stage, "ids": list(ids)}))
        try:
            yield
        finally:
            self.store.remove_file(key)

    def deaths(self, ids: Sequence[str]) -> dict[str, dict[str, int]]:
        """stage -> item -> how often the item was alone with the worker, for items being run when a worker died."""
        wanted = set(ids)
        dead: dict[str, dict[str, int]] = {}
        for claim in self._all():
            alone = dead.setdefault(claim["stage"], {})
            for item in wanted.intersection(claim["ids"]):
                alone[item] = alone.get(item, 0) + (len(claim["ids"]) == 1)
        return {stage: alone for stage, alone in dead.items() if alone}

    def forgive(self, ids: Sequence[str]) -> None:
        """Removes the claims to these items alone: their worker went with its node, and not for their sake."""
        for key in self.store.keys(_FOLDER):
            with suppress(FileNotFoundError):
                if set(json.loads(self.store.local(key).read_text())["ids"]) <= set(ids):
                    self.store.remove(key)

    def clear(self) -> None:
        self.store.remove(_FOLDER)

    def _all(self) -> Iterator[dict[str, Any]]:
        for key in self.store.keys(_FOLDER):
            # Other workers are alive: the claim of one that just got done is gone by now.
            with suppress(FileNotFoundError):
                yield json.loads(self.store.local(key).read_text())
