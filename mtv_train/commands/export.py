"""`mtv_train export`."""

from __future__ import annotations

import argparse

from mtv_train.train.export import export as write


def export(args: argparse.Namespace) -> int:
    """A checkpoint as a diffusers folder."""
    step, averaged = write(args.run, args.out, args.step, raw=args.raw)
    print(f"{args.out}: the transformer of step {step}{', its moving average' if averaged else ''}")
    return 0
