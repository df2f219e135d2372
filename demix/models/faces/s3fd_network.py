"""S3FD's network: VGG-16 with six outputs of boxes, one for each size of face (Zhang et al. 2017).

Attribute names and their numbers are those of the released `sfd_face.pth`, so that it loads strictly.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

STEPS = (4, 8, 16, 32, 64, 128)
"""Pixels between two places of each output; its faces are about four times as large."""
CENTRE, SIZE = 0.1, 0.2
"""What the net's shifts of centre and size are multiplied with."""
_POOL, _POOL_UP = -1, -2
_VGG = (64, 64, _POOL, 128, 128, _POOL, 256, 256, 256, _POOL_UP, 512, 512, 512, _POOL, 512, 512, 512, _POOL)


class ChannelNorm(nn.Module):
    """Every place's features scaled to length 1, then by a weight for each channel."""

    def __init__(self, channels: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x / (x.square().sum(1, keepdim=True).sqrt() + 1e-10) * self.weight[:, None, None]


def _vgg() -> nn.ModuleList:
    layers: list[nn.Module] = []
    channels = 3
    for width in _VGG:
        if width in (_POOL, _POOL_UP):
            layers.append(nn.MaxPool2d(2, 2, ceil_mode=width == _POOL_UP))
        else:
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
            channels = width
    wide = nn.Conv2d(512, 1024, 3, padding=6, dilation=6)
    return nn.ModuleList([*layers, wide, nn.ReLU(), nn.Conv2d(1024, 1024, 1), nn.ReLU()])


class S3fd(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.vgg = _vgg()
        self.L2Norm3_3, self.L2Norm4_3, self.L2Norm5_3 = ChannelNorm(256), ChannelNorm(512), ChannelNorm(512)
        self.extras = nn.ModuleList(
            [
                nn.Conv2d(1024, 256, 1),
                nn.Conv2d(256, 512, 3, 2, 1),
                nn.Conv2d(512, 128, 1),
                nn.Conv2d(128, 256, 3, 2, 1),
            ]
        )
        widths = (256, 512, 512, 1024, 512, 256)
        self.loc = nn.ModuleList([nn.Conv2d(width, 4, 3, padding=1) for width in widths])
        # The finest output has three scores for "no face", of which the highest counts.
        self.conf = nn.ModuleList([nn.Conv2d(width, 2 if n else 4, 3, padding=1) for n, width in enumerate(widths)])

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Boxes (batch, places, 4), x0 y0 x1 y1 in pixels, and scores (batch, places) of `x` (batch, 3, height, width):
        RGB 0..255 less (123, 117, 104)."""
        boxes, scores = [], []
        for step, features, loc, conf in zip(STEPS, self._features(x), self.loc, self.conf, strict=True):
            logits = conf(features)
            none = logits[:, :-1].amax(1)  # (batch, rows, columns)
            scores.append(torch.sigmoid(logits[:, -1] - none).flatten(1))
            boxes.append(_decoded(loc(features), step))
        return torch.cat(boxes, 1), torch.cat(scores, 1)

    def _features(self, x: torch.Tensor) -> list[torch.Tensor]:
        norms = {15: self.L2Norm3_3, 22: self.L2Norm4_3, 29: self.L2Norm5_3}
        found = []
        for number, layer in enumerate(self.vgg):
            x = layer(x)
            if number in norms:
                found.append(norms[number](x))
        found.append(x)
        for number, layer in enumerate(self.extras):
            x = functional.relu(layer(x))
            if number % 2:
                found.append(x)
        return found


def _decoded(shifts: torch.Tensor, step: int) -> torch.Tensor:
    """Boxes (batch, rows * columns, 4) from shifts (batch, 4, rows, columns) of squares of four steps."""
    rows, columns = (torch.arange(size, device=shifts.device) for size in shifts.shape[2:])
    x = ((columns + 0.5) * step).expand(len(rows), -1)
    y = ((rows + 0.5) * step)[:, None].expand(-1, len(columns))
    side = 4.0 * step
    centre_x, centre_y = x + shifts[:, 0] * CENTRE * side, y + shifts[:, 1] * CENTRE * side
    half_w, half_h = (side / 2 * torch.exp(shifts[:, axis] * SIZE) for axis in (2, 3))
    edges = (centre_x - half_w, centre_y - half_h, centre_x + half_w, centre_y + half_h)
    return torch.stack(edges, -1).flatten(1, 2)
