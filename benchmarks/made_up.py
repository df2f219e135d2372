"""Measurements that nobody made: records as large as real ones, for benchmarks of what comes after measuring."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import numpy as np

from demix import records as r
from demix.stage import Item, Stage

SECONDS, FPS, RATE = 5, 24, 48_000
FRAMES = SECONDS * FPS
FILM_CLIPS = 500
"""Clips of one made-up film."""
WHO = {"model": "made_up", "revision": "1"}


class Measurer:
    """Answers for every measuring stage of the recipe about `clips` clips; equal clips get equal answers."""

    def __init__(self, clips: int):
        self.clips = clips

    def write_films(self, folder: Path) -> None:
        """Files that are no films; nothing opens them. The last one has what is left of the clips."""
        folder.mkdir(parents=True)
        for number in range(-(-self.clips // FILM_CLIPS)):
            (folder / f"film{number:04d}.mp4").write_text(f"{min(FILM_CLIPS, self.clips - number * FILM_CLIPS)} clips")

    def record(self, stage: Stage, item: Item) -> r.Record:
        """What `stage` finds out about `item`."""
        return getattr(self, f"_{stage.name}")(stage, item, np.random.default_rng(int(item.id[:8], 16)))

    def _probe(self, stage: Stage, item: Item, draw: np.random.Generator) -> r.Probe:
        path = Path(item.subject.uri)
        clips = int(path.read_text().split()[0])
        video = r.VideoStream(
            index=0, codec="h264", width=1280, height=720, rotation=0, pixel_format="yuv420p", time_base=f"1/{FPS}",
            start_pts=0, end_pts=clips * FRAMES, average_rate=f"{FPS}", frames=clips * FRAMES, variable_rate=False,
        )  # fmt: skip
        audio = r.AudioStream(
            index=1, codec="aac", sample_rate=RATE, channels=2, layout="stereo", time_base=f"1/{RATE}",
            start_pts=0, end_pts=clips * SECONDS * RATE,
        )  # fmt: skip
        return r.Probe(
            sha256=sha256(path.name.encode()).hexdigest(), bytes=path.stat().st_size, container="mp4",
            seconds=clips * SECONDS, video=video, audio=audio, streams=2,
        )  # fmt: skip

    def _shots(self, stage: Stage, item: Item, draw: np.random.Generator) -> r.Shots:
        frames = item[r.Probe].video.frames
        starts = range(0, frames, FRAMES)
        shots = tuple(r.Shot(start_pts=pts, end_pts=pts + FRAMES, begins="cut", ends="cut") for pts in starts)
        return r.Shots(**WHO, shots=shots, frames=frames, cuts=tuple(starts[1:]), graduals=())

    def _clip_media(self, stage: Stage, item: Item, draw: np.random.Generator) -> r.ClipMedia:
        return r.ClipMedia(
            video=_media(stage, item, "clip.mp4"), mix=_media(stage, item, "mix.flac"), width=854, height=480,
            fps=f"{FPS}", frames=FRAMES, sample_rate=RATE, channels=2, samples=SECONDS * RATE,
        )  # fmt: skip

    def _audio_quality(self, stage: Stage, item: Item, draw: np.random.Generator) -> r.AudioQuality:
        scores = {
            "cut_off_hz": float(draw.normal(11_000, 3000)),
            "clipped_share": float(draw.exponential(0.001)),
            "dc_offset": float(draw.exponential(0.001)),
            "noise_floor_db": float(draw.normal(-60, 8)),
            "loudness_lufs": float(draw.normal(-23, 5)),
        }
        return r.AudioQuality(**WHO, scores=scores)

    def _demixing(self, stage: Stage, item: Item, draw: np.random.Generator) -> r.Demixing:
        tracks = ("speech", "effects", "music")
        loud = {name: float(draw.uniform(-90, -15)) for name in ("mix", *tracks, "two_speech", "two_others")}
        pairs = ("speech", "others_effects", "others_music")
        apart = {pair: r.Distance(raw=float(draw.exponential(0.1)), normalised=0.05) for pair in pairs}
        return r.Demixing(
            three=r.Model(**WHO), two=r.Model(**WHO), levels_db=loud, distances=apart, residual_db=-70.0, gain_db=0.0,
            confidence=dict.fromkeys(tracks, 0.5),
            **{track: _media(stage, item, f"{track}.flac") for track in tracks},
        )  # fmt: skip

    def _persons(self, stage: Stage, item: Item, draw: np.random.Generator) -> r.Persons:
        count, sampled = int(draw.integers(0, 4)), tuple(range(0, FRAMES, 6))
        boxes = [r.Box(x0=100.25 * n, y0=50.5, x1=100.25 * n + 80.125, y1=150.75, score=0.99) for n in range(count)]
        tracks = tuple(r.FaceTrack(frames=tuple(range(FRAMES)), boxes=(box,) * FRAMES, detections=40) for box in boxes)
        return r.Persons(
            persons=r.Model(**WHO), faces=r.Model(**WHO), frames=sampled, boxes=(tuple(boxes),) * len(sampled),
            tracks=tracks, count=count, visible_share=float(count > 0),
        )  # fmt: skip

    def _diarization(self, stage: Stage, item: Item, draw: np.random.Generator) -> r.Diarization:
        speakers = int(draw.integers(0, 3))
        turns = tuple(r.Turn(start_seconds=2.0 * n, end_seconds=2.0 * n + 1.5, speaker=n) for n in range(speakers))
        return r.Diarization(**WHO, turns=turns, speakers=speakers, speech_seconds=1.5 * speakers, confidence=0.8)

    def _active_speaker(self, stage: Stage, item: Item, draw: np.random.Generator) -> r.ActiveSpeaker:
        tracks = range(len(item[r.Persons].tracks))
        scores = [tuple(draw.normal(0, 1, FRAMES).round(4).tolist()) for _ in tracks]
        activities = (r.TrackActivity(track=n, scores=scores[n], decidable=True) for n in tracks)
        return r.ActiveSpeaker(**WHO, tracks=tuple(activities))

    def _caption(self, stage: Stage, item: Item, draw: np.random.Generator) -> r.Caption:
        return r.Caption(**WHO, persons=(), speaking=(), scene="A street at night.", text="A street at night.")


def _media(stage: Stage, item: Item, name: str) -> r.Media:
    key = stage.context.key(item, name)
    path = Path(stage.context.store.root, key)  # not synced: the benchmark's time is not to be spent on that
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(item.id.encode())
    return r.Media(key=key, bytes=len(item.id))
