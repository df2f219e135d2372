"""Runs one converter on one file, in the process that `demix weights convert` starts for it.

python -m demix.weights.conversion MODULE:FUNCTION FILE          prints the file that it wrote
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path


def main(converter: str, path: str) -> None:
    module, _, function = converter.partition(":")
    print(getattr(importlib.import_module(module), function)(Path(path)))


if __name__ == "__main__":
    main(*sys.argv[1:])
