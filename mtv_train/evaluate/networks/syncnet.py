"""SyncNet (Chung and Zisserman 2016): lips and sound as vectors that are near each other when both belong together."""

from __future__ import annotations

import torch
from torch import nn

FRAMES = 5
"""Pictures of one lip window."""
SIDE = 224
COLUMNS = 20
"""MFCC columns (10 ms each) of one sound window: the same 0.2 s."""


class SyncNet(nn.Module):
    """Two convolutional towers. State dict: the layout of the released `syncnet_v2.model`."""

    def __init__(self, embedding: int = 1024, shrink: int = 1):
        """`shrink` divides the width of every layer but the last: 1 is the released network."""
        super().__init__()
        c64, c96, c192, c256, c384, c512 = (width // shrink for width in (64, 96, 192, 256, 384, 512))
        self.netcnnaud = nn.Sequential(
            *_conv2d(1, c64, 3, padding=1),
            nn.MaxPool2d((1, 1), stride=(1, 1)),
            *_conv2d(c64, c192, 3, padding=1),
            nn.MaxPool2d((3, 3), stride=(1, 2)),
            *_conv2d(c192, c384, 3, padding=1),
            *_conv2d(c384, c256, 3, padding=1),
            *_conv2d(c256, c256, 3, padding=1),
            nn.MaxPool2d((3, 3), stride=(2, 2)),
            *_conv2d(c256, c512, (5, 4)),
        )
        self.netfcaud = _head(c512, embedding)
        self.netfclip = _head(c512, embedding)
        self.netcnnlip = nn.Sequential(
            *_conv3d(3, c96, (5, 7, 7), stride=2),
            nn.MaxPool3d((1, 3, 3), stride=(1, 2, 2)),
            *_conv3d(c96, c256, (1, 5, 5), stride=2, padding=1),
            nn.MaxPool3d((1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1)),
            *_conv3d(c256, c256, (1, 3, 3), padding=1),
            *_conv3d(c256, c256, (1, 3, 3), padding=1),
            *_conv3d(c256, c256, (1, 3, 3), padding=1),
            nn.MaxPool3d((1, 3, 3), stride=(1, 2, 2)),
            *_conv3d(c256, c512, (1, 6, 6)),
        )

    def embed_lips(self, windows: torch.Tensor) -> torch.Tensor:
        """(batch, 1024) of `windows` (batch, 3, 5, 224, 224): BGR, 0..255, not normalised. The result is not either."""
        return self.netfclip(self.netcnnlip(windows).flatten(1))

    def embed_sound(self, windows: torch.Tensor) -> torch.Tensor:
        """(batch, 1024) of `windows` (batch, 1, 13, 20): cepstra of int16-scaled sound by time."""
        return self.netfcaud(self.netcnnaud(windows).flatten(1))


def _conv2d(inputs: int, outputs: int, kernel: int | tuple[int, int], padding: int = 0) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, kernel, padding=padding), nn.BatchNorm2d(outputs), nn.ReLU()]


def _conv3d(
    inputs: int, outputs: int, kernel: tuple[int, int, int], stride: int = 1, padding: int = 0
) -> list[nn.Module]:
    """Strides and padding are of the picture only; time has one step."""
    conv = nn.Conv3d(inputs, outputs, kernel, stride=(1, stride, stride), padding=(0, padding, padding))
    return [conv, nn.BatchNorm3d(outputs), nn.ReLU()]


def _head(width: int, embedding: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Linear(width, embedding))
