"""Ctrl-C, SIGTERM and a terminal that is closed end a command alike: it unwinds, and is gone within seconds."""

from __future__ import annotations

import atexit
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_PATIENCE = 15.0
"""Seconds that unwinding may take; what is started then still ends with this process."""


class Stop:
    """Whether a signal has ended the command, and which."""

    def __init__(self, say: Callable[[signal.Signals], None]):
        self.signal: signal.Signals | None = None
        self._say = say
        self._terminals = [descriptor for descriptor in (1, 2) if os.isatty(descriptor)]
        self._timer: threading.Timer | None = None

    def __call__(self, number: int, frame: FrameType | None = None) -> None:
        """The handler: raises KeyboardInterrupt once; whoever presses Ctrl-C again does not break the unwinding."""
        if self.signal is not None:
            return
        self.signal = signal.Signals(number)
        if number == signal.SIGHUP:  # whatever is said from here on would only raise
            null = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
            for descriptor in self._terminals:
                os.dup2(null, descriptor)
        self._timer = threading.Timer(_PATIENCE, self._exit)
        self._timer.daemon = True
        self._timer.start()
        raise KeyboardInterrupt

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _exit(self) -> None:
        assert self.signal is not None
        self._say(self.signal)
        os._exit(128 + self.signal)


@contextmanager
def stoppable(say: Callable[[signal.Signals], None]) -> Iterator[Stop]:
    """While this is open, each of `SIGNALS` raises KeyboardInterrupt in the main thread, once.

    A command that does not come to its end `_PATIENCE` seconds later is ended with the signal's exit status, after
    `say`. Elsewhere than in the main thread, where Python knows no signals, nothing is changed; a signal that is
    ignored (`nohup`) stays so.
    """
    stop = Stop(say)
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}
    for number, handler in before.items():
        if handler != signal.SIG_IGN:
            signal.signal(number, stop)
    try:
        yield stop
    finally:
        stop.close()
        for number, handler in before.items():
            signal.signal(number, handler)
        if stop.signal is not None:  # one key more is not to kill the interpreter while it ends
            atexit.register(signal.signal, signal.SIGINT, signal.SIG_IGN)


@contextmanager
def deferred() -> Iterator[None]:
    """While this is open, what `Stop` handles waits: for a moment in which a library does not bear an interruption."""
    stops = {number: handler for number in SIGNALS if isinstance(handler := signal.getsignal(number), Stop)}
    if threading.current_thread() is not threading.main_thread() or not stops:
        yield
        return
    came: list[int] = []
    for number in stops:
        signal.signal(number, lambda number, _: came.append(number))
    try:
        yield
    finally:
        for number, handler in stops.items():
            signal.signal(number, handler)
        if came:
            stops[signal.Signals(came[0])](came[0])


@contextmanager
def handlers_kept() -> Iterator[None]:
    """Puts back the handlers of `SIGNALS` that a library sets meanwhile, where a `Stop` was there before."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            if isinstance(handler, Stop):
                signal.signal(number, handler)


@contextmanager
def plain_interrupts() -> Iterator[None]:
    """While this is open, Ctrl-C raises KeyboardInterrupt each time, as a debugger at a terminal expects."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
