"""What the commands share: settings from the command line or the last build, and how a funnel is printed."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from demix.build import Build, work_of
from demix.config import ConfigError, merge, parse_assignment, validate
from demix.engine import log
from demix.engine.funnel import Funnel
from demix.recipe import BuildSettings, load_settings, read_settings
from demix.redact import redacted
from demix.store import Store

SETTINGS = "settings.json"


def settings_of(args: argparse.Namespace) -> BuildSettings:
    """The settings that a command line asks for, from its profile on."""
    return load_settings(args.profile or "lite", args.config, [*args.set, *_short(args)])


def open_build(args: argparse.Namespace, saved: bool = False) -> Build:
    """The build of a command line. With `saved`, settings start from those of the last build in the work store."""
    dataset = Store(args.output)
    store = Store(args.work) if args.work else work_of(dataset)
    if saved and not args.profile:
        if not store.exists(SETTINGS):
            raise ConfigError(
                f"{store}: nothing was built here; run `demix build FILMS --output {redacted(args.output)}` first"
            )
        tree: Mapping[str, Any] = json.loads(store.read(SETTINGS))
        layers = [read_settings(args.config)] if args.config else []
        layers.extend(parse_assignment(text) for text in [*args.set, *_short(args)])
        settings = validate(BuildSettings, merge(tree, *layers))
    else:
        settings = settings_of(args)
    build = Build(settings, dataset, store, retry_failed=getattr(args, "retry_failed", False))
    log.configure(build.log_folder)
    if build.store.remote:
        log.send_to(build.store)
    return build


def save_settings(build: Build) -> None:
    """Notes the settings for the commands that come after a build."""
    with build.store.write(SETTINGS) as path:
        path.write_text(build.settings.model_dump_json(indent=2))


def _short(args: argparse.Namespace) -> list[str]:
    """The settings that have a flag of their own."""
    chosen = {"runner": getattr(args, "runner", None), "address": getattr(args, "address", None)}
    engine = [f"engine.{key}={value}" for key, value in chosen.items() if value]
    return [*engine, *(["speaker_tracks.write=true"] if getattr(args, "speaker_tracks", False) else [])]


def print_funnels(console: Console, funnels: Sequence[tuple[str, Funnel]]) -> None:
    """In, kept, dropped by reason and failed, stage by stage."""
    table = Table("phase", "stage", "in", "kept", "dropped", "failed", box=None, pad_edge=False, header_style="bold")
    for column in table.columns[2:]:
        column.justify = "right"
    table.columns[4].justify = "left"
    for phase, funnel in funnels:
        funnel.check()
        for position, count in enumerate(funnel.stages):
            reasons = ", ".join(f"{reason} {number}" for reason, number in sorted(count.dropped.items()))
            failed = str(count.failed) if count.failed else ""
            table.add_row("" if position else phase, count.stage, str(count.entered), str(count.kept), reasons, failed)
    console.print(table)
