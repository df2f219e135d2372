"""Black bars: `python -m benchmarks.bars --media FOLDER [--write] [--only NAME ...]`

Makes films with known bars out of the recordings below FOLDER (benchmarks/bars_films.py), and counts the shots whose
bars are found within 2 pixels on all four sides, and what is cropped of films that have none.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np

from benchmarks.bars_films import Case, Sides, bare, barred, changing, single, write
from demix.media.bars import NO_LOOKS, bars_of
from demix.media.limits import MediaLimits
from demix.media.probe import probe
from demix.media.scan import ScanSettings, scan
from demix.records import Bars

RESULT = Path(__file__).parent / "results" / "bars.md"
GROUPS = {
    "the same bars throughout": barred,
    "bars that change": changing,
    "films of one shot": single,
    "no bars": bare,
}
WITHIN = 2
"""Pixels."""


def found(case: Case, media: Path, folder: Path) -> list[Sides]:
    """The bars of every shot."""
    path = write(case, media, folder / "film")
    return [bars.sides for bars in found_in(path, case.spans)]


def found_in(path: Path, spans: Sequence[tuple[int, int]]) -> list[Bars]:
    """The bars of the shots of a film, which are spans of its frames."""
    video = probe(path, MediaLimits()).video
    looks = [NO_LOOKS]
    for _ in scan(path, video, ScanSettings(), MediaLimits(), looks=looks):
        pass
    tick = 1 / (Fraction(video.average_rate) * Fraction(video.time_base))
    timed = [(video.start_pts + round(first * tick), video.start_pts + round(end * tick)) for first, end in spans]
    return bars_of(np.concatenate(looks), timed, video)


def is_right(truth: Sides, seen: Sides) -> bool:
    """Whether all sides are within `WITHIN`; where there is no bar, there is none."""
    return all(abs(a - b) <= (WITHIN if a else 0) for a, b in zip(truth, seen, strict=True))


def measure(cases: Sequence[Case], media: Path) -> dict[str, list[tuple[Sides, Sides]]]:
    """Name of a film -> truth and what was found, of each shot."""
    results = {}
    for case in cases:
        with tempfile.TemporaryDirectory() as folder:
            seen = found(case, media, Path(folder))
        results[case.name] = list(zip([shot.bars for shot in case.shots], seen, strict=True))
        wrong = [pair for pair in results[case.name] if not is_right(*pair)]
        print(f"{case.name}: {len(case.shots) - len(wrong)} of {len(case.shots)}", *wrong[:3], flush=True)
    return results


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--media", type=Path, required=True, help="folder of the recordings")
    parser.add_argument("--only", nargs="*", default=[], help="films whose names hold one of these")
    parser.add_argument("--write", action="store_true", help=f"write {RESULT.name}")
    options = parser.parse_args()
    lines = [
        "# Benchmark: black bars", "", "`python -m benchmarks.bars --media ... --write`", "",
        "Films made of real recordings with bars painted around them. A shot is right where all four sides are within",
        f"{WITHIN} pixels of the truth; a side without a bar must have none.", "",
        "| films | shots | right | share | cropped where there is no bar |", "|---|---|---|---|---|",
    ]  # fmt: skip
    misses = []
    for group, make in GROUPS.items():
        cases = [case for case in make() if not options.only or any(word in case.name for word in options.only)]
        results = measure(cases, options.media)
        pairs = [pair for pairs in results.values() for pair in pairs]
        right = sum(is_right(*pair) for pair in pairs)
        false = sum(any(found and not true for true, found in zip(*pair, strict=True)) for pair in pairs)
        lines.append(
            f"| {group} ({len(cases)}) | {len(pairs)} | {right} | {right / max(1, len(pairs)):.1%} | {false} |"
        )
        for name, shots in results.items():
            wrong = [pair for pair in shots if not is_right(*pair)]
            if wrong:
                misses.append(f"| {name} | {len(wrong)} of {len(shots)} | {wrong[0][0]} | {wrong[0][1]} |")
    if misses:
        lines += [
            "",
            "What is missed:",
            "",
            "| film | shots | truth: left, top, right, bottom | found |",
            "|---|---|---|---|",
        ]
        lines += misses
    text = "\n".join(lines) + "\n"
    print(text)
    if options.write:
        RESULT.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
