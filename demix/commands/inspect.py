"""The commands that look: plan, show, report, verify, config."""

from __future__ import annotations

import argparse
import json
import sys

import yaml
from rich.console import Console
from rich.table import Table

from demix.commands.common import open_build, settings_of
from demix.config import ConfigError, reference
from demix.engine.phase import Phase
from demix.engine.progress import busy, meter
from demix.recipe import BuildSettings
from demix.replay import find
from demix.store import Store


def plan(args: argparse.Namespace) -> int:
    """Stages, models and resources; what is done already and what would run, or what hours of film cost. Changes
    nothing."""
    if getattr(args, "hours", None) is not None:  # `build --dry-run` has no such option
        from demix.commands.costs import print_costs

        print_costs(args, settings_of(args))
        return 0
    if args.output is None:
        raise ConfigError("give --output DATASET for the plan of a dataset, or --hours for the cost of film")
    made = open_build(args, saved=not args.sources)
    if args.sources:
        made.look_up(args.sources, args.kind, args.limit)
    table = Table(
        "phase", "stage", "model", "resources", "fingerprint", "done", "to run", box=None, header_style="bold"
    )
    for column in table.columns[5:]:
        column.justify = "right"
    for phase in made.phases():
        for position, row in enumerate(_plan_rows(phase)):
            table.add_row("" if position else phase.name, *row)
    Console().print(table)
    print("a number with + is what is known so far: earlier phases decide how many there will be")
    return 0


def _plan_rows(phase: Phase) -> list[tuple[str, ...]]:
    """One row per stage. What earlier stages have not answered yet is marked with a +."""
    done, to_run = phase.progress()
    rows: list[tuple[str, ...]] = []
    more = next(iter(phase.rows()), None) is None
    for step in phase.steps:
        name = step.stage.name
        wants = step.stage.resources
        needs = f"{wants.cpus:g} cpu" + (f", {wants.gpus:g} gpu" if wants.gpus else "")
        counts = (str(done[name]), f"{to_run[name]}{'+' if more else ''}")
        rows.append((name, step.stage.revision() or "-", needs, step.fingerprint[:8], *counts))
        more = more or bool(to_run[name])
    return rows


def show(args: argparse.Namespace) -> int:
    """Everything known of one item."""
    made = open_build(args, saved=True)
    phase, row = find(made, args.clip)
    [end] = phase.page_ends([row])
    subject = end.item.subject
    print(f"{subject.name} {subject.id}: {end.state}" + (f" (waits for {end.missing})" if end.missing else ""))
    if end.entry is not None:
        print(f"ended at {end.entry.stage} after {end.entry.attempts} attempt(s): {end.entry.body}")
    print(subject.model_dump_json(indent=2))
    for name, record in end.item.records.items():
        print(f"\n{name}\n{record.model_dump_json(indent=2)}")
    return 0


def report(args: argparse.Namespace) -> int:
    """The statistics page, from the manifests."""
    dataset = Store(args.dataset)
    if not dataset.exists("build.json"):
        raise ConfigError(
            f"{dataset}: no build.json here; this is not a dataset, or its build did not finish: give the "
            "command again that was interrupted"
        )
    from demix.finish import write_page

    with busy("report"):
        page = write_page(dataset, Store(args.work) if args.work else None)
    print(f"report: {page}")
    return 0


def verify(args: argparse.Namespace) -> int:
    """Proves a dataset, or says what is wrong with which file."""
    from demix.dataset.verify import shards_of
    from demix.dataset.verify import verify as check

    dataset = Store(args.dataset)
    if dataset.folder is not None and not dataset.folder.is_dir():
        raise ConfigError(f"{dataset}: there is no such folder")
    if dataset.remote and not dataset.keys():
        raise ConfigError(f"{dataset}: there is nothing there")
    with meter("verify", len(shards_of(dataset)[0]), "shards") as counts:
        problems = check(dataset, workers=args.workers, progress=lambda done, total: counts.advance())
    for problem in problems:
        print(f"{problem.file}: {problem.what}\n    {problem.remedy}")
    print(
        f"{len(problems)} problem(s) in {dataset}"
        if problems
        else "verified: every shard, member, clip and total is as recorded"
    )
    return 1 if problems else 0


def config(args: argparse.Namespace) -> int:
    """The settings, resolved or explained."""
    if args.reference:
        print(reference(BuildSettings))
    else:
        settings = settings_of(args)
        yaml.safe_dump(json.loads(settings.model_dump_json()), sys.stdout, sort_keys=False, allow_unicode=True)
    return 0
