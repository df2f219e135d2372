"""`mtv_train plan`: what a recipe will take, before it is begun."""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterable

from rich.console import Console
from rich.table import Table

from demix.config import ConfigError
from mtv_train.config import Activation, TrainSettings
from mtv_train.distributed.ranks import check_ranks, workable
from mtv_train.model.flops import FlopCount
from mtv_train.recipes import load
from mtv_train.train.memory import Sizes, memory, sizes
from mtv_train.train.metrics import flops_of

_RECOMPUTED: dict[Activation, float] = {"none": 0.0, "projections": 0.3, "selective": 0.6, "full": 1.0}
"""Share of the 5B model's forward pass that activation checkpointing computes again: feed-forwards; projections
besides; attentions besides."""

MOST = 24
"""GPUs of the estimate where none are asked for: the paper's."""


def plan(args: argparse.Namespace) -> int:
    """FLOPs, memory and time. Loads and downloads nothing."""
    settings = load(args.recipe, args.config, args.set)
    gpus = _gpus(settings, args)
    flops = flops_of(settings)
    counted = sizes(settings)
    console = Console()
    window = settings.data.window
    console.print(f"[bold]{args.recipe}[/bold]: {window.frames} frames of {window.height} x {window.width}, ", end="")
    console.print(f"{counted.total / 1e9:.3f} B parameters, {counted.trained / 1e9:.3f} B of them trained\n")
    console.print(_flops_table(flops, _RECOMPUTED[settings.parallel.activation]))
    console.print()
    shown = {1, 8, 24} & set(workable(settings)) | {gpus}
    console.print(_memory_table(settings, counted, sorted(shown)))
    console.print()
    for text in _time(settings, flops, gpus, args):
        print(text)
    return 0


def _gpus(settings: TrainSettings, args: argparse.Namespace) -> int:
    """How many GPUs the estimate is for: those asked for, or the most that work, 24 at most. Raises `ConfigError` for
    numbers that `train` would refuse, or from which no time follows."""
    for name, value in (("--peak", args.peak), ("--mfu", args.mfu)):
        if not (math.isfinite(value) and value > 0):
            raise ConfigError(f"{name} {value:g}: give a number above 0")
    if args.mfu > 1:
        raise ConfigError(f"--mfu {args.mfu:g}: it is a share of the peak, at most 1; for 40 % give 0.4")
    if args.gpus is None:
        return max((ranks for ranks in workable(settings) if ranks <= MOST), default=settings.parallel.replicate)
    check_ranks(settings, args.gpus)
    return int(args.gpus)


def _flops_table(flops: FlopCount, recomputed: float) -> Table:
    table = Table("FLOPs of one sample", "TFLOP", box=None, header_style="bold", pad_edge=False)
    table.columns[1].justify = "right"
    for name, count in flops.parts.items():
        table.add_row(f"  {name}", _tera(count))
    table.add_row("forward", _tera(flops.forward))
    table.add_row("backward (what is frozen gets no gradients of its own)", _tera(flops.backward))
    table.add_row("computed again by activation checkpointing", _tera(flops.forward * recomputed))
    table.add_row("[bold]a training step[/bold]", _tera(flops.forward * (1 + recomputed) + flops.backward))
    return table


def _tera(count: float) -> str:
    return f"{count / 1e12:,.4g}" if count < 1e14 else f"{count / 1e12:,.1f}"


def _memory_table(settings: TrainSettings, counted: Sizes, gpus: Iterable[int]) -> Table:
    columns = {count: memory(settings, count, counted) for count in gpus}
    heads = [f"{count} GPU{'s' if count > 1 else ''}" for count in columns]
    table = Table("estimated GiB a GPU", *heads, box=None, header_style="bold", pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    for name in next(iter(columns.values())):
        style = "bold" if name == "total" else ""
        table.add_row(name, *(f"{column[name]:.2f}" for column in columns.values()), style=style)
    return table


def _time(settings: TrainSettings, flops: FlopCount, gpus: int, args: argparse.Namespace) -> list[str]:
    batch, steps = settings.optim.batch, settings.total_steps
    useful = (flops.forward + flops.backward) * batch / gpus
    seconds = useful / (args.peak * 1e12 * args.mfu)
    stages = ", ".join(f"{name} {stage.steps:,}" for name, stage in settings.stages.items())
    return [
        f"{steps:,} steps of {batch} samples ({stages})",
        f"{seconds:.2f} s a step, {seconds * steps / 86400:.1f} days on {gpus} GPUs, if",
        f"  a GPU reaches {args.mfu:.0%} of {args.peak:g} TFLOP/s in forward and backward (--mfu, --peak; what is",
        "  computed again counts as lost time, as MFU is defined), loading and validation cost nothing,",
        "  and the encoders are read from a cache (data.cached) or hidden.",
    ]
