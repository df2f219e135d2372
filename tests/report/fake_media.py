"""Media of made-up clips: a ball over hills, and stems that look different as waveforms."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from demix.media.audio import write_flac

FPS, RATE, SECONDS = 24, 44100, 4


def write_media(work: Path, size: tuple[int, int]) -> None:
    """Six films with their mixes and stems, below work/media/<variant>/."""
    time = np.arange(RATE * SECONDS) / RATE
    for variant in range(6):
        folder = work / "media" / str(variant)
        folder.mkdir(parents=True)
        generator = np.random.default_rng(variant)
        envelope = np.clip(np.sin(2 * np.pi * (0.6 + 0.2 * variant) * time), 0, 1)
        stems = {
            "speech": 0.3
            * envelope
            * np.sin(2 * np.pi * (140 + 20 * variant) * time)
            * (1 + np.sin(2 * np.pi * 5 * time))
            / 2,
            "effects": 0.4 * generator.standard_normal(len(time)) * np.exp(-8 * (time % (0.7 + variant / 5))),
            "music": 0.15 * sum(np.sin(2 * np.pi * 220 * 2 ** (step / 12) * time) for step in (0, 4, 7)),
        }
        waves = {name: np.stack([wave, wave]).astype(np.float32) for name, wave in stems.items()}
        for name, wave in {**waves, "mix": sum(waves.values())}.items():
            write_flac(folder / f"{name}.flac", np.clip(wave, -1, 1), RATE)
        write_clip(folder / "clip.mp4", variant, np.clip(sum(waves.values()), -1, 1), size)


def write_clip(path: Path, variant: int, wave: np.ndarray, size: tuple[int, int]) -> None:
    """A small film of our own: a ball over hills at some hour of the day; `wave` (channels, samples) is its sound."""
    width, height = size
    x, y = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    sky = np.array(
        [
            [0.98, 0.62, 0.42],
            [0.35, 0.55, 0.85],
            [0.10, 0.12, 0.30],
            [0.75, 0.80, 0.85],
            [0.90, 0.45, 0.50],
            [0.30, 0.60, 0.55],
        ]
    )[variant % 6]
    with av.open(str(path), "w") as container:
        video = container.add_stream(
            "libx264", rate=FPS, width=width, height=height, pix_fmt="yuv420p", options={"preset": "ultrafast"}
        )
        audio = container.add_stream("aac", rate=RATE, layout="stereo")
        for index in range(FPS * SECONDS):
            part = index / (FPS * SECONDS)
            frame = sky * (1.15 - 0.7 * y[..., None])
            ball = (x - part) ** 2 + ((y - 0.35) * height / width) ** 2 < 0.004
            frame[ball] = (1.0, 0.95, 0.8)
            frame[y > 0.7 + 0.08 * np.sin(6 * x + variant)] = sky * 0.35
            picture = av.VideoFrame.from_ndarray((255 * np.clip(frame, 0, 1)).astype(np.uint8), format="rgb24")
            container.mux(video.encode(picture))
        samples = av.AudioFrame.from_ndarray(np.ascontiguousarray(wave), format="fltp", layout="stereo")
        samples.sample_rate, samples.time_base = RATE, Fraction(1, RATE)
        container.mux(audio.encode(samples))
        container.mux(audio.encode(None))
        container.mux(video.encode(None))
