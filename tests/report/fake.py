"""A made-up dataset with the real records and schemas: a few hundred clips whose every end is known, and some media."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from demix import records as r
from demix.dataset import layout
from demix.dataset.schema import write_rows
from tests.report.fake_media import FPS, RATE, SECONDS, write_media

Row = dict[str, Any]
CONFIG: dict[str, Any] = {
    "length": {"min_seconds": 2.1},
    "quality_filter": {"minimum": {"bandwidth_hz": 3600.0}, "maximum": {"clipped_share": 0.01, "dc_offset": None}},
    "demix_filter": {"silence_db": -45.0, "distance": "raw", "max_distance": {"speech": 0.15, "others": 0.15}},
    "voice_over": {"min_covered_share": 0.5},
}
MODELS = {
    "shots": {"name": "adaptive", "revision": "1", "licence": "BSD-3-Clause (PySceneDetect)"},
    "audio_quality": {"name": "signal", "revision": "1", "licence": "Apache-2.0 (this package)"},
    "demix_three": {"name": "lite", "revision": "1", "licence": "Apache-2.0 (this package)"},
    "demix_two": {"name": "lite", "revision": "1", "licence": "Apache-2.0 (this package)"},
    "persons": {"name": "mtcnn", "revision": "1", "licence": "MIT (facenet-pytorch)"},
    "faces": {"name": "mtcnn", "revision": "1", "licence": "MIT (facenet-pytorch)"},
    "diarization": {"name": "lite", "revision": "1", "licence": "MIT (silero-vad), Apache-2.0 (Resemblyzer)"},
    "active_speaker": {"name": "mouth_flow", "revision": "1", "licence": "Apache-2.0 (this package)"},
    "captioning": {"name": "facts", "revision": "1", "licence": "Apache-2.0 (this package)"},
}
NAMES = (
    ("cinematic", "The Lighthouse Keeper.mkv", "The Lighthouse Keeper"),
    (
        "cinematic",
        '"><img src=x onerror="document.title=`owned`">.mp4',
        "</script><script>document.title='owned'</script>",
    ),
    ("cinematic", "Night Train (1962) restored.mkv", "Night Train"),
    ("web", "trailer-\u202efdp.exe.mp4", "Trailers \u2028 of the week"),
    ("web", "a-very-long-name-" + "without-any-place-to-break" * 6 + ".webm", ""),
    ("talking_head", "Überblick — 会話 03.mp4", ""),
    ("talking_head", "interview 7.mp4", "Interview with a beekeeper"),
    ("web", "Harbour walk.mp4", "Harbour walk at dawn"),
    ("cinematic", "Sand and Snow.mov", "Sand and Snow"),
)


@dataclass
class Fake:
    """Where the dataset is, and what must be counted in it."""

    dataset: Path
    work: Path
    ends: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """(outcome, stage, reason) -> clips."""
    kept_seconds: float = 0.0
    subsets: Counter[str] = field(default_factory=Counter)


def make_dataset(
    folder: Path, clips_per_source: int = 40, seed: int = 0, media: bool = True, size: tuple[int, int] = (160, 90)
) -> Fake:
    """Writes DATASET and WORK below `folder`. The same arguments make the same numbers."""
    fake = Fake(folder / "harbour-demo", folder / "work")
    generator = np.random.default_rng(seed)
    clips: list[Row] = []
    rejects: list[Row] = []
    quarantine: list[Row] = []
    sources: list[Row] = []
    for number, (kind, name, title) in enumerate(NAMES):
        uri = f"https://user:secret@films.example/{name}?token=secret" if kind == "web" else f"/films/{name}"
        source_id = hashlib.sha256(name.encode()).hexdigest()[:16]
        rows = [
            _clip(
                generator,
                r.Clip(
                    id=r.clip_id(source_id, i, i + 1),
                    source_id=source_id,
                    uri=uri,
                    kind=kind,  # type: ignore[arg-type]
                    ordinal=i,
                    start_pts=i * 9000,
                    end_pts=i * 9000 + int(generator.gamma(4, 1.5) * 1000 + 900),
                    time_base="1/1000",
                ),
            )
            for i in range(clips_per_source)
        ]
        kept = [row for table, row in rows if table == "clips"]
        for table, row in rows:
            {"clips": clips, "rejects": rejects, "quarantine": quarantine}[table].append(row)
            outcome = {"clips": "kept", "rejects": "dropped", "quarantine": "failed"}[table]
            fake.ends[outcome, row.get("stage", ""), row.get("reason", row.get("error", ""))] += 1
        fake.kept_seconds += sum(row["seconds"] for row in kept)
        fake.subsets.update(subset for row in kept for subset in row["signature"].split("+"))
        sources.append(_source(number, uri, kind, title, source_id, len(rows), kept))
    for ended in _ended_sources():
        sources.append(ended[0])
        (rejects if ended[0]["status"] == "dropped" else quarantine).append(ended[1])
    _write(fake, clips, rejects, quarantine, sources)
    if media:
        write_media(fake.work, size)
    return fake


def timings() -> list[dict[str, Any]]:
    """As `Build.timings` gives them."""
    work = {
        "probe": 4,
        "shots": 310,
        "clip_media": 420,
        "audio_quality": 55,
        "demixing": 730,
        "persons": 980,
        "diarization": 260,
        "active_speaker": 190,
        "caption": 44,
    }
    walls = {"sources": 6.0, "index": 170.0, "annotate": 1440.0}
    phase = {"probe": "sources", "shots": "index"}
    return [
        {
            "phase": phase.get(stage, "annotate"),
            "stage": stage,
            "items": 350,
            "seconds": float(seconds),
            "wall_seconds": walls[phase.get(stage, "annotate")],
        }
        for stage, seconds in work.items()
    ]


def _clip(generator: np.random.Generator, clip: r.Clip) -> tuple[str, dict[str, Any]]:
    """One clip through made-up stages, as (table, row)."""
    found: dict[str, r.Record] = {}
    base = {
        "source_id": clip.source_id,
        "uri": clip.uri,
        "kind": clip.kind,
        "start_seconds": float(clip.start),
        "end_seconds": float(clip.end),
        "seconds": float(clip.seconds),
    }

    def ended(table: str, stage: str, reason: str, evidence: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        row = base | {"subject": "clip", "id": clip.id, "stage": stage}
        row["records"] = json.dumps({name: record.model_dump(mode="json") for name, record in found.items()})
        if table == "rejects":
            return table, row | {"reason": reason, "evidence": json.dumps(evidence)}
        return table, row | {
            "error": reason,
            "message": "the child was killed",
            "detail": "…",
            "attempts": 3,
            "replay": f"demix replay --clip {clip.id} --stage {stage}",
        }

    seconds = float(clip.seconds)
    if seconds < 2.1:
        return ended("rejects", "length", "too_short", {"seconds": seconds})
    variant = int(generator.integers(0, 6))
    found["clip_media"] = _clip_media(variant)
    if generator.random() < 0.01:
        return ended("quarantine", "audio_quality", "ChildKilled", {})
    quality = {
        "bandwidth_hz": float(generator.normal(9000, 2500)),
        "noise_floor_db": float(generator.normal(-62, 8)),
        "loudness_lufs": float(generator.normal(-23, 5)),
        "clipped_share": float(generator.exponential(0.002)),
    }
    found["audio_quality"] = r.AudioQuality(model="signal", revision="1", scores=quality)
    if quality["bandwidth_hz"] < 3600 or quality["clipped_share"] > 0.01:
        return ended("rejects", "quality_filter", "low_quality", {"bandwidth_hz": quality["bandwidth_hz"]})
    demixing = _demixing(generator, variant)
    found["demixing"] = demixing
    silent = tuple(stem for stem in ("speech", "effects", "music") if demixing.levels_db[stem] < -45)
    compared = (
        "speech",
        *(["others_effects"] if "music" in silent else []),
        *(["others_music"] if "effects" in silent else []),
    )
    if any(demixing.distances[pair].raw > 0.15 for pair in compared):
        return ended("rejects", "demix_filter", "demix_disagreement", {"compared": " ".join(compared), "judged": "raw"})
    found["demix_check"] = r.DemixCheck(silent=silent, compared=compared)
    return _people(generator, clip, base, found, silent, ended)


def _people(
    generator: Any, clip: r.Clip, base: dict[str, Any], found: dict[str, r.Record], silent: Any, ended: Any
) -> Any:
    people = 1 if clip.kind == "talking_head" else int(generator.choice([0, 1, 2, 3], p=[0.35, 0.35, 0.2, 0.1]))
    mtcnn = r.Model(model="mtcnn", revision="1")
    box = r.Box(x0=10, y0=10, x1=60, y1=70, score=0.99)
    found["persons"] = r.Persons(
        persons=mtcnn,
        faces=mtcnn,
        frames=(0, 12),
        boxes=((box,) * people, (box,) * people),
        tracks=(),
        count=people,
        visible_share=min(1.0, people * 0.6),
    )
    speech = 0.0 if "speech" in silent else float(clip.seconds) * float(generator.uniform(0.3, 0.9))
    speakers = 0 if not speech else int(generator.choice([1, 1, 2]))
    turns = tuple(r.Turn(start_seconds=0.0, end_seconds=speech, speaker=0) for _ in range(min(speakers, 1)))
    found["diarization"] = r.Diarization(
        model="lite",
        revision="1",
        turns=turns,
        speakers=speakers,
        speech_seconds=speech,
        confidence=float(generator.beta(6, 2)),
    )
    found["active_speaker"] = r.ActiveSpeaker(model="mouth_flow", revision="1", tracks=())
    covered = float(generator.beta(5, 1)) if people else 0.0
    numbers = {"speech_seconds": speech, "person_covered_share": covered, "speaker_covered_share": covered * 0.8}
    if speech and covered < 0.5:
        reason = "voice_over" if generator.random() < 0.8 else "undecidable"
        return ended("rejects", "voice_over", reason, numbers)
    found["voice_over"] = r.VoiceOver(verdict="on_screen" if speech else "no_speech", **numbers)
    persons = tuple(f"a person in {colour}" for colour in ("a grey coat", "a red scarf", "black"))[:people]
    text = "One person conversation. Persons: Person1: a person in a grey coat. Person1 is speaking. " if speech else ""
    found["caption"] = r.Caption(
        model="facts",
        revision="1",
        persons=persons,
        speaking=(0,) if speech and persons else (),
        scene="A bright scene in blue and grey, the camera stands still",
        text=f"{text}Scene Description: A bright scene in blue and grey, the camera stands still.",
    )
    subsets = _subsets(clip.kind, people, silent)
    if not subsets:
        return ended("rejects", "subsets", "no_subset", {"humans": people})
    found["subsets"] = r.Subsets(subsets=subsets, visible_persons=people, speakers=speakers, humans=people)
    split: layout.Split = "test" if clip.source_id[0] in "01" else "train"
    signature = "+".join(subsets)
    row = base | {
        "clip_id": clip.id,
        "ordinal": clip.ordinal,
        "start_pts": clip.start_pts,
        "end_pts": clip.end_pts,
        "time_base": clip.time_base,
        "split": split,
        "signature": signature,
        "shard": f"{layout.shard_stem(split, signature, 0)}.tar",
    }
    return "clips", row | {name: record.model_dump_json() for name, record in found.items()}


def _subsets(kind: str, people: int, silent: tuple[str, ...]) -> tuple[r.Subset, ...]:
    if kind == "talking_head":
        return ("basic_face",)
    held = {
        "single_character": people == 1,
        "multiple_characters": people > 1,
        "sound_event": "effects" not in silent,
        "visual_mood": "music" not in silent,
    }
    return tuple(subset for subset in r.SUBSETS if held.get(subset))


def _clip_media(variant: int) -> r.ClipMedia:
    media = {name: r.Media(key=f"media/{variant}/{name}", bytes=1000) for name in ("clip.mp4", "mix.flac")}
    return r.ClipMedia(
        video=media["clip.mp4"],
        mix=media["mix.flac"],
        width=426,
        height=240,
        fps=str(FPS),
        frames=FPS * SECONDS,
        sample_rate=RATE,
        channels=2,
        samples=RATE * SECONDS,
    )


def _demixing(generator: np.random.Generator, variant: int) -> r.Demixing:
    levels = {
        name: float(generator.normal(mean, 9))
        for name, mean in (
            ("mix", -21),
            ("speech", -33),
            ("effects", -40),
            ("music", -43),
            ("two_speech", -33),
            ("two_others", -38),
        )
    }
    pairs = {name: float(generator.gamma(2, 0.035)) for name in ("speech", "others_effects", "others_music")}
    lite = r.Model(model="lite", revision="1")
    stems = {stem: r.Media(key=f"media/{variant}/{stem}.flac", bytes=1000) for stem in ("speech", "effects", "music")}
    return r.Demixing(
        three=lite,
        two=lite,
        **stems,
        levels_db=levels,
        residual_db=float(generator.normal(-70, 5)),
        distances={name: r.Distance(raw=raw, normalised=raw * 0.9) for name, raw in pairs.items()},
        gain_db=0.0,
        confidence={"speech": 0.9, "effects": 0.4, "music": 0.0},
    )


def _source(
    number: int, uri: str, kind: str, title: str, source_id: str, clips: int, kept: list[Any]
) -> dict[str, Any]:
    shots = {"model": "adaptive", "revision": "1", "shots": [], "frames": 1000, "cuts": [], "graduals": []}
    shots["bars"] = {"kind": "letterbox", "left": 0, "top": 46, "right": 0, "bottom": 46}
    return {
        "candidate_id": f"{number:016x}",
        "source_id": source_id,
        "uri": uri,
        "kind": kind,
        "metadata": json.dumps({"title": title} if title else {}),
        "status": "kept",
        "stage": None,
        "reason": None,
        "message": None,
        "seconds": 9.0 * clips,
        "probe": "{}",
        "shots": json.dumps(shots),
        "clips": clips,
        "kept_clips": len(kept),
        "kept_seconds": sum(row["seconds"] for row in kept),
    }


def _ended_sources() -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Candidates that were dropped or failed before they had clips."""
    rows = []
    for number, (status, stage, reason) in enumerate(
        (("dropped", "probe", "not_media"), ("dropped", "probe", "duplicate"), ("failed", "shots", "Truncated"))
    ):
        base = {"uri": f"/films/broken {number}.avi", "source_id": None, "kind": "web", "stage": stage}
        source = base | {
            "candidate_id": f"ffff{number:012x}",
            "metadata": "{}",
            "status": status,
            "reason": reason,
            "message": "moov atom not found",
            "seconds": None,
            "probe": None,
            "shots": None,
            "clips": 0,
            "kept_clips": 0,
            "kept_seconds": 0.0,
        }
        end = base | {
            "subject": "candidate",
            "id": source["candidate_id"],
            "records": "{}",
            "start_seconds": None,
            "end_seconds": None,
            "seconds": None,
        }
        end |= (
            {"reason": reason, "evidence": "{}"}
            if status == "dropped"
            else {
                "error": reason,
                "message": "moov atom not found",
                "detail": "",
                "attempts": 3,
                "replay": "demix replay",
            }
        )
        rows.append((source, end))
    return rows


def _write(fake: Fake, clips: list[Any], rejects: list[Any], quarantine: list[Any], sources: list[Any]) -> None:
    def write(name: str, table: str, rows: list[Any]) -> None:
        path = fake.dataset / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_rows(path, table, rows)

    empty = dict.fromkeys(("voice_over", "demix_check", "caption"))
    write(layout.CLIPS, "clips", [empty | row for row in sorted(clips, key=lambda row: row["clip_id"])])
    write(layout.SOURCES, "sources", sources)
    for stage in sorted({row["stage"] for row in rejects}):
        write(layout.rejects_path(stage), "rejects", [row for row in rejects if row["stage"] == stage])
    write(layout.QUARANTINE, "quarantine", quarantine)
    build = {
        "config": CONFIG,
        "models": MODELS,
        "profile": "lite",
        "versions": {"demix": "0.1.0", "python": "3.11", "torch": "2.13.0"},
    }
    (fake.dataset / "build.json").write_text(json.dumps(build))
