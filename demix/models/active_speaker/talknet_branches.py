"""TalkNet's two branches: a residual net over the pictures, and one with channel attention over the cepstra.

Attribute names are those of the release, so that its state dict loads strictly.
"""

from __future__ import annotations

import torch
from torch import nn

from demix.models.active_speaker.parts import EPS


class ResidualPair(nn.Module):
    """Two residual blocks; the first may halve the picture. Normalisation follows the sum."""

    def __init__(self, channels_in: int, channels: int, stride: int):
        super().__init__()
        self.stride = stride
        self.conv1a = nn.Conv2d(channels_in, channels, 3, stride, 1, bias=False)
        self.bn1a = nn.BatchNorm2d(channels, EPS)
        self.conv2a = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        # In the release also where nothing is halved, and unused there.
        self.downsample = nn.Conv2d(channels_in, channels, 1, stride, bias=False)
        self.outbna = nn.BatchNorm2d(channels, EPS)
        self.conv1b = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn1b = nn.BatchNorm2d(channels, EPS)
        self.conv2b = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.outbnb = nn.BatchNorm2d(channels, EPS)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        residual = x if self.stride == 1 else self.downsample(x)
        middle = residual + self.conv2a(torch.relu(self.bn1a(self.conv1a(x))))
        x = torch.relu(self.outbna(middle))
        return torch.relu(self.outbnb(middle + self.conv2b(torch.relu(self.bn1b(self.conv1b(x))))))


class ResidualNet(nn.Module):
    """Pictures (n, 64, 28, 28) to features (n, 512)."""

    def __init__(self) -> None:
        super().__init__()
        self.layer1 = ResidualPair(64, 64, 1)
        self.layer2 = ResidualPair(64, 128, 2)
        self.layer3 = ResidualPair(128, 256, 2)
        self.layer4 = ResidualPair(256, 512, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer4(self.layer3(self.layer2(self.layer1(x)))).mean((2, 3))


class VisualFrontend(nn.Module):
    """Faces (batch, 1, frames, 112, 112) to (batch, 512, frames)."""

    def __init__(self) -> None:
        super().__init__()
        self.frontend3D = nn.Sequential(
            nn.Conv3d(1, 64, (5, 7, 7), (1, 2, 2), (2, 3, 3), bias=False),
            nn.BatchNorm3d(64, EPS),
            nn.ReLU(),
            nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1)),
        )
        self.resnet = ResidualNet()

    def forward(self, faces: torch.Tensor) -> torch.Tensor:
        x = self.frontend3D(faces).transpose(1, 2)  # (batch, frames, 64, 28, 28)
        return self.resnet(x.flatten(0, 1)).unflatten(0, x.shape[:2]).transpose(1, 2)


class GlobalNorm(nn.Module):
    """Normalised over channels and time together, so over the whole chunk."""

    def __init__(self, channels: int):
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(1, channels, 1))
        self.beta = nn.Parameter(torch.zeros(1, channels, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        centred = x - x.mean((1, 2), keepdim=True)
        return self.gamma * centred / (centred.square().mean((1, 2), keepdim=True) + 1e-8).sqrt() + self.beta


class TemporalBlock(nn.Module):
    """A depthwise-separable convolution over time with a residual."""

    def __init__(self, channels: int):
        super().__init__()
        self.net = nn.Sequential(
            nn.ReLU(),
            nn.BatchNorm1d(channels),
            nn.Conv1d(channels, channels, 3, padding=1, groups=channels, bias=False),
            nn.PReLU(),
            GlobalNorm(channels),
            nn.Conv1d(channels, channels, 1, bias=False),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.net(x)


class ChannelGate(nn.Module):
    """Squeeze and excitation: channels weighed by what all of them say on average."""

    def __init__(self, channels: int):
        super().__init__()
        self.fc = nn.Sequential(
            nn.Linear(channels, channels // 8), nn.ReLU(), nn.Linear(channels // 8, channels), nn.Sigmoid()
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.fc(x.mean((2, 3)))[:, :, None, None]


class GatedBlock(nn.Module):
    """A residual block of the sound's branch; the first convolution is rectified before it is normalised."""

    def __init__(self, channels_in: int, channels: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.se = ChannelGate(channels)
        if stride != 1 or channels_in != channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(channels_in, channels, 1, stride, bias=False), nn.BatchNorm2d(channels)
            )
        else:
            self.downsample = nn.Identity()  # type: ignore[assignment]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        gated = self.se(self.bn2(self.conv2(self.bn1(torch.relu(self.conv1(x))))))
        return torch.relu(gated + self.downsample(x))


class SoundEncoder(nn.Module):
    """Cepstra (batch, 1, 13, 4 * frames) to (batch, 128, frames)."""

    layers = ((16, 3, 1), (32, 4, 2), (64, 6, 2), (128, 3, 1))
    """Channels, blocks and stride of each stage."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 7, (2, 1), 3, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        previous = 16
        for number, (channels, blocks, stride) in enumerate(self.layers, 1):
            first = GatedBlock(previous, channels, stride)
            rest = [GatedBlock(channels, channels, 1) for _ in range(blocks - 1)]
            self.add_module(f"layer{number}", nn.Sequential(first, *rest))
            previous = channels

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.bn1(self.conv1(x)))
        for number in range(1, len(self.layers) + 1):
            x = self.get_submodule(f"layer{number}")(x)
        return x.mean(2)
