"""`index` against the command `scenedetect detect-adaptive`: CPU time, equal cuts, recall and precision against truth.

    python benchmarks/index.py [--films N] [--shots N] [--height N] [--runs N] [--only NAME ...] [--media FOLDER]
                               [--work FOLDER] [--output FILE]

Every film is made here (benchmarks/index_films.py) and encoded in ten ways; a folder of other films can be added.
CPU time is user and system time of the processes and all their children; each film is timed `--runs` times by all
contestants in turn, and the median counts. Where others share the processors, times are half as long again from one
minute to the next, so the least times are compared too. The time that a contestant needs for a film of three frames is
its start-up, by the same rule: it is listed once and taken off, so that short films tell what long ones cost.
"""

from __future__ import annotations

import argparse
import csv
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from importlib.metadata import version
from pathlib import Path

from index_films import ENCODINGS, Film, Transition, encode, film

from demix.media.limits import MediaLimits
from demix.media.probe import probe
from demix.media.scan import ScanSettings, scan
from demix.models.shots import Boundaries
from demix.models.shots.adaptive import AdaptiveShots
from demix.models.shots.settings import AdaptiveSettings, GradualSettings, StructureSettings
from demix.records import VideoStream
from demix.stages.shots import ShotsSettings, shots_between

COMMAND_GAP = 0.6
"""Seconds that the command keeps between two cuts; both take it here, so that their cuts can be equal."""


@dataclass
class Case:
    """One file and what is known of it."""

    name: str
    path: Path
    truth: tuple[Transition, ...] | None
    seconds: dict[str, list[float]] = field(default_factory=dict)
    found: dict[str, Boundaries] = field(default_factory=dict)


def command(path: Path) -> Boundaries:
    """What the command finds; its table counts frames from 1."""
    with tempfile.TemporaryDirectory() as folder:
        arguments = [
            "-i",
            str(path),
            "-o",
            folder,
            "-q",
            "detect-adaptive",
            "list-scenes",
            "-q",
            "-s",
            "-f",
            "cuts.csv",
        ]
        subprocess.run([sys.executable, "-m", "scenedetect", *arguments], check=True, stdout=subprocess.DEVNULL)
        with open(Path(folder) / "cuts.csv", newline="") as file:
            rows = list(csv.DictReader(file))
    cuts = tuple(int(row["Start Frame"]) - 1 for row in rows[1:])
    return Boundaries(frames=int(rows[-1]["End Frame"]), pts=(), cuts=cuts, graduals=())


def exact(path: Path) -> Boundaries:
    """The same detector on our decode, without our second opinions: only the decode differs."""
    return _detect(path, ScanSettings(path="exact"), AdaptiveSettings(min_scene_seconds=COMMAND_GAP), False)


def fast(path: Path) -> Boundaries:
    """The same on the fast path."""
    return _detect(path, ScanSettings(path="fast"), AdaptiveSettings(min_scene_seconds=COMMAND_GAP), False)


def index(path: Path) -> Boundaries:
    """The stage as it is by default."""
    return _detect(path, ScanSettings(), AdaptiveSettings(), True)


def _detect(path: Path, decode: ScanSettings, adaptive: AdaptiveSettings, opinions: bool) -> Boundaries:
    video = VIDEO[path]
    model = AdaptiveShots(adaptive, StructureSettings(enabled=opinions), GradualSettings(enabled=opinions))
    frames = scan(path, video, decode, MediaLimits())
    return model.detect(frames, float(Fraction(video.average_rate)))


CONTESTANTS: dict[str, Callable[[Path], Boundaries]] = {
    "command": command,
    "exact": exact,
    "fast": fast,
    "index": index,
}
VIDEO: dict[Path, VideoStream] = {}
"""Probed beforehand: the command does not probe either."""
KINDS = ("cut", "dissolve", "fade")
FILM_SUFFIXES = (".mp4", ".mkv", ".webm", ".mov", ".avi", ".ts", ".mpg")


def cpu_seconds(function: Callable[[Path], Boundaries], path: Path) -> tuple[Boundaries, float]:
    """What `function` finds, and the CPU time of this process and its finished children meanwhile."""
    before = _used()
    found = function(path)
    return found, _used() - before


def _used() -> float:
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def run(cases: Sequence[Case], runs: int, names: Sequence[str]) -> None:
    for case in cases:
        VIDEO[case.path] = probe(case.path, MediaLimits()).video
        for _ in range(runs):
            for name in names:
                found, seconds = cpu_seconds(CONTESTANTS[name], case.path)
                case.found[name] = found
                case.seconds.setdefault(name, []).append(seconds)
        print(case.name, {name: round(statistics.median(times), 2) for name, times in case.seconds.items()}, flush=True)


# --- scores ----------------------------------------------------------------------------------------------------------


def matched(truth: Sequence[Transition], found: Boundaries, kind: str) -> tuple[int, int]:
    """Of the transitions of one kind: how many were found, how many there are. A cut must be exact; of a fade or
    dissolve any part must have been found, a frame beside it counts."""
    wanted = [one for one in truth if one.kind == kind]
    slack = 0 if kind == "cut" else 1
    return sum(any(_touches(one, spot, slack) for spot in _spots(found)) for one in wanted), len(wanted)


def false_finds(truth: Sequence[Transition], found: Boundaries) -> tuple[int, int]:
    """How much of what was found is at no transition of any kind, and how much was found."""
    spots = _spots(found)
    return sum(not any(_touches(one, spot, 1) for one in truth) for spot in spots), len(spots)


def _spots(found: Boundaries) -> list[tuple[int, int]]:
    return [(cut, cut) for cut in found.cuts] + list(found.graduals)


def _touches(one: Transition, spot: tuple[int, int], slack: int) -> bool:
    return spot[0] <= max(one.first, one.last) + slack and spot[1] >= one.first - slack


def mixed_clips(truth: Sequence[Transition], found: Boundaries, trim_frames: int) -> tuple[int, int]:
    """Clips of at least 49 frames that hold frames of two shots, and all such clips, cut at what was found."""
    settings = ShotsSettings(trim_frames=trim_frames, max_seconds=1e6)
    counted = replace(found, pts=tuple(range(found.frames)))
    spans = [(shot.start_pts, shot.end_pts) for shot in shots_between(counted, found.frames, Fraction(1), settings)]
    spans = [(first, end) for first, end in spans if end - first >= 49]
    return sum(any(_mixes(span, one) for one in truth) for span in spans), len(spans)


def _mixes(span: tuple[int, int], one: Transition) -> bool:
    if one.kind == "cut":
        return span[0] < one.first < span[1]
    return span[0] <= one.last and span[1] > one.first


# --- the written result ----------------------------------------------------------------------------------------------


def report(cases: Sequence[Case], start: Case, arguments: argparse.Namespace) -> str:
    versions = ", ".join(f"{name} {version(name)}" for name in ("scenedetect-headless", "av", "numpy"))
    lines = [
        "# Benchmark: index",
        "",
        f"`python benchmarks/index.py --films {arguments.films} --shots {arguments.shots} "
        f"--height {arguments.height} --runs {arguments.runs}" + (" --media ..." if arguments.media else "") + "`",
        "",
        f"{platform.machine()}, {os.cpu_count()} cores (load {os.getloadavg()[0]:.1f} at the end), Python "
        f"{platform.python_version()}, {versions}. How time is taken is said in the script.",
        "",
        "## CPU time",
        "",
        "`exact` and `fast`: the same detector on our two decodes. `index`: the stage by default, which adds fades,",
        "dissolves and structure.",
        "Start-up, taken off below: "
        + ", ".join(f"{name} {statistics.median(times):.2f} s" for name, times in start.seconds.items())
        + ".",
        "",
        "| film | frames | command, ms a frame | exact | fast | index | exact's cuts | fast's cuts |",
        "|---|---|---|---|---|---|---|---|",
    ]
    lines += [_cost_row(case, start, statistics.median) for case in cases]
    head = lines[-len(cases) - 2 : -len(cases)]
    lines += ["", *_shares(cases, start)]
    lines += ["", f"The least of {arguments.runs} times each:", "", *head]
    lines += [_cost_row(case, start, min) for case in cases]
    known = [case for case in cases if case.truth is not None]
    lines += ["", *_truth_table(known), ""]
    return "\n".join(lines)


def _net(case: Case, start: Case, of: Callable[[list[float]], float]) -> dict[str, float]:
    """CPU seconds of each contestant without its start-up."""
    return {name: max(of(times) - of(start.seconds[name]), 1e-3) for name, times in case.seconds.items()}


def _shares(cases: Sequence[Case], start: Case) -> list[str]:
    """Shares of the command's time: of the film in the middle, and of all films' time together."""
    net = [_net(case, start, statistics.median) for case in cases]
    shares = {name: statistics.median(one[name] / one["command"] for one in net) for name in start.seconds}
    total = {name: sum(one[name] for one in net) / sum(one["command"] for one in net) for name in start.seconds}
    return [
        f"In the middle of {len(cases)} films: " + ", ".join(f"{name} {share:.2f}" for name, share in shares.items()),
        "All their time together: " + ", ".join(f"{name} {share:.2f}" for name, share in total.items()),
    ]


def _cost_row(case: Case, start: Case, of: Callable[[list[float]], float]) -> str:
    net = _net(case, start, of)
    frames = case.found["command"].frames
    cells = (
        case.name,
        frames,
        f"{1000 * net['command'] / frames:.2f}",
        *(f"{net[name] / net['command']:.2f}" if name in net else "" for name in ("exact", "fast", "index")),
        _difference(case.found["command"], case.found.get("exact")),
        _difference(case.found.get("exact"), case.found.get("fast")),
    )
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def _difference(wanted: Boundaries | None, found: Boundaries | None) -> str:
    if wanted is None or found is None:
        return ""
    missing, more = sorted(set(wanted.cuts) - set(found.cuts)), sorted(set(found.cuts) - set(wanted.cuts))
    return f"missing {missing}, more {more}" if missing or more else f"equal ({len(found.cuts)})"


def _truth_table(cases: Sequence[Case]) -> list[str]:
    lines = [
        "## Against the truth",
        "",
        f"{len(cases)} encodings of generated films: moving photographs, with whip pans, shaking cameras, lamps,",
        "titles and passing objects as bait. A hard cut counts if it is frame-exact, a fade or dissolve if any part of",
        "it was found.",
        "`mixed clips` hold frames of two shots, of all clips of 49 frames or more, one frame trimmed at each end.",
        "",
        "| contestant | hard cuts | dissolves | fades | false finds | mixed clips |",
        "|---|---|---|---|---|---|",
    ]
    for name in cases[0].found if cases else ():
        cells = [_total(matched(case.truth or (), case.found[name], kind) for case in cases) for kind in KINDS]
        cells.append(_total(false_finds(case.truth or (), case.found[name]) for case in cases))
        cells.append(_total(mixed_clips(case.truth or (), case.found[name], 1) for case in cases))
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return lines


def _total(pairs: Iterable[tuple[int, int]]) -> str:
    known = list(pairs)
    part, whole = sum(pair[0] for pair in known), sum(pair[1] for pair in known)
    return f"{part} of {whole} ({part / whole:.3f})" if whole else "none"


# --- what a person runs ----------------------------------------------------------------------------------------------


def make_cases(arguments: argparse.Namespace, folder: Path) -> list[Case]:
    cases = []
    for seed in range(arguments.films):
        movie = film(seed + 1, arguments.shots, (arguments.height * 16 // 9, arguments.height))
        for encoding in ENCODINGS:
            name = "".join(letter if letter.isalnum() else "_" for letter in f"{seed} {arguments.height}p {encoding}")
            path = encode(movie, folder / name, encoding)
            cases.append(Case(f"film {seed}, {encoding}", path, movie.transitions))
            print("have", path.name, flush=True)
    media = sorted(arguments.media.rglob("*")) if arguments.media else []
    return cases + [Case(path.name, path, None) for path in media if path.suffix in FILM_SUFFIXES]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--films", type=int, default=1, help="films to make, each in every encoding")
    parser.add_argument("--shots", type=int, default=14, help="shots of each, about 3 s long")
    parser.add_argument("--height", type=int, default=720, help="lines of their pictures, of 16:9")
    parser.add_argument("--runs", type=int, default=3, help="times each film is timed")
    parser.add_argument("--only", nargs="+", choices=tuple(CONTESTANTS), help="beside the command; default: all")
    parser.add_argument("--media", type=Path, help="folder of other films to compare CPU time and cuts on")
    parser.add_argument("--work", type=Path, help="folder to keep the films in (default: a temporary one)")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "index.md")
    arguments = parser.parse_args()
    names = [name for name in CONTESTANTS if name == "command" or name in (arguments.only or CONTESTANTS)]
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.work or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        tiny = Film(3, (), film(1, 1).shots, (64, 36))
        start = Case("start-up", encode(tiny, folder / "startup", "x264"), None)
        run([start], max(7, arguments.runs), names)
        cases = make_cases(arguments, folder)
        run(cases, arguments.runs, names)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(report(cases, start, arguments), encoding="utf-8")
    print(arguments.output.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
