"""Run as a script: packs samples while the n-th call that changes the disk kills the process, for every n.

Prints one line a crash point. Each attempt is a forked child, so that pyarrow is imported once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas  # noqa: F401  (pyarrow imports it at its first table: once here rather than in every child)

from demix.dataset.plan import PackSettings
from demix.store import Store
from tests.dataset.making import Maker, pack, tree

KILLED = 9
CALLS = ("fsync", "replace", "unlink", "rmdir", "mkdir")


def crash_at(point: int, after: bool) -> None:
    """Makes the `point`-th of `CALLS` the last thing this process does: not done, or done and nothing more."""
    count = 0

    def wrapped(call: Callable[..., Any]) -> Callable[..., Any]:
        def counting(*args: Any, **kwargs: Any) -> Any:
            nonlocal count
            count += 1
            if count == point and not after:
                os._exit(KILLED)
            result = call(*args, **kwargs)
            if count == point:
                os._exit(KILLED)
            return result

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


def main(root: Path, video: Path) -> None:
    settings = PackSettings(target_bytes=200_000, test_clips=0)
    maker = Maker(Store(root / "work"), video)
    first, second = maker.samples(1, 2), maker.samples(1, 3, scene="Another room.")
    assert in_child(lambda: pack(second, maker.store, root / "whole", settings)) == 0
    whole = tree(root / "whole")
    for after in (False, True):
        for point in range(1, 1000):
            data = root / f"data-{after}-{point}"
            # The dataset holds an older build: the crash happens while it is being replaced.
            assert in_child(lambda data=data: pack(first, maker.store, data, settings)) == 0

            def interrupted(data: Path = data, point: int = point, after: bool = after) -> None:
                crash_at(point, after)
                pack(second, maker.store, data, settings)

            status = in_child(interrupted)
            assert status in (0, KILLED), status
            assert in_child(lambda data=data: pack(second, maker.store, data, settings)) == 0
            print(f"{after} {point} {status} {'same' if tree(data) == whole else 'different'}")
            if status == 0:
                break


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
