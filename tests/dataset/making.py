"""Makes tiny kept clips: real media in a work store, and records that are true of them."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import soundfile

from demix.dataset.manifest import KeptClip, Quarantined, Rejected, Row, SourceRow, write_manifests
from demix.dataset.plan import PackSettings, Shard, plan_shards
from demix.dataset.restore import restore_media
from demix.dataset.sample import Sample
from demix.dataset.shard import is_committed, prune, write_shard
from demix.records import (
    AudioQuality,
    Candidate,
    Caption,
    Clip,
    ClipMedia,
    DemixCheck,
    Demixing,
    Diarization,
    Distance,
    Kind,
    Media,
    Model,
    Record,
    Subset,
    Subsets,
    Turn,
    VoiceOver,
    clip_id,
)
from demix.store import Store

FPS, RATE, FRAMES, WIDTH, HEIGHT = 24, 48000, 12, 64, 48
SAMPLES = RATE * FRAMES // FPS


def make_video(path: Path, frames: int = FRAMES, seconds: float | None = None) -> None:
    """An H.264 clip with AAC sound; `seconds` is the sound's length where it differs from the picture's."""
    ffmpeg = imageio_ffmpeg.get_ffmpeg_exe()
    sources = [
        ["-f", "lavfi", "-i", f"testsrc2=size={WIDTH}x{HEIGHT}:rate={FPS}:duration={frames / FPS}"],
        ["-f", "lavfi", "-i", f"sine=frequency=440:sample_rate={RATE}:duration={seconds or frames / FPS}"],
    ]
    codecs = ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-c:a", "aac", "-threads", "1"]
    exact = ["-bitexact", "-flags:v", "+bitexact", "-flags:a", "+bitexact"]
    subprocess.run([ffmpeg, "-v", "error", "-y", *sources[0], *sources[1], *codecs, *exact, str(path)], check=True)


@cache
def video_bytes(folder: Path) -> bytes:
    path = folder / "clip.mp4"
    make_video(path)
    return path.read_bytes()


def make_stem(path: Path, seed: int, samples: int = SAMPLES, channels: int = 2) -> None:
    wave = np.random.default_rng(seed).uniform(-0.003, 0.003, (samples, channels)).astype(np.float32)
    soundfile.write(path, wave, RATE, format="FLAC", subtype="PCM_16")


@dataclass(frozen=True)
class Maker:
    """Makes samples whose media lie in `store`; everything depends on the arguments only."""

    store: Store
    folder: Path

    def sample(
        self,
        ordinal: int = 0,
        source: str = "a" * 16,
        subsets: Sequence[Subset] = ("single_character", "visual_mood"),
        scene: str = "A room.",
        kind: Kind = "cinematic",
    ) -> Sample:
        start = ordinal * FRAMES * 512
        clip = Clip(
            id=clip_id(source, start, start + FRAMES * 512),
            source_id=source,
            uri=f"/films/{source}/my film.é.mkv",
            kind=kind,
            ordinal=ordinal,
            start_pts=start,
            end_pts=start + FRAMES * 512,
            time_base=f"1/{FPS * 512}",
        )
        records = [*self._media(clip), *_judgements(scene, subsets)]
        return Sample(clip, {record.name: record for record in records})

    def _media(self, clip: Clip) -> list[Record]:
        seed = int(clip.id[:8], 16)
        keys = {name: f"media/{clip.id[:2]}/{clip.id}/{'0' * 12}/{name}" for name in ("clip.mp4", "mix.flac")}
        video = self._write(keys["clip.mp4"], lambda path: path.write_bytes(video_bytes(self.folder)))
        mix = self._write(keys["mix.flac"], lambda path: make_stem(path, seed))
        stems = {
            name: self._write(f"media/{clip.id[:2]}/{clip.id}/{'1' * 12}/{name}.flac", _stem_maker(seed + index))
            for index, name in enumerate(("speech", "effects", "music"), start=1)
        }
        lite = Model(model="lite", revision="1")
        return [
            ClipMedia(
                video=video,
                mix=mix,
                width=WIDTH,
                height=HEIGHT,
                fps=f"{FPS}/1",
                frames=FRAMES,
                sample_rate=RATE,
                channels=2,
                samples=SAMPLES,
            ),
            Demixing(
                three=lite,
                two=lite,
                **stems,
                levels_db={"mix": -20.0, "speech": -25.5},
                distances={"speech": Distance(raw=0.1, normalised=0.05)},
                residual_db=-90.0,
                gain_db=0.0,
                confidence={"speech": 1.0, "effects": 0.0, "music": 0.0},
            ),
        ]

    def _write(self, key: str, make: object) -> Media:
        if not self.store.exists(key):
            with self.store.write(key) as path:
                make(path)  # type: ignore[operator]
        return Media(key=key, bytes=self.store.local(key).stat().st_size)

    def samples(self, sources: int = 3, clips: int = 3, scene: str = "A room.") -> list[Sample]:
        """Clips of several sources with several signatures."""
        choices: list[tuple[Subset, ...]] = [("single_character", "visual_mood"), ("sound_event",)]
        return [
            self.sample(ordinal, source=f"{source:016x}", subsets=choices[ordinal % 2], scene=scene)
            for source in range(sources)
            for ordinal in range(clips)
        ]


def _stem_maker(seed: int) -> object:
    return lambda path: make_stem(path, seed)


def _judgements(scene: str, subsets: Sequence[Subset]) -> list[Record]:
    text = f"One person conversation. Persons: Person1: a woman. Person1 is speaking. Scene Description: {scene}"
    return [
        AudioQuality(model="lite", revision="1", scores={"loudness_lufs": -23.0}),
        DemixCheck(silent=("effects",), compared=("speech",)),
        Diarization(
            model="lite",
            revision="1",
            turns=(Turn(start_seconds=0.0, end_seconds=0.4, speaker=0),),
            speakers=1,
            speech_seconds=0.4,
            confidence=0.9,
        ),
        VoiceOver(verdict="on_screen", speech_seconds=0.4, person_covered_share=1.0, speaker_covered_share=1.0),
        Caption(model="lite", revision="1", persons=("a woman",), speaking=(0,), scene=scene, text=text),
        Subsets(subsets=tuple(subsets), visible_persons=1, speakers=1, humans=1),
    ]


def with_record(sample: Sample, record: Record) -> Sample:
    return replace(sample, records={**sample.records, record.name: record})


def pack(
    samples: Iterable[Sample], store: Store, dataset: Path, settings: PackSettings | None = None, reverse: bool = False
) -> list[Shard]:
    """The pack phase in one process: restore what is needed, write what is not there, remove what is not planned."""
    by_id = {sample.clip.id: sample for sample in samples}
    shards = plan_shards((sample.entry for sample in by_id.values()), settings or PackSettings())
    due = [shard for shard in shards if not is_committed(shard, dataset)]
    wanted = [by_id[entry.clip_id] for shard in due for entry in shard.entries]
    restore_media(store, dataset, [media.key for sample in wanted for media in sample.media.values()])
    for shard in reversed(due) if reverse else due:
        write_shard(shard, (by_id[entry.clip_id] for entry in shard.entries), store, dataset)
    prune(dataset, shards)
    return shards


def build(samples: Sequence[Sample], maker: Maker, dataset: Path, target_bytes: int = 200_000) -> None:
    """A whole dataset with a test split: shards, and manifests in which some clips and files were not kept."""
    settings = PackSettings(target_bytes=target_bytes, test_clips=3, test_share=1)
    shards = pack(samples, maker.store, dataset, settings)
    write_manifests(dataset, _rows(sorted(samples, key=lambda sample: sample.clip.id), shards))


def _rows(samples: Sequence[Sample], shards: Sequence[Shard]) -> Iterator[Row]:
    places = {entry.clip_id: shard for shard in shards for entry in shard.entries}
    for sample in samples:
        yield KeptClip(sample.clip, sample.records, places[sample.clip.id].split, places[sample.clip.id].tar)
    sources = sorted({sample.clip.source_id for sample in samples})
    yield Rejected(_candidate("e" * 16), "probe", "not_media", {"bytes": 0})
    yield Quarantined(_candidate("f" * 16), "probe", "MediaError", "truncated", "", 3, "demix replay")
    spare = sorted((_spare_clip(source, number) for source in sources for number in (0, 1)), key=lambda clip: clip.id)
    for clip in (clip for clip in spare if clip.ordinal == 900):
        yield Rejected(clip, "length", "too_short", {"seconds": 0.5})
    for clip in (clip for clip in spare if clip.ordinal == 901):
        yield Quarantined(clip, "demixing", "MemoryError", "no memory", "", 3, "demix replay")
    for source in sources:
        kept = [sample.clip for sample in samples if sample.clip.source_id == source]
        seconds = sum(float(clip.seconds) for clip in kept)
        yield SourceRow(
            _candidate(source), "kept", source, clips=len(kept) + 2, kept_clips=len(kept), kept_seconds=seconds
        )
    yield SourceRow(_candidate("e" * 16), "dropped", stage="probe", reason="not_media")
    yield SourceRow(_candidate("f" * 16), "failed", stage="probe", reason="MediaError", message="truncated")


def _candidate(name: str) -> Candidate:
    return Candidate(id=name, uri=f"/films/{name}/my film.é.mkv", kind="cinematic")


def _spare_clip(source: str, number: int) -> Clip:
    start = (900 + number) * FRAMES * 512
    return Clip(
        id=clip_id(source, start, start + FRAMES * 512),
        source_id=source,
        uri=f"/films/{source}/my film.é.mkv",
        kind="cinematic",
        ordinal=900 + number,
        start_pts=start,
        end_pts=start + FRAMES * 512,
        time_base=f"1/{FPS * 512}",
    )


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder with its bytes."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
