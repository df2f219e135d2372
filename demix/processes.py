"""Processes that this program starts: none has the user's terminal, and none outlives the one that started it.

A program that reads a terminal from the background is stopped by the kernel, and its whole process group with it; some
programs read standard input merely because it is there. So every child gets the null device and a session of its own,
and workers that another program starts (Ray, torch, multiprocessing) let go of the terminal before they import more.
"""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import subprocess
import sys
import termios
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from demix.signals import deferred

_GUARD = Path(__file__).with_name("guard.py")


def popen(command: Sequence[str], *, stdin: int = subprocess.DEVNULL, **options: Any) -> subprocess.Popen[Any]:
    """`subprocess.Popen` for a child without terminal, which is killed when this process ends, however that happens."""
    process = subprocess.Popen(command, stdin=stdin, start_new_session=True, **options)
    try:
        _guard.watch(process.pid)
    except BaseException:
        process.kill()
        process.wait()
        raise
    return process


def run(
    command: Sequence[str], *, timeout: float | None = None, check: bool = False, grace: float = 0.0, **options: Any
) -> subprocess.CompletedProcess[Any]:
    """`subprocess.run` for such a child. When this process is interrupted, the child has `grace` seconds to end itself.

    Raises as `subprocess.run` does.
    """
    with popen(command, **options) as process:
        try:
            out, err = process.communicate(timeout=timeout)
        except KeyboardInterrupt:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(grace)
            process.kill()
            raise
        except BaseException:
            process.kill()
            raise
    done = subprocess.CompletedProcess(process.args, process.returncode, out, err)
    if check:
        done.check_returncode()
    return done


@contextmanager
def null_input() -> Iterator[None]:
    """While this is open, standard input is the null device, here and in all that is started."""
    _input.take()
    try:
        yield
    finally:
        _input.give_back()


@contextmanager
def terminal_input() -> Iterator[None]:
    """Within `null_input`: the standard input that was there before, for a debugger."""
    _input.show()
    try:
        yield
    finally:
        _input.hide()


@contextmanager
def starting_workers() -> Iterator[None]:
    """To be open while workers are started by multiprocessing or torch: they inherit neither the terminal nor Ctrl-C.

    Each calls `leave_terminal` when it begins. An interruption waits, as torch would not clean up half of its workers.
    """
    with null_input(), deferred():
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def leave_terminal() -> None:
    """For a worker, before it imports anything else: gives up standard input, session and terminal, for good."""
    _null_at(0)
    try:
        os.setsid()
    except PermissionError:  # the leader of a process group cannot, but it can let go of the terminal
        with suppress(OSError):
            terminal = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
            try:
                fcntl.ioctl(terminal, termios.TIOCNOTTY)
            finally:
                os.close(terminal)


def end_with_parent() -> None:
    """For a process of multiprocessing: ends it when the one that started it is gone. Its pools alone do not."""
    from multiprocessing import parent_process
    from multiprocessing.connection import wait

    parent = parent_process()
    assert parent is not None

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="end-with-parent").start()


def _null_at(descriptor: int) -> None:
    null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    if null == descriptor:  # it was closed
        os.set_inheritable(descriptor, True)
        return
    os.dup2(null, descriptor)
    os.close(null)


class _Input:
    """Standard input, which several threads may want away at the same time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._kept: int | None = None

    def take(self) -> None:
        with self._lock:
            if self._users == 0:
                with suppress(OSError):  # it is closed
                    self._kept = os.dup(0)
                _null_at(0)
            self._users += 1

    def give_back(self) -> None:
        with self._lock:
            self._users -= 1
            if self._users == 0 and self._kept is not None:
                os.dup2(self._kept, 0)
                os.close(self._kept)
                self._kept = None

    def show(self) -> None:
        with self._lock:
            if self._kept is not None:
                os.dup2(self._kept, 0)

    def hide(self) -> None:
        with self._lock:
            if self._kept is not None:
                _null_at(0)


class _Guard:
    """The process that kills this one's children when it is gone (`demix.guard`); started for the first of them.

    Neither the end of a child's pipes nor PR_SET_PDEATHSIG would do: ffmpeg reads no pipe, and the kernel's signal
    comes when the thread that started the child ends, which here is one of many. Linux only.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: socket.socket | None = None
        os.register_at_fork(after_in_child=self._forget)

    def watch(self, pid: int) -> None:
        """From now on `pid`, a child that nobody has waited for yet, ends with this process."""
        try:
            # Stands for this very process, also when its number is another's by then.
            descriptor = os.pidfd_open(pid)
        except (AttributeError, OSError):
            return  # the system has none
        try:
            with self._lock:
                if self._channel is not None:
                    with suppress(BrokenPipeError, ConnectionError):
                        socket.send_fds(self._channel, [b"%d" % pid], [descriptor])
                        return
                    self._channel.close()  # somebody killed the guard
                socket.send_fds(self._start(), [b"%d" % pid], [descriptor])
        finally:
            os.close(descriptor)

    def _start(self) -> socket.socket:
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(_GUARD)],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                start_new_session=True,
            )
        return self._channel

    def _forget(self) -> None:
        """In a fork: the guard is the parent's, which is not to seem alive as long as the fork lives."""
        self._lock = threading.Lock()
        if self._channel is not None:
            self._channel.close()
            self._channel = self._process = None


_input = _Input()
_guard = _Guard()
