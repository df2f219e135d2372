"""Small clips with the records that the stages of persons and voices need, made without the earlier stages."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from demix.media.audio import resample, write_flac
from demix.records import Clip, ClipMedia, Demixing, Distance, Media, Model
from demix.stage import Context, Item
from demix.store import Store

SAMPLE_RATE = 16_000


def context(folder: Path) -> Context:
    return Context(store=Store(folder), fingerprint="0" * 32)


def make_item(
    context: Context,
    name: str,
    pictures: np.ndarray,
    fps: str = "24",
    speech: np.ndarray | None = None,
    kind: str = "cinematic",
) -> Item:
    """A clip of uint8 RGB `pictures` (n, height, width, 3), whose speech track is mono `speech` at `SAMPLE_RATE`."""
    frames, height, width = pictures.shape[:3]
    samples = round(frames * SAMPLE_RATE / Fraction(fps))
    wave = np.zeros((1, samples), np.float32)
    if speech is not None:
        wave[0, : len(speech)] = speech[:samples]
    video, track = f"media/{name}/clip.mp4", f"media/{name}/speech.flac"
    with context.store.write(video) as path:
        write_video(path, pictures, fps)
    with context.store.write(track) as path:
        write_flac(path, wave, SAMPLE_RATE)
    clip = Clip(
        id=name, source_id="source", uri="film.mp4", kind=kind, ordinal=0, start_pts=0, end_pts=frames,
        time_base=str(1 / Fraction(fps)),
    )  # fmt: skip
    media = ClipMedia(
        video=Media(key=video, bytes=1), mix=Media(key=track, bytes=1), width=width, height=height, fps=fps,
        frames=frames, sample_rate=SAMPLE_RATE, channels=1, samples=samples,
    )  # fmt: skip
    return Item(clip, {"clip_media": media, "demixing": _demixing(track)})


def write_video(path: Path, pictures: np.ndarray, fps: str) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(fps), options={"crf": "18", "preset": "veryfast"})
        stream.height, stream.width, stream.pix_fmt = pictures.shape[1], pictures.shape[2], "yuv420p"
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))


def read_recording(
    path: Path, fps: int = 24, short_side: int = 480, seconds: float = 60.0
) -> tuple[np.ndarray, np.ndarray]:
    """The beginning of a trusted recording: pictures at a fixed rate and mono sound, both from container time 0."""
    pictures, wave = [], np.zeros(0, np.float32)
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            if (frame.time or 0.0) >= seconds:
                break
            scale = min(short_side / min(frame.width, frame.height), 1.0)
            size = (round(frame.width * scale / 2) * 2, round(frame.height * scale / 2) * 2)
            picture = frame.reformat(*size, format="rgb24").to_ndarray()
            while len(pictures) / fps <= (frame.time or 0.0):
                pictures.append(picture)
    with av.open(str(path)) as container:
        if container.streams.audio:
            stream = container.streams.audio[0]
            resampler = av.AudioResampler(format="fltp", layout="mono")
            blocks, start = [], None
            for frame in container.decode(stream):
                start = float(frame.time or 0.0) if start is None else start
                blocks += [block.to_ndarray()[0] for block in resampler.resample(frame)]
            sound = np.concatenate(blocks)
            lead = np.zeros(max(round((start or 0.0) * stream.rate), 0), np.float32)
            wave = resample(np.concatenate([lead, sound]), stream.rate, SAMPLE_RATE)
    return np.stack(pictures), wave[: round(seconds * SAMPLE_RATE)]


def _demixing(track: str) -> Demixing:
    credit, media = Model(model="test", revision="0"), Media(key=track, bytes=1)
    same = Distance(raw=0.0, normalised=0.0)
    return Demixing(
        three=credit, two=credit, speech=media, effects=media, music=media, levels_db={"speech": -20.0},
        distances={"speech": same, "others_effects": same, "others_music": same}, residual_db=-120.0, gain_db=0.0,
        confidence={"speech": 1.0, "effects": 1.0, "music": 1.0},
    )  # fmt: skip
