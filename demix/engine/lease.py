"""One driver at a time in a remote place, where no lock of a kernel reaches: a lease.

    .lease/000007.json     who holds the place; the highest number counts. Written only where there is none yet
    .lease/<token>.beat    a counter that the holder keeps changing

Whoever finds a lease watches its counter. While it moves, the holder is alive and the place is refused. If it stands
still through `WATCH` looks, the next number is created, which only one of several can do; the former holder finds it
out with its next beat and ends. No clock of one machine is compared with that of another. A holder that was a process
of this very machine, and is no more, is not waited for.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath

from demix.config import ConfigError
from demix.engine import lock, log
from demix.errors import MachineTrouble
from demix.machine import GO_ON
from demix.remote import Remote
from demix.store import Store

BEAT = 5.0
"""Seconds from one beat to the next."""
LOOK = 1.0
"""Seconds from one look at a counter to the next."""
WATCH = 60
"""Looks in a row for which a counter must stand still before its lease is taken over."""
_SLOW = 5.0
"""Seconds after which a look says nothing: the store was in trouble, and the holder could not write either."""
_FOLDER = ".lease"


@contextmanager
def held(store: Store, work: str = "build") -> Iterator[Callable[[], None]]:
    """While this is open, nobody else holds the place of `store`: by a lock of the kernel where it is a folder of this
    machine, else by a lease. Yields a function that raises `MachineTrouble` once the place is not held any more.

    Raises `ConfigError` naming who holds it. `work`: what is done there, for the message.
    """
    if store.folder is not None:
        with lock.held(store.folder, work):
            yield lambda: None
        return
    lease = Lease(store, work)
    lease.acquire()
    try:
        yield lease.check
    finally:
        lease.release()


@dataclass(frozen=True)
class Holder:
    """Who holds a place."""

    token: str
    host: str
    process: int
    work: str
    machine: str
    """Tells the running system, and its numbering of processes, from all others; empty where it cannot be told."""
    started: str
    """When the process was started, in ticks of that system: a number of a process is used again."""

    @classmethod
    def this(cls, work: str) -> Holder:
        """This process."""
        process = os.getpid()
        return cls(uuid.uuid4().hex, socket.gethostname(), process, work, _machine(), _started(process))

    @property
    def is_gone(self) -> bool:
        """Whether it is known, without waiting, that the process is no more."""
        return bool(self.machine) and self.machine == _machine() and _started(self.process) != self.started

    @property
    def is_here(self) -> bool:
        """Whether it is a process of this machine that lives."""
        return bool(self.machine) and self.machine == _machine() and _started(self.process) == self.started

    def __str__(self) -> str:
        return f"process {self.process} on {self.host}"


class Lease:
    """The lease of this process on one place."""

    def __init__(self, store: Store, work: str):
        self._store, self._files, self._work = store, Remote(store.root), work
        self.holder = Holder.this(work)
        self._number = 0
        self._lost = ""
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def acquire(self) -> None:
        """Raises `ConfigError` if somebody alive holds the place."""
        while not self._number:
            number, holder = self._newest()
            if holder is not None and not holder.is_gone:
                if holder.is_here or self._moves(holder):
                    raise self._refusal(holder)
                if self._newest() != (number, holder):
                    continue
            if self._files.create(_key(number + 1), json.dumps(asdict(self.holder)).encode()):
                self._number = number + 1
                if holder is not None:
                    told = log.event(place=str(self._store), holder=str(holder))
                    log.get_logger("engine.lease").warning("lease_taken_over", extra=told)
        for key in self._keys():
            if _number(key) < self._number:
                self._files.remove(key)
        self._thread = threading.Thread(target=self._keep, daemon=True, name="lease")
        self._thread.start()

    def check(self) -> None:
        """Raises `MachineTrouble` if another process has taken the place over."""
        if self._lost:
            raise MachineTrouble(
                f"{self._store}: {self._lost} has taken this place over, as nothing was heard of this process for a "
                f"while (was it stopped, or its network gone?); wait until it has ended, {GO_ON}"
            )

    def release(self) -> None:
        """Lets go of the place. Never raises: a lease that stays is taken over."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join(timeout=BEAT)
        if not self._lost:
            with suppress(MachineTrouble):
                self._files.remove(self._beat(self.holder))
                self._files.remove(_key(self._number))

    def _keep(self) -> None:
        """Beats until the lease is let go of or lost."""
        count = 0
        while not self._ended.is_set() and not self._lost:
            count += 1
            with suppress(MachineTrouble):  # what needs the store ends the work; beats go on when it is back
                _, holder = self._newest()
                if holder is None or holder.token != self.holder.token:
                    self._lost = str(holder) if holder else "somebody"
                    return
                self._files.overwrite(self._beat(self.holder), str(count).encode())
            self._ended.wait(BEAT)

    def _newest(self) -> tuple[int, Holder | None]:
        """The lease with the highest number; (0, None) where there is none."""
        for number in sorted((_number(key) for key in self._keys() if key.endswith(".json")), reverse=True):
            with suppress(FileNotFoundError):  # let go of in this moment
                return number, Holder(**json.loads(self._files.read(_key(number))))
        return 0, None

    def _moves(self, holder: Holder) -> bool:
        """Whether the holder's counter moves, or its lease is let go of meanwhile (which is no movement)."""
        print(f"{self._store}: held by {holder}; looking whether it is alive", file=sys.stderr, flush=True)
        first, still = self._count(holder), 0
        while still < WATCH:
            time.sleep(LOOK)
            began = time.monotonic()
            if self._newest()[1] != holder:
                return False
            if self._count(holder) != first:
                return True
            still = still + 1 if time.monotonic() - began < _SLOW else 0
        return False

    def _count(self, holder: Holder) -> bytes:
        try:
            return self._files.read(self._beat(holder))
        except FileNotFoundError:
            return b""

    def _refusal(self, holder: Holder) -> ConfigError:
        return ConfigError(
            f"{self._store}: another {holder.work} works here ({holder}); wait until it has ended, or stop it, and "
            "give the same command again"
        )

    def _keys(self) -> list[str]:
        return self._files.keys(_FOLDER)

    @staticmethod
    def _beat(holder: Holder) -> str:
        return f"{_FOLDER}/{holder.token}.beat"


def _key(number: int) -> str:
    return f"{_FOLDER}/{number:06d}.json"


def _number(key: str) -> int:
    """The number of a lease; 0 for a counter."""
    stem = PurePosixPath(key).stem
    return int(stem) if key.endswith(".json") and stem.isdigit() else 0


def _machine() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def _started(process: int) -> str:
    """When a process of this machine was started; empty if there is none, or nothing but its remains."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]
