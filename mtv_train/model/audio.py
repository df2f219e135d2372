"""What the model hears: wav2vec2 features of every track, as windows around each video frame."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

TRACKS = ("speech", "speech2", "effects", "music")
"""Order of tracks in masks and lists; `speech2` only where the model has two speech tracks."""


@dataclass(frozen=True)
class AudioWindows:
    """Windows of wav2vec2 hidden states, (batch, frames, window frames, layers, channels) a track, at the video's rate.

    Two kinds of nothing: a silent track holds the features of silence, a dropped one holds zeros. Zeros mean "not
    told" and are the unconditional branch of guidance.
    """

    speech: Tensor
    effects: Tensor
    music: Tensor
    speech2: Tensor | None = None

    def __post_init__(self) -> None:
        shapes = {name: tuple(track.shape) for name, track in self.named()}
        if len(set(shapes.values())) != 1 or self.speech.ndim != 5:
            raise ValueError(f"tracks must share one shape (batch, frames, window, layers, channels), got {shapes}")

    def named(self) -> Iterator[tuple[str, Tensor]]:
        """(name, windows) of every track that is there, in the order of `TRACKS`."""
        for name in TRACKS:
            track = getattr(self, name)
            if track is not None:
                yield name, track

    @property
    def tracks(self) -> tuple[str, ...]:
        """Names of the tracks that are there."""
        return tuple(name for name, _ in self.named())

    @property
    def batch(self) -> int:
        """Samples."""
        return self.speech.shape[0]

    @property
    def frames(self) -> int:
        """Video frames."""
        return self.speech.shape[1]

    def map(self, change: Callable[[Tensor], Tensor]) -> AudioWindows:
        """Every track changed in the same way."""
        return AudioWindows(**{name: change(track) for name, track in self.named()})

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> AudioWindows:
        """On another device, in another precision."""
        return self.map(lambda track: track.to(device=device, dtype=dtype))

    def dropped(self, mask: Tensor) -> AudioWindows:
        """Zeros in place of the tracks that `mask`, boolean (batch, tracks) in the order of `tracks`, marks."""
        if mask.shape != (self.batch, len(self.tracks)):
            raise ValueError(f"mask is {tuple(mask.shape)}, expected {(self.batch, len(self.tracks))}")
        kept = (~mask).to(self.speech.device)[:, :, None, None, None, None]
        return AudioWindows(**{name: torch.where(kept[:, i], track, 0) for i, (name, track) in enumerate(self.named())})

    def unconditional(self) -> AudioWindows:
        """All tracks dropped."""
        return self.map(torch.zeros_like)

    @staticmethod
    def cat(parts: Sequence[AudioWindows]) -> AudioWindows:
        """One batch of several."""
        if len({part.tracks for part in parts}) != 1:
            raise ValueError(f"cannot join different sets of tracks: {[part.tracks for part in parts]}")
        return AudioWindows(**{name: torch.cat([getattr(part, name) for part in parts]) for name in parts[0].tracks})
