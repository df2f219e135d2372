"""Every benchmark, one after the other, or those that are named: `python -m benchmarks [NAME...]`, `--list`.

Each writes what it saw into benchmarks/results/. Close other programs first; the whole takes about an hour.
Not among them, since they need a GPU and some minutes of it: `backends_gpu`, `training_step`, `sampling_full`,
`next_speed`; since they need a folder of recordings: `bars`, `demix_check`; and `backends_captioners` and `wall`, which
take long.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time

BENCHMARKS: dict[str, tuple[str, ...]] = {
    "index": ("benchmarks/index.py",),
    "sync": ("-m", "benchmarks.sync", "--write"),
    "build": ("-m", "benchmarks.build", "--write"),
    "engine": ("-m", "benchmarks.engine", "--write"),
    "demixing": ("-m", "benchmarks.demixing", "--write"),
    "backends_sound": ("-m", "benchmarks.backends_sound", "--write"),
    "backends_vision": ("-m", "benchmarks.backends_vision", "--write"),
    "retag": ("-m", "benchmarks.retag", "--write"),
    "costs": ("-m", "benchmarks.costs", "--write"),
    "placement": ("-m", "benchmarks.placement", "--write"),
    "driver_memory": ("-m", "benchmarks.driver_memory", "--write"),
    "plan_shards": ("benchmarks/plan_shards.py",),
    "mtv_block": ("-m", "benchmarks.mtv_block", "--write"),
    "loader": ("-m", "benchmarks.loader", "--write"),
    "sampling": ("-m", "benchmarks.sampling", "--write"),
    "long_memory": ("-m", "benchmarks.long_memory", "--write"),
    "metrics": ("-m", "benchmarks.metrics", "--write"),
}
"""name -> arguments of python."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)}; default: all")
    parser.add_argument("--list", action="store_true", help="print the names")
    options = parser.parse_args()
    if options.list:
        print("\n".join(BENCHMARKS))
        return 0
    if unknown := [name for name in options.names if name not in BENCHMARKS]:
        parser.error(f"no benchmark {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}")
    failed = []
    names = options.names or list(BENCHMARKS)
    for number, name in enumerate(names, start=1):
        print(f"[{number}/{len(names)}] {name}", file=sys.stderr, flush=True)
        began = time.monotonic()
        if subprocess.run([sys.executable, *BENCHMARKS[name]], check=False).returncode:
            failed.append(name)
        print(f"[{number}/{len(names)}] {name}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
