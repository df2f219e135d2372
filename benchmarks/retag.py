"""Judging a finished dataset again: how long `demix build` takes when nothing but thresholds have changed.

    python -m benchmarks.retag [--clips 10000] [--write]

The dataset is made up: records of about the size of real ones (clips of 5 s, up to three faces), media of a few bytes.
So what is measured is judging, shards of next to nothing, manifests and report, and not the copying of media, which
takes as long as the disks need for it. It is processor time: disks and a busy machine are no part of the question. Each
move is `demix annotate`, which judges, and then `demix build`, which writes what follows from it. A stage that measures
is not allowed to run: the benchmark ends if one does.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from unittest import mock

from benchmarks.made_up import Measurer
from demix.cli import main as demix
from demix.stage import Item, Kept, Outcome, Stage
from demix.stages.active_speaker import ActiveSpeakerStage
from demix.stages.audio_quality import AudioQualityStage
from demix.stages.captioning import CaptionStage
from demix.stages.clip_media import ClipMediaStage
from demix.stages.demixing import DemixingStage
from demix.stages.diarization import DiarizationStage
from demix.stages.persons import PersonsStage
from demix.stages.probe import ProbeStage
from demix.stages.shots import ShotsStage

RESULT = Path(__file__).parent / "results/retag.md"
MEASURING = (
    ProbeStage,
    ShotsStage,
    ClipMediaStage,
    AudioQualityStage,
    DemixingStage,
    PersonsStage,
    DiarizationStage,
    ActiveSpeakerStage,
    CaptionStage,
)
MOVES: dict[str, tuple[str, ...]] = {
    "nothing": (),
    "how far the demixers may be apart": ("demix_filter.max_distance.speech=0.2",),
    "every threshold that drops": (
        "length.min_seconds=2.5",
        "quality_filter.minimum.cut_off_hz=5000",
        "demix_filter.max_distance.speech=0.19",
        "demix_filter.max_distance.others=0.25",
        "voice_over.min_covered_share=0.4",
    ),
}
"""What is changed -> the settings. All are stricter: what passes has been measured before."""


@contextlib.contextmanager
def instead_of_models(run: Callable[[Stage, Sequence[Item]], Sequence[Outcome]]) -> Iterator[None]:
    """While this is open, measuring stages load nothing and answer what `run` says."""
    with contextlib.ExitStack() as patches:
        for kind in MEASURING:
            patches.enter_context(mock.patch.object(kind, "run", run))
            patches.enter_context(mock.patch.object(kind, "open", Stage.open))
            patches.enter_context(mock.patch.object(kind, "batch_size", 256))
        yield


def seconds_of(command: str, *arguments: str, settings: Sequence[str] = ()) -> float:
    """Processor time of a `demix` command in this process; raises RuntimeError if it fails."""
    options = [part for setting in (*settings, "report.samples_per_group=0") for part in ("--set", setting)]
    said = io.StringIO()
    began = time.process_time()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        status = demix([command, *arguments, "--runner", "sequential", *options])
    if status:
        raise RuntimeError(said.getvalue())
    return time.process_time() - began


def refuse(stage: Stage, items: Sequence[Item]) -> Sequence[Outcome]:
    raise SystemExit(f"{stage.name} ran, and must not have")


def measure(clips: int) -> dict[str, tuple[float, float]]:
    """What was moved -> seconds of processor time: to judge, and to write what follows."""
    with tempfile.TemporaryDirectory() as folder:
        films, dataset = Path(folder) / "films", Path(folder) / "dataset"
        measurer = Measurer(clips)
        measurer.write_films(films)
        output = ("--output", str(dataset))
        build = ("build", str(films), *output, "--keep-work")
        with instead_of_models(lambda stage, items: [Kept(measurer.record(stage, item)) for item in items]):
            seconds_of(*build, settings=["engine.batch_rows=512"])
        with instead_of_models(refuse):
            return {
                what: (seconds_of("annotate", *output, settings=settings), seconds_of(*build, settings=settings))
                for what, settings in MOVES.items()
            }


def report(clips: int, seconds: dict[str, tuple[float, float]]) -> str:
    lines = [
        "# Judging again",
        "",
        f"`python -m benchmarks.retag --clips {clips}`, one process, seconds of processor time; see its head. No stage "
        "that measures ran.",
        "",
        "| moved | judging, s per 10,000 clips | shards, manifests, report written anew |",
        "|---|---:|---:|",
        *(
            f"| {what} | {10_000 * judging / clips:,.0f} | {10_000 * writing / clips:,.0f} |"
            for what, (judging, writing) in seconds.items()
        ),
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=10_000, help="clips of the made-up dataset (default 10,000)")
    parser.add_argument("--write", action="store_true", help=f"write {RESULT.name}")
    options = parser.parse_args()
    text = report(options.clips, measure(options.clips))
    print(text)
    if options.write:
        RESULT.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
