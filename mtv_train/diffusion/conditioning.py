"""What a training sample is told and what is kept from it: clean frames, dropped text, dropped tracks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from pydantic import model_validator
from torch import Tensor

from demix.config import Settings

OFFICIAL_HEIGHT = 480
"""Pixels: what the release takes for the number of frames when it places a run at random."""


class CleanFrameSettings(Settings):
    """How often which latent frames are kept clean in training, so that any frame can be given when sampling."""

    random: float = 0.01
    """Share of samples in which each frame is clean with a probability drawn from 0.1 to 0.9."""
    interpolate: float = 0.002
    """Share with every second frame clean."""
    quarter_random: float = 0.002
    """Share with a run of up to a quarter of the frames, anywhere."""
    quarter_head: float = 0.002
    """Share with such a run at the start."""
    quarter_tail: float = 0.002
    """Share with such a run at the end."""
    quarter_head_tail: float = 0.002
    """Share with runs at both ends."""
    head: float = 0.22
    """Share with the first frame."""
    tail: float = 0.005
    """Share with the last frame."""
    head_tail: float = 0.005
    """Share with both."""
    official_quarter_random: bool = False
    """Draw the place of the run in `quarter_random` from the picture's height in pixels, as the release does by
    mistake, so that it mostly misses the frames."""

    @model_validator(mode="after")
    def _within_one(self) -> CleanFrameSettings:
        total = sum(getattr(self, kind) for kind in _KINDS)
        if total > 1 or min(getattr(self, kind) for kind in _KINDS) < 0:
            raise ValueError(f"shares of clean frames must be 0 or more and sum to at most 1, not {total:g}")
        return self


class DropSettings(Settings):
    """How often conditions are left out in training, so that guidance has a branch without them."""

    text: float = 0.1
    """Share of samples whose text embedding is zeros."""
    audio: float = 0.05
    """Share whose tracks are all zeros together."""
    per_track: float = 0.0
    """Share in which each track, by itself, is zeros; it makes guidance per track possible. The release has none."""


@dataclass(frozen=True)
class Drops:
    """What is left out of one sample."""

    text: bool
    speech: bool
    effects: bool
    music: bool
    speech2: bool = False


def draw_clean_frames(generator: torch.Generator, frames: int, settings: CleanFrameSettings) -> Tensor:
    """Latent frames of one sample to be kept clean, boolean (frames,), at least one of them False.

    Draws from `generator`; the kinds in the order of the settings, each with its share, else no frame.
    """
    clean = torch.zeros(frames, dtype=torch.bool)
    choice, upto = _uniform(generator), 0.0
    for kind, mark in _KINDS.items():
        upto += getattr(settings, kind)
        if choice < upto:
            mark(clean, generator, settings)
            break
    if clean.all():
        clean[-1] = False
    return clean


def draw_drops(generator: torch.Generator, settings: DropSettings) -> Drops:
    """What is left out of one sample. Draws the same count of numbers whatever the settings."""
    text, audio, *single = (_uniform(generator) for _ in range(6))
    everything = audio < settings.audio
    speech, speech2, effects, music = (everything or number < settings.per_track for number in single)
    return Drops(text=text < settings.text, speech=speech, speech2=speech2, effects=effects, music=music)


Mark = Callable[[Tensor, torch.Generator, CleanFrameSettings], None]
"""Marks clean frames in a boolean (frames,) of False."""


def _random(clean: Tensor, generator: torch.Generator, settings: CleanFrameSettings) -> None:
    clean |= torch.rand(len(clean), generator=generator) < 0.1 + 0.8 * _uniform(generator)


def _interpolate(clean: Tensor, generator: torch.Generator, settings: CleanFrameSettings) -> None:
    clean[_below(2, generator) :: 2] = True


def _quarter_random(clean: Tensor, generator: torch.Generator, settings: CleanFrameSettings) -> None:
    run = _run(clean, generator)
    places = OFFICIAL_HEIGHT if settings.official_quarter_random else len(clean)
    start = _below(places - run + 1, generator)
    clean[start : start + run] = True


def _quarter_head(clean: Tensor, generator: torch.Generator, settings: CleanFrameSettings) -> None:
    clean[: _run(clean, generator)] = True


def _quarter_tail(clean: Tensor, generator: torch.Generator, settings: CleanFrameSettings) -> None:
    clean[len(clean) - _run(clean, generator) :] = True


def _quarter_head_tail(clean: Tensor, generator: torch.Generator, settings: CleanFrameSettings) -> None:
    run = _run(clean, generator)
    clean[:run] = True
    clean[len(clean) - run :] = True


def _head(clean: Tensor, generator: torch.Generator, settings: CleanFrameSettings) -> None:
    clean[0] = True


def _tail(clean: Tensor, generator: torch.Generator, settings: CleanFrameSettings) -> None:
    clean[-1] = True


def _head_tail(clean: Tensor, generator: torch.Generator, settings: CleanFrameSettings) -> None:
    clean[0] = clean[-1] = True


_KINDS: dict[str, Mark] = {
    "random": _random,
    "interpolate": _interpolate,
    "quarter_random": _quarter_random,
    "quarter_head": _quarter_head,
    "quarter_tail": _quarter_tail,
    "quarter_head_tail": _quarter_head_tail,
    "head": _head,
    "tail": _tail,
    "head_tail": _head_tail,
}


def _run(clean: Tensor, generator: torch.Generator) -> int:
    """A length of 1 up to a quarter of the frames."""
    return 1 + _below(max(len(clean) // 4, 1), generator)


def _uniform(generator: torch.Generator) -> float:
    return float(torch.rand((), generator=generator))


def _below(count: int, generator: torch.Generator) -> int:
    return int(torch.randint(count, (), generator=generator))
