"""Films whose frames carry their own number as bars of light, and whose sound is noise that never repeats.

A reader of a cut clip can so tell which source frame each of its frames is, and which source sample its first is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.audio.resampler import AudioResampler

BITS = 12
SIZE = (192, 112)
"""Width and height: 12 bars of 16 pixels, and the same below them inverted."""
_OPTIONS = {
    "libx264": {"preset": "superfast", "crf": "20", "threads": "1"},
    "libx265": {"preset": "ultrafast", "crf": "20"},
    "libvpx": {"deadline": "realtime", "cpu-used": "8", "b": "1M"},
    "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8", "b": "1M"},
    "mpeg4": {"b": "2M"},
    "mpeg2video": {"b": "3M"},
}


@dataclass(frozen=True)
class BarFilm:
    path: Path
    stamps: tuple[Fraction, ...]
    """When each frame is shown on the container's time line, and last the film's end."""
    wave: np.ndarray
    """float32 (channels, samples), beginning with the first frame."""
    sample_rate: int


def bars(number: int) -> np.ndarray:
    """A frame, uint8 RGB (height, width, 3), that shows `number` in binary, highest bit left, and inverted below."""
    bits = np.array([number >> shift & 1 for shift in reversed(range(BITS))], dtype=bool)
    row = np.repeat(np.where(bits, 220, 30).astype(np.uint8), SIZE[0] // BITS)
    upper = np.broadcast_to(row, (SIZE[1] // 2, SIZE[0]))
    return np.repeat(np.concatenate([upper, 250 - upper])[:, :, None], 3, axis=2)


def number_of(frame: np.ndarray) -> int:
    """The number that a grey frame (height, width), of any size, shows; ValueError where it shows none for sure."""
    height, width = frame.shape
    middle = (np.arange(BITS) + 0.5) * width / BITS
    columns = [frame[:, int(x - width / 60) : int(x + width / 60) + 1].astype(float) for x in middle]
    light = np.array([c[: height // 3].mean() - c[-(height // 3) :].mean() for c in columns])
    if np.abs(light).min() < 80:
        raise ValueError(f"no clear bars: {light.round()}")
    return int("".join("1" if value > 0 else "0" for value in light), 2)


def numbers_in(video: Path) -> list[int]:
    """The numbers that the frames of a clip show, in order."""
    with av.open(str(video)) as container:
        return [number_of(frame.to_ndarray(format="gray")) for frame in container.decode(video=0)]


def make(
    path: Path,
    durations: Sequence[int],
    *,
    time_base: Fraction = Fraction(1, 96),
    first_seconds: Fraction = Fraction(0),
    codec: str = "libx264",
    options: dict[str, str] | None = None,
    audio_codec: str = "flac",
    sample_rate: int = 48000,
    channels: int = 2,
    sound_delay: Fraction = Fraction(0),
    title: str = "",
    first_number: int = 0,
) -> BarFilm:
    """Writes a film of `len(durations)` frames, each shown for its number of `time_base` ticks.

    The frames are numbered from `first_number` on; other numbers have other sound.
    `sound_delay` above 0: the sound begins so many seconds late; below 0: it ends so many seconds early.
    """
    ends = np.cumsum([0, *durations]).tolist()
    stamps = tuple(first_seconds + tick * time_base for tick in ends)
    samples = round((stamps[-1] - stamps[0]) * sample_rate)
    wave = (np.random.default_rng(7 + first_number).standard_normal((channels, samples)) * 0.1).astype(np.float32)
    with av.open(str(path), "w", options={} if title else {"fflags": "+bitexact"}) as container:
        if title:
            container.metadata["title"] = title
        film = container.add_stream(
            codec,
            rate=1 / (sorted(durations)[len(durations) // 2] * time_base),
            options=_OPTIONS.get(codec, {}) | (options or {}),
        )
        film.width, film.height, film.pix_fmt = *SIZE, "yuv420p"
        film.codec_context.time_base, film.codec_context.thread_count = time_base, 1
        sound = container.add_stream(audio_codec, rate=sample_rate, layout={1: "mono", 2: "stereo", 6: "5.1"}[channels])
        resampler = AudioResampler(sound.format, sound.layout, sample_rate, frame_size=sound.frame_size or 1024)
        origin, written = round(first_seconds * sample_rate), 0
        for number, tick in enumerate(ends[:-1]):
            frame = av.VideoFrame.from_ndarray(bars(first_number + number), format="rgb24")
            frame.pts, frame.time_base = tick + round(first_seconds / time_base), time_base
            container.mux(film.encode(frame))
            until = round(ends[number + 1] * time_base * sample_rate)
            if until <= sound_delay * sample_rate:
                written = until
                continue
            if sound_delay < 0 and until > wave.shape[1] + sound_delay * sample_rate:
                continue
            piece = np.ascontiguousarray(wave[:, written:until])
            chunk = av.AudioFrame.from_ndarray(piece, "fltp", sound.layout.name)
            chunk.sample_rate, chunk.pts, chunk.time_base = sample_rate, origin + written, Fraction(1, sample_rate)
            written = until
            for block in resampler.resample(chunk):
                container.mux(sound.encode(block))
        container.mux(film.encode(None))
        for block in (*resampler.resample(None), None):
            container.mux(sound.encode(block))
    return BarFilm(path, stamps, wave, sample_rate)
