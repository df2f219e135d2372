"""The multi-stream temporal ControlNet up to the blocks: sound in, tokens per interval and one style vector out."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from mtv_train.model.audio import AudioWindows
from mtv_train.model.config import MTVSettings
from mtv_train.model.interaction import InteractionBlock, kind_of
from mtv_train.model.projector import AudioProjector


class Control(NamedTuple):
    """What every block is told of the sound."""

    tokens: tuple[Tensor, ...]
    """Of each interval track, (batch, latent frames, tokens, audio dim)."""
    style: Tensor | None
    """The music of the whole clip, (batch, audio dim)."""


class AudioControl(nn.Module):
    """Interval stream (projectors, interaction blocks) and holistic stream (context encoder, average pooling) of the
    paper's section 4.2. Computed once a forward pass; all blocks get the same.

    Both speakers of a two-speaker model share one projector and are told apart by a learned vector each.
    """

    def __init__(self, settings: MTVSettings, time_dim: int):
        super().__init__()
        self.settings = settings
        kinds = dict.fromkeys(kind_of(track) for track in settings.tracks)
        self.projectors = nn.ModuleDict({kind: AudioProjector(settings) for kind in kinds})
        speakers = settings.speech_names if settings.speech_tracks == 2 else ()
        self.speakers = nn.ParameterDict({name: nn.Parameter(torch.zeros(settings.audio_dim)) for name in speakers})
        blocks = settings.interval_blocks if settings.has_interaction else 0
        self.interaction = nn.ModuleList(InteractionBlock(settings, time_dim) for _ in range(blocks))

    def forward(self, audio: AudioWindows, temb: Tensor) -> Control:
        """`audio` of 1 + 4n frames; `temb` (batch, time dim): the denoising step, for the interaction blocks."""
        if audio.tracks != self.settings.tracks:
            raise ValueError(f"the model hears {self.settings.tracks}, but was given {audio.tracks}")
        tracks = {name: self.projectors[kind_of(name)](windows) for name, windows in audio.named()}
        for name, vector in self.speakers.items():
            tracks[name] = tracks[name] + vector
        tokens = tuple(tracks[name] for name in self.settings.interval_tracks)
        for block in self.interaction:
            tokens = block(tokens, temb)
        style = tracks["music"].mean((1, 2)) if self.settings.has_style else None
        return Control(tokens, style)
