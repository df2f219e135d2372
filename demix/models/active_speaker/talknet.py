"""TalkNet: Tao et al. 2021, "Is Someone Speaking? Exploring Long-term Temporal Features for Audio-visual Active Speaker
Detection" (ACM Multimedia). The paper cites another work of the same name; this is the one it means."""

from __future__ import annotations

import torch
from torch import nn

from demix.models.active_speaker.parts import Head, normalised
from demix.models.active_speaker.talknet_branches import SoundEncoder, TemporalBlock, VisualFrontend


class Stack(nn.Module):
    """Layers in a row, under the attribute name of the release."""

    def __init__(self, *layers: nn.Module):
        super().__init__()
        self.net = nn.Sequential(*layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net(x)


class Attention(nn.Module):
    """A transformer layer whose queries come from one branch; keys, values and the residual from the other."""

    def __init__(self, width: int, heads: int = 8):
        super().__init__()
        self.self_attn = nn.MultiheadAttention(width, heads, batch_first=True)
        self.linear1 = nn.Linear(width, 4 * width)
        self.linear2 = nn.Linear(4 * width, width)
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)

    def forward(self, source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        attended, _ = self.self_attn(target, source, source, need_weights=False)
        x = self.norm1(source + attended)
        return self.norm2(x + self.linear2(torch.relu(self.linear1(x))))


class TalkNetModel(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.visualFrontend = VisualFrontend()
        self.visualTCN = Stack(*(TemporalBlock(512) for _ in range(5)))
        self.visualConv1D = Stack(
            nn.Conv1d(512, 256, 5, padding=2), nn.BatchNorm1d(256), nn.ReLU(), nn.Conv1d(256, 128, 1)
        )
        self.audioEncoder = SoundEncoder()
        self.crossA2V = Attention(128)
        self.crossV2A = Attention(128)
        self.selfAV = Attention(256)

    def forward_audio(self, mfcc: torch.Tensor) -> torch.Tensor:
        return self.audioEncoder(mfcc[:, None].transpose(2, 3)).transpose(1, 2)  # (batch, frames, 128)

    def forward_visual(self, faces: torch.Tensor) -> torch.Tensor:
        # The release runs its 3D convolution over all samples of a batch as one film; here each is a film of its own.
        features = self.visualFrontend(normalised(faces)[:, None])  # (batch, 512, frames)
        return self.visualConv1D(self.visualTCN(features)).transpose(1, 2)  # (batch, frames, 128)

    def cross(self, audio: torch.Tensor, visual: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Each branch in view of the other, both (batch, frames, 128)."""
        return self.crossA2V(source=audio, target=visual), self.crossV2A(source=visual, target=audio)

    def fuse(self, audio: torch.Tensor, visual: torch.Tensor) -> torch.Tensor:
        """(batch, frames, 256) from both answers of `cross`."""
        both = torch.cat([audio, visual], 2)
        return self.selfAV(source=both, target=both)


class TalkNet(nn.Module):
    """As released: the net and three heads; the first decides, the others served its training."""

    def __init__(self) -> None:
        super().__init__()
        self.model = TalkNetModel()
        self.lossAV = Head(256)
        self.lossA = Head(128)
        self.lossV = Head(128)

    def forward(self, mfcc: torch.Tensor, faces: torch.Tensor) -> torch.Tensor:
        audio, visual = self.model.forward_audio(mfcc), self.model.forward_visual(faces)
        return self.lossAV(self.model.fuse(*self.model.cross(audio, visual)))


def network() -> TalkNet:
    return TalkNet()
