"""Children and workers: the null device as standard input, a session of their own, and an end with their starter."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from demix import processes
from demix.media import sandbox
from demix.media.limits import MediaLimits
from demix.signals import stoppable
from tests.build.running import environment
from tests.terminal.pseudo import Session

STARTER = """
import os, subprocess, sys, threading, time
from demix import processes
from demix.media import sandbox
from demix.media.limits import MediaLimits

how = sys.argv[1]
sleep = [sys.executable, "-c", "import time; time.sleep(100)"]

def start():
    if how == "command":
        sandbox.run(sleep, MediaLimits(), seconds=100)
    elif how == "python":
        sandbox.call("tests.media.children:hang", {}, MediaLimits(), seconds=100)
    else:
        processes.popen(sleep)

thread = threading.Thread(target=start, daemon=True)
thread.start()
if how == "short thread":
    thread.join()  # what it has started lives on
print("started", flush=True)
time.sleep(100)
"""


@pytest.fixture
def input_is_a_pipe() -> Iterator[int]:
    """Standard input of this process as something that can be read; yields its other end."""
    kept, (read, write) = os.dup(0), os.pipe()
    os.dup2(read, 0)
    os.close(read)
    yield write
    os.dup2(kept, 0)
    os.close(kept)
    os.close(write)


def test_standard_input_is_away_for_a_while_and_comes_back(input_is_a_pipe: int) -> None:
    os.write(input_is_a_pipe, b"abc")
    entered, leave = threading.Event(), threading.Event()

    def elsewhere() -> None:
        with processes.null_input():
            entered.set()
            leave.wait()

    other = threading.Thread(target=elsewhere)
    with processes.null_input():
        assert os.read(0, 1) == b""
        other.start()
        entered.wait()
        with processes.terminal_input():
            assert os.read(0, 1) == b"a"
        assert os.read(0, 1) == b""
    assert os.read(0, 1) == b"", "another thread still wants it away"
    leave.set()
    other.join()
    assert os.read(0, 1) == b"b"


def test_children_read_nothing_and_have_a_session_of_their_own(input_is_a_pipe: int) -> None:
    os.write(input_is_a_pipe, b"abc")
    code = "import os; print([os.read(0, 9), os.getsid(0) == os.getpid()])"
    ran = processes.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True)
    assert ran.stdout.strip() == "[b'', True]"
    assert sandbox.run([sys.executable, "-c", code], MediaLimits(), seconds=30).strip() == b"[b'', True]"
    assert os.read(0, 9) == b"abc"


def test_a_worker_leaves_the_terminal_also_as_leader_of_a_group() -> None:
    """As Ray's workers are: in the session of the terminal, in a background process group of their own."""
    code = (
        "import os; os.fork() and (os.wait(), os._exit(0))\n"
        "os.setpgid(0, 0)\n"
        "from demix.processes import leave_terminal\n"
        "os.close(os.open('/dev/tty', os.O_RDONLY | os.O_NOCTTY))\n"
        "leave_terminal()\n"
        "try: os.open('/dev/tty', os.O_RDONLY)\n"
        "except OSError: print('no terminal', os.read(0, 1))\n"
        "os.setpgid(0, 0)\n"
    )
    session = Session([sys.executable, "-c", code])
    assert "no terminal b''" in session.end(30).text


@pytest.mark.parametrize("how", ["command", "python", "short thread"])
def test_a_child_is_gone_after_kill_9_of_its_starter(how: str) -> None:
    starter = subprocess.Popen(
        [sys.executable, "-c", STARTER, how], env=environment(), stdout=subprocess.PIPE, stdin=subprocess.DEVNULL
    )
    assert starter.stdout is not None
    assert starter.stdout.readline() == b"started\n"
    # The child, and the process that watches over it.
    family = _until(lambda: psutil.Process(starter.pid).children(), 2)
    time.sleep(0.3)  # a thread that has started a child may be gone, and the child is not
    assert all(process.is_running() for process in family)
    starter.send_signal(signal.SIGKILL)
    starter.wait()
    starter.stdout.close()
    _, alive = psutil.wait_procs(family, timeout=10)
    assert [process.cmdline() for process in alive if process.status() != psutil.STATUS_ZOMBIE] == []


def test_children_that_end_are_not_held_by_their_guard() -> None:
    """A guard that kept them would run out of descriptors in a build of many clips."""
    processes.run(["true"])
    guard = next(child for child in psutil.Process().children() if any("guard.py" in word for word in child.cmdline()))
    before = guard.num_fds()
    for _ in range(50):
        processes.run(["true"])
    deadline = time.monotonic() + 10
    while guard.num_fds() > before:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_guard_that_was_killed_is_started_again() -> None:
    processes.run(["true"])
    for child in psutil.Process().children():
        if any("guard.py" in word for word in child.cmdline()):
            child.kill()
            child.wait()
    processes.run(["true"])
    assert any("guard.py" in " ".join(child.cmdline()) for child in psutil.Process().children())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_unwinds_once_and_the_old_handlers_come_back(number: signal.Signals) -> None:
    before = [signal.getsignal(known) for known in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    unwound = []

    def interrupted() -> None:
        try:
            os.kill(os.getpid(), number)
            time.sleep(10)
        finally:
            os.kill(os.getpid(), signal.SIGINT)  # somebody is impatient
            time.sleep(0.01)
            unwound.append(True)

    with stoppable(lambda _: None) as stop, pytest.raises(KeyboardInterrupt):
        interrupted()
    assert unwound
    assert stop.signal == number
    assert [signal.getsignal(known) for known in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == before


def test_what_does_not_unwind_is_ended(tmp_path: Path) -> None:
    """A library that catches the interruption, or hangs while it cleans up, does not keep the command alive."""
    code = (
        "import demix.signals as signals, time\n"
        "signals._PATIENCE = 0.5\n"
        "with signals.stoppable(lambda number: print('said', number.name, flush=True)):\n"
        "    try:\n"
        "        print('ready', flush=True)\n"
        "        time.sleep(100)\n"
        "    except KeyboardInterrupt:\n"
        "        time.sleep(100)\n"
    )
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.terminate()
        assert process.stdout.readline() == "said SIGTERM\n"
        assert process.wait(10) == 143


def _until(look: object, count: int) -> list[psutil.Process]:
    deadline = time.monotonic() + 30
    while len(found := look()) < count:  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return list(found)
