"""The command line: `python -m mtv_train train RECIPE --data DATASET --run RUN`. Parsing only: `--help` is instant."""

from __future__ import annotations

import argparse
import importlib
import os
from collections.abc import Sequence
from pathlib import Path

EPILOG = """\
examples:
  python -m mtv_train train tiny --data DATASET --run RUNS/x            one process, CPU or GPU
  torchrun --nproc-per-node 8 -m -- mtv_train train mtv_5b --data DATASET --run RUNS/x
  python -m mtv_train train mtv_5b --data DATASET --run RUNS/x --set optim.lr=2e-5 --set parallel.compile=true
  python -m mtv_train plan mtv_5b --gpus 24                             FLOPs, memory, days
  python -m mtv_train sample MODEL --prompt "..." --speech s.wav -o out.mp4   see `sample --help`
  python -m mtv_train show mtv_5b > mine.yaml                           a recipe of your own: edit, then train mine.yaml

A run that was interrupted goes on where it stopped: give the same command again, on as many GPUs as there are now.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns its exit status (`demix.exit_status`)."""
    parsed = parser().parse_args(arguments)

    def command() -> int:
        module, _, function = parsed.call.partition(":")
        return int(getattr(importlib.import_module(f"mtv_train.commands.{module}"), function)(parsed))

    # Only here, so that --help imports next to nothing.
    from demix.command_line import run

    rank = f" (rank {os.environ['RANK']})" if "RANK" in os.environ else ""
    go_on = "give the same command again" + (" to go on from the last checkpoint" * (parsed.command == "train"))
    return run(f"mtv_train {parsed.command}{rank}", command, go_on)


def parser() -> argparse.ArgumentParser:
    """All commands and their options."""
    top = argparse.ArgumentParser(
        prog="mtv_train",
        description="Train MTV, audio-synchronised video generation, on the DEMIX dataset.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    train = _command(commands, "train", "train:train", "train a recipe on a dataset, or go on with a run")
    add_training(train)

    plan = _command(commands, "plan", "plan:plan", "FLOPs, memory a GPU, steps and days of a recipe")
    _recipe(plan)
    plan.add_argument("--gpus", type=int, help="GPUs for the estimate of days (default: 24, or the most that work)")
    plan.add_argument("--peak", type=float, default=312.0, help="TFLOP/s of one in bf16 (A100: 312, H200: 989)")
    plan.add_argument("--mfu", type=float, default=0.40, help="share of the peak that is reached (default: 0.40)")

    show = _command(commands, "show", "show:show", "print a recipe's settings, in full")
    show.add_argument("recipe", nargs="?", help="the recipe, or a .yaml file")
    show.add_argument("--reference", action="store_true", help="print every setting with its default and meaning")
    _settings(show)

    inspect = _command(commands, "inspect", "inspect:inspect", "where a run stands: stages, losses, checkpoints")
    inspect.add_argument("run", type=Path, metavar="RUN", help="the run's folder")
    inspect.add_argument("--plot", type=Path, metavar="PNG", help="where to draw the curves (default: RUN/loss.png)")

    export = _command(commands, "export", "export:export", "a checkpoint as a diffusers folder of safetensors")
    export.add_argument("run", type=Path, metavar="RUN", help="the run's folder")
    export.add_argument("out", type=Path, metavar="OUT", help="the folder to write")
    export.add_argument("--step", type=int, help="which checkpoint (default: the newest)")
    export.add_argument("--raw", action="store_true", help="the parameters themselves, not their moving average")
    export.add_argument("--whole", action="store_true", help="with the encoders: a pipeline that diffusers loads alone")

    convert = _command(
        commands, "convert-sat", "convert:convert_sat", "the authors' checkpoint to a safetensors folder, or back"
    )
    convert.add_argument("source", type=Path, metavar="FILE", help="mp_rank_00_model_states.pt, or our folder")
    convert.add_argument("out", type=Path, metavar="OUT", help="the folder to write (or the .pt file, from a folder)")
    convert.add_argument(
        "--official", action="store_true", help="mark the model to repeat the release's numbers where those are odd"
    )
    for name, about in (
        ("assemble", "a whole pipeline from a transformer's folder and its encoders'"),
        ("sample", "a text, a sound and pictures to a video, or many"),
        ("studio", "a local page to sample with"),
        ("precompute", "latents, text embeddings and audio features of a dataset, once, on Ray"),
        ("evaluate", "score folders of generated videos by the paper's metrics"),
        ("protocol", "the paper's test as jobs to sample"),
    ):
        module = importlib.import_module(f"mtv_train.commands.{name}")  # these import nothing at their top
        module.add_arguments(_command(commands, name, f"{name}:run", about))
    return top


def add_training(command: argparse.ArgumentParser) -> None:
    """Options of `train`, here and in pipelines/train_mtv.py."""
    _recipe(command)
    command.add_argument("--data", metavar="DATASET", help="the dataset: a folder or fsspec URI (or set data.dataset)")
    command.add_argument("--run", type=Path, required=True, metavar="RUN", help="the run's folder; all ranks see it")
    command.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="(default: auto)")
    command.add_argument(
        "--accept-changes", action="store_true", help="go on with a run although settings or the dataset have changed"
    )
    command.add_argument(
        "--skip-empty-stages", action="store_true", help="leave out what the dataset has no clip of, with a notice"
    )
    command.add_argument(
        "--stop-after", type=int, default=0, metavar="N", help="save and end after N steps of this call"
    )


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, call: str, about: str
) -> argparse.ArgumentParser:
    made = commands.add_parser(name, help=about, description=about[0].upper() + about[1:] + ".")
    made.set_defaults(call=call)
    return made


def _recipe(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "recipe", help="tiny, mtv_2b, mtv_5b, without_se, without_si, without_tb, or a .yaml file as `show` prints it"
    )
    _settings(command)


def _settings(command: argparse.ArgumentParser) -> None:
    group = command.add_argument_group("settings")
    group.add_argument("--config", type=Path, metavar="FILE", help="YAML with settings that differ from the recipe")
    group.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="one setting, e.g. optim.lr=1e-5; repeatable"
    )
