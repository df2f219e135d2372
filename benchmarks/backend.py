"""Measures one backend after the other, each in a process of its own: load time, seconds of media a second, memory.

Networks have their released sizes and random weights, which cost the same as real ones. On the processor: one thread
and its own time. Graphics processors are measured in `benchmarks.backends_gpu`, captioners on a processor in
`benchmarks.backends_captioners`.
"""

from __future__ import annotations

import argparse
import importlib.util
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
from typing import Any, NamedTuple

import psutil

CLIP_SECONDS = 11.0
"""A clip of the paper's dataset, on average."""


@dataclass(frozen=True)
class Backend:
    """One model behind its role."""

    make: Callable[[str], Any]
    """Loads it onto a device, its imports included."""
    ask: Callable[[Any, float], None]
    """Has it answer once for so many seconds of film."""
    seconds: float
    """Of film that it is asked about on the processor."""
    put: Callable[[Path], None] | None = None
    """Writes random weights of the released size into the cache folder, given a folder for what is in between."""
    gpu_seconds: float = CLIP_SECONDS
    """Of film that it is asked about on a GPU."""


class Measure(NamedTuple):
    """What is measured, and how a table says it."""

    conditions: Callable[[str], str]
    """Of a device: what the head of the table says."""
    peak: str
    """Which memory the last column speaks of."""
    measured: Callable[[Backend, str], dict[str, float]]
    """`load`, `speed` and `peak` of a backend on a device, in a process of its own."""
    devices: tuple[str, ...] = ("cpu",)
    """That may be chosen; the first is the default."""
    limit: float | None = None
    """Seconds that a backend may take, its weights' making not counted."""


def main(
    module: str,
    title: str,
    backends: Mapping[str, Backend],
    result: Path,
    notes: Sequence[str],
    measure: Measure | None = None,
) -> int:
    """The command line of a benchmark that lists some backends; `module` is its own name."""
    measure = measure or ON_PROCESSOR
    parser = argparse.ArgumentParser(prog=f"python -m {module}", description=title)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(backends)}; default: all")
    parser.add_argument("--device", choices=measure.devices, default=measure.devices[0])
    parser.add_argument("--limit", type=float, default=measure.limit, help="seconds that a backend may take")
    parser.add_argument("--write", action="store_true", help=f"put the outcome into benchmarks/results/{result.name}")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if unknown := [name for name in options.names if name not in backends]:
        parser.error(f"no backend {', '.join(unknown)}; there are {', '.join(backends)}")
    if options.write and options.device != measure.devices[0]:
        parser.error(f"{result.name} is of {measure.devices[0]}; --write goes without --device")
    if options.one:
        print(json.dumps(measure.measured(backends[options.names[0]], options.device)))
        return 0
    lines = table_head(title, module, measure.conditions(options.device), measure.peak)
    print("\n".join(lines), flush=True)
    for name in options.names or backends:
        found = in_child([module, name, "--one", "--device", options.device], backends[name], options.limit)
        lines.append(row(name, found))
        print(lines[-1], flush=True)
        if options.write:
            result.write_text("\n".join([*lines, "", *notes, ""]), encoding="utf-8")
    return 0


def table_head(title: str, module: str, conditions: str, peak: str) -> list[str]:
    return [
        f"# {title}",
        "",
        f"`python -m {module}`, {conditions}.",
        "",
        f"| model | seconds of media a second | to load, seconds | {peak}, MB |",
        "|---|---|---|---|",
    ]


def require(package: str) -> None:
    """Raises ImportError where a package that is an extra is not installed."""
    if importlib.util.find_spec(package) is None:
        raise ImportError(f"the package {package}, an extra, is not installed")


def in_child(command: Sequence[str], backend: Backend, limit: float | None) -> dict[str, float] | str:
    """What was measured, or in one line why it could not be."""
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"DEMIX_WEIGHTS": f"{folder}/cache", "OMP_NUM_THREADS": "1"}
        os.environ["DEMIX_WEIGHTS"] = environment["DEMIX_WEIGHTS"]
        try:
            if backend.put is not None:
                backend.put(Path(folder))
            done = subprocess.run(
                [sys.executable, "-m", *command],
                env=environment,
                capture_output=True,
                text=True,
                check=False,
                timeout=limit,
            )
        except subprocess.TimeoutExpired:
            return f"it took more than {limit:g} s"
        except Exception as error:  # whatever it is, the others are still to be measured
            return _one_line(str(error) or type(error).__name__)
    if done.returncode:
        return _one_line((done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"])[-1])
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def _one_line(text: str) -> str:
    """Fit for a cell of a table."""
    return " ".join(text.replace("|", "/").split())


def row(name: str, found: dict[str, float] | str) -> str:
    if isinstance(found, str):
        return f"| `{name}` | not measured: {found} | | |"
    return f"| `{name}` | {found['speed']:.3g} | {found['load']:.1f} | {found['peak']:.0f} |"


def on_processor(backend: Backend, device: str) -> dict[str, float]:
    began = time.perf_counter()
    model = backend.make(device)
    loaded, busy = time.perf_counter(), _processor_seconds()
    backend.ask(model, backend.seconds)
    took = _processor_seconds() - busy
    return {"load": loaded - began, "speed": backend.seconds / took, "peak": peak_of_processes()}


def peak_of_processes() -> float:
    """MB of this process at its largest, and of those that it started."""
    children = sum(child.memory_info().rss for child in psutil.Process().children(recursive=True))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 + children / 2**20


def _processor_seconds() -> float:
    """Of this process and of those that it started and that live."""
    own = psutil.Process()
    return float(sum(sum(process.cpu_times()[:2]) for process in (own, *own.children(recursive=True))))


ON_PROCESSOR = Measure(lambda _: "one CPU thread", "peak memory", on_processor)
