"""LR-ASD: Liao et al. 2025, "LR-ASD: Lightweight and Robust Network for Active Speaker Detection" (IJCV)."""

from __future__ import annotations

import torch
from torch import nn

from demix.models.active_speaker.parts import EPS, AudioEncoder, SmallNetwork, TwoBranch, VisualEncoder


class VisualBlock(nn.Module):
    """Two convolutions over the picture, then two over time; each normalised and rectified."""

    def __init__(self, channels_in: int, channels: int, middle: int, stride: int = 1):
        super().__init__()
        self.s_1 = nn.Conv3d(channels_in, middle, (1, 5, 5), (1, stride, stride), (0, 2, 2), bias=False)
        self.s_norm_1 = nn.BatchNorm3d(middle, EPS)
        self.s_2 = nn.Conv3d(middle, channels, (1, 3, 3), padding=(0, 1, 1), bias=False)
        self.s_norm_2 = nn.BatchNorm3d(channels, EPS)
        self.t_1 = nn.Conv3d(channels, channels, (5, 1, 1), padding=(2, 0, 0), bias=False)
        self.t_norm_1 = nn.BatchNorm3d(channels, EPS)
        self.t_2 = nn.Conv3d(channels, channels, (3, 1, 1), padding=(1, 0, 0), bias=False)
        self.t_norm_2 = nn.BatchNorm3d(channels, EPS)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.s_norm_1(self.s_1(x)))
        x = torch.relu(self.s_norm_2(self.s_2(x)))
        x = torch.relu(self.t_norm_1(self.t_1(x)))
        return torch.relu(self.t_norm_2(self.t_2(x)))


class AudioBlock(nn.Module):
    """Two convolutions over the cepstra, then two over time."""

    def __init__(self, channels_in: int, channels: int, middle: int):
        super().__init__()
        self.m_1 = nn.Conv2d(channels_in, middle, (5, 1), padding=(2, 0), bias=False)
        self.m_norm_1 = nn.BatchNorm2d(middle, EPS)
        self.m_2 = nn.Conv2d(middle, channels, (3, 1), padding=(1, 0), bias=False)
        self.m_norm_2 = nn.BatchNorm2d(channels, EPS)
        self.t_1 = nn.Conv2d(channels, channels, (1, 5), padding=(0, 2), bias=False)
        self.t_norm_1 = nn.BatchNorm2d(channels, EPS)
        self.t_2 = nn.Conv2d(channels, channels, (1, 3), padding=(0, 1), bias=False)
        self.t_norm_2 = nn.BatchNorm2d(channels, EPS)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.m_norm_1(self.m_1(x)))
        x = torch.relu(self.m_norm_2(self.m_2(x)))
        x = torch.relu(self.t_norm_1(self.t_1(x)))
        return torch.relu(self.t_norm_2(self.t_2(x)))


class Fusion(nn.Module):
    """Features (batch, frames, n) weighed by a gate that sees all of them."""

    def __init__(self, channels: int):
        super().__init__()
        self.attention = nn.Conv1d(channels, channels, 1, bias=False)
        self.bn = nn.BatchNorm1d(channels, EPS)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        gate = torch.sigmoid(self.bn(self.attention(x.transpose(1, 2))))
        return x * gate.transpose(1, 2)


class Detector(nn.Module):
    """Two recurrent nets, one of them backwards in time, and a gate over what both say."""

    def __init__(self, channels_in: int, channels: int):
        super().__init__()
        self.gru_forward = nn.GRU(channels_in, channels, batch_first=True)
        self.gru_backward = nn.GRU(channels_in, channels, batch_first=True)
        self.attention = Fusion(2 * channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        forward, _ = self.gru_forward(x)
        backward, _ = self.gru_backward(x.flip(1))
        return self.attention(torch.cat([forward, backward.flip(1)], 2))


class LrAsdModel(TwoBranch):
    def __init__(self) -> None:
        super().__init__()
        self.visualEncoder = VisualEncoder(
            VisualBlock(1, 32, 16, stride=2), VisualBlock(32, 64, 32), VisualBlock(64, 128, 64)
        )
        self.audioEncoder = AudioEncoder(AudioBlock(1, 32, 16), AudioBlock(32, 64, 32), AudioBlock(64, 128, 64))
        self.fusion = Fusion(256)
        self.detector = Detector(256, 64)

    def fuse(self, audio: torch.Tensor, visual: torch.Tensor) -> torch.Tensor:
        return self.detector(self.fusion(torch.cat([audio, visual], 2)))


def network() -> SmallNetwork:
    return SmallNetwork(LrAsdModel())
