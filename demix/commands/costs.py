"""What `demix plan --hours` prints: the cost of raw film on a cluster, and what is assumed."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from demix.config import validate
from demix.costs import MEASURED_ON, RESULTS, Cluster, Cost, costs_of, stage_costs
from demix.engine import placement_text
from demix.engine.placement import Node, place
from demix.engine.progress import duration
from demix.engine.runner import RunOptions
from demix.engine.wishes import wish
from demix.engine.worker import Step, groups
from demix.recipe import BuildSettings, clip_stages, index_stages
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
    _print_placements(settings, cluster)
    print(_assumptions(costs, cluster))


def _print_placements(settings: BuildSettings, cluster: Cluster) -> None:
    """What the engine would do on such a cluster: who works side by side, and who is the slowest."""
    options = RunOptions(engine=settings.engine, costs=stage_costs(settings, cluster.gpu_speed))
    table = Table("", "pass", "stages", "workers", "GPUs", "cores", "time", "", box=None, header_style="bold")
    for column in table.columns[3:7]:
        column.justify = "right"
    total = 0.0
    for phase, stages, share in (
        ("index", index_stages(settings), 1.0),
        ("annotate", clip_stages(settings), cluster.clip_share),
    ):
        media = 3600 * cluster.hours * share
        pools = [wish(group, options, cluster.gpus > 0) for group in groups([Step(stage, "", "") for stage in stages])]
        placement = place(_nodes(cluster), pools, media)
        total += placement.seconds * media
        for position, row in enumerate(placement_text.rows(placement, media)):
            table.add_row("" if position else phase, *row)
    print(f"\nplacement on nodes: {len(_nodes(cluster))}; passes run one after the other, {duration(total)} in all:")
    Console().print(table)


def _nodes(cluster: Cluster) -> list[Node]:
    """Nodes as they are sold: eight GPUs each, or 64 cores where there are none."""
    count = -(-cluster.gpus // 8) or -(-cluster.cpus // 64)
    spread = [
        [number // count + (place < number % count) for place in range(count)]
        for number in (cluster.cpus, cluster.gpus)
    ]
    return [Node(str(place), cpus, gpus) for place, (cpus, gpus) in enumerate(zip(*spread, strict=True))]


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
