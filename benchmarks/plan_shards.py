"""Time and memory of planning: `python benchmarks/plan_shards.py [clips]` (default 1,000,000)."""

from __future__ import annotations

import random
import resource
import sys
import time

from demix.dataset.plan import Entry, PackSettings, plan_shards
from demix.records import SUBSETS


def entries(count: int) -> list[Entry]:
    """Clips of 3 MB each, 100 a source, in no order."""
    draw = random.Random(0)
    signatures = ["+".join(draw.sample(SUBSETS, 1)) for _ in range(8)]
    return [
        Entry(f"{draw.getrandbits(64):016x}", f"{number // 100:016x}", draw.choice(signatures), 3_000_000, "0" * 32)
        for number in range(count)
    ]


def main() -> None:
    rows = entries(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.process_time()
    shards = plan_shards(rows, PackSettings())
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"{len(rows):,} clips into {len(shards):,} shards: {time.process_time() - began:.1f} s CPU")
    print(f"peak memory {after / 1024:.0f} MB, of which the entries themselves {before / 1024:.0f} MB")


if __name__ == "__main__":
    main()
