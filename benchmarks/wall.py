"""Wall time as a user feels it: `demix index` and `demix build` against the command, and against an older demix.

    python benchmarks/wall.py [--runs N] [--long-minutes N] [--long-height N] [--only short long build]
                              [--before FOLDER] [--work FOLDER] [--output FILE]

`short` is a film of three minutes at 1080 lines, `long` one of two hours at 360 lines or more; both are a generated
film (benchmarks/index_films.py), repeated without encoding it again. `build` builds the films of `make demo`.
`--before` is a checkout of an older version (`git worktree add FOLDER REVISION`), which does the same in turn, with
its own environment where it has one (`make .venv/.ready` there). Everything is run `--runs` times, all contestants one
after the other, and the medians count: wall time, and user and system time of all processes that were seen below the
one that is timed. On a machine with other tenants only the ratios say something.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from index_films import encode, film

from demix.media.command import ffmpeg_binary

ROOT = Path(__file__).parents[1]


@dataclass
class Timed:
    """One contestant at one task."""

    task: str
    name: str
    walls: list[float] = field(default_factory=list)
    cpus: list[float] = field(default_factory=list)

    @property
    def wall(self) -> float:
        return statistics.median(self.walls)

    @property
    def cpu(self) -> float:
        return statistics.median(self.cpus)


class Watched:
    """Adds up the processor time of a process and all that come from it, whoever their parents are by then."""

    def __init__(self, process: subprocess.Popen[bytes]):
        self._root = psutil.Process(process.pid)
        self._seen: dict[psutil.Process, float] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def seconds(self) -> float:
        self._over.set()
        self._thread.join()
        return sum(self._seen.values())

    def _watch(self) -> None:
        while not self._over.wait(0.05):
            try:
                family = {self._root, *self._root.children(recursive=True), *self._seen}
            except psutil.Error:
                family = set(self._seen)
            for process in family:
                try:
                    times = process.cpu_times()
                except psutil.Error:
                    continue
                self._seen[process] = times.user + times.system


def timed(command: Sequence[str | Path], folder: Path, pythonpath: Path | None) -> tuple[float, float]:
    """(wall, processor) seconds of one command, which starts from an empty `folder`."""
    shutil.rmtree(folder, ignore_errors=True)
    environment = dict(os.environ) | ({"PYTHONPATH": str(pythonpath)} if pythonpath else {})
    began = time.monotonic()
    process = subprocess.Popen(
        [str(word) for word in command],
        env=environment,
        cwd=folder.parent,  # where no other demix lies
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    watched = Watched(process)
    _, said = process.communicate()
    wall = time.monotonic() - began
    if process.returncode:
        sys.exit(f"{command}: exit status {process.returncode}\n{said.decode()}")
    return wall, watched.seconds()


Run = Callable[[], tuple[float, float]]


def python_of(checkout: Path) -> Path:
    """The checkout's own interpreter, for what it depends on has changed since; else the one that runs this."""
    own = checkout / ".venv" / "bin" / "python"
    return own if own.exists() else Path(sys.executable)


def index_runs(path: Path, work: Path, before: Path | None) -> dict[str, Run]:
    out = work / "out"
    scenes = [sys.executable, "-m", "scenedetect", "-i", path, "-o", out, "-q", "detect-adaptive", "list-scenes", "-q"]
    ours = ["-m", "demix.cli", "index", path, "--output", out, "--address", "local"]
    runs: dict[str, Run] = {
        "command": lambda: timed(scenes, out, None),
        "index": lambda: timed([sys.executable, *ours], out, ROOT),
    }
    return runs | ({"index before": lambda: timed([python_of(before), *ours], out, before)} if before else {})


def build_runs(films: Path, work: Path, before: Path | None) -> dict[str, Run]:
    out = work / "out"
    ours = ["-m", "demix.cli", "build", films / "sources.csv", "--output", out, "--address", "local"]
    ours += ["--keep-work", "--set", "pack.test_seed=1"]
    runs: dict[str, Run] = {"build": lambda: timed([sys.executable, *ours], out, ROOT)}
    return runs | ({"build before": lambda: timed([python_of(before), *ours], out, before)} if before else {})


def repeated(path: Path, target: Path, seconds: float) -> Path:
    """The film again and again, until it is so long; nothing is encoded."""
    if not target.exists():
        command = [ffmpeg_binary(), "-v", "error", "-nostdin", "-stream_loop", "-1", "-i", path]
        aside = target.with_stem(f"{target.stem}.part")
        subprocess.run([*map(str, command), "-c", "copy", "-t", str(seconds), "-y", str(aside)], check=True)
        aside.rename(target)
    return target


def tasks(arguments: argparse.Namespace, work: Path) -> dict[str, dict[str, Run]]:
    chosen: dict[str, dict[str, Run]] = {}
    if "short" in arguments.only:
        path = encode(film(5, 10, (1920, 1080)), work / "short1080", "x264")
        path = repeated(path, work / "short.mp4", 180)
        chosen["a film of 3 minutes, 1080 lines"] = index_runs(path, work, arguments.before)
    if "long" in arguments.only:
        minutes, height = arguments.long_minutes, arguments.long_height
        path = encode(film(6, 60 if height <= 360 else 20, (height * 16 // 9, height)), work / f"long{height}", "x264")
        path = repeated(path, work / f"long{height}_{minutes}.mp4", 60 * minutes)
        chosen[f"a film of {minutes} minutes, {height} lines"] = index_runs(path, work, arguments.before)
    if "build" in arguments.only:
        films = work / "films"
        if not (films / "sources.csv").exists():
            subprocess.run([sys.executable, "-m", "tests.films", "demo", str(films)], check=True, cwd=ROOT)
        chosen["the films of `make demo`"] = build_runs(films, work, arguments.before)
    return chosen


def report(results: Sequence[Timed], arguments: argparse.Namespace) -> str:
    lines = [
        "# Benchmark: wall time",
        "",
        f"`python benchmarks/wall.py --runs {arguments.runs} --long-minutes {arguments.long_minutes} "
        f"--long-height {arguments.long_height}" + (" --before ..." if arguments.before else "") + "`",
        "",
        f"{platform.machine()}, {len(os.sched_getaffinity(0))} cores (load {os.getloadavg()[0]:.1f} at the end), "
        f"Python {platform.python_version()}. How time is taken is said in the script.",
        "",
        "| task | contestant | wall, s | of the first | processor, s | of the first |",
        "|---|---|---|---|---|---|",
    ]
    first: dict[str, Timed] = {}
    for one in results:
        other = first.setdefault(one.task, one)
        lines.append(
            f"| {one.task} | {one.name} | {one.wall:.1f} | {one.wall / other.wall:.2f} | {one.cpu:.1f} | "
            f"{one.cpu / other.cpu:.2f} |"
        )
    return "\n".join([*lines, ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3, help="times everything is timed")
    parser.add_argument("--long-minutes", type=int, default=120, help="length of the long film")
    parser.add_argument("--long-height", type=int, choices=(360, 720, 1080), default=360, help="its lines")
    parser.add_argument("--only", nargs="+", choices=("short", "long", "build"), default=("short", "long", "build"))
    parser.add_argument("--before", type=Path, help="checkout of an older version")
    parser.add_argument("--work", type=Path, help="folder to keep the films in (default: a temporary one)")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "wall.md")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work = (arguments.work or Path(temporary)).absolute()
        work.mkdir(parents=True, exist_ok=True)
        results: list[Timed] = []
        for task, runs in tasks(arguments, work).items():
            timings = [Timed(task, name) for name in runs]
            for _ in range(arguments.runs):
                for timing, run in zip(timings, runs.values(), strict=True):
                    wall, cpu = run()
                    timing.walls.append(wall)
                    timing.cpus.append(cpu)
                    print(f"{task}, {timing.name}: {wall:.1f} s, {cpu:.1f} s of processor time", flush=True)
            results += timings
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(report(results, arguments), encoding="utf-8")
    print(arguments.output.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
