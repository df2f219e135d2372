"""Films whose sound is what matters: tones and noise in given tracks and channels, made with ffmpeg."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import soundfile

from demix.media.audio import resample
from demix.media.cut import Cut, CutSettings, cut
from demix.media.limits import MediaLimits
from demix.media.probe import probe
from demix.records import Clip, Probe

LIMITS = MediaLimits()
PICTURES = "testsrc2=s=64x64:r=25:d={seconds}"


def ffmpeg(*arguments: str | Path) -> None:
    subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", *map(str, arguments)], check=True)


def film(path: Path, sounds: Sequence[str], *options: str, seconds: float = 2) -> Path:
    """A film with one track for every source of sound, in the words of lavfi."""
    inputs: list[str] = []
    for source in (PICTURES.format(seconds=seconds), *sounds):
        inputs += ["-f", "lavfi", "-i", source]
    maps = [argument for track in range(len(sounds) + 1) for argument in ("-map", str(track))]
    ffmpeg(*inputs, *maps, "-c:v", "libx264", "-preset", "ultrafast", "-t", str(seconds), *options, path)
    return path


def tone(hertz: float, level_db: float = -20, seconds: float = 2, rate: int = 48000) -> str:
    """A mono sine whose RMS is `level_db` below full scale."""
    peak = 10 ** (level_db / 20) * 2**0.5
    return f"aevalsrc={peak:.6f}*sin(2*PI*{hertz}*t):s={rate}:d={seconds}:c=mono"


def channels(layout: str, *expressions: str, seconds: float = 2, rate: int = 48000) -> str:
    """A track with one expression of `t` a channel; of no layout where it is empty."""
    return f"aevalsrc={'|'.join(expressions)}:s={rate}:d={seconds}" + (f":c={layout}" if layout else "")


def sine(hertz: float, level_db: float = -20) -> str:
    return f"{10 ** (level_db / 20) * 2**0.5:.6f}*sin(2*PI*{hertz}*t)"


def cut_whole(
    path: Path, known: Probe | None = None, start: Fraction = Fraction(0), **settings: object
) -> tuple[Cut, np.ndarray]:
    """The film from `start` seconds after its first picture, cut as one clip: facts and mix (channels, samples)."""
    known = known or probe(path, LIMITS)
    video = known.video
    first = video.start_pts + round(start / Fraction(video.time_base))
    clip = Clip(id="0" * 16, source_id="0" * 16, uri=str(path), kind="web", ordinal=0, start_pts=first,
                end_pts=video.end_pts, time_base=video.time_base)  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        mix = Path(folder) / "mix.flac"
        wanted = CutSettings.model_validate(settings)
        made = cut(path, known, clip, Path(folder) / "clip.mp4", mix, wanted, LIMITS)
        wave, rate = soundfile.read(mix, dtype="float32", always_2d=True)
    assert (len(wave), rate, wave.shape[1]) == (made.samples, made.sample_rate, made.channels)
    return made, wave.T


def level_db(wave: np.ndarray, hertz: float, rate: int) -> float:
    """Level (RMS, dBFS) of one tone in a mono wave."""
    window = np.hanning(len(wave))
    turning = np.exp(-2j * np.pi * hertz * np.arange(len(wave)) / rate)
    return float(20 * np.log10(abs((wave * window * turning).sum()) / window.sum() * 2**0.5 + 1e-12))


def loudest_hz(wave: np.ndarray, rate: int) -> float:
    """The frequency of the strongest tone in a mono wave."""
    return float(np.argmax(np.abs(np.fft.rfft(wave * np.hanning(len(wave))))) * rate / len(wave))


def lag_seconds(found: np.ndarray, wanted: np.ndarray, rate: int, wanted_rate: int) -> float:
    """Seconds by which `found` is later than `wanted`, both mono, by cross-correlation at 192 kHz."""
    first, second = (resample(wave, hertz, 192_000) for wave, hertz in ((found, rate), (wanted, wanted_rate)))
    length = min(len(first), len(second))
    spectrum = np.fft.rfft(first[:length], 2 * length) * np.conj(np.fft.rfft(second[:length], 2 * length))
    lag = int(np.argmax(np.fft.irfft(spectrum)))
    return (lag if lag < length else lag - 2 * length) / 192_000
