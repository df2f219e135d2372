"""Running `demix` from a test, and reading what it left behind."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from demix.cli import main

ROOT = Path(__file__).parents[2]
SEQUENTIAL = ("--runner", "sequential")


@dataclass(frozen=True)
class Ran:
    status: int
    out: str
    err: str


def demix(*arguments: str | Path) -> Ran:
    """One command in this process, as from a wide terminal."""
    out, err = io.StringIO(), io.StringIO()
    columns = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = "220"
    try:
        with redirect_stdout(out), redirect_stderr(err):
            try:
                status = main([str(argument) for argument in arguments])
            except SystemExit as exit:  # argparse
                status = int(exit.code or 0)
    finally:
        os.environ.pop("COLUMNS") if columns is None else os.environ.update(COLUMNS=columns)
    return Ran(status, out.getvalue(), err.getvalue())


def child(*arguments: str | Path, module: str = "demix.cli") -> Ran:
    """One command in a process of its own."""
    return python("-m", module, *map(str, arguments))


def python(*arguments: str) -> Ran:
    """This interpreter with arguments, to its end."""
    command = [sys.executable, *arguments]
    done = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True)
    return Ran(done.returncode, done.stdout, done.stderr)


def environment() -> dict[str, str]:
    """For children: the checkout can be imported, also by Ray's workers."""
    return os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "220"}


def tree(dataset: Path) -> dict[str, str]:
    """sha256 of every file of a dataset but the report, which tells times, and the work store."""
    files = (path for path in dataset.rglob("*") if path.is_file())
    names = {path.relative_to(dataset).as_posix(): path for path in files}
    return {
        name: hashlib.sha256(path.read_bytes()).hexdigest()
        for name, path in sorted(names.items())
        if not name.startswith((".work/", "report/"))
    }


def shards(dataset: Path) -> dict[str, str]:
    return {name: digest for name, digest in tree(dataset).items() if name.startswith("shards/")}


def numbers(dataset: Path) -> dict[str, Any]:
    """report.json without what depends on the clock and the place."""
    report: dict[str, Any] = json.loads((dataset / "report/report.json").read_text())
    return {key: value for key, value in report.items() if key not in ("timings", "name")}


def rows(dataset: Path, table: str) -> list[dict[str, Any]]:
    """Rows of `clips`, `sources`, `rejects` (of all stages) or `quarantine`."""
    files = {
        "clips": "clips.parquet",
        "sources": "sources.parquet",
        "rejects": "rejects/*/*.parquet",
        "quarantine": "quarantine/*.parquet",
    }
    found = sorted((dataset / "manifests").glob(files[table]))
    return [row for path in found for row in pq.read_table(path).to_pylist()]


def answers(work: Path) -> dict[str, int]:
    """(stage, fingerprint) as text -> entries in the ledger."""
    files = (work / "ledger").glob("*.parquet")
    return {path.stem: pq.read_metadata(path).num_rows for path in files}


def parts(work: Path) -> int:
    """Ledger parts that are not merged."""
    return len(list((work / "ledger/parts").glob("*.parquet")))
