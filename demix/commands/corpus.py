"""`demix corpus` and `demix download`: published corpora and lists of web videos as manifests of sources."""

from __future__ import annotations

import argparse
import sys

from demix.config import ConfigError
from demix.engine.progress import meter
from demix.sources.corpus import CORPORA, match, write
from demix.sources.youtube import DownloadSettings, Outcome, download, wanted


def corpus(args: argparse.Namespace) -> int:
    """Writes the manifest of what is on disk, and the list of what is missing; 1 if nothing is there."""
    if not args.media.is_dir():
        raise ConfigError(f"{args.media}: no such folder; give the one that holds the corpus' media to --media")
    chosen = CORPORA[args.name]
    found = match(chosen, chosen.entries(args.metadata), args.media)
    missing = write(found, args.output)
    print(f"{chosen.name} ({chosen.licence})")
    print(f"{found.found} of {found.found + len(found.missing)} entries are here, in {len(found.sources)} files")
    if found.missing:
        print(f"{len(found.missing)} are not: {missing}")
    print(f"go on with `demix build {args.output} --output DATASET`")
    return 0 if found.sources else 1


def bring(args: argparse.Namespace) -> int:
    """Downloads the videos of a list; 1 if any could not be had."""
    addresses = wanted(args.list)
    settings = DownloadSettings(height=args.height, rate=args.rate, sleep_seconds=args.sleep)
    failed = 0
    with meter("download", len(addresses), "videos") as progress:

        def on_done(outcome: Outcome) -> None:
            nonlocal failed
            failed += bool(outcome.error)
            if outcome.error:
                print(f"{outcome.url}: {outcome.error}", file=sys.stderr)
            progress.advance()

        download(addresses, args.media, settings, on_done)
    print(f"{len(addresses) - failed} of {len(addresses)} videos are in {args.media}")
    print(f"go on with `demix corpus web {args.list} --media {args.media} --output web.jsonl`")
    return 1 if failed else 0
