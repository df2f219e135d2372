"""The commands that work: build, index, annotate, pack, replay."""

from __future__ import annotations

import argparse
import sys

from rich.console import Console

from demix.build import Build
from demix.commands.common import open_build, print_funnels, save_settings
from demix.config import ConfigError
from demix.summary import summarise, verdict


def build(args: argparse.Namespace) -> int:
    """All phases in order."""
    if args.dry_run:
        from demix.commands.inspect import plan

        return plan(args)
    made = open_build(args)
    with made.working():
        _index(made, args)
        made.annotate()
        return _pack(made, args.keep_work)


def index(args: argparse.Namespace) -> int:
    """The clip table."""
    made = open_build(args)
    with made.working():
        _index(made, args)
        summary = summarise(made, annotated=False)
        print_funnels(Console(), summary.funnels)
        print(f"{summary.clips} clips are in the clip table; go on with `demix annotate --output {args.output}`")
        return _say(verdict(summary, made.settings.limits))


def annotate(args: argparse.Namespace) -> int:
    """Every clip through the stages."""
    made = open_build(args, saved=True)
    with made.working():
        made.annotate()
        save_settings(made)
        summary = summarise(made)
        print_funnels(Console(), summary.funnels)
        return _say(verdict(summary, made.settings.limits))


def pack(args: argparse.Namespace) -> int:
    """Shards, manifests and report."""
    made = open_build(args, saved=True)
    with made.working():
        return _pack(made, args.keep_work)


def replay(args: argparse.Namespace) -> int:
    """One stage on one item, in this process; the ledger is not touched."""
    from demix.replay import replay as run

    made = open_build(args, saved=True)
    return run(made, args.clip, args.stage, debugger=args.pdb)


def _index(made: Build, args: argparse.Namespace) -> None:
    count = made.name_sources(args.sources, args.kind, args.limit)
    print(f"{count} source files named", file=sys.stderr)
    save_settings(made)
    made.index()


def _pack(made: Build, keep_work: bool) -> int:
    from demix.dataset.shard import ShardError
    from demix.finish import finish
    from demix.packing import pack as pack_shards

    try:
        shards = pack_shards(made)
    except ShardError as error:
        raise ConfigError(str(error)) from error
    page = finish(made, shards, keep_work=keep_work)
    summary = summarise(made)
    print_funnels(Console(), summary.funnels)
    print(f"\n{summary.kept} clips ({summary.hours:.2f} h) in {len(shards)} shards: {made.dataset}")
    print(f"report: {page}" + ("" if made.worked else " (nothing was left to do)"))
    return _say(verdict(summary, made.settings.limits))


def _say(problem: str) -> int:
    if problem:
        print(f"demix: {problem}", file=sys.stderr)
    return 1 if problem else 0
