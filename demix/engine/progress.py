"""Progress of a phase: a bar with a known end on a terminal, a line now and then elsewhere (logs, CI)."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

_LINE_EVERY_SECONDS = 15.0


class Meter:
    """Counts finished items, and the film time they stand for."""

    def __init__(self, phase: str, total: int, unit: str, bar: Progress | None):
        self.phase, self.total, self.unit = phase, total, unit
        self.done = 0
        self.film_seconds = 0.0
        self._started = time.monotonic()
        self._said = self._started
        self._bar = bar
        self._task: TaskID | None = bar.add_task(phase, total=total, rate="") if bar else None

    def advance(self, film_seconds: float = 0.0) -> None:
        """One more item is done."""
        self.done += 1
        self.film_seconds += film_seconds
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=self.done, rate=self.rate())
        elif time.monotonic() - self._said > _LINE_EVERY_SECONDS:
            self.say()

    def rate(self) -> str:
        """Items a second, and hours of film an hour where film time is known."""
        seconds = max(time.monotonic() - self._started, 1e-9)
        text = f"{self.done / seconds:.2f} {self.unit}/s"
        return f"{text}, {self.film_seconds / seconds:.2f} h of film/h" if self.film_seconds else text

    def say(self) -> None:
        self._said = time.monotonic()
        print(f"{self.phase}: {self.done}/{self.total} {self.unit}, {self.rate()}", file=sys.stderr, flush=True)


@contextmanager
def meter(phase: str, total: int, unit: str) -> Iterator[Meter]:
    """A meter for one phase; silent where there is nothing to do."""
    if not sys.stderr.isatty() or not total:
        lines = Meter(phase, total, unit, None)
        yield lines
        if total:
            lines.say()
        return
    columns = (
        TextColumn("{task.description:<9}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        yield Meter(phase, total, unit, bar)
