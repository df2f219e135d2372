"""What `demix plan --hours` prints: the cost of raw film on a cluster, and what is assumed."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from demix.config import validate
from demix.costs import MEASURED_ON, RESULTS, Cluster, Cost, costs_of
from demix.recipe import BuildSettings
from demix.report.words import number, words


def print_costs(args: argparse.Namespace, settings: BuildSettings) -> None:
    """Role by role, the sum, the days on the cluster, and every assumption."""
    given = {name: getattr(args, name) for name in Cluster.model_fields if getattr(args, name, None) is not None}
    cluster = validate(Cluster, given)
    costs = costs_of(settings, cluster)
    table = Table("", "model", "hours", "GPU-hours", "core-hours", "figure from", box=None, header_style="bold")
    for column in table.columns[2:5]:
        column.justify = "right"
    for cost in costs:
        spent = (number(round(cost.gpu_hours)), number(round(cost.cpu_hours))) if cost.source else ("?", "?")
        source = Path(cost.source).name if cost.source else "none recorded"
        table.add_row(words(cost.role), cost.model, number(round(cost.hours)), *spent, source)
    gpu_hours, cpu_hours = sum(cost.gpu_hours for cost in costs), sum(cost.cpu_hours for cost in costs)
    table.add_row("together", "", "", number(round(gpu_hours)), number(round(cpu_hours)), "", style="bold")
    Console().print(table)
    print(_together(gpu_hours, cpu_hours, cluster))
    print(_assumptions(costs, cluster))


def _together(gpu_hours: float, cpu_hours: float, cluster: Cluster) -> str:
    """GPUs and processors work side by side: the slower of them decides."""
    gpus = gpu_hours / cluster.gpus if cluster.gpus else 0.0
    cpus = cpu_hours / cluster.cpus
    if not cluster.gpus:
        return f"\n{_time(cpus)} on {cluster.cpus} cores, without GPUs"
    slower = "GPUs" if gpus > cpus else "processors"
    return (
        f"\n{_time(max(gpus, cpus))} on {cluster.gpus} GPUs and {cluster.cpus} cores, where the {slower} decide "
        f"(GPUs {_time(gpus)}, processors {_time(cpus)})"
    )


def _time(hours: float) -> str:
    return f"{number(hours / 24)} days" if hours >= 48 else f"{number(hours)} hours"


def _assumptions(costs: Sequence[Cost], cluster: Cluster) -> str:
    gpu = (
        f"a GPU is {cluster.gpu_speed:g} times as fast as the {MEASURED_ON} that the networks were measured on, and "
        "has one of them to itself at a time"
    )
    lines = [
        f"{cluster.hours:,.0f} hours of raw film; {cluster.clip_share:.0%} of it reaches every stage over clips",
        *([gpu] if cluster.gpus else []),
        f"a core is as fast as those of {RESULTS}/costs.md, on films of 720 lines",
        f"it does {cluster.cpu_gigaflops:g} GFLOP a second, where a network has no GPU",
        "captioners in the worker write the longest answer that they may, about one clip at a time",
        "all are busy all the time; one face in sight; default settings; nothing is measured twice",
    ]
    if absent := [f"{cost.role} {cost.model}".strip() for cost in costs if not cost.source]:
        lines.append(f"without {', '.join(absent)}, of which no figure is recorded")
    return "\nassumed:\n" + "\n".join(f"- {line}" for line in lines)
