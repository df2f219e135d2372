"""`mtv_train protocol`: the paper's test as jobs for `mtv_train sample --jobs`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dataset", metavar="DATASET", help="the dataset: a folder or fsspec URI")
    parser.add_argument("--count", type=int, default=50, help="clips of the test split (default: 50, as the paper)")
    parser.add_argument("--seed", type=int, default=0, help="which ones, and the sampler's seeds (default: 0)")
    parser.add_argument("--frames", type=int, default=49, help="of the videos to sample (default: 49)")
    parser.add_argument("--fps", type=float, default=24.0, help="of the videos to sample (default: 24)")
    parser.add_argument(
        "--media",
        type=Path,
        default=Path("protocol"),
        metavar="DIR",
        help="where the clips' tracks are written (default: protocol)",
    )


def run(args: argparse.Namespace) -> int:
    """Prints one job a line, and writes the sound that they name."""
    from demix.config import ConfigError
    from demix.dataset.reader import Dataset
    from mtv_train.evaluate.protocol import draw, jobs

    if args.count < 1 or args.frames < 1 or args.fps <= 0:
        raise ConfigError("--count, --frames and --fps have to be above 0")
    dataset = Dataset(args.dataset)
    seconds = args.frames / args.fps
    clips = draw(dataset, args.count, args.seed, seconds)
    for job in jobs(dataset, clips, args.media, args.seed, seconds):
        print(job.line(), flush=True)
    print(f"{len(clips)} jobs; their sound is in {args.media}", file=sys.stderr)
    return 0
