"""Wishes that a run saves and ends: SIGTERM or SIGUSR1 to any rank, or a file in the run's folder.

One mechanism for all: what a rank has heard, all agree on at the next step.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from mtv_train.distributed.world import World

STOP = "STOP"
"""A file of this name in the run's folder makes the run save and end after the step that it is in."""
HEARD = (signal.SIGTERM, signal.SIGUSR1)


class Stopped(Exception):
    """Raised out of work between two steps (validation) that a stop cuts short."""


class Stopping:
    """One rank's ear. `asked`: what has asked the run to end ("SIGTERM", "SIGUSR1", "STOP"), the same on all ranks."""

    def __init__(self, run: Path, world: World):
        self.asked = ""
        self._file = run / STOP
        self._world = world
        self._heard: set[int] = set()

    def forget(self) -> None:
        """Remove a file that an earlier call was meant by. To be called before anything that takes time."""
        if self._world.first:
            self._file.unlink(missing_ok=True)

    @contextmanager
    def listening(self) -> Iterator[None]:
        """While this is open, the signals are noted and end nothing by themselves. Elsewhere than in the main thread
        (Ray Train), where Python knows no signals, only the file is looked for."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._note) for number in HEARD}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self._heard.add(number)

    def agree(self, trouble: bool = False) -> bool:
        """To be called by all ranks at the same point: sets `asked`. Returns whether any rank has `trouble`."""
        mine = [*(number in self._heard for number in HEARD), self._world.first and self._file.exists(), trouble]
        *asked, in_trouble = self._world.any(mine)
        names = [*(number.name for number in HEARD), STOP]
        self.asked = self.asked or next((name for name, is_asked in zip(names, asked, strict=True) if is_asked), "")
        if asked[-1]:
            self.forget()
        return in_trouble

    def check(self) -> None:
        """`agree` within work that can be left: raises `Stopped`, on all ranks, if the run is asked to end."""
        self.agree()
        if self.asked:
            raise Stopped
