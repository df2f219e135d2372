"""Toy stages that do to the engine what real ones may do to it: succeed, drop, fail, raise, hang, kill their worker."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import ClassVar

from demix.config import ConfigError, Settings
from demix.engine.row import Row
from demix.records import Clip, Media, Record, clip_id
from demix.stage import Dropped, Failed, Item, Kept, Outcome, Stage


class Doubled(Record):
    name: ClassVar[str] = "doubled"
    value: int
    file: Media | None = None


class Squared(Record):
    name: ClassVar[str] = "squared"
    value: int


class ToySettings(Settings):
    behaviour: dict[str, str] = {}  # noqa: RUF012  (pydantic copies it)
    """clip id -> what to do with it: drop, fail, flaky, refuse, raise, hang, die"""
    journal: str = ""
    """A folder: one file per (stage, clip, run) is left there."""
    factor: int = 2
    seconds: float = 0.0


class Toy(Stage):
    """Does with a clip what its settings say."""

    reasons: ClassVar[tuple[str, ...]] = ("unwanted",)

    def __init__(self, settings: ToySettings = ToySettings()):  # noqa: B008
        super().__init__(settings)
        self.toy = settings

    def record(self, item: Item) -> Record:
        raise NotImplementedError

    def run(self, items: Sequence[Item]) -> list[Outcome]:
        return [self.one(item) for item in items]

    def one(self, item: Item) -> Outcome:
        runs = self.note(item)
        match self.toy.behaviour.get(item.id):
            case "drop":
                return Dropped("unwanted", {"ordinal": item.clip.ordinal})
            case "undeclared":
                return Dropped("because")
            case "fail":
                return Failed("ToyError", "as asked", "detail")
            case "flaky" if runs < 3:
                return Failed("ToyError", "not yet", retryable=True)
            case "refuse":
                raise ConfigError("the key is wrong; give another")
            case "raise":
                raise ValueError(f"{item.id} is poison")
            case "hang":
                time.sleep(3600)
            case "die":
                os.kill(os.getpid(), signal.SIGKILL)
            case "die once" if runs == 1:
                os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(self.toy.seconds)
        return Kept(self.record(item))

    def note(self, item: Item) -> int:
        """Counts the runs of this stage on this item, over all processes."""
        if not self.toy.journal:
            return 1
        folder = Path(self.toy.journal) / self.name / item.id
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{time.time_ns()}-{os.getpid()}").touch()
        return len(list(folder.iterdir()))


class Double(Toy):
    name = "double"
    adds = Doubled
    batch_size = 3

    def record(self, item: Item) -> Doubled:
        key = self.context.key(item, "value.txt")
        with self.context.store.write(key) as path:
            path.write_text(str(self.toy.factor * item.clip.ordinal))
        return Doubled(
            value=self.toy.factor * item.clip.ordinal,
            file=Media(key=key, bytes=path.stat().st_size if path.exists() else 0),
        )

    def media(self, record: Record) -> tuple[str, ...]:
        assert isinstance(record, Doubled)
        return (record.file.key,) if record.file else ()


class Square(Toy):
    name = "square"
    needs = (Doubled,)
    adds = Squared
    batch_size = 2

    def record(self, item: Item) -> Squared:
        file = item[Doubled].file
        assert file is not None
        return Squared(value=int(self.context.store.local(file.key).read_text()) ** 2)


class Judge(Toy):
    name = "judge"
    needs = (Squared,)

    def one(self, item: Item) -> Outcome:
        self.note(item)
        return Kept() if item[Squared].value % 3 else Dropped("unwanted", {"value": item[Squared].value})


def clips(count: int) -> list[Clip]:
    """Clips of one imaginary film, sorted by id as the clip table is."""
    made = [
        Clip(
            id=clip_id("film", 100 * n, 100 * n + 90),
            source_id="film",
            uri="film.mp4",
            kind="cinematic",
            ordinal=n,
            start_pts=100 * n,
            end_pts=100 * n + 90,
            time_base="1/25",
        )
        for n in range(count)
    ]
    return sorted(made, key=lambda clip: clip.id)


def rows(subjects: Iterable[Clip]) -> list[Row]:
    return [Row.of(clip) for clip in subjects]


def runs(journal: Path, stage: str, item: str) -> int:
    """How often a stage ran on an item."""
    folder = journal / stage / item
    return len(list(folder.iterdir())) if folder.exists() else 0
