"""`mtv_train convert-sat`."""

from __future__ import annotations

import argparse

from demix.config import ConfigError
from mtv_train.convert.files import REPORT, export_sat
from mtv_train.convert.files import convert_sat as from_file
from mtv_train.convert.sat import ConversionError


def convert_sat(args: argparse.Namespace) -> int:
    """The authors' file to our folder, or our folder to such a file."""
    if not args.source.exists():
        raise ConfigError(f"{args.source}: there is no such file or folder")
    try:
        if args.source.is_dir():
            report = export_sat(args.source, args.out)
            print(report.text())
        else:
            report = from_file(args.source, args.out, official=args.official)
            print(f"{args.out}: written; {args.out / REPORT} says what became of every key")
    except (ConversionError, FileExistsError) as error:
        raise ConfigError(str(error)) from error
    return 0
