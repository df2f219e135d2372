"""What a request names, read: tracks, mixture, pictures, each checked and with its hash."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from demix.config import ConfigError
from demix.models import choose
from demix.models.demixing import ThreeStemDemixer
from demix.recipe import load_settings
from mtv_train.sample.pictures import rgb
from mtv_train.sample.prompt import remarks as prompt_remarks
from mtv_train.sample.request import Request
from mtv_train.sample.track import Track, length_remarks, mixed, read_track

STEMS = ("speech", "effects", "music")
AUDIBLE = 10 ** (-45 / 20)
"""RMS above which a track holds something: the paper's limit of silence."""


@dataclass(frozen=True)
class Material:
    """Everything that a video is made from."""

    tracks: Mapping[str, Track]
    """What the model hears; a track that is absent is silent."""
    mixture: Track | None
    """The mixture as it was given, if that is still what the tracks add up to."""
    keyframes: Mapping[int, Image.Image]
    hashes: Mapping[str, str]
    """What a file is for, to its sha256."""
    remarks: list[str] = field(default_factory=list)
    """What is to be said of it."""

    @property
    def seconds(self) -> Fraction:
        """The longest sound."""
        sounds = [*self.tracks.values(), *([self.mixture] if self.mixture else [])]
        return max((track.seconds for track in sounds), default=Fraction(0))

    def mixed(self, seconds: Fraction) -> Track | None:
        """What the video of `seconds` sounds like; None where nothing was given."""
        return mixed([self.mixture] if self.mixture else list(self.tracks.values()), seconds)

    def length_remarks(self, seconds: Fraction) -> list[str]:
        """What is to be said where sounds and video are not equally long."""
        sounds = {"audio": self.mixture} if self.mixture else self.tracks
        return [remark for name, track in sounds.items() if track for remark in length_remarks(name, track, seconds)]


def gather(request: Request, device: str = "auto") -> Material:
    """Reads all files of a request; a mixture is taken apart by its demixer on `device`. Raises `ConfigError`."""
    notes: list[str] = []
    tracks: dict[str, Track] = {}
    mixture = None
    if request.audio:
        mixture, said = read_track(Path(request.audio), "audio")
        notes += said
        tracks |= demixed(mixture, request, device)
    for name, path in request.track_files().items():
        tracks[name], said = read_track(path, name)
        notes += said
    if request.audio and any(name != "prompt" for name in request.swap):
        mixture = None
    keyframes = {}
    for frame, file in sorted(request.keyframes.items()):
        keyframes[frame], said = _picture(Path(file), frame)
        notes += said
    spoken = [name for name in ("speech", "speech2") if name in tracks and _audible(tracks[name])]
    for text in request.scenes.values() or [request.text]:
        notes += prompt_remarks(text, bool(spoken))
    hashes = {name: _sha256(path) for name, path in request.files().items()}
    return Material(tracks, mixture, keyframes, hashes, list(dict.fromkeys(notes)))


def demixed(mixture: Track, request: Request, device: str) -> dict[str, Track]:
    """Speech, effects and music of a mixture, by the demixer of the request's profile. The same mixture and seed give
    the same tracks. Raises `ConfigError` for a profile that there is not, or weights that are not here."""
    settings = load_settings(request.demixer).demixing
    demixer: ThreeStemDemixer = choose("demix_three", settings.three, settings).make(device)
    stems = demixer.separate(mixture.wave, mixture.sample_rate, request.seed)
    return {name: Track(getattr(stems, name), mixture.sample_rate) for name in STEMS}


def _audible(track: Track) -> bool:
    return math.sqrt(float(np.mean(np.square(track.wave, dtype=np.float64)))) > AUDIBLE


def _picture(path: Path, frame: int) -> tuple[Image.Image, list[str]]:
    who = f"keyframe {frame} {path}"
    if not path.is_file():
        raise ConfigError(f"{who}: there is no such file")
    try:
        with Image.open(path) as picture:
            picture.load()
            shown, said = rgb(picture)
    except ConfigError as error:
        raise ConfigError(f"{who}: {error}") from error
    except (UnidentifiedImageError, OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ConfigError(f"{who}: cannot be read as a picture ({error}); give PNG or JPEG") from error
    return shown, [f"{who} {said}"] if said else []


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
