"""`mtv_train export`."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from demix.config import ConfigError
from mtv_train.train.export import export as write


def export(args: argparse.Namespace) -> int:
    """A checkpoint as a diffusers folder."""
    if not args.whole:
        step, averaged = write(args.run, args.out, args.step, raw=args.raw)
    else:
        from mtv_train.sample.model_folder import write_whole

        if args.out.exists():
            raise ConfigError(f"{args.out}: exists already; name a new folder")
        args.out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=args.out.parent, prefix=f".{args.out.name}.") as folder:
            step, averaged = write(args.run, Path(folder) / "export", args.step, raw=args.raw)
            write_whole(Path(folder) / "export", args.out)
    print(f"{args.out}: the transformer of step {step}{', its moving average' if averaged else ''}")
    return 0
