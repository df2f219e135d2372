"""Makes tiny videos with sound whose truth is known, and runs the commands on them."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from mtv_train.commands import evaluate, protocol

RATE = 16_000


def write_video(
    path: Path, pictures: np.ndarray, wave: np.ndarray | None, fps: int | Fraction = 24, codec: str = "libx264rgb"
) -> Path:
    """A lossless mp4 of uint8 RGB (frames, height, width, 3) and float32 (samples,) at 16 kHz (lossless too)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as file:
        video = file.add_stream(codec, rate=fps, options={"crf": "0", "preset": "ultrafast", "threads": "1"})
        video.height, video.width = pictures.shape[1:3]
        video.pix_fmt = "rgb24"
        sound = file.add_stream("flac", rate=RATE, layout="mono") if wave is not None else None
        for index, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts = index
            file.mux(video.encode(frame))
        file.mux(video.encode(None))
        if sound is not None:
            samples = np.rint(wave * 32767).astype(np.int16)[None]
            frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = RATE, 0, Fraction(1, RATE)
            file.mux(sound.encode(frame))
            file.mux(sound.encode(None))
    return path


def moving(seed: int, frames: int = 12, size: tuple[int, int] = (48, 64)) -> np.ndarray:
    """A textured square that jumps twice before a still background."""
    rng = np.random.default_rng(seed)
    background = np.kron(rng.integers(20, 60, (size[0] // 8, size[1] // 8, 3)), np.ones((8, 8, 1)))
    texture = np.kron(rng.integers(80, 230, (6, 6, 3)), np.ones((3, 3, 1)))
    pictures = np.repeat(background[None], frames, 0)
    for index in range(frames):
        place = 8 + 4 * (index >= frames // 3) + 4 * (index >= 2 * frames // 3)
        pictures[index, place : place + 18, 20:38] = texture
    return pictures.astype(np.uint8)


def beeps(seed: int, seconds: float) -> np.ndarray:
    """Faint noise with two beeps."""
    rng = np.random.default_rng(seed)
    wave = rng.normal(0, 0.002, round(seconds * RATE))
    k = np.arange(1500)
    for at in (len(wave) // 3, 2 * len(wave) // 3):
        burst = 0.6 * np.exp(-k / 300) * np.sin(2 * np.pi * (500 + 200 * seed) * k / RATE)
        wave[at : at + 1500] += burst[: len(wave) - at]
    return wave.astype(np.float32)


def write_videos(folder: Path, seeds: Sequence[int], frames: int = 12, fps: int = 24) -> Path:
    """One video a seed, with a text beside it."""
    for seed in seeds:
        write_video(folder / f"video{seed}.mp4", moving(seed, frames), beeps(seed, frames / fps), fps)
        (folder / f"video{seed}.txt").write_text(f"A square of pattern {seed}.\n", encoding="utf-8")
    return folder


def run(command: str, *arguments: str) -> int:
    """`python -m mtv_train COMMAND ARGUMENTS`, in this process."""
    module = {"evaluate": evaluate, "protocol": protocol}[command]
    parser = argparse.ArgumentParser()
    module.add_arguments(parser)
    return module.run(parser.parse_args(arguments))
