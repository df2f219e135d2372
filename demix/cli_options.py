"""Groups of options that several commands have. Parsing only, as in `demix.cli`."""

from __future__ import annotations

import argparse
from pathlib import Path


def place(text: str) -> str:
    """The type of an argument that names a folder or an address that fsspec opens (`s3://…`)."""
    return text


def path(text: str) -> Path:
    """The type of an argument that names a file or folder of this machine."""
    if "://" in text:
        address = text.partition("://")[0]
        raise argparse.ArgumentTypeError(f"give a path of this machine: no {address}:// address can be used here")
    return Path(text)


def sources(command: argparse.ArgumentParser, required: bool = True) -> None:
    """What to build from."""
    group = command.add_argument_group("sources")
    group.add_argument(
        "sources",
        type=place,
        nargs="+" if required else "*",
        metavar="FILMS",
        help="files, folders, fsspec URIs, or manifests (.csv, .jsonl, .parquet with the columns uri, kind)",
    )
    group.add_argument(
        "--kind",
        choices=("cinematic", "talking_head", "web"),
        help="what the sources are, where a manifest does not say (default: cinematic)",
    )
    group.add_argument("--limit", type=int, metavar="N", help="only the first N sources: to try things out")


def costs(command: argparse.ArgumentParser) -> None:
    """What a sum of costs is made for."""
    group = command.add_argument_group("costs, instead of a dataset's own plan")
    group.add_argument(
        "--hours", type=float, nargs="?", const=13_891.0, metavar="H", help="of raw film (default: the paper's 13,891)"
    )
    group.add_argument("--gpus", type=int, metavar="N", help="of the cluster (default 8)")
    group.add_argument("--cpus", type=int, metavar="N", help="processor cores of the cluster (default 64)")
    group.add_argument("--gpu-speed", type=float, metavar="X", help="of one GPU, an H200 being 1 (default 1)")
    group.add_argument(
        "--clip-share",
        type=float,
        metavar="SHARE",
        help="of the film that reaches every stage (default 1)",
    )


def output(command: argparse.ArgumentParser, required: bool = True) -> None:
    """Where the dataset and the work store are."""
    group = command.add_argument_group("places")
    group.add_argument(
        "--output",
        "-o",
        type=place,
        required=required,
        metavar="DATASET",
        help="the dataset: a folder, or an address (s3://…)",
    )
    group.add_argument(
        "--work", type=place, help="work store: a folder that every node sees, or an address (default: DATASET/.work)"
    )


def settings(command: argparse.ArgumentParser, saved: bool = False) -> None:
    """How to build. With `saved`, the settings of the last build are where they start."""
    group = command.add_argument_group("settings")
    last = "those of the last build" if saved else "lite"
    group.add_argument("--profile", help=f"models and thresholds (default: {last})")
    group.add_argument("--config", type=path, metavar="FILE", help="YAML with settings that differ from the profile")
    group.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="one setting, e.g. shots.max_seconds=12; repeatable",
    )
    group.add_argument(
        "--speaker-tracks",
        action="store_true",
        help="also write the speech of clips with two speakers once for each of them",
    )


def running(command: argparse.ArgumentParser) -> None:
    """How the work is distributed."""
    group = command.add_argument_group("running")
    group.add_argument(
        "--runner", choices=("auto", "ray", "sequential"), help="sequential: all in this process (default: auto)"
    )
    group.add_argument("--address", help="Ray cluster to join (default: the one here, else a local one)")
    group.add_argument("--retry-failed", action="store_true", help="try quarantined items again")
