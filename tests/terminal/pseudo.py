"""Commands at a pseudo terminal, as a person runs them: keys are pressed, and every process is looked at."""

from __future__ import annotations

import os
import pty
import re
import select
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path

import psutil

from tests.build.running import ROOT, environment

CTRL_C = b"\x03"
_LOOK_SECONDS = 0.2
_GONE_SECONDS = 5.0
_STYLE = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


@dataclass
class Ended:
    """What became of a command."""

    status: int
    """As a shell shows it: the exit status, or 128 + the signal that ended it. Python ends itself by the signal, even
    where it was handled, if Ctrl-C came while machine code was imported."""
    text: str
    """All that it printed, without styles."""
    seconds: float
    """Since the key was pressed or the signal sent."""
    survivors: list[str]
    """Its processes that live on."""
    readers: set[str] = field(default_factory=set)
    """Its processes, other than the command itself, that had the terminal as standard input."""
    stopped: set[str] = field(default_factory=set)
    """Its processes that the kernel had stopped."""


class Session:
    """One command at a terminal of its own, whose foreground process group it is."""

    def __init__(self, command: Sequence[str | Path], **more: str):
        words = [os.fspath(word) for word in command]
        self.family: dict[int, psutil.Process] = {}
        self.ended = Ended(0, "", 0.0, [])
        self._text = b""
        self._looked_at = 0.0
        self.pid, self._terminal = pty.fork()
        if self.pid == 0:
            os.chdir(ROOT)
            os.execvpe(words[0], words, environment() | more)

    def until(self, pattern: str, seconds: float) -> None:
        """Waits for what the command prints."""
        deadline = time.monotonic() + seconds
        while not re.search(pattern, self.text):
            assert self._read(), f"ended before it said {pattern!r}: {self.text[-3000:]}"
            assert time.monotonic() < deadline, f"did not say {pattern!r} in {seconds} s: {self.text[-3000:]}"

    def until_process(self, name: str, seconds: float) -> None:
        """Waits for a process of the command with `name` in its command line."""
        deadline = time.monotonic() + seconds
        while not any(name in _name(process) for process in list(self.family.values())):
            assert self._read(), f"ended before it started {name!r}: {self.text[-3000:]}"
            assert time.monotonic() < deadline, f"no {name!r} in {seconds} s: {self.text[-3000:]}"

    def until_file(self, folder: Path, pattern: str, seconds: float) -> None:
        """Waits for a file below a folder."""
        deadline = time.monotonic() + seconds
        while not any(fnmatch(name, pattern) for _, _, names in os.walk(folder) for name in names):
            assert self._read(), f"ended before there was a {pattern}: {self.text[-3000:]}"
            assert time.monotonic() < deadline, f"no {pattern} within {seconds} s"

    def until_loaded(self, library: str, seconds: float) -> None:
        """Waits until the command has loaded a library of machine code."""
        deadline = time.monotonic() + seconds
        place, test = Path(f"/proc/{self.pid}"), Path("/proc/self/cmdline").read_bytes()
        # Until it is executed, it is a copy of this process.
        while (place / "cmdline").read_bytes() == test or library not in (place / "maps").read_text():
            assert self._read()
            assert time.monotonic() < deadline, f"{library} is not loaded within {seconds} s"

    def press(self, keys: bytes) -> None:
        os.write(self._terminal, keys)

    def end(self, seconds: float) -> Ended:
        """Waits for the end; fails where there is none in time."""
        began = time.monotonic()
        while self._read():
            assert time.monotonic() - began < seconds, f"does not end: {self._hanging()}\n{self.text[-3000:]}"
        code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        status = code if code >= 0 else 128 - code
        self.ended.seconds = time.monotonic() - began
        self.ended.status, self.ended.text = status, self.text
        _, alive = psutil.wait_procs(list(self.family.values()), timeout=_GONE_SECONDS)
        self.ended.survivors = [_name(process) for process in alive if process.status() != psutil.STATUS_ZOMBIE]
        return self.ended

    def close(self) -> None:
        """Ends what is left of it."""
        for process in (*self.family.values(), *([psutil.Process(self.pid)] if psutil.pid_exists(self.pid) else [])):
            with suppress(psutil.Error):
                process.kill()
        with suppress(ChildProcessError):
            os.waitpid(self.pid, 0)
        with suppress(OSError):
            os.close(self._terminal)

    @property
    def text(self) -> str:
        return _STYLE.sub("", self._text.decode(errors="replace"))

    def _read(self) -> bool:
        """Reads a little; whether there may be more."""
        self._look()
        if not select.select([self._terminal], [], [], 0.05)[0]:
            return True
        try:
            self._text += os.read(self._terminal, 1 << 16)
        except OSError:  # nobody has the other end any more
            return False
        return True

    def _look(self) -> None:
        """Notes the command's processes, and which of them have the terminal or are stopped."""
        if time.monotonic() - self._looked_at < _LOOK_SECONDS:
            return
        self._looked_at = time.monotonic()
        with suppress(psutil.Error):
            for process in psutil.Process(self.pid).children(recursive=True):
                self.family.setdefault(process.pid, process)
        for process in self.family.values():
            with suppress(psutil.Error, OSError):
                if process.status() == psutil.STATUS_STOPPED:
                    self.ended.stopped.add(_name(process))
                if os.readlink(f"/proc/{process.pid}/fd/0").startswith("/dev/pts/"):
                    self.ended.readers.add(_name(process))

    def _hanging(self) -> str:
        lines = []
        for process in self.family.values():
            with suppress(psutil.Error):
                lines.append(f"{process.pid} {process.status()} {_name(process)}")
        return "\n".join(lines)


def _name(process: psutil.Process) -> str:
    with suppress(psutil.Error):
        return " ".join(process.cmdline())[:200]
    return str(process.pid)
