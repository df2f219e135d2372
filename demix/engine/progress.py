"""Progress of work that takes long: a bar on a terminal, elsewhere (logs, CI) a line now and then.

Both say what is done, how fast it goes and when it will be over, also while nothing comes to an end.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress, ProgressColumn, Task
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from demix.engine.pace import Pace

LINE_EVERY_SECONDS = 20.0
_BAR_WIDTH = 20


class Meter:
    """Counts the items that have ended, and the work that is done.

    With `film_seconds` (the length of all film that is to be gone through) work is film, and items count by their
    length; else every item counts alike. May be told of progress by any thread.
    """

    def __init__(
        self,
        phase: str,
        total: int,
        unit: str,
        film_seconds: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ):
        self.phase, self.total, self.unit = phase, total, unit
        self.done = 0
        self._by_film = bool(film_seconds)
        self._film = 0.0
        self._parts: dict[str, float] = {}
        self._clock = clock
        self._began = clock()
        self._pace = Pace(film_seconds or total, self._began)
        self._lock = threading.Lock()

    def advance(self, film_seconds: float = 0.0, *, item: str = "", whole: bool = True, judged: bool = False) -> None:
        """One more item has ended. It was `whole` if it went through everything, `judged` if no work was done for it.
        Of the film of an item that has a name, what `part` has told is not counted again."""
        with self._lock:
            self.done += 1
            self._film += film_seconds
            amount = max(0.0, film_seconds - self._parts.pop(item, 0.0)) if self._by_film else 1.0
            if judged:
                self._pace.skip(amount)
            else:
                self._pace.add(amount, self._clock(), whole=whole)

    def part(self, item: str, film_seconds: float) -> None:
        """So much more film of an item is done that has not ended yet."""
        if not self._by_film:
            return
        with self._lock:
            self._parts[item] = self._parts.get(item, 0.0) + film_seconds
            self._pace.add(film_seconds, self._clock())

    @property
    def share(self) -> float:
        """Of the work that is done, 0 to 1."""
        return min(1.0, self._pace.done / self._pace.total) if self._pace.total else 0.0

    def counted(self) -> str:
        """How many items have ended, and how much of the work that is where items are not alike."""
        with self._lock:
            share = f" ({self.share:.0%})" if self._by_film and self.done < self.total else ""
            return f"{self.done:,}/{self.total:,} {self.unit}{share}"

    def rate(self) -> str:
        """Hours of film an hour, or items in a time that suits them; nothing as long as nobody can say."""
        with self._lock:
            now = self._clock()
            rate = self._pace.rate(now)
            film = self._film / max(now - self._began, 1e-9)
        if rate is None:
            return ""
        if self._by_film:
            return f"{rate:.2f} h of film/h"
        return _in_time(rate, self.unit) + (f", {film:.2f} h of film/h" if film else "")

    def left(self) -> str:
        """When it will be over, or how long it took."""
        with self._lock:
            now = self._clock()
            seconds = self._pace.seconds_left(now)
        if self.done >= self.total:
            return f"in {duration(now - self._began)}"
        return "estimating the time left" if seconds is None else f"about {duration(seconds)} left"

    def texts(self) -> list[str]:
        """What is done, how fast, and when it will be over, as far as that is known."""
        return [text for text in (self.counted(), self.rate(), self.left()) if text]

    def line(self) -> str:
        """All of it, for where there is no bar."""
        return f"{self.phase}: {', '.join(self.texts())}"


@contextmanager
def meter(
    phase: str,
    total: int,
    unit: str,
    *,
    film_seconds: float | None = None,
    every: float = LINE_EVERY_SECONDS,
) -> Iterator[Meter]:
    """A meter for one phase, shown while the block lasts; silent where there is nothing to do. `every`: seconds from
    line to line where there is no terminal."""
    counts = Meter(phase, total, unit, film_seconds)
    if not total:
        yield counts
        return
    console = Console(stderr=True)
    if console.is_terminal and not console.is_dumb_terminal:
        with Progress(_Shown(counts), console=console, refresh_per_second=4) as bar:
            bar.add_task(phase)
            yield counts
        return
    with _repeated(lambda: _say(counts.line()), every):
        yield counts
    _say(counts.line())


@contextmanager
def busy(what: str, every: float = LINE_EVERY_SECONDS, first: float | None = None) -> Iterator[None]:
    """Says now and then that something whose length nobody knows is going on; nothing if it is over before `first`
    seconds (else `every`) have passed."""
    began = time.monotonic()
    with _repeated(lambda: _say(f"{what}: {duration(time.monotonic() - began)} so far"), every, first):
        yield


def tell_done_before(phase: str, done: int, total: int, unit: str) -> None:
    """Says what an earlier run has done already; nothing where that is nothing."""
    if done:
        _say(f"{phase}: {'all' if done == total else f'{done:,} of'} {total:,} {unit} were done before")


class _Shown(ProgressColumn):
    """A meter as the only column of a bar. It is asked whenever the bar is drawn, so that it changes also while nothing
    ends."""

    def __init__(self, counts: Meter):
        super().__init__()
        self._counts = counts

    def render(self, task: Task) -> Table:
        row = Table.grid(padding=(0, 1))
        counts = self._counts
        bar = ProgressBar(total=1.0, completed=counts.share, width=_BAR_WIDTH)
        row.add_row(f"{counts.phase:<9}", bar, *(Text(text, no_wrap=True) for text in counts.texts()))
        return row


@contextmanager
def _repeated(say: Callable[[], None], every: float, first: float | None = None) -> Iterator[None]:
    """Calls `say` again and again, `every` so many seconds, while the block lasts; the first time after `first`."""
    over = threading.Event()

    def repeat() -> None:
        wait = every if first is None else first
        while not over.wait(wait):
            say()
            wait = every

    thread = threading.Thread(target=repeat, name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _in_time(rate: float, unit: str) -> str:
    """Items a second, as so many in the time that makes it a number above 1."""
    for seconds, name in ((1, "s"), (60, "min")):
        if rate * seconds >= 1:
            return f"{rate * seconds:.1f} {unit}/{name}"
    return f"{rate * 3600:.1f} {unit}/h"


def duration(seconds: float) -> str:
    """A time as people say it: 40 s, 12 min, 3 h 20 min, 2 d 5 h."""
    minutes, hours = round(seconds / 60), round(seconds / 3600)
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    if minutes < 100:
        return f"{minutes} min"
    if hours < 48:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{hours // 24} d {hours % 24} h"
