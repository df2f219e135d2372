"""Light-ASD: Liao et al. 2023, "A Light Weight Model for Active Speaker Detection" (CVPR)."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from demix.models.active_speaker.parts import EPS, AudioEncoder, SmallNetwork, TwoBranch, VisualEncoder


class VisualBlock(nn.Module):
    """Two paths, of 3 and of 5 pixels and frames, added: space first, then time."""

    def __init__(self, channels_in: int, channels: int, stride: int = 1):
        super().__init__()
        step = (1, stride, stride)
        self.s_3 = nn.Conv3d(channels_in, channels, (1, 3, 3), step, (0, 1, 1), bias=False)
        self.bn_s_3 = nn.BatchNorm3d(channels, EPS)
        self.t_3 = nn.Conv3d(channels, channels, (3, 1, 1), padding=(1, 0, 0), bias=False)
        self.bn_t_3 = nn.BatchNorm3d(channels, EPS)
        self.s_5 = nn.Conv3d(channels_in, channels, (1, 5, 5), step, (0, 2, 2), bias=False)
        self.bn_s_5 = nn.BatchNorm3d(channels, EPS)
        self.t_5 = nn.Conv3d(channels, channels, (5, 1, 1), padding=(2, 0, 0), bias=False)
        self.bn_t_5 = nn.BatchNorm3d(channels, EPS)
        self.last = nn.Conv3d(channels, channels, 1, bias=False)
        self.bn_last = nn.BatchNorm3d(channels, EPS)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        small = torch.relu(self.bn_s_3(self.s_3(x)))
        small = torch.relu(self.bn_t_3(self.t_3(small)))
        large = torch.relu(self.bn_s_5(self.s_5(x)))
        large = torch.relu(self.bn_t_5(self.t_5(large)))
        return torch.relu(self.bn_last(self.last(small + large)))


class AudioBlock(nn.Module):
    """Two paths, of 3 and of 5 cepstra and frames, added."""

    def __init__(self, channels_in: int, channels: int):
        super().__init__()
        self.m_3 = nn.Conv2d(channels_in, channels, (3, 1), padding=(1, 0), bias=False)
        self.bn_m_3 = nn.BatchNorm2d(channels, EPS)
        self.t_3 = nn.Conv2d(channels, channels, (1, 3), padding=(0, 1), bias=False)
        self.bn_t_3 = nn.BatchNorm2d(channels, EPS)
        self.m_5 = nn.Conv2d(channels_in, channels, (5, 1), padding=(2, 0), bias=False)
        self.bn_m_5 = nn.BatchNorm2d(channels, EPS)
        self.t_5 = nn.Conv2d(channels, channels, (1, 5), padding=(0, 2), bias=False)
        self.bn_t_5 = nn.BatchNorm2d(channels, EPS)
        self.last = nn.Conv2d(channels, channels, 1, bias=False)
        self.bn_last = nn.BatchNorm2d(channels, EPS)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        small = torch.relu(self.bn_m_3(self.m_3(x)))
        small = torch.relu(self.bn_t_3(self.t_3(small)))
        large = torch.relu(self.bn_m_5(self.m_5(x)))
        large = torch.relu(self.bn_t_5(self.t_5(large)))
        return torch.relu(self.bn_last(self.last(small + large)))


class Recurrence(nn.Module):
    """Two recurrent nets in series, the second backwards in time."""

    def __init__(self, channels: int):
        super().__init__()
        self.gru_forward = nn.GRU(channels, channels, batch_first=True)
        self.gru_backward = nn.GRU(channels, channels, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.gelu(self.gru_forward(x)[0])
        return functional.gelu(self.gru_backward(x.flip(1))[0].flip(1))


class LightAsdModel(TwoBranch):
    def __init__(self) -> None:
        super().__init__()
        self.visualEncoder = VisualEncoder(VisualBlock(1, 32, stride=2), VisualBlock(32, 64), VisualBlock(64, 128))
        self.audioEncoder = AudioEncoder(AudioBlock(1, 32), AudioBlock(32, 64), AudioBlock(64, 128))
        self.GRU = Recurrence(128)

    def fuse(self, audio: torch.Tensor, visual: torch.Tensor) -> torch.Tensor:
        return self.GRU(audio + visual)


def network() -> SmallNetwork:
    return SmallNetwork(LightAsdModel())
