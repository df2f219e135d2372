"""`mtv_train export`."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from mtv_train.train.export import RECIPE
from mtv_train.train.export import export as write


def export(args: argparse.Namespace) -> int:
    """A checkpoint as a diffusers folder."""
    if not args.whole:
        exported = write(args.run, args.out, args.step, raw=args.raw)
    else:
        from mtv_train.sample.model_folder import check_new, load_pipeline, save_whole

        check_new(args.out)
        args.out.parent.mkdir(parents=True, exist_ok=True)
        # Beside the result: gigabytes, for which /tmp may be too small.
        with tempfile.TemporaryDirectory(dir=args.out.parent, prefix=f".{args.out.name}.") as folder:
            aside = Path(folder) / "export"
            exported = write(args.run, aside, args.step, raw=args.raw)
            # What the export knows of its training comes along.
            save_whole(load_pipeline(aside), args.out, aside / RECIPE)
    print(f"{args.out}: the transformer of step {exported.step}{', its moving average' if exported.averaged else ''}")
    if exported.warning:
        print(f"note: {exported.warning}", file=sys.stderr)
    return 0
