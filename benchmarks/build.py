"""A whole `lite` build: hours of film per hour on this machine, and the share of time outside the stages' own work.

    python -m benchmarks.build [--few 1] [--many 3] [--media FOLDER] [--write]

Two corpora are built, of `--few` and of `--many` films (or of the films of a folder, and twice as many copies of them,
each with other bytes at its end). What both have in common is the start-up: Ray, the workers, loading the models. The
difference tells what more film costs, however long the films are.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from demix.dataset import layout
from demix.dataset.schema import read_rows
from tests.films.demo import FEATURE, SIZE
from tests.films.film import make_film

RESULT = Path(__file__).parent / "results/build.md"
PHASES = ("sources", "index", "annotate")


@dataclass(frozen=True)
class Measured:
    """One build. `walls` and `works`: seconds by phase; works are summed over workers."""

    film_seconds: float
    clips: int
    wall: float
    walls: dict[str, float]
    works: dict[str, float]
    stages: dict[str, float]


def build(films: Path, folder: Path) -> Measured:
    """Builds a dataset of all films below `films`, from nothing."""
    output = folder / f"{films.name}-dataset"
    command = [sys.executable, "-m", "demix.cli", "build", str(films), "--output", str(output), "--address", "local"]
    began = time.perf_counter()
    subprocess.run([*command, "--keep-work"], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wall = time.perf_counter() - began
    timings = json.loads((output / ".work" / "timings.json").read_text())
    sources = list(read_rows(output / layout.SOURCES, "sources"))
    return Measured(
        film_seconds=sum(row["seconds"] or 0.0 for row in sources),
        clips=sum(row["clips"] for row in sources),
        wall=wall,
        walls={row["phase"]: row["wall_seconds"] for row in timings},
        works={name: sum(row["seconds"] for row in timings if row["phase"] == name) for name in PHASES},
        stages={row["stage"]: row["seconds"] for row in timings},
    )


def report(few: Measured, many: Measured, workers: int) -> str:
    """What was measured, as Markdown."""
    film, wall = many.film_seconds - few.film_seconds, many.wall - few.wall
    lines = [
        "# Whole `lite` build",
        "",
        f"`python -m benchmarks.build`, {workers} cores. Films of {few.film_seconds:.0f} s and of "
        f"{many.film_seconds:.0f} s in all ({few.clips} and {many.clips} clips).",
        "",
        f"- From nothing to the report: {few.wall:.0f} s and {many.wall:.0f} s, "
        f"{many.film_seconds / many.wall:.2f} hours of film per hour, start-up included.",
        f"- Each further hour of film: {film / wall:.2f} hours of film per hour.",
        "",
        "| phase | s for the few | s for the many | outside stages, all | outside stages, of the difference |",
        "|---|---|---|---|---|",
    ]
    for name in PHASES:
        a, b = few.walls.get(name, 0.0), many.walls.get(name, 0.0)
        more, work = workers * (b - a), many.works[name] - few.works[name]
        whole = 1 - many.works[name] / (workers * b)
        lines.append(f"| {name} | {a:.1f} | {b:.1f} | {whole:.0%} | {1 - work / more:.0%} |")
    total = workers * sum(many.walls.get(name, 0.0) - few.walls.get(name, 0.0) for name in PHASES)
    work = sum(many.works.values()) - sum(few.works.values())
    lines += [
        f"| together | | | | {1 - work / total:.0%} |",
        "",
        "Outside stages: share of the workers' time in which no stage was at work: the engine, waiting, start-up.",
        "",
        "| stage | s of work per minute of film |",
        "|---|---|",
        *(f"| {name} | {60 * seconds / many.film_seconds:.2f} |" for name, seconds in many.stages.items()),
        "",
    ]
    return "\n".join(lines)


def corpora(folder: Path, few: int, many: int, media: Path | None) -> tuple[Path, Path]:
    """Two folders of films, the first ones in both."""
    small, large = folder / "few", folder / "many"
    small.mkdir()
    large.mkdir()
    if media is None:
        for number in range(many):
            make_film(large / f"film{number}.mp4", FEATURE, size=SIZE, ends_in_black=1.0, seed=100 + number)
        for number in range(few):
            os.link(large / f"film{number}.mp4", small / f"film{number}.mp4")
        return small, large
    for path in sorted(path for path in media.iterdir() if path.is_file()):
        shutil.copy(path, small / path.name)
        shutil.copy(path, large / path.name)
        twin = large / f"again {path.name}"
        twin.write_bytes(path.read_bytes() + bytes(8))
    return small, large


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--few", type=int, default=1, help="films of the small corpus (default 1)")
    parser.add_argument("--many", type=int, default=3, help="films of the large corpus (default 3)")
    parser.add_argument("--media", type=Path, help="folder of films to build from instead of generated ones")
    parser.add_argument("--write", action="store_true", help=f"write {RESULT.name}")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        small, large = corpora(Path(folder), options.few, options.many, options.media)
        text = report(build(small, Path(folder)), build(large, Path(folder)), os.cpu_count() or 1)
    print(text)
    if options.write:
        RESULT.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
