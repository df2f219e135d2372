"""`mtv_train train`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from torch.distributed.elastic.multiprocessing.errors import record

from demix.exit_status import ExitStatus
from mtv_train.config import TrainSettings
from mtv_train.recipes import load
from mtv_train.train.state import Position


def settings_of(args: argparse.Namespace) -> TrainSettings:
    """The settings that a command line asks for."""
    data = [f"data.dataset={args.data}"] if args.data else []
    return load(args.recipe, args.config, [*args.set, *data])


@record  # so that torchrun shows which rank failed first, and why
def train(args: argparse.Namespace) -> int:
    """Trains, or goes on with a run."""
    from mtv_train.train.session import Options
    from mtv_train.train.session import train as run_training

    options = Options(args.device, args.accept_changes, args.skip_empty_stages, args.stop_after)
    ended = run_training(settings_of(args), args.run, options)
    print(summary(args.run, ended.position))
    if ended.asked:
        print(f"saved and ended, as {ended.asked} asked; the same command goes on", file=sys.stderr)
    # A rank that fails makes torchrun begin again, which who asks by SIGUSR1 or the file does not want.
    return ExitStatus.TERMINATED if ended.asked == "SIGTERM" else ExitStatus.DONE


def summary(run: Path, position: Position) -> str:
    """Where a run stands, in a line."""
    return f"{run}: {position.step} steps, {position.total_samples} samples, stage {position.stage}"
