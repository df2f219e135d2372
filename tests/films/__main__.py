"""`python -m tests.films demo FOLDER`: the sample films of `make demo`, with their truth."""

from __future__ import annotations

import argparse
from pathlib import Path

from tests.films.demo import make_demo


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.films", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    demo = commands.add_parser("demo", help="sample films, truth.json and sources.csv")
    demo.add_argument("folder", type=Path)
    for film in make_demo(parser.parse_args().folder):
        print(f"{film.name}: {film.frames} frames, {film.frame_seconds[-1]:.1f} s, {len(film.shots)} shots")


if __name__ == "__main__":
    main()
