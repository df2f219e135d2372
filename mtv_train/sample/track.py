"""Sound that a person gives: read, checked, brought to the length of a video. What was odd is said, not hidden."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import soundfile

from demix.config import ConfigError
from demix.media.audio import mono, read_wave, resample

LOWEST_RATE = 8000
"""Hz. Below it lips cannot be told from the voice: half of its consonants are gone."""
FULL_SCALE, CLIPPED_SHARE = 0.999, 0.001
"""A wave that is at full scale for more than this share of its samples was cut off when it was recorded."""


@dataclass(frozen=True)
class Track:
    """One sound: `wave` float32 (channels, samples) at `sample_rate` Hz, finite."""

    wave: np.ndarray
    sample_rate: int

    @property
    def seconds(self) -> Fraction:
        """How long it lasts."""
        return Fraction(self.wave.shape[1], self.sample_rate)

    def at(self, sample_rate: int) -> Track:
        """At another rate."""
        return Track(resample(self.wave, self.sample_rate, sample_rate), sample_rate)

    def heard(self, sample_rate: int, seconds: Fraction) -> np.ndarray:
        """As the audio encoder is given it: mono, at its rate, float32 of exactly round(seconds * rate) samples; what
        is missing is silence, what is over is left."""
        return fitted(resample(mono(self.wave)[None], self.sample_rate, sample_rate), sample_rate, seconds)[0]


def read_track(path: Path, name: str) -> tuple[Track, list[str]]:
    """The sound of a file (WAV, FLAC, OGG, MP3), and what is to be said about it. `name` is for the messages.

    Raises `ConfigError` for a file that is absent, no sound, empty, of too low a rate, or holds NaN or infinity.
    """
    who = f"{name} {path}"
    if not path.is_file():
        raise ConfigError(f"{who}: there is no such file")
    try:
        wave, sample_rate = read_wave(path)
    except soundfile.LibsndfileError as error:
        raise ConfigError(
            f"{who}: cannot be read as sound ({str(error).rstrip('.')}); give WAV, FLAC, OGG or MP3 "
            "(ffmpeg -i FILE sound.wav makes one of a film)"
        ) from error
    if not wave.shape[1]:
        raise ConfigError(f"{who}: holds no samples; leave the track out to mean silence")
    if sample_rate < LOWEST_RATE:
        raise ConfigError(f"{who}: {sample_rate} Hz is too low a rate; record with {LOWEST_RATE} Hz at least")
    wrong = ~np.isfinite(wave).all(axis=0)
    if wrong.any():
        raise ConfigError(
            f"{who}: {int(wrong.sum())} samples are not finite (NaN or infinity), the first at "
            f"{int(wrong.argmax()) / sample_rate:.3f} s; repair the file"
        )
    remarks = []
    if wave.shape[0] > 2:
        remarks.append(f"{who}: {wave.shape[0]} channels are mixed down to one")
        wave = mono(wave)[None]
    peak = float(np.abs(wave).max())
    if peak > 1:
        remarks.append(f"{who}: goes up to {peak:.2f} of full scale; it is turned down")
        wave = wave / peak
    elif float((np.abs(wave) >= FULL_SCALE).mean()) > CLIPPED_SHARE:
        share = float((np.abs(wave) >= FULL_SCALE).mean())
        remarks.append(f"{who}: clipped ({share:.1%} of its samples are at full scale); it is heard as it is")
    return Track(np.ascontiguousarray(wave, np.float32), sample_rate), remarks


def length_remarks(name: str, track: Track, seconds: Fraction) -> list[str]:
    """What is to be said where a track is not as long as the video of `seconds`; a frame more or less is nothing."""
    difference = float(track.seconds - seconds)
    if difference > 0.05:
        return [
            f"{name}: lasts {float(track.seconds):.2f} s, the video {float(seconds):.2f} s; the rest is left out "
            "(--long makes the video as long as the sound)"
        ]
    if difference < -0.05:
        return [f"{name}: ends after {float(track.seconds):.2f} s; silence follows up to {float(seconds):.2f} s"]
    return []


def fitted(wave: np.ndarray, sample_rate: int, seconds: Fraction) -> np.ndarray:
    """`wave` (channels, samples) of exactly round(seconds * sample_rate) samples: cut, or followed by silence."""
    length = round(seconds * sample_rate)
    return np.pad(wave[:, :length], ((0, 0), (0, max(length - wave.shape[1], 0))))


def mixed(tracks: list[Track], seconds: Fraction) -> Track | None:
    """The sum of all tracks, at the highest of their rates, in stereo if any is, turned down where it would clip, and
    exactly as long as the video; None if there are no tracks."""
    if not tracks:
        return None
    sample_rate = max(track.sample_rate for track in tracks)
    waves = [fitted(track.at(sample_rate).wave, sample_rate, seconds) for track in tracks]
    channels = max(len(wave) for wave in waves)
    total = np.sum([np.broadcast_to(wave, (channels, wave.shape[1])) for wave in waves], axis=0, dtype=np.float64)
    peak = float(np.abs(total).max(initial=0))
    return Track(np.asarray(total / max(peak, 1.0), np.float32), sample_rate)
