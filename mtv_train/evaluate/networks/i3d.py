"""I3D (Carreira and Zisserman 2017), the video network whose Kinetics-400 logits FVD compares."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

CLASSES = 400

Mixture = tuple[int, int, int, int, int, int]
"""Channels of an inception block: 1x1; 1x1 before 3x3 and that; 1x1 before 3x3 and that; 1x1 after pooling."""

MIXTURES: dict[str, Mixture] = {
    "Mixed_3b": (64, 96, 128, 16, 32, 32),
    "Mixed_3c": (128, 128, 192, 32, 96, 64),
    "Mixed_4b": (192, 96, 208, 16, 48, 64),
    "Mixed_4c": (160, 112, 224, 24, 64, 64),
    "Mixed_4d": (128, 128, 256, 24, 64, 64),
    "Mixed_4e": (112, 144, 288, 32, 64, 64),
    "Mixed_4f": (256, 160, 320, 32, 128, 128),
    "Mixed_5b": (256, 160, 320, 32, 128, 128),
    "Mixed_5c": (384, 192, 384, 48, 128, 128),
}


class I3D(nn.Module):
    """Inception-v1 inflated to three dimensions. State dict: the layout of `i3d_pretrained_400.pt`.

    Padding follows TensorFlow's SAME rule, worked out from each input's size, and is zeros also before pooling.
    """

    def __init__(self, classes: int = CLASSES, norm_eps: float = 1e-5, shrink: int = 1):
        """`norm_eps`: 1e-5 as the PyTorch copies of the network have it; the TensorFlow original used 1e-3. `shrink`
        divides the width of every layer but the last."""
        super().__init__()
        first, channels = 64 // shrink, 192 // shrink
        self.Conv3d_1a_7x7 = Unit(3, first, 7, stride=2, norm_eps=norm_eps)
        self.Conv3d_2b_1x1 = Unit(first, first, 1, norm_eps=norm_eps)
        self.Conv3d_2c_3x3 = Unit(first, channels, 3, norm_eps=norm_eps)
        for name, mixture in MIXTURES.items():
            block = Inception(channels, tuple(width // shrink for width in mixture), norm_eps)
            self.add_module(name, block)
            channels = block.channels
        self.logits = Unit(channels, classes, 1, plain=True)

    def forward(self, video: torch.Tensor) -> torch.Tensor:
        """Logits (batch, classes), averaged over time, of `video` (batch, 3, frames, 224, 224) in [-1, 1].

        Needs 9 frames at least: time is pooled by 8 and then in pairs.
        """
        return self.logits(self.features(video)).mean(dim=(2, 3, 4))

    def features(self, video: torch.Tensor) -> torch.Tensor:
        """Pooled features (batch, 1024, time, 1, 1) before the classifier."""
        x = self.Conv3d_1a_7x7(video)
        x = pool(x, (1, 3, 3), (1, 2, 2))
        x = self.Conv3d_2c_3x3(self.Conv3d_2b_1x1(x))
        x = pool(x, (1, 3, 3), (1, 2, 2))
        for name in MIXTURES:
            if name == "Mixed_4b":
                x = pool(x, (3, 3, 3), (2, 2, 2))
            elif name == "Mixed_5b":
                x = pool(x, (2, 2, 2), (2, 2, 2))
            x = self.get_submodule(name)(x)
        return F.avg_pool3d(x, (2, 7, 7), stride=1)


class Unit(nn.Module):
    """Convolution, batch norm and ReLU; `plain` leaves the last two out and adds a bias."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, stride: int = 1, norm_eps: float = 1e-5, plain: bool = False
    ):
        super().__init__()
        self.kernel, self.stride = (kernel,) * 3, (stride,) * 3
        self.conv3d = nn.Conv3d(inputs, outputs, kernel, stride=stride, bias=plain)
        self.bn = None if plain else nn.BatchNorm3d(outputs, eps=norm_eps)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv3d(pad_same(x, self.kernel, self.stride))
        return x if self.bn is None else F.relu(self.bn(x))


class Inception(nn.Module):
    """Four branches side by side, concatenated along the channels."""

    def __init__(self, inputs: int, mixture: tuple[int, ...], norm_eps: float):
        super().__init__()
        b0, b1a, b1b, b2a, b2b, b3b = mixture
        self.b0 = Unit(inputs, b0, 1, norm_eps=norm_eps)
        self.b1a = Unit(inputs, b1a, 1, norm_eps=norm_eps)
        self.b1b = Unit(b1a, b1b, 3, norm_eps=norm_eps)
        self.b2a = Unit(inputs, b2a, 1, norm_eps=norm_eps)
        self.b2b = Unit(b2a, b2b, 3, norm_eps=norm_eps)
        self.b3b = Unit(inputs, b3b, 1, norm_eps=norm_eps)
        self.channels = b0 + b1b + b2b + b3b

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        pooled = pool(x, (3, 3, 3), (1, 1, 1))
        return torch.cat([self.b0(x), self.b1b(self.b1a(x)), self.b2b(self.b2a(x)), self.b3b(pooled)], 1)


def pad_same(x: torch.Tensor, kernel: tuple[int, ...], stride: tuple[int, ...]) -> torch.Tensor:
    """Zeros around (..., time, height, width) so that ceil(size / stride) outputs come out; the odd one goes behind."""
    sides: list[int] = []
    for size, width, step in zip(reversed(x.shape[-3:]), reversed(kernel), reversed(stride), strict=True):
        missing = max(width - (step if size % step == 0 else size % step), 0)
        sides += [missing // 2, missing - missing // 2]
    return F.pad(x, sides)


def pool(x: torch.Tensor, kernel: tuple[int, int, int], stride: tuple[int, int, int]) -> torch.Tensor:
    """Max pooling with the same padding."""
    return F.max_pool3d(pad_same(x, kernel, stride), kernel, stride)
