"""`mtv_train precompute`: latents, text embeddings and audio features, once, by the builder's engine."""

from __future__ import annotations

import argparse
import sys
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mtv_train.config import TrainSettings
    from mtv_train.data.cached import CachedPart
    from mtv_train.precompute.encode import PartEnd, Precomputation

PARTS: tuple[CachedPart, ...] = ("latents", "text", "audio")

EPILOG = """\
examples:
  python -m mtv_train precompute DATASET --recipe mtv_5b                        all three, into DATASET.cache
  python -m mtv_train precompute DATASET --recipe mtv_5b --dry-run              what would be done, and its size
  python -m mtv_train precompute DATASET --recipe mtv_5b --what text --out CACHE
  python -m mtv_train train mtv_5b --data DATASET --run RUNS/x \\
      --set data.cache=DATASET.cache --set data.cached=[latents,text,audio]

Interrupted, it goes on where it stopped: give the same command again.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog, parser.formatter_class = EPILOG, argparse.RawDescriptionHelpFormatter
    parser.add_argument("dataset", metavar="DATASET", help="a folder or fsspec URI, as for `train`")
    parser.add_argument("--recipe", required=True, help="whose encoders and windows: a recipe's name, or a .yaml file")
    parser.add_argument("--out", metavar="CACHE", help="the cache, which all nodes see (default: DATASET.cache)")
    parser.add_argument(
        "--what", default=",".join(PARTS), metavar="PARTS", help="comma-separated (default: %(default)s)"
    )
    parser.add_argument(
        "--limit", type=int, default=0, metavar="N", help="only N clips, to try it (training wants all)"
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would be done, change nothing")
    parser.add_argument("--retry-failed", action="store_true", help="try again what could not be encoded")
    parser.add_argument("--config", type=Path, metavar="FILE", help="YAML with settings that differ from the recipe")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="one setting of the recipe; repeatable"
    )
    group = parser.add_argument_group("engine")
    group.add_argument("--address", help="Ray cluster to join: auto, host:port, or `local` (default: the one here)")
    group.add_argument("--runner", choices=("ray", "sequential"), default="ray", help="(default: ray)")
    group.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="(default: auto)")
    group.add_argument("--workers", type=int, metavar="N", help="at most so many at a time (default: all that fit)")


def run(args: argparse.Namespace) -> int:
    """Encodes, part by part; returns 1 if more clips failed than training would bear."""
    # Here, so that --help is instant.
    from demix.config import ConfigError
    from demix.engine.runner import EngineSettings, PoolSettings
    from demix.store import Store
    from mtv_train.data.errors import DatasetError
    from mtv_train.data.index import DatasetIndex
    from mtv_train.precompute.encode import Precomputation
    from mtv_train.recipes import load

    parts = chosen_parts(args.what)
    settings = load(args.recipe, args.config, [*args.set, f"data.dataset={args.dataset}"])
    try:
        index = DatasetIndex.open(settings.data)
        notice = index.check()
    except DatasetError as error:
        raise ConfigError(str(error)) from error
    if notice:
        print(notice, file=sys.stderr)
    pools = {part: PoolSettings(max_workers=args.workers) for part in parts if args.workers}
    engine = EngineSettings(runner=args.runner, address=args.address, device=args.device, pools=pools)
    store = Store(args.out or default_cache(args.dataset))
    work = Precomputation(settings, index, store, engine, args.limit)
    for part in parts:
        work.phase(part)  # what cannot be done is said now, and not after hours of the parts before it
    if args.dry_run:
        for part in parts:
            print(plan_line(work, part))
        return 0
    with work.working():
        ends = [work.encode(part, args.retry_failed) for part in parts]
    for end in ends:
        print(end_line(end))
        if end.cut:
            print(
                f"{end.cut} of {end.clips} captions are longer than the text encoder takes "
                f"({settings.model.backbone.max_text_seq_length} tokens); their ends are not read"
            )
        for failure in end.failures[:5]:
            print(f"  {failure['clip']}: {failure['message']}", file=sys.stderr)
    limit = settings.data.loader.max_bad_share
    too_many = [end.part for end in ends if len(end.failures) > limit * end.clips]
    if too_many:
        print(
            f"{', '.join(too_many)}: more clips failed than training bears (data.loader.max_bad_share={limit}); "
            f"{store.root}/quarantine names them; mend them and give the command again with --retry-failed",
            file=sys.stderr,
        )
    return 1 if too_many else 0


def chosen_parts(text: str) -> list[CachedPart]:
    """The parts that `--what` names, in the order of `PARTS`. Raises `ConfigError`."""
    from demix.config import ConfigError

    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names or set(names) - set(PARTS):
        raise ConfigError(f"--what {text}: name some of {', '.join(PARTS)}")
    return [part for part in PARTS if part in names]


def default_cache(dataset: str) -> str:
    """`DATASET.cache`, beside the dataset. Raises `ConfigError` for a pattern, which has no such place."""
    from demix.config import ConfigError

    if "*" in dataset:
        raise ConfigError(f"{dataset} is a pattern: say with --out where the cache shall lie")
    return f"{dataset.rstrip('/')}.cache"


def plan_line(work: Precomputation, part: CachedPart) -> str:
    """What is still to be done of a part."""
    clips, windows = work.pending(part)
    size = (clips if part == "text" else windows) * file_bytes(part, work.settings)
    left = f"{clips} of {work.clips} clips to encode, {windows} windows, about {size / 1e9:.3f} GB"
    return f"{part}: {left if clips else f'{work.clips} clips, nothing to do'}"


def file_bytes(part: CachedPart, settings: TrainSettings) -> int:
    """Of the numbers of one window, or of one text: two bytes each."""
    window, model = settings.data.window, settings.model
    match part:
        case "latents":
            return 2 * 2 * prod(settings.latent_shape)
        case "text":
            return 2 * model.backbone.max_text_seq_length * model.backbone.text_embed_dim
        case "audio":
            frames = window.frames + 2 * window.audio_radius
            return 2 * len(window.tracks) * frames * model.mtv.feature_layers * model.mtv.feature_dim


def end_line(end: PartEnd) -> str:
    """How a part ended."""
    if not end.worked:
        return f"{end.part}: {end.clips} clips, nothing to do"
    return f"{end.part}: {end.clips} clips, {len(end.failures)} failed, {end.files} files, {end.bytes / 1e9:.3f} GB"
