"""What the three active-speaker nets share: their inputs, their two branches' pooling, their heads.

Attribute names are those of the released checkpoints, so that state dicts load strictly.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import nn

GREY_MEAN, GREY_SPREAD = 0.4161, 0.1688
"""Of the grey faces (0..1) that the nets were trained on."""
EPS = 1e-3
"""Of the batch normalisations whose running statistics were gathered with it."""


class Head(nn.Module):
    """Two logits a frame: not speaking, speaking."""

    def __init__(self, width: int):
        super().__init__()
        self.FC = nn.Linear(width, 2)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.FC(features)


class Network(Protocol):
    """A net as its checkpoint holds it: `model`, and a head for each of the losses that trained it."""

    def __call__(self, mfcc: torch.Tensor, faces: torch.Tensor) -> torch.Tensor:
        """Logits (batch, frames, 2) of `mfcc` (batch, 4 * frames, 13) and `faces` (batch, frames, 112, 112), 0..255."""


class TwoBranch(nn.Module):
    """Sound and picture each into (batch, frames, features); then both into one."""

    visualEncoder: nn.Module
    audioEncoder: nn.Module

    def forward_audio(self, mfcc: torch.Tensor) -> torch.Tensor:
        return self.audioEncoder(mfcc[:, None].transpose(2, 3))  # (batch, 1, 13, 4 * frames)

    def forward_visual(self, faces: torch.Tensor) -> torch.Tensor:
        return self.visualEncoder(normalised(faces)[:, None])  # (batch, 1, frames, 112, 112)

    def fuse(self, audio: torch.Tensor, visual: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError


class SmallNetwork(nn.Module):
    """LR-ASD and Light-ASD as released: the net, the head of both branches together and that of the picture alone."""

    def __init__(self, model: TwoBranch, width: int = 128):
        super().__init__()
        self.model = model
        self.lossAV = Head(width)
        self.lossV = Head(width)

    def forward(self, mfcc: torch.Tensor, faces: torch.Tensor) -> torch.Tensor:
        audio, visual = self.model.forward_audio(mfcc), self.model.forward_visual(faces)
        return self.lossAV(self.model.fuse(audio, visual))


class VisualEncoder(nn.Module):
    """Three blocks with two halvings of the picture between them, then the strongest answer anywhere in it."""

    def __init__(self, *blocks: nn.Module):
        super().__init__()
        self.block1, self.block2, self.block3 = blocks
        self.pool = nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.block3(self.pool(self.block2(self.pool(self.block1(x)))))
        return x.amax((3, 4)).transpose(1, 2)  # (batch, frames, channels)


class AudioEncoder(nn.Module):
    """Three blocks with two halvings of time between them, then the mean over the cepstra."""

    def __init__(self, *blocks: nn.Module):
        super().__init__()
        self.block1, self.block2, self.block3 = blocks
        self.pool = nn.MaxPool2d((1, 3), (1, 2), (0, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.block3(self.pool(self.block2(self.pool(self.block1(x)))))
        return x.mean(2).transpose(1, 2)  # (batch, frames, channels)


def normalised(faces: torch.Tensor) -> torch.Tensor:
    return (faces.float() / 255 - GREY_MEAN) / GREY_SPREAD
