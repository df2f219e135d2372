"""What the engine itself costs: scaling over workers, memory over the number of clips, start-up.

    python -m benchmarks.engine [scaling] [memory] [startup] [--write]

Everything is simulated (`benchmarks/simulated.py`), so the numbers are the engine's and not the models'.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[1]
RESULT = ROOT / "benchmarks/results/engine.md"
REPEATS = 3


def main() -> int:
    if sys.argv[1:2] == ["--child"]:
        print(json.dumps(_phase(**json.loads(sys.argv[2]))))
        return 0
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    measurements = {"scaling": scaling, "memory": memory, "startup": startup}
    arguments.add_argument("what", nargs="*", metavar="WHAT", help=f"of {', '.join(measurements)}; default: all")
    arguments.add_argument("--write", action="store_true", help=f"write {RESULT.name}")
    options = arguments.parse_args()
    parts = [measurements[name]() for name in options.what or measurements]
    text = "# The engine itself\n\n`python -m benchmarks.engine`, simulated stages.\n\n" + "\n\n".join(parts) + "\n"
    print(text)
    if options.write:
        RESULT.write_text(text, encoding="utf-8")
    return 0


def scaling() -> str:
    """Two workers against one, 0.25 s of processor time a clip, in turn. What more clips cost leaves out the start."""
    few, many, seconds = 40, 240, 0.25
    walls: dict[tuple[int, int], list[float]] = {}
    for _ in range(REPEATS):
        for workers in (1, 2):
            for clips in (few, many):
                told = _child(clips=clips, cpu_seconds=seconds, workers=workers)
                walls.setdefault((workers, clips), []).append(told["seconds"])
    wall = {key: statistics.median(times) for key, times in walls.items()}
    one, two = (wall[workers, many] - wall[workers, few] for workers in (1, 2))
    work = (many - few) * seconds
    starts = [wall[workers, few] - few * seconds / workers for workers in (1, 2)]
    return "\n".join(
        [
            f"## Two workers against one: {few} and {many} clips of {seconds} s of processor time, median of {REPEATS}",
            "",
            f"- {many - few} clips more take one worker {one:.1f} s, two workers {two:.1f} s: {one / two:.2f} times as "
            "fast (aim: 1.8).",
            f"- Outside the stage, with one worker: {(one - work) / one:.1%} of that time.",
            f"- Starting, which this leaves out: {starts[0]:.1f} s and {starts[1]:.1f} s.",
            f"- All of {many} clips, the start included: {wall[1, many]:.1f} s and {wall[2, many]:.1f} s, "
            f"{wall[1, many] / wall[2, many]:.2f} times as fast.",
        ]
    )


def memory() -> str:
    """Peak memory of the driver and of the largest worker, for 100 to 10,000 clips that cost nothing."""
    lines = ["## Peak resident memory in MB", "", "| clips | driver | largest worker | clips/s |", "|---|---|---|---|"]
    for clips in (100, 1000, 10_000):
        told = _child(clips=clips, cpu_seconds=0.0, workers=2)
        lines.append(f"| {clips} | {told['driver']:.0f} | {told['worker']:.0f} | {clips / told['seconds']:.0f} |")
    return "\n".join(lines)


def startup() -> str:
    """`demix --help`."""
    times = []
    for _ in range(10):
        started = time.perf_counter()
        subprocess.run([sys.executable, "-m", "demix.cli", "--help"], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - started)
    return f"## Start-up\n\n- `demix --help`: median {statistics.median(times):.2f} s of 10 (aim: below 0.5 s)."


def _child(**arguments: float) -> dict[str, float]:
    """A measurement in a fresh process with a cluster of its own."""
    command = [sys.executable, "-m", "benchmarks.engine", "--child", json.dumps(arguments)]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def _phase(clips: int, cpu_seconds: float, workers: int) -> dict[str, float]:
    import ray

    from benchmarks.simulated import Burn, Judge, Measure, rows
    from demix.engine.phase import Phase
    from demix.engine.ray_runner import RayRunner
    from demix.engine.runner import EngineSettings, PoolSettings, RunOptions
    from demix.store import Store

    pools = {"default": PoolSettings(min_workers=workers, max_workers=workers)}
    engine = EngineSettings(address="local", pools=pools, batch_rows=8 if cpu_seconds else 64)
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    runner = RayRunner(engine)
    with tempfile.TemporaryDirectory() as folder, _Peaks() as peaks:
        made = Phase(
            "simulated", [Measure(Burn(cpu_seconds=cpu_seconds)), Judge(Burn())], Store(folder), lambda: rows(clips)
        )
        started = time.perf_counter()
        done = 0

        def count(row: object) -> None:
            nonlocal done
            done += 1

        made.run(lambda: runner, RunOptions(engine=engine, total=clips), count)
        seconds = time.perf_counter() - started
    if done != clips:
        raise RuntimeError(f"{done} of {clips} clips came back")
    ray.shutdown()
    return {"seconds": seconds, "driver": peaks.driver, "worker": peaks.worker}


class _Peaks:
    """Peak resident memory of this process and of its largest stage worker, in MB, looked at five times a second."""

    def __init__(self) -> None:
        self.driver = self.worker = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> _Peaks:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        me = psutil.Process()
        while not self._stop.wait(0.2):
            self.driver = max(self.driver, me.memory_info().rss / 1e6)
            for child in me.children(recursive=True):
                try:
                    if "ray::" in child.name() or any("ray::" in part for part in child.cmdline()):
                        self.worker = max(self.worker, child.memory_info().rss / 1e6)
                except psutil.Error:
                    continue  # it ended while we looked


if __name__ == "__main__":
    sys.exit(main())
