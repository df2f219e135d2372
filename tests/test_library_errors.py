"""Guards: what native libraries print goes to the log, and what the program says to the user."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_PROGRAM = """
import os, sys
from demix import library_errors

def tell(when):
    print(f"said {when}", file=sys.stderr)
    os.write(2, f"native {when}\\n".encode())

log = __import__("pathlib").Path(sys.argv[1])
library_errors.logged_to(log)
tell("before")
with library_errors.separated():
    tell("at first")
    library_errors.logged_to(log)
    with library_errors.separated():  # a command within a command
        tell("now")
    tell("still")
tell("after")
"""


def test_native_lines_go_to_the_log_only_while_they_are_kept_apart(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "ray.log"
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, str(log)], capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL
    )
    assert done.stderr.splitlines() == [
        "said before", "native before", "said at first", "native at first", "said now", "said still",
        "said after", "native after",
    ]  # fmt: skip
    assert log.read_text().splitlines() == ["native now", "native still"]
