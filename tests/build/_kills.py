"""Run as a script: one build, killed again and again in the middle of a write, started again each time.

    python -m tests.build._kills all|few|two COMMAND...

Every attempt is a forked child, so that libraries are imported once. It dies by SIGKILL before or after it renames (on
an object store: uploads) a file of the kind that is next in the list; the last attempt must come to its end. Prints one
JSON line an attempt.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import traceback
from collections.abc import Callable
from itertools import product
from typing import Any

from demix.cli import main as demix
from tests.build import cheap

POINTS = {
    "sources": (r"/candidates\.jsonl", r"/settings\.json", r"/ledger/claims/.*", r"/ledger/parts/.*",
                r"/ledger/probe-.*"),
    "index": (r"/ledger/parts/.*", r"/ledger/shots-.*", r"/clips\.parquet"),
    "annotate": (r"/media/.*/clip\.mp4", r"/media/.*/mix\.flac", r"/media/.*/music\.flac", r"/ledger/parts/.*",
                 r"/ledger/claims/.*", r"/ledger/subsets-.*"),
    "pack": (r"/shards/.*\.tar", r"/shards/.*\.parquet", r"/shards/.*\.commit\.json"),
    "finish": (r"/manifests/clips\.parquet", r"/manifests/rejects/.*", r"/manifests/commit\.json", r"/build\.json",
               r"/timings\.json", r"/report/report\.json", r"/report/index\.html", r"/finished\.json"),
}  # fmt: skip
"""Phase -> the files that it renames, in this order."""
ALL = [(phase, pattern, after) for phase in POINTS for pattern, after in product(POINTS[phase], (False, True))]
FEW = [
    ("sources", r"/ledger/parts/.*", False),
    ("annotate", r"/media/.*/mix\.flac", False),
    ("pack", r"/shards/.*\.parquet", False),
    ("finish", r"/manifests/commit\.json", False),
]
TWO = [("annotate", r"/media/.*/mix\.flac", True), ("pack", r"/shards/.*\.parquet", False)]


def die_at(pattern: str, after: bool) -> None:
    """Makes this process kill itself at its first rename or upload to a path that ends in `pattern`."""
    from demix import remote

    def deadly(write: Callable[..., None]) -> Callable[..., None]:
        def written(*arguments: Any) -> None:
            matches = re.search(pattern + "$", os.fspath(arguments[-1])) is not None
            if matches and not after:
                os.kill(os.getpid(), signal.SIGKILL)
            write(*arguments)
            if matches:
                os.kill(os.getpid(), signal.SIGKILL)

        return written

    os.replace = deadly(os.replace)  # type: ignore[assignment]
    remote._upload = deadly(remote._upload)


def attempt(work: Callable[[], int]) -> int:
    """Exit status of a forked child that did `work`; -9 if it was killed."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    status = 70
    try:
        status = work()
    except Exception:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def main(points: list[tuple[str, str, bool]], command: list[str]) -> int:
    cheap.register()
    # Once here instead of in every child: what building a plan imports.
    quiet = os.open(os.devnull, os.O_WRONLY)
    shown = os.dup(1)
    os.dup2(quiet, 1)
    from demix.recipe import clip_stages, index_stages, load_settings, source_stages

    settings = load_settings(assignments=cheap.SETTINGS)
    for stage in (*source_stages(settings), *index_stages(settings), *clip_stages(settings)):
        stage.revision()
    for phase, pattern, after in points:

        def killed(pattern: str = pattern, after: bool = after) -> int:
            die_at(pattern, after)
            return demix(command)

        line = {"phase": phase, "at": pattern, "after": after, "status": attempt(killed)}
        os.write(shown, f"{json.dumps(line)}\n".encode())
    status = attempt(lambda: demix(command))
    os.write(shown, f"{json.dumps({'phase': 'end', 'status': status})}\n".encode())
    return status


if __name__ == "__main__":
    sys.exit(main({"all": ALL, "few": FEW, "two": TWO}[sys.argv[1]], sys.argv[2:]))
