"""Measures one backend after the other, each in a process of its own: load time, seconds of media a second, memory.

Networks have their released sizes and random weights, which cost the same as real ones. One thread on the processor.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from demix.config import ConfigError


@dataclass(frozen=True)
class Backend:
    """One model behind its role."""

    make: Callable[[], Any]
    """Loads it, its imports included."""
    ask: Callable[[Any], float]
    """Has it answer once; returns how many seconds of a clip that answers for."""
    put: Callable[[Path], None] | None = None
    """Writes random weights of the released size into the cache folder, given a folder for what is in between."""


def main(module: str, title: str, backends: Mapping[str, Backend], result: Path, notes: Sequence[str]) -> int:
    """The command line of a benchmark that lists some backends; `module` is its own name."""
    parser = argparse.ArgumentParser(prog=f"python -m {module}", description=title)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(backends)}; default: all")
    parser.add_argument("--write", action="store_true", help=f"put the outcome into benchmarks/results/{result.name}")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(_measured(backends[options.names[0]])))
        return 0
    lines = [f"# {title}", "", f"`python -m {module}`, one CPU thread.", ""]
    lines += ["| model | seconds of media a second | to load, seconds | peak memory, MB |", "|---|---|---|---|"]
    for name in options.names or backends:
        lines.append(_row(name, _in_child(module, name, backends[name])))
        print(lines[-1], flush=True)
        if options.write:
            result.write_text("\n".join([*lines, "", *notes, ""]), encoding="utf-8")
    return 0


def _in_child(module: str, name: str, backend: Backend) -> dict[str, float] | str:
    """What was measured, or the last line of why it could not be."""
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"DEMIX_WEIGHTS": f"{folder}/cache", "OMP_NUM_THREADS": "1"}
        os.environ["DEMIX_WEIGHTS"] = environment["DEMIX_WEIGHTS"]
        try:
            if backend.put is not None:
                backend.put(Path(folder))
        except (OSError, ConfigError) as error:
            return str(error)
        command = [sys.executable, "-m", module, name, "--one"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        return (done.stderr.strip().splitlines() or ["no reason given"])[-1]
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def _measured(backend: Backend) -> dict[str, float]:
    began = time.perf_counter()
    model = backend.make()
    loaded, busy = time.perf_counter(), _processor_seconds()
    seconds = backend.ask(model)
    took = _processor_seconds() - busy
    children = sum(child.memory_info().rss for child in psutil.Process().children(recursive=True))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 + children / 2**20
    return {"load": loaded - began, "speed": seconds / took, "peak": peak}


def _processor_seconds() -> float:
    """Of this process and of those that it started and that live."""
    own = psutil.Process()
    return float(sum(sum(process.cpu_times()[:2]) for process in (own, *own.children(recursive=True))))


def _row(name: str, found: dict[str, float] | str) -> str:
    if isinstance(found, str):
        return f"| `{name}` | not measured: {found} | | |"
    return f"| `{name}` | {found['speed']:.3g} | {found['load']:.1f} | {found['peak']:.0f} |"
