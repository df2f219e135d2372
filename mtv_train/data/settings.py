"""Settings of this room: what a window is, and how it is loaded."""

from __future__ import annotations

from fractions import Fraction
from typing import Literal

from pydantic import Field, field_validator, model_validator

from demix.config import Settings

Track = Literal["speech", "effects", "music", "speech2"]


class WindowSettings(Settings):
    """What the model sees of a clip. Part of the dataset's fingerprint and of every cache's."""

    frames: int = Field(default=49, ge=1)
    """Frames of a window; 1 + 4n for a causal VAE that packs four frames into one."""
    fps: str = "24"
    """Frames a second, a number or ratio. Clips of another rate are resampled by their time stamps."""
    stride: int = Field(default=44, ge=1)
    """Frames from one window of a clip to the next. 44: an overlap of five, as when sampling long videos."""
    height: int = Field(default=480, ge=16)
    """Pixels. The picture is scaled until it covers height x width, keeping its shape, and cropped."""
    width: int = Field(default=720, ge=16)
    crop: Literal["centre", "random"] = "centre"
    """Where the crop lies. `random` is drawn per sample and cannot be used with precomputed latents."""
    sample_rate: int = Field(default=16000, ge=8000)
    """Hz of the tracks, mono; what wav2vec2 takes."""
    tracks: tuple[Track, ...] = ("speech", "effects", "music")
    """Stems that are read: members `<track>.flac`. `speech2` is the second voice of the two-speaker variant: where it
    is named, the two are a DEMIX dataset's speaker tracks, and clips without have all speech in the first."""
    audio_context: Literal["clip", "window"] = "clip"
    """What the audio encoder hears: the whole clip, as in the authors' release, or the window alone."""
    audio_radius: int = Field(default=2, ge=0)
    """Neighbouring frames on each side whose audio features a frame gets."""
    prompt: Literal["paper", "release"] = "paper"
    """Captions without a speaker: the scene alone (paper), or with "No conversation. Scene Description:" before it."""

    @field_validator("fps", mode="before")
    @classmethod
    def _written_as_a_number(cls, value: object) -> object:
        return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value

    @field_validator("fps")
    @classmethod
    def _rate(cls, value: str) -> str:
        try:
            fits = 0 < Fraction(value) <= 240
        except (ValueError, ZeroDivisionError):
            fits = False
        if not fits:
            raise ValueError("must be a number or ratio above 0 and up to 240, for instance 24 or 24000/1001")
        return value

    @property
    def rate(self) -> Fraction:
        return Fraction(self.fps)


class LoaderSettings(Settings):
    """How samples are loaded; changes nothing in what is loaded."""

    workers: int = Field(default=4, ge=0)
    """Processes that decode ahead; 0: everything in the trainer's process."""
    prefetch: int = Field(default=2, ge=1)
    """Samples that a worker holds ready; from 4 on, quick ones travel several at a time, at less cost each.
    Shared memory: workers x prefetch and a rank's part of a batch, each a window (49 x 480 x 720: 51 MB) and its waves.
    """
    start_method: Literal["fork", "forkserver", "spawn"] = "fork"
    """How workers start. `forkserver` where the trainer has threads that do not survive a fork."""
    read_ahead_bytes: int = Field(default=64 << 20, ge=0)
    """Bound of a worker's cache of bytes from an object store, filled ahead with what it is going to need; 0: no cache.
    Shards on a disk, local or mounted, are left to the system's own cache."""
    read_ahead: int = Field(default=2, ge=0)
    """Samples whose bytes a worker fetches ahead: by threads, or by telling the system."""
    check_hashes: bool = True
    """Whether every member's sha256 is compared with the index."""
    max_bad_share: float = Field(default=0.01, ge=0, le=1)
    """The run stops when more samples than this share were bad (counted over at least 100)."""
    attempts: int = Field(default=8, ge=1)
    """Replacements tried for one bad sample before the run stops."""
    pin_memory: bool = False
    """Put batches into page-locked memory, for GPUs; nothing without one."""


class DataSettings(Settings):
    """Where the data lie and how they are read."""

    dataset: str = ""
    """A DEMIX dataset, or a folder or glob of WebDataset tars with the same members: a path or any fsspec URI."""
    storage_options: dict[str, str] = Field(default_factory=dict)
    """For fsspec: endpoint, profile and the like."""
    subset: str = "all"
    """Subset of samples whose `.json` names none."""
    unusable: Literal["refuse", "leave_out"] = "refuse"
    """Clips of plain tars that lack a member or cannot be read as films: refuse the dataset, naming them, or train
    without them (the index lists them)."""
    index_cache: str = ""
    """Folder for the index file. Empty: beside plain tars where that is a local folder that can be written, else the
    user's cache folder."""
    window: WindowSettings = WindowSettings()
    loader: LoaderSettings = LoaderSettings()
    cache: str = ""
    """Store of precomputed latents, embeddings and features (see `mtv_train precompute`): a folder or fsspec URI."""
    cached: tuple[Literal["latents", "text", "audio"], ...] = ()
    """Which of them are read instead of being computed in the step."""

    @model_validator(mode="after")
    def _consistent(self) -> DataSettings:
        if self.cached and not self.cache:
            raise ValueError("`cached` names what is precomputed: give `cache`, the store where it lies, too")
        if "latents" in self.cached and self.window.crop == "random":
            raise ValueError("window.crop=random draws another crop each time: use centre with precomputed latents")
        return self
