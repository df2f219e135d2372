"""What the trainer gets: samples side by side, raw, or encoded (see `encoders`), or partly each. One type for all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import TypeVar

import torch
from torch import Tensor

T = TypeVar("T")


@dataclass(frozen=True)
class BadSample:
    """A sample that could not be used, and what stands in its place. For the trainer's log."""

    k: int
    key: str
    kind: str
    message: str
    attempt: int
    replaced_by: str
    """Key of the sample that was taken instead; empty if that one was bad as well."""


@dataclass(frozen=True)
class ClipWaves:
    """What one sample's audio encoder hears.

    `waves`: track -> float32 (samples,) mono at the window settings' rate: of the whole clip, or of the window alone.
    `frames` of video belong to it; the window is frames [first, first + window frames) of them.
    """

    waves: Mapping[str, Tensor]
    frames: int
    first: int


@dataclass(frozen=True)
class Latents:
    """The VAE's posterior: mean and log-variance, bf16 (batch, latent frames, 16, height / 8, width / 8), unscaled."""

    mean: Tensor
    logvar: Tensor


@dataclass(frozen=True)
class AudioFeatures:
    """Track -> hidden layers of the audio encoder, bf16 (batch, frames + 2 radius, 12, 768): the window's frames and
    `radius` more on each side, the clip's first or last frame repeated where it ends."""

    tracks: Mapping[str, Tensor]
    radius: int

    def windows(self) -> dict[str, Tensor]:
        """Track -> (batch, frames, 2 radius + 1, 12, 768), a view: what each frame hears, its neighbours included."""
        size = 2 * self.radius + 1
        return {name: track.unfold(1, size, 1).movedim(-1, 2) for name, track in self.tracks.items()}

    def changed(self, change: Callable[[Tensor], Tensor]) -> AudioFeatures:
        """With every track changed in the same way."""
        return AudioFeatures({name: change(track) for name, track in self.tracks.items()}, self.radius)


@dataclass(frozen=True)
class Batch:
    """Samples of one stage, in the order of their numbers. All randomness of sample i: generator(seed, ks[i], ...)."""

    stage: str
    seed: int
    """The stage's seed."""
    ks: tuple[int, ...]
    keys: tuple[str, ...]
    """`<sample>@<first frame>` of each window."""
    subsets: tuple[str, ...]
    captions: tuple[str, ...]
    video: Tensor | None = None
    """uint8 (batch, frames, 3, height, width), 0..255"""
    latents: Latents | None = None
    text: Tensor | None = None
    """bf16 (batch, text tokens, dim)"""
    waves: tuple[ClipWaves, ...] | None = None
    audio: AudioFeatures | None = None
    bad: tuple[BadSample, ...] = ()
    """Bad samples met while this batch was made; the loader has counted them."""

    def __len__(self) -> int:
        return len(self.ks)

    def to(self, device: torch.device | str) -> Batch:
        """The batch with its tensors (not the waves) on another device."""
        return self.mapped(lambda tensor: tensor.to(device, non_blocking=True))

    def split(self, parts: int) -> list[Batch]:
        """Equal consecutive micro-batches; `bad` goes with the first. Raises ValueError unless `parts` divides the
        batch."""
        if parts < 1 or len(self) % parts:
            raise ValueError(f"a batch of {len(self)} cannot be split into {parts} equal parts")
        size = len(self) // parts
        return [self._part(slice(start, start + size)) for start in range(0, len(self), size)]

    def _part(self, part: slice) -> Batch:
        cut = self.mapped(lambda tensor: tensor[part])
        return replace(
            cut,
            ks=self.ks[part],
            keys=self.keys[part],
            subsets=self.subsets[part],
            captions=self.captions[part],
            waves=None if self.waves is None else self.waves[part],
            bad=self.bad if part.start == 0 else (),
        )

    def mapped(self, change: Callable[[Tensor], Tensor], waves: Callable[[Tensor], Tensor] | None = None) -> Batch:
        """The batch with every tensor changed in the same way, always in one order; the waves by `waves`."""
        latents, audio, heard = self.latents, self.audio, self.waves
        if heard is not None and waves is not None:
            heard = tuple(
                replace(clip, waves={track: waves(wave) for track, wave in clip.waves.items()}) for clip in heard
            )
        return replace(
            self,
            video=None if self.video is None else change(self.video),
            latents=None if latents is None else Latents(change(latents.mean), change(latents.logvar)),
            text=None if self.text is None else change(self.text),
            waves=heard,
            audio=None if audio is None else audio.changed(change),
        )


def join(batches: Sequence[Batch], pinned: bool = False) -> Batch:
    """The reverse of `split`: batches of one stage as one, a copy, `pinned` in page-locked memory (but for the waves).

    Raises ValueError where they do not hold the same parts.
    """
    first = batches[0]
    for part in ("video", "latents", "text", "waves", "audio"):
        if len({getattr(batch, part) is None for batch in batches}) != 1:
            raise ValueError(f"some of the batches hold {part} and some do not")
    return Batch(
        stage=first.stage,
        seed=first.seed,
        ks=_chained(batch.ks for batch in batches),
        keys=_chained(batch.keys for batch in batches),
        subsets=_chained(batch.subsets for batch in batches),
        captions=_chained(batch.captions for batch in batches),
        video=None if first.video is None else _cat(_there(batch.video for batch in batches), pinned),
        latents=None if first.latents is None else join_latents(_there(batch.latents for batch in batches), pinned),
        text=None if first.text is None else _cat(_there(batch.text for batch in batches), pinned),
        waves=None if first.waves is None else _chained(batch.waves or () for batch in batches),
        audio=None if first.audio is None else join_audio(_there(batch.audio for batch in batches), pinned),
        bad=_chained(batch.bad for batch in batches),
    )


def join_latents(parts: Sequence[Latents], pinned: bool = False) -> Latents:
    """Several samples' posteriors as one."""
    return Latents(_cat([part.mean for part in parts], pinned), _cat([part.logvar for part in parts], pinned))


def join_audio(parts: Sequence[AudioFeatures], pinned: bool = False) -> AudioFeatures:
    """Several samples' features as one."""
    names = parts[0].tracks
    return AudioFeatures({name: _cat([part.tracks[name] for part in parts], pinned) for name in names}, parts[0].radius)


def _cat(parts: Sequence[Tensor], pinned: bool) -> Tensor:
    if not pinned:
        return torch.cat(list(parts))
    shape = (sum(len(part) for part in parts), *parts[0].shape[1:])
    return torch.cat(list(parts), out=torch.empty(shape, dtype=parts[0].dtype, pin_memory=True))


def _there(parts: Iterable[T | None]) -> list[T]:
    return [part for part in parts if part is not None]


def _chained(parts: Iterable[tuple[T, ...]]) -> tuple[T, ...]:
    return tuple(chain.from_iterable(parts))
