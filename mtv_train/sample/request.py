"""What is asked for: one video. A command line, a line of a jobs file and a sidecar all say it in these fields."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from demix.config import ConfigError, Settings
from mtv_train.sample.guidance import Guidance
from mtv_train.sample.long_video import LongSettings
from mtv_train.sample.transition import TransitionSettings

TRACKS = ("speech", "speech2", "effects", "music")


class Request(Settings):
    """One video."""

    prompt: str = ""
    """The text, best in the paper's template; empty: the model is told nothing of the scene."""
    speech: str = ""
    """A sound file; empty: silence. So the three below."""
    speech2: str = ""
    """The second speaker's voice, for two-speaker models."""
    effects: str = ""
    music: str = ""
    audio: str = ""
    """One mixture instead of tracks; it is taken apart first, and is what the video sounds like."""
    demixer: str = "lite"
    """Whose demixer takes it apart: a profile of `demix` (lite, open, paper)."""
    swap: dict[str, str] = Field(default_factory=dict)
    """Track (or `prompt`) to what stands in its place, everything else kept (paper section 5.4)."""
    keyframes: dict[int, str] = Field(default_factory=dict)
    """Frame number to picture file."""
    scenes: dict[float, str] = Field(default_factory=dict)
    """Second to the text that holds from then on, instead of one prompt; needs `long`."""

    long: bool = False
    """As long as the sound (or `seconds`), instead of one window."""
    seconds: float = Field(default=0, ge=0)
    """Length of a long video; 0: that of the longest sound."""
    frames: int | None = None
    """Of a window, 1 + 4n. None: as the model was made (49). So the two below (480, 720)."""
    height: int | None = None
    width: int | None = None

    seed: int = Field(default=0, ge=0)
    """Of the noise: the same seed gives the same video."""
    steps: int = Field(default=50, ge=1)
    """Denoising steps."""
    guidance: float = Field(default=3.5, ge=0)
    """How strongly text and sound are followed; 1: no guidance."""
    audio_guidance: float | None = Field(default=None, ge=0)
    """How strongly the sound is followed, if not as the text is; `guidance` is then the text's alone."""
    scheduler: Literal["model", "dpm", "ddim", "release"] = "model"
    """Who steps: what the model folder names, DPM-Solver++, DDIM, or the release's own DPM-Solver++."""
    joining: LongSettings = LongSettings()
    """How a long video's segments are joined."""
    transition: TransitionSettings = TransitionSettings()
    """How scenes flow into each other."""

    @field_validator("keyframes", mode="before")
    @classmethod
    def _frames_once(cls, value: object) -> object:
        return _numbered(value, int, "keyframe")

    @field_validator("scenes", mode="before")
    @classmethod
    def _seconds_once(cls, value: object) -> object:
        return _numbered(value, float, "scene")

    @field_validator("swap")
    @classmethod
    def _known(cls, value: dict[str, str]) -> dict[str, str]:
        if unknown := [name for name in value if name not in (*TRACKS, "prompt")]:
            raise ValueError(f"{unknown[0]} cannot be swapped; there are {', '.join(TRACKS)} and prompt")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Request:
        tracks = [name for name in TRACKS if getattr(self, name)]
        if self.audio and tracks:
            raise ValueError(f"audio is a mixture of all tracks, so {tracks[0]} cannot be given too; use swap for that")
        if self.scenes and self.prompt:
            raise ValueError("scenes are texts themselves: leave prompt out")
        if len(self.scenes) > 1 and not self.long:
            raise ValueError("scenes that change need long: one window is too short for more than one")
        if self.scheduler == "release" and self.steps < 2:
            raise ValueError("the release's scheduler needs two steps at least")
        if self.seconds and not self.long:
            raise ValueError("seconds needs long; a window has its own length")
        return self

    @property
    def how(self) -> Guidance:
        """The guidance that is asked for."""
        return Guidance(self.guidance, self.audio_guidance)

    @property
    def text(self) -> str:
        """The prompt, after swapping."""
        return self.swap.get("prompt", self.prompt)

    def track_files(self) -> dict[str, Path]:
        """Track to file, of tracks that are given one by one; swapped ones are the new."""
        named = {name: self.swap.get(name, getattr(self, name)) for name in TRACKS}
        return {name: Path(file) for name, file in named.items() if file}

    def files(self) -> dict[str, Path]:
        """All files that it reads, by what each is for."""
        pictures = {f"keyframe {frame}": Path(file) for frame, file in self.keyframes.items()}
        mixture = {"audio": Path(self.audio)} if self.audio else {}
        return {**self.track_files(), **mixture, **pictures}

    def resolved(self, folder: Path) -> Request:
        """With every file's path absolute; relative ones are below `folder`."""

        def whole(file: str) -> str:
            return str((folder / file).absolute()) if file else ""

        return self.model_copy(
            update={
                **{name: whole(getattr(self, name)) for name in (*TRACKS, "audio")},
                "swap": {name: text if name == "prompt" else whole(text) for name, text in self.swap.items()},
                "keyframes": {frame: whole(file) for frame, file in self.keyframes.items()},
            }
        )


def _numbered(value: object, kind: Callable[[str], float], what: str) -> object:
    """A mapping with numbers for the texts that are its keys in JSON. Raises `ValueError` for a key that is no number,
    or the same number as another (`0` and `00`)."""
    if not isinstance(value, Mapping):
        return value
    found: dict[float, Any] = {}
    for key, held in value.items():
        try:
            number = kind(key)
        except (TypeError, ValueError):
            number = math.nan
        if not (math.isfinite(number) and number >= 0):
            raise ValueError(f"{what} {key}: give a number from 0 on")
        if number in found:
            raise ValueError(f"{what} {key}: {number:g} is given twice")
        found[number] = held
    return found


def keyed(texts: list[str], option: str, example: str, kind: Callable[[str], object] = str) -> dict[str, str]:
    """`KEY=VALUE` arguments as a mapping, with keys as a sidecar writes them: `0.0` for `0` where `kind` is float.
    Raises `ConfigError` that shows how it is done."""
    found: dict[str, str] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        try:
            key = str(kind(key))
        except ValueError:
            equals = ""
        if not equals or not key or not value:
            raise ConfigError(f"{option} {text}: expected {example}")
        if key in found:
            raise ConfigError(f"{option} {text}: {key} is given twice")
        found[key] = value
    return found
