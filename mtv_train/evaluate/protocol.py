"""The paper's test: some clips of the test split, drawn at random, as jobs for the sampler."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path

from demix.config import ConfigError
from demix.dataset.reader import Dataset, StoredSample
from demix.media.audio import read_wave, write_flac
from demix.store import atomic

TRACKS = ("speech", "effects", "music")


@dataclass(frozen=True)
class Job:
    """One video to sample, and to compare with the clip that it is named after."""

    name: str
    """The clip's id: the video should be called NAME.mp4."""
    prompt: str
    speech: str
    """Path of a FLAC, like the two below: the clip's track from its beginning, as long as the video."""
    effects: str
    music: str
    seed: int
    """Of the sampler: another one for each job."""

    def line(self) -> str:
        return json.dumps(asdict(self), ensure_ascii=False)


def draw(dataset: Dataset, count: int, seed: int, seconds: float) -> list[str]:
    """Ids of `count` clips of the test split that last `seconds` at least.

    Which ones depends on the seed and the clips alone, not on how the dataset is laid out; a larger count adds to the
    clips of a smaller one. Raises `ConfigError` if there are too few.
    """
    lengths = {sample.clip_id: _seconds(sample) for sample in dataset.samples(split="test", fields=("json",))}
    long_enough = sorted((clip for clip, length in lengths.items() if length >= seconds), key=lambda c: _lot(c, seed))
    if len(long_enough) < count:
        raise ConfigError(
            f"{dataset.root}: the test split has {len(lengths)} clips, {len(long_enough)} of them last "
            f"{seconds:.2f} s; lower --count {count} or --frames"
        )
    return long_enough[:count]


def jobs(dataset: Dataset, clips: list[str], media: Path, seed: int, seconds: float) -> Iterator[Job]:
    """Writes the tracks of each clip below `media` and yields its job."""
    for clip in clips:
        sample = dataset.find(clip, fields=("txt", *(f"{track}.flac" for track in TRACKS)))
        paths = {track: _write(sample, track, media, seconds) for track in TRACKS}
        yield Job(name=clip, prompt=sample.caption, seed=int(_lot(clip, seed)[:8], 16), **paths)


def _write(sample: StoredSample, track: str, media: Path, seconds: float) -> str:
    path = media.absolute() / f"{sample.clip_id}.{track}.flac"
    with atomic(path) as aside:
        aside.write_bytes(sample.data[f"{track}.flac"])
        wave, sample_rate = read_wave(aside)
        write_flac(aside, wave[:, : round(seconds * sample_rate)], sample_rate)
    return str(path)


def _seconds(sample: StoredSample) -> float:
    media = sample.record["records"]["clip_media"]
    return float(media["frames"] / Fraction(media["fps"]))


def _lot(clip: str, seed: int) -> str:
    return hashlib.blake2b(f"{seed}:{clip}".encode(), digest_size=8).hexdigest()
