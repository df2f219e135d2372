"""The commands that work: build, index, annotate, pack, replay."""

from __future__ import annotations

import argparse
import sys
from shlex import quote

from rich.console import Console

from demix.build import Build
from demix.commands.common import open_build, print_funnels, save_settings
from demix.config import ConfigError
from demix.engine.progress import busy
from demix.recipe import all_stages, clip_stages, index_stages, source_stages
from demix.redact import redacted
from demix.summary import Summary, remark, summarise, verdict

_SHOWN = 3
"""Of the inputs, how many the first line names."""


def build(args: argparse.Namespace) -> int:
    """All phases in order."""
    if args.dry_run:
        from demix.commands.inspect import plan

        return plan(args)
    made = open_build(args)
    with made.working(all_stages(made.settings)):
        _index(made, args)
        made.annotate()
        return _pack(made, args.keep_work)


def index(args: argparse.Namespace) -> int:
    """The clip table."""
    made = open_build(args)
    with made.working([*source_stages(made.settings), *index_stages(made.settings)]):
        _index(made, args)
        summary = summarise(made, annotated=False)
        print_funnels(Console(), summary.funnels)
        go_on = f"demix annotate --output {quote(str(made.dataset))}"
        print(f"{summary.clips} clips are in the clip table; go on with `{go_on}`")
        return _say(summary, made)


def annotate(args: argparse.Namespace) -> int:
    """Every clip through the stages."""
    made = open_build(args, saved=True)
    _tell_last_build(made, args)
    with made.working(clip_stages(made.settings)):
        made.annotate()
        save_settings(made)
        summary = summarise(made)
        print_funnels(Console(), summary.funnels)
        return _say(summary, made)


def pack(args: argparse.Namespace) -> int:
    """Shards, manifests and report."""
    made = open_build(args, saved=True)
    _tell_last_build(made, args)
    with made.working():
        return _pack(made, args.keep_work)


def replay(args: argparse.Namespace) -> int:
    """One stage on one item, in this process; the ledger is not touched."""
    from demix.replay import replay as run

    made = open_build(args, saved=True)
    return run(made, args.clip, args.stage, debugger=args.pdb)


def _index(made: Build, args: argparse.Namespace) -> None:
    inputs = ", ".join(map(redacted, args.sources[:_SHOWN])) + (" …" if len(args.sources) > _SHOWN else "")
    with busy(f"looking for source files in {inputs}", first=0.5):
        count = made.name_sources(args.sources, args.kind, args.limit)
    _tell(f"{count} source files named ({inputs}); dataset {made.dataset}, profile {made.settings.profile}")
    save_settings(made)
    made.index()


def _tell_last_build(made: Build, args: argparse.Namespace) -> None:
    _tell(f"{args.command}: {made.dataset}, with the settings of its last build (profile {made.settings.profile})")


def _tell(text: str) -> None:
    """Something that is said before the work begins; libraries that take seconds to import are not there yet."""
    print(text, file=sys.stderr, flush=True)


def _pack(made: Build, keep_work: bool) -> int:
    from demix.dataset.shard import ShardError
    from demix.finish import finish
    from demix.packing import pack as pack_shards

    try:
        shards = pack_shards(made)
    except ShardError as error:
        raise ConfigError(str(error)) from error
    print("writing manifests and report", file=sys.stderr)
    with busy("manifests and report"):
        page = finish(made, shards, keep_work=keep_work)
        summary = summarise(made)
    print_funnels(Console(), summary.funnels)
    print(f"\n{summary.kept} clips ({summary.hours:.2f} h) in {len(shards)} shards: {made.dataset}")
    if summary.several_tracks:
        print(summary.several_tracks)
    print(f"report: {page}" + ("" if made.worked else " (nothing was left to do)"))
    return _say(summary, made)


def _say(summary: Summary, made: Build) -> int:
    """Prints what is wrong, and returns the exit status."""
    for note in remark(summary).splitlines():
        print(f"demix: {note}", file=sys.stderr)
    problem = verdict(summary, made.settings.limits)
    if problem:
        print(f"demix: {problem}", file=sys.stderr)
    return 1 if problem else 0
