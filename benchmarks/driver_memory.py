"""Peak memory of the process that `demix index` runs in, over the number of clips.

    python -m benchmarks.driver_memory [--clips 3600 36000 360000] [--write]

The films are made up, of 500 clips each; probe and shots are answered for, so that what is measured is the driver:
ledger, clip table and the counts at the end. Each number is a process of its own. Work runs in this process as well
(`engine.runner=sequential`), an item at a time, so the peak is no lower than that of a driver beside workers.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.made_up import Measurer
from benchmarks.retag import instead_of_models, seconds_of
from demix.stage import Kept

RESULT = Path(__file__).parent / "results/driver_memory.md"
CLIPS = (3600, 36_000, 360_000)


def index(clips: int) -> None:
    """Indexes made-up films of so many clips; prints the peak of this process in MB, and the seconds it took."""
    with tempfile.TemporaryDirectory() as folder:
        measurer = Measurer(clips)
        measurer.write_films(Path(folder) / "films")
        began = time.perf_counter()
        with instead_of_models(lambda stage, items: [Kept(measurer.record(stage, item)) for item in items]):
            seconds_of("index", str(Path(folder) / "films"), "--output", str(Path(folder) / "dataset"))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
        print(f"{peak:.0f} {time.perf_counter() - began:.0f}")


def measured(clips: int) -> tuple[int, int]:
    """(MB, seconds) of a process of its own."""
    command = [sys.executable, "-m", "benchmarks.driver_memory", "--alone", str(clips)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    return int(said[0]), int(said[1])


def report(found: dict[int, tuple[int, int]]) -> str:
    lines = [
        "# Memory of the driver",
        "",
        f"`python -m benchmarks.driver_memory --clips {' '.join(map(str, found))}`; see its head.",
        "",
        "| clips | peak resident memory, MB | seconds |",
        "|---|---|---|",
        *(f"| {clips:,} | {peak:,} | {seconds:,} |" for clips, (peak, seconds) in found.items()),
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--clips", type=int, nargs="+", default=CLIPS)
    parser.add_argument("--alone", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--write", action="store_true", help=f"write {RESULT.name}")
    arguments = parser.parse_args()
    if arguments.alone:
        index(arguments.alone)
        return
    text = report({clips: measured(clips) for clips in arguments.clips})
    print(text)
    if arguments.write:
        RESULT.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
