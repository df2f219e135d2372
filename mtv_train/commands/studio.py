"""`mtv_train studio`: a page on this machine to sample with."""

from __future__ import annotations

import argparse
from pathlib import Path

from mtv_train.commands.sample import add_place, place_of

EPILOG = """\
Needs the package gradio: pip install 'demix-dataset[studio]'. The page is reached from this machine alone; from another
one, through ssh: ssh -L 7860:127.0.0.1:7860 HOST. Every video that is made stays in OUT, with its sidecar.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog, parser.formatter_class = EPILOG, argparse.RawDescriptionHelpFormatter
    parser.add_argument("model", type=Path, metavar="MODEL", help="the model's folder")
    parser.add_argument("--out", type=Path, default=Path("studio"), metavar="OUT", help="(default: studio)")
    parser.add_argument("--port", type=int, default=7860, help="(default: 7860)")
    add_place(parser)


def run(args: argparse.Namespace) -> int:
    """Serves the page until it is interrupted."""
    from demix.models.missing import MissingPackage

    try:
        from mtv_train.sample.studio import Studio
    except ModuleNotFoundError as error:
        if error.name != "gradio":
            raise
        raise MissingPackage("studio", "gradio", "studio") from error
    studio = Studio(place_of(args).load(args.model), args.out)
    studio.serve(args.port)
    return 0
