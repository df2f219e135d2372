"""What the lite models of persons and voices find, and what they cost, on real recordings with known truth.

    python -m benchmarks.voices [MEDIA_FOLDER] [--write]

`MEDIA_FOLDER` holds `video/`, `audio/` and `gt/` (default: `$DEMIX_SHARED/media`). `--write` puts the tables into
`benchmarks/results/voices.md`. Times are CPU seconds per second of clip, one thread, decoding included.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.diarization_error import error_rate, read_rttm
from demix.media.audio import mono, read_wave
from demix.models.diarization.lite import LiteDiarizer
from demix.models.faces.mtcnn import MtcnnFaces
from demix.records import ActiveSpeaker, ClipMedia, Diarization, Persons, VoiceOver
from demix.stage import Dropped, Item, Kept, Stage
from demix.stages.active_speaker import ActiveSpeakerSettings, ActiveSpeakerStage
from demix.stages.diarization import DiarizationSettings, DiarizationStage
from demix.stages.persons import PersonsSettings, PersonsStage
from demix.stages.voice_over import VoiceOverFilter, VoiceOverSettings
from tests.stages.voices_clips import context, make_item, read_recording

FILMS = (
    ("friday.mp4", "", "two in turns, heads in motion"),
    ("latentsync_demo1.mp4", "", "one speaks"),
    *((f"grid/{name}.mpg", "", "one speaks") for name in ("bbaf2n", "brbk7n", "lbax4n", "lbbc2a", "sbia1a")),
    ("intel_asl_yes.mkv", "", "one, silent"),
    ("intel_asl_yes.mkv", "grid/brbk7n.mpg", "one, silent, another's voice"),
    ("gcp_climber.mp4", "latentsync_demo1.mp4", "one, mostly from behind, another's voice"),
    ("stream-of-water.mp4", "grid/brbk7n.mpg", "nobody, a voice"),
    ("intel_car-detection.mp4", "", "nobody, no sound"),
)
"""Picture, sound from another recording if any, and what is to be seen and heard."""

SECONDS = 10.0
"""Of every film, at most."""


def clips(media: Path, folder: Path) -> Iterator[tuple[str, Stage, Item]]:
    """Every film through the four stages: after each, its name, the stage and the item so far."""
    stages = (
        PersonsStage(PersonsSettings()),
        DiarizationStage(DiarizationSettings()),
        ActiveSpeakerStage(ActiveSpeakerSettings()),
    )
    work = context(folder)
    for stage in stages:
        stage.open(work)
    for number, (name, voice, truth) in enumerate((FILMS[0], *FILMS)):
        pictures, wave = read_recording(media / "video" / name, seconds=SECONDS)
        if voice:
            _, wave = read_recording(media / "video" / voice, seconds=SECONDS)
        item = make_item(work, f"film{number}", pictures, speech=wave)
        label = f"{name} + {voice} | {truth}" if voice else f"{name} | {truth}"
        for stage in stages:
            yield label, stage, item
            (outcome,) = stage.run([item])
            assert isinstance(outcome, Kept)
            item = item.with_record(outcome.record)
        yield label, VoiceOverFilter(VoiceOverSettings()), item


def film_rows(media: Path) -> Iterator[str]:
    """One line of the table per film; the first film comes twice, the first time to load everything."""
    seconds: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        last, running = time.process_time(), ""
        for label, stage, item in clips(media, Path(folder)):
            if running:
                seconds[running] = time.process_time() - last
            if isinstance(stage, VoiceOverFilter):
                yield _film_row(label, item, seconds)
                running = ""
            else:
                last, running = time.process_time(), stage.name


def _film_row(label: str, item: Item, seconds: dict[str, float]) -> str:
    length = item[ClipMedia].samples / item[ClipMedia].sample_rate
    persons, speakers = item[Persons], item[Diarization].speakers
    speaking = [
        f"{np.mean(np.array(track.scores) > 0):.2f}" if track.decidable else "undecidable"
        for track in item[ActiveSpeaker].tracks
    ]
    costs = " | ".join(f"{seconds[name] / length:.2f}" for name in ("persons", "diarization", "active_speaker"))
    return (
        f"| {label} | {persons.count} | {persons.visible_share:.2f} | {speakers} | {', '.join(speaking) or '–'} | "
        f"{verdict(item, 'literal')} | {verdict(item, 'strict')} | {costs} |"
    )


def verdict(item: Item, rule: str) -> str:
    (outcome,) = VoiceOverFilter(VoiceOverSettings.model_validate({"rule": rule})).run([item])
    if isinstance(outcome, Dropped):
        return f"dropped: {outcome.reason}"
    assert isinstance(outcome, Kept)
    assert isinstance(outcome.record, VoiceOver)
    return outcome.record.verdict


def diarization_rows(media: Path) -> Iterator[str]:
    diarizer = LiteDiarizer()
    diarizer.diarize(np.random.default_rng(0).normal(0, 0.1, 48_000).astype(np.float32), 16_000)
    errors = []
    for path in sorted((media / "gt").glob("*.rttm")):
        wave, sample_rate = read_wave(media / "audio" / "diar" / f"{path.stem}.wav")
        began = time.process_time()
        turns = diarizer.diarize(mono(wave), sample_rate).turns
        cost = (time.process_time() - began) / (wave.shape[1] / sample_rate)
        truth = read_rttm(path)
        answer = [(turn.start_seconds, turn.end_seconds, str(turn.speaker)) for turn in turns]
        errors.append([error_rate(truth, answer, collar) for collar in (0.0, 0.25)])
        counts = f"{len({who for _, _, who in truth})} | {len({turn.speaker for turn in turns})}"
        yield f"| {path.stem} | {counts} | {errors[-1][0]:.3f} | {errors[-1][1]:.3f} | {cost:.3f} |"
    strict, tolerant = np.mean(errors, axis=0)
    yield f"| mean | | | {strict:.3f} | {tolerant:.3f} | |"


def detector_rows(media: Path) -> Iterator[str]:
    """MTCNN's cost."""
    faces = MtcnnFaces()
    for name in ("friday.mp4", "latentsync_demo1.mp4", "grid/bbaf2n.mpg"):
        pictures = read_recording(media / "video" / name, seconds=4)[0][::6]
        began = time.process_time()
        found = faces.detect(pictures)
        cost = 1000 * (time.process_time() - began) / len(pictures)
        size = f"{pictures.shape[2]}x{pictures.shape[1]}"
        yield f"| {name} | {size} | {cost:.0f} | {sum(len(boxes) for boxes in found)} |"


def report(media: Path) -> str:
    films = list(film_rows(media))[1:]
    return "\n".join(
        [
            "# Persons and voices, measured",
            "",
            "Written by `python -m benchmarks.voices --write`; see its head for what the columns mean. Shares of a"
            " face are of its frames.",
            "",
            "| film | to be seen and heard | persons | visible | speakers | speaking share per face | literal rule |"
            " strict rule | persons s/s | diarization s/s | active speaker s/s |",
            "|" + "---|" * 11,
            *films,
            "",
            "Diarization error rate on the whole recording, without and with a collar of 0.25 s:",
            "",
            "| recording | speakers | found | DER | DER, collar | s/s |",
            "|" + "---|" * 6,
            *diarization_rows(media),
            "",
            "Face detection, milliseconds a frame and boxes found:",
            "",
            "| film | size | ms | boxes |",
            "|" + "---|" * 4,
            *detector_rows(media),
            "",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.voices", description=__doc__.split("\n\n")[0])
    default = Path(os.environ.get("DEMIX_SHARED", "../shared")) / "media"
    parser.add_argument("media", type=Path, nargs="?", default=default)
    parser.add_argument("--write", action="store_true", help="into benchmarks/results/voices.md")
    arguments = parser.parse_args()
    text = report(arguments.media)
    print(text)
    if arguments.write:
        (Path(__file__).parent / "results" / "voices.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
