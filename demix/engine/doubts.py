"""Failures of which nobody knows yet whether the item is at fault, the machine or the program.

A child that is killed, a service that does not answer, a `TypeError`: on one item among others that pass it is the
item's, on all of them it is not. Until that is known such a failure is a note in the work store, which all workers
share, and no answer in the ledger. A run that ends early leaves its notes; the next run clears them, and the items are
pending as if nothing had been tried.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Literal

from demix.engine.ledger import Entry
from demix.errors import BrokenInstallation, DemixError, MachineSuspected, MachineTrouble, is_defect, place_of
from demix.machine import GO_ON
from demix.store import Store

MOST = 3
"""Items of a stage that fail in doubt, with none passing meanwhile, before the run ends."""
_FOLDER = "ledger/doubts"
_OF_THE_ITEM = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError, FileExistsError)


@dataclass(frozen=True)
class Doubt:
    """What else may be at fault, and the failure in the form in which it is the same for every item."""

    fault: Literal["machine", "program"]
    what: str


def doubt_about(error: BaseException) -> Doubt | None:
    """Why an item may not be at fault for `error`; None where it is."""
    if is_defect(error):
        name, place = getattr(error, "type_name", type(error).__name__), place_of(error)
        return Doubt("program", f"{name} in {place}" if place else name)
    system = isinstance(error, OSError) and not isinstance(error, _OF_THE_ITEM)
    if isinstance(error, (MachineSuspected, MemoryError)) or system:
        foreign = type(error).__module__.startswith("av.")  # damaged media
        return None if foreign else Doubt("machine", str(error) or type(error).__name__)
    return None


@dataclass(frozen=True)
class Note:
    """One failure in doubt."""

    entry: Entry
    doubt: Doubt
    item: str
    message: str
    key: str = ""


class Doubts:
    """The notes of one run, as every process sees them. `run` is its name: a worker of an earlier run may still be at
    work when the next begins, and what it notes is not about this one."""

    def __init__(self, store: Store, run: str = ""):
        self.store = store
        self._folder = f"{_FOLDER}/{run}" if run else _FOLDER

    def add(self, entry: Entry, doubt: Doubt, item: str) -> None:
        """Notes a failure. Raises `MachineTrouble` or `BrokenInstallation` where it is one too many."""
        message = json.loads(entry.body)["message"]
        with self.store.write(f"{self._folder}/{uuid.uuid4().hex}.json") as path:
            fields = {"entry": vars(entry), "doubt": asdict(doubt), "item": item, "message": message}
            path.write_text(json.dumps(fields))
        alike = [note for note in self.of(entry.stage) if _alike(note.doubt, doubt)]
        if len({note.entry.id for note in alike}) >= MOST:
            raise verdict(alike)

    def of(self, stage: str = "") -> list[Note]:
        """The notes on a stage, or all."""
        return [note for note in self._all() if stage in ("", note.entry.stage)]

    def remove(self, notes: Sequence[Note]) -> None:
        """To be called once their failures are in the ledger."""
        for note in notes:
            self.store.remove_file(note.key)

    def clear(self) -> None:
        """Removes the notes of all runs."""
        self.store.remove(_FOLDER)

    def _all(self) -> Iterator[Note]:
        for key in self.store.keys(self._folder):
            with suppress(FileNotFoundError):  # another worker has just taken it
                fields = json.loads(self.store.local(key).read_text())
                entry, doubt = Entry(**fields.pop("entry")), Doubt(**fields.pop("doubt"))
                yield Note(entry, doubt, key=key, **fields)


def settle(notes: Sequence[Note], passed: Collection[str], ever: Callable[[str], bool]) -> None:
    """Whether what is in doubt at the end of a run is the items' fault: raises the error that ends it where it is not.

    `passed` names the stages that let an item through in this run; `ever` says whether a stage ever did. A defect
    shows on every item, so others must have passed in this run. A machine can be in trouble at the end of a run only,
    so of a stage just one item may be left over, that others, whenever, were not like.
    """
    for stage, doubt in dict.fromkeys((note.entry.stage, note.doubt) for note in notes):
        alike = [note for note in notes if note.entry.stage == stage and _alike(note.doubt, doubt)]
        alone = len({note.entry.id for note in alike}) == 1
        charged = stage in passed if doubt.fault == "program" else alone and (stage in passed or ever(stage))
        if not charged:
            raise verdict(alike)


def _alike(one: Doubt, other: Doubt) -> bool:
    """Whether two doubts speak of the same fault: a machine in trouble shows it in many ways, a defect in one."""
    return one.fault == other.fault and (one.fault == "machine" or one.what == other.what)


def verdict(notes: Sequence[Note]) -> DemixError:
    """The error that ends a run because of notes that are alike."""
    first = notes[0]
    stage, items = first.entry.stage, ", ".join(dict.fromkeys(note.item for note in notes[:MOST]))
    if first.doubt.fault == "program":
        return BrokenInstallation(
            f"stage {stage}: {first.doubt.what}: {first.message}; all of the first items fail with it ({items}): a "
            "fault of this program or of a library whose version does not fit, which `demix doctor` checks. Nothing is "
            f"quarantined; put it right, {GO_ON}"
        )
    return MachineTrouble(
        f"stage {stage}: {first.message}; it failed again and again ({items}) while nothing else passed, so no item is "
        f"blamed. Look at the machine's memory, disks and services, or use fewer workers, {GO_ON}"
    )
