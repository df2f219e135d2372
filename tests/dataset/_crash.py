"""Run as a script: packs samples while the n-th call that changes the disk kills the process, for every n.

Prints one line a crash point. Each attempt is a forked child, so that pyarrow is imported once.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas  # noqa: F401  (pyarrow imports it at its first table: once here rather than in every child)

from demix.dataset.plan import PackSettings
from demix.dataset.shard import read_commit
from demix.dataset.tar import sha256_of
from demix.store import Store
from tests.dataset.making import Maker, pack, tree

KILLED = 9
CALLS = ("fsync", "replace", "unlink", "rmdir", "mkdir")


def crash_at(point: int) -> None:
    """Makes this process die in place of the `point`-th of `CALLS`: what lies on the disk then is what lay there
    after the call before it, and whatever was written since."""
    count = 0

    def wrapped(call: Callable[..., Any]) -> Callable[..., Any]:
        def counting(*args: Any, **kwargs: Any) -> Any:
            nonlocal count
            count += 1
            if count == point:
                os._exit(KILLED)
            return call(*args, **kwargs)

        return counting

    for name in CALLS:
        setattr(os, name, wrapped(getattr(os, name)))


def in_child(work: Callable[[], object]) -> int:
    """Exit status of a forked child that did `work`."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    status = 1
    try:
        work()
        status = 0
    finally:
        os._exit(status)


def commits_are_true(data: Path) -> bool:
    """Whether every commit file speaks of the very files beside it."""
    for path in data.rglob("*.commit.json"):
        stem = path.relative_to(data).as_posix().removesuffix(".commit.json")
        commit = read_commit(data, stem)
        assert commit is not None
        found = sha256_of(data / f"{stem}.tar"), sha256_of(data / f"{stem}.parquet")
        if found != (commit.tar.sha256, commit.parquet.sha256):
            return False
    return True


def main(root: Path, video: Path) -> None:
    settings = PackSettings(target_bytes=200_000, test_clips=0)
    maker = Maker(Store(root / "work"), video)
    # The dataset holds an older build: the crash happens while it is being replaced.
    old, new, data = maker.samples(1, 3), maker.samples(1, 2, scene="Another room."), root / "data"
    assert in_child(lambda: pack(old, maker.store, root / "old", settings)) == 0
    assert in_child(lambda: pack(new, maker.store, root / "whole", settings)) == 0
    whole = tree(root / "whole")
    status, point = KILLED, 0
    while status == KILLED:
        point += 1
        shutil.rmtree(data, ignore_errors=True)
        shutil.copytree(root / "old", data)

        def interrupted(point: int = point) -> None:
            crash_at(point)
            pack(new, maker.store, data, settings)

        status = in_child(interrupted)
        true = commits_are_true(data)
        assert in_child(lambda: pack(new, maker.store, data, settings)) == 0
        print(f"{point} {status} {true} {tree(data) == whole}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
