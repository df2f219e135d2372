"""Samples a second and time to the first batch after a resume, against webdataset, litdata and mosaicml-streaming.

    python -m benchmarks.loader [--peers PYTHON] [--clips 512] [--samples 192] [--rounds 5] [--size small] [--write]

All read the same clips with the same number of worker processes, batches and samples held ready, and make the same of a
clip's bytes with the same functions (pictures of one window, three tracks, the text), so that only the loading differs:
ours compares every member with its sha256 besides. `webdataset` reads the very tars; the other two need files of their
own, converted from them without loss, and a Python that has them (`--peers`, else this one); a peer that cannot be
imported is left out, and the reason printed. Each measurement is a fresh process, the loaders take turns, and the
median of the rounds counts. A resume is measured from making the loader to the first batch, at samples 10 and
1,000,000 of the run (many epochs later, as the clips are few); imports, the making of our index's file and the peers'
conversion are done before. `webdataset` keeps no position: it skips, so for the million its time is measured at 10 and
at 5,000 and drawn out in a line. On a busy machine the time of its processors tells more than the clock.
"""

from __future__ import annotations

import argparse
import importlib
import json
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import psutil
import torch

from benchmarks.loaders import BATCH, LOADERS, PACKAGES, WORKERS, Make, convert, open_index, write_tars
from mtv_train.data.settings import WindowSettings

RESULT = Path(__file__).parent / "results" / "loader.md"
ROOT = Path(__file__).parents[1]
SIZES = {"small": WindowSettings(frames=9, height=96, width=144), "full": WindowSettings(frames=49)}
"""A window that takes milliseconds to decode, so that the loaders' own cost shows; and the 5B recipe's."""
DIFFERENT = {"small": 16, "full": 4}
"""Clips that are encoded; the others repeat them."""
FEWER = {"small": 1, "full": 4}
"""What `--clips` and `--samples` are divided by: a full window takes some thirty times as long."""
NEAR, FAR, SKIPPED = 10, 1_000_000, 5_000


def child(name: str, folder: Path, size: str, position: int, samples: int) -> None:
    """In a process of its own: prints {"first": seconds to the first batch, "rate": samples a second after it, "cpu":
    seconds of processors for each of these, the workers' included}."""
    torch.set_num_threads(1)
    importlib.import_module(PACKAGES.get(name, name))
    began = time.perf_counter()
    batches = LOADERS[name](folder, Make(SIZES[size]), position)
    next(batches)
    first = time.perf_counter() - began
    next(batches)
    count = samples // BATCH
    began, used = time.perf_counter(), _cpu_seconds()
    for _ in range(count):
        next(batches)
    seconds, used = time.perf_counter() - began, _cpu_seconds() - used
    loaded = max(count, 1) * BATCH
    print(json.dumps({"first": first, "rate": count * BATCH / seconds, "cpu": used / loaded}), flush=True)


def _cpu_seconds() -> float:
    """Of this process and its workers, those that ended included."""
    me = psutil.Process()
    times = [process.cpu_times() for process in (me, *me.children(recursive=True))]
    return sum(time.user + time.system + time.children_user + time.children_system for time in times)


@dataclass
class Seen:
    """What the rounds of a loader said."""

    rates: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    near: list[float] = field(default_factory=list)
    far: list[float] = field(default_factory=list)
    drawn_out: bool = False


def measure(python: Mapping[str, str], folder: Path, size: str, samples: int, rounds: int) -> dict[str, Seen]:
    """All loaders in turn, `rounds` times."""
    found = {name: Seen(drawn_out=name == "webdataset") for name in python}
    for number in range(rounds):
        for name, seen in found.items():

            def run(position: int, count: int, name: str = name) -> dict[str, float]:
                call = ["--child", name, str(folder), size, str(position), str(count)]
                return json.loads(_output([python[name], "-m", "benchmarks.loader", *call]))

            near = run(NEAR, samples)
            seen.rates.append(near["rate"])
            seen.cpu.append(near["cpu"])
            seen.near.append(near["first"])
            if not seen.drawn_out:
                seen.far.append(run(FAR, 0)["first"])
            elif number == 0:
                seen.far.append(run(SKIPPED, 0)["first"])
    for seen in found.values():
        if seen.drawn_out:
            near_ = median(seen.near)
            seen.far = [near_ + (seen.far[0] - near_) * (FAR - NEAR) / (SKIPPED - NEAR)]
    return found


def _output(command: list[str]) -> str:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[2:])}: {done.stderr.strip().splitlines()[-1:]}")
    return done.stdout.strip().splitlines()[-1]


def pythons(peers: str) -> tuple[dict[str, str], list[str]]:
    """Which Python runs which loader, and why some are left out."""
    python, absent = {"mtv_train": sys.executable, "webdataset": sys.executable}, []
    for name, package in PACKAGES.items():
        tried = subprocess.run([peers, "-c", f"import {package}"], capture_output=True, text=True, check=False)
        if tried.returncode:
            absent.append(f"{name} is left out: {tried.stderr.strip().splitlines()[-1]}")
        else:
            python[name] = peers
    return python, absent


def page(tables: Mapping[str, Mapping[str, Seen]], given: argparse.Namespace, notes: list[str]) -> str:
    how = f"--clips {given.clips} --samples {given.samples} --rounds {given.rounds}"
    lines = [
        "# Loading, measured",
        "",
        f"`python -m benchmarks.loader {how}`; see its head for how it is measured.",
        f"{platform.machine()}, {WORKERS} workers, batches of {BATCH}, local disk, Python {platform.python_version()}, "
        f"torch {torch.__version__}.",
    ]
    for size, found in tables.items():
        window = SIZES[size]
        lines += [
            "",
            f"## {window.frames} frames of {window.height} x {window.width}",
            "",
            f"| loader | samples/s | CPU ms a sample | s to the first batch from sample {NEAR} | from sample {FAR:,} |",
            "|---|---:|---:|---:|---:|",
        ]
        for name, seen in found.items():
            far = f"{median(seen.far):,.2f}{' (drawn out)' if seen.drawn_out else ''}"
            cpu = median(seen.cpu) * 1e3
            lines.append(f"| {name} | {median(seen.rates):.1f} | {cpu:.1f} | {median(seen.near):.2f} | {far} |")
    return "\n".join([*lines, "", *notes]).rstrip() + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", default=sys.executable, help="a Python that has litdata and mosaicml-streaming")
    parser.add_argument("--clips", type=int, default=512, help="of the small size; a quarter of the full")
    parser.add_argument("--samples", type=int, default=192, help="of the small size; a quarter of the full")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--size", choices=tuple(SIZES), action="append", help="only this one; can be repeated")
    parser.add_argument("--write", action="store_true", help=f"write {RESULT.name}")
    parser.add_argument("--child", nargs=5, help=argparse.SUPPRESS)
    parser.add_argument("--convert", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        name, folder, size, position, samples = given.child
        return child(name, Path(folder), size, int(position), int(samples))
    if given.convert:
        return convert(given.convert[0], Path(given.convert[1]))
    python, notes = pythons(given.peers)
    tables = {}
    for size in given.size or SIZES:
        window = SIZES[size]
        with tempfile.TemporaryDirectory() as folder:
            write_tars(Path(folder) / "tars", given.clips // FEWER[size], window, DIFFERENT[size])
            open_index(Path(folder), window)
            for name in PACKAGES.keys() & python.keys():
                subprocess.run(
                    [python[name], "-m", "benchmarks.loader", "--convert", name, folder], cwd=ROOT, check=True
                )
            tables[size] = measure(python, Path(folder), size, given.samples // FEWER[size], given.rounds)
    text = page(tables, given, notes)
    print(text)
    if given.write:
        RESULT.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
