"""`demix weights`: what weights there are, bringing them, converting them, checking them."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Table

from demix import processes, weights
from demix.config import ConfigError
from demix.recipe import all_stages, load_settings
from demix.weights import Cache, Weights, WeightsBroken, WeightsMissing
from demix.weights.fetch import fetch as bring
from demix.weights.receipt import RANDOM, sha256_of


def show(args: argparse.Namespace) -> int:
    """One line a set: whether it is here, how large it is, its licence."""
    cache = _cache(args)
    table = Table("", "name", "size", "licence", "what", box=None, pad_edge=False, header_style="bold")
    for column in table.columns[:4]:
        column.no_wrap = True
    role = ""
    for entry in _chosen(args) or weights.entries().values():
        if entry.role != role:
            role = entry.role
            table.add_row("", f"[bold]{role}[/bold]")
        table.add_row(_state(cache, entry), entry.name, _size(entry), entry.licence, entry.about)
        if args.verbose:
            for line in _details(entry):
                table.add_row("", "", "", "", f"[dim]{line}[/dim]")
    console = Console()
    console.print(table)
    console.print(f"\ncache folder: {cache.root}", soft_wrap=True, highlight=False)
    return 0


def fetch(args: argparse.Namespace) -> int:
    """Brings sets into the cache folder; what is there already is left alone."""
    entries = _chosen(args)
    if not entries:
        raise ConfigError("name the weights to fetch, or a profile: demix weights fetch cdx23, or --profile paper")
    cache, failed = _cache(args), False
    for entry in entries:
        if entry.packaged:
            print(f"{entry.name}: comes with the package {entry.packaged}, nothing to fetch")
            continue
        if entry.forbids:
            print(f"{entry.name}: licence {entry.licence}; forbids {entry.forbids}", file=sys.stderr)
        try:
            with _bars() as progress:
                came = bring(entry, cache, args.mirror, progress)
        except (WeightsMissing, WeightsBroken) as error:
            failed = True
            print(f"{entry.name}: {error}", file=sys.stderr)
            continue
        told = ", ".join(file.path for file in came) if came else "everything was here already"
        print(f"{entry.name}: {told} -> {cache.folder(entry)}")
    return 1 if failed else 0


def convert(args: argparse.Namespace) -> int:
    """Runs a set's converter on each of its files, in a process of its own."""
    entries = _chosen(args)
    if not entries:
        raise ConfigError("name the weights to convert: demix weights convert cdx23")
    for entry in entries:
        if not entry.convert:
            raise ConfigError(f"{entry.name}: needs no conversion; it is read as it is")
        for path in _cache(args).locate(entry).values():
            done = processes.run(
                [sys.executable, "-m", "demix.weights.conversion", entry.convert, str(path)],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            if done.returncode:
                raise WeightsBroken(f"{entry.name}: {(done.stderr.strip().splitlines() or ['no reason given'])[-1]}")
            print(f"{entry.name}: {done.stdout.strip()}")
    return 0


def check(args: argparse.Namespace) -> int:
    """Reads every file of the sets that are here again, and compares its hash with the published or recorded one."""
    cache, problems, looked = _cache(args), 0, 0
    for entry in _chosen(args) or weights.entries().values():
        if entry.packaged or not (args.names or _present(cache, entry)):
            continue
        looked += 1
        try:
            receipts = cache.receipts(entry)
            for file in entry.files:
                found, noted = sha256_of(cache.folder(entry) / file.path), receipts[file.path]
                if found != noted.sha256:
                    raise WeightsBroken(f"{file.path} has changed since it came; remove it and fetch it again")
        except (WeightsMissing, WeightsBroken) as error:
            problems += 1
            print(f"{entry.name}: {error}")
            continue
        generated = any(receipts[file.path].origin == RANDOM for file in entry.files)
        print(f"{entry.name}: {'random numbers, for tests only' if generated else 'as published or as it came'}")
    if not looked:
        print(f"nothing is in {cache.root}; `demix weights fetch NAME` brings weights")
    return 1 if problems else 0


def _cache(args: argparse.Namespace) -> Cache:
    weights.use(str(args.folder.absolute()) if args.folder else None)
    return Cache()


def _chosen(args: argparse.Namespace) -> list[Weights]:
    """The sets that were named, or that the models of a profile load."""
    names = list(dict.fromkeys([*args.names, *(_of_profile(args.profile) if args.profile else ())]))
    return [weights.find(name) for name in names]


def _of_profile(profile: str) -> Iterator[str]:
    for stage in all_stages(load_settings(profile)):
        yield from stage.weights()


def _present(cache: Cache, entry: Weights) -> bool:
    return bool(entry.files) and len(cache.missing(entry)) < len(entry.files)


def _state(cache: Cache, entry: Weights) -> str:
    if entry.packaged:
        return "[green]in wheel[/green]"
    missing = cache.missing(entry)
    if not missing:
        return "[green]here[/green]"
    return "part" if len(missing) < len(entry.files) else "-"


def _size(entry: Weights) -> str:
    if entry.packaged or entry.size is None:
        return "" if entry.packaged else "unknown"
    return f"{entry.size / 1e6:.1f} MB"


def _details(entry: Weights) -> Iterator[str]:
    yield entry.home
    if entry.forbids:
        yield f"forbids {entry.forbids}"
    if entry.by_hand:
        yield entry.by_hand
    for file in entry.files:
        hash_ = f"sha256 {file.sha256}" if file.sha256 else "sha256 unknown, recorded when it is fetched"
        yield f"{file.path}: {file.url or 'by hand'}; {hash_}"


@contextmanager
def _bars() -> Iterator[Callable[[str, int, int | None], None]]:
    """Progress bars on a terminal; nothing elsewhere."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        tasks: dict[str, TaskID] = {}

        def tell(name: str, done: int, total: int | None) -> None:
            if name not in tasks:
                tasks[name] = bars.add_task(name)
            bars.update(tasks[name], completed=done, total=total)

        yield tell
