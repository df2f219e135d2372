"""`demix calibrate`: what thresholds keep of a finished dataset, which to take for a wanted yield, labels by hand."""

from __future__ import annotations

import argparse
from collections.abc import Mapping

from rich.console import Console
from rich.table import Column, Table

from demix.calibrate.again import Count, judge_again
from demix.calibrate.columns import Columns, columns_of
from demix.calibrate.config_file import settings_with, write_config
from demix.calibrate.labels import read_labels
from demix.calibrate.page import write_page
from demix.calibrate.propose import Proposal, for_labels, for_yield
from demix.config import ConfigError
from demix.records import SUBSETS
from demix.report.manifests import Manifests, ReportError
from demix.report.words import number, percent, words


def calibrate(args: argparse.Namespace) -> int:
    """Shows, proposes, or serves the page for labelling; 0 unless a wanted agreement is out of reach."""
    try:
        manifests = Manifests(args.dataset)
    except ReportError as error:
        raise ConfigError(str(error)) from error
    if not manifests.build:
        raise ConfigError(f"{manifests.dataset}: no build.json here; its build did not finish")
    if args.label:
        from demix.calibrate.label_server import serve

        return serve(manifests, args.labels, args.work, args.port)
    columns = columns_of(manifests.clips(), manifests.build["config"])
    proposal = _proposal(args, columns)
    _print_settings(columns, proposal)
    thresholds = proposal.thresholds if proposal else {}
    counts = {"now": _count(manifests, {}), **({"proposed": _count(manifests, thresholds)} if proposal else {})}
    _print_counts(counts)
    print(f"every score and what each threshold keeps: {write_page(manifests, columns)}")
    return _conclude(args, manifests, proposal)


def _proposal(args: argparse.Namespace, columns: Columns) -> Proposal | None:
    if args.keep is not None:
        if not 0 < args.keep <= 1:
            raise ConfigError(f"--keep {args.keep:g}: a share of the clips is wanted, above 0 and up to 1")
        return for_yield(columns, args.keep, args.move)
    if args.agree is not None:
        if not 0 < args.agree <= 1:
            raise ConfigError(f"--agree {args.agree:g}: a share of the labels is wanted, above 0 and up to 1")
        labels = {name: label == "good" for name, label in read_labels(args.labels).items()}
        return for_labels(columns, labels, args.agree, args.move)
    return None


def _count(manifests: Manifests, thresholds: Mapping[str, float]) -> Count:
    return judge_again(manifests.clips(), settings_with(manifests.build["config"], thresholds))


def _print_settings(columns: Columns, proposal: Proposal | None) -> None:
    """Every setting that drops clips: what it judges and what passes."""
    table = Table(Column("setting", overflow="fold"), "judges", "now", "pass", box=None, header_style="bold")
    if proposal:
        table.add_column("proposed")
        table.add_column("pass")
    for column in columns.columns:
        sign = "≥" if column.keeps == "at_least" else "≤"
        row = [column.setting, f"{int(column.judged.sum()):,} clips"]
        for values in ({}, proposal.thresholds) if proposal else ({},):
            threshold = values.get(column.setting, column.threshold)
            share = column.passes(threshold)[column.judged].mean()
            row += [f"{sign} {number(threshold)}", percent(float(share))]
        table.add_row(*row)
    Console().print(table)


def _print_counts(counts: Mapping[str, Count]) -> None:
    """What is kept, in all and by subset, with the thresholds of now and with those proposed."""
    table = Table("", *counts, box=None, header_style="bold")
    for column in table.columns[1:]:
        column.justify = "right"
    found = counts.values()
    table.add_row("kept", *(f"{count.kept:,}" for count in found))
    for subset in SUBSETS:
        table.add_row(f"  {words(subset)}", *(f"{count.subsets[subset]:,}" for count in found))
    table.add_row("dropped", *(f"{count.dropped.total():,}" for count in found))
    table.add_row("to be measured first", *(f"{count.unmeasured.total():,}" for count in found))
    Console().print(table)


def _conclude(args: argparse.Namespace, manifests: Manifests, proposal: Proposal | None) -> int:
    if proposal is None:
        return 0
    write_config(args.output, settings_with(manifests.build["config"], proposal.thresholds))
    print(f"written: {args.output}; go on with `demix build FILMS --output {manifests.dataset} --config {args.output}`")
    if args.agree is None:
        print(f"at most {proposal.reached:.1%} of the clips that are judged pass")
        return 0
    print(f"thresholds and labels agree on {proposal.reached:.1%} of the labelled clips")
    return int(proposal.reached < args.agree)
