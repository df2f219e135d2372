"""One driver at a time in one place, and never a lock without a driver."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from demix.config import ConfigError
from demix.engine import lock


def in_child(work: Callable[[], object]) -> int:
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    status = 1
    try:
        work()
        status = 0
    finally:
        os._exit(status)


def enter(folder: Path) -> None:
    with lock.held(folder):
        pass


def die_inside(folder: Path) -> None:
    with lock.held(folder):
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_second_driver_is_refused_with_the_first_ones_name(tmp_path: Path) -> None:
    with lock.held(tmp_path / "new"), pytest.raises(ConfigError, match=f"process {os.getpid()} on "):
        enter(tmp_path / "new")
    enter(tmp_path / "new")
    assert list((tmp_path / "new").iterdir()) == [], "and nothing is left of it"


def test_other_processes_are_refused_too(tmp_path: Path) -> None:
    with lock.held(tmp_path):
        assert in_child(lambda: enter(tmp_path)) == 1
    assert in_child(lambda: enter(tmp_path)) == 0


def test_a_killed_driver_stands_in_nobodys_way(tmp_path: Path) -> None:
    assert in_child(lambda: die_inside(tmp_path)) == -signal.SIGKILL
    assert (tmp_path / ".lock").exists()
    enter(tmp_path)
    assert not (tmp_path / ".lock").exists()


def test_a_file_system_without_locks_is_used_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(*_: object) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr("fcntl.flock", unsupported)
    enter(tmp_path)
