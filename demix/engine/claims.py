"""Claims: which worker is busy with which items, so that an item that kills its worker is found out.

A worker notes what it is about to run in one small file of its own and removes it afterwards. If it dies (killed, out
of memory, a crash in native code, a hang), the note stays, and whoever gets the batch next knows. The driver clears all
notes when a run starts: a killed run is nobody's fault.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

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
            self.store.remove(key)

    def deaths(self, stage: str, ids: Sequence[str]) -> dict[str, int]:
        """For each item that was being run when a worker died: how often it was alone with the worker."""
        wanted = set(ids)
        alone: dict[str, int] = {}
        for key in self.store.keys(_FOLDER):
            claim = json.loads(self.store.local(key).read_text())
            if claim["stage"] == stage:
                for item in wanted.intersection(claim["ids"]):
                    alone[item] = alone.get(item, 0) + (len(claim["ids"]) == 1)
        return alone

    def clear(self) -> None:
        self.store.remove(_FOLDER)
