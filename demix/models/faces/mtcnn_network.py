"""MTCNN's three networks (Zhang et al. 2016, figure 2), without the landmarks, which nothing here reads."""

from __future__ import annotations

import torch
from torch import nn

from demix.models import carried


def load() -> tuple[Proposer, Refiner, Refiner]:
    """The proposing, the refining and the confirming network with their weights, in evaluation mode."""
    state = carried.load("mtcnn")
    networks = Proposer(), refiner(), confirmer()
    for name, network in zip(("proposer", "refiner", "confirmer"), networks, strict=True):
        prefix = f"{name}."
        own = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
        network.load_state_dict(own)
        network.eval()
    return networks


class Proposer(nn.Module):
    """Looks at every 12 x 12 window of a picture, two pixels apart."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(
            *_convolution(3, 10, 3), _pool(2), *_convolution(10, 16, 3), *_convolution(16, 32, 3)
        )
        self.face = nn.Conv2d(32, 2, 1)
        self.shift = nn.Conv2d(32, 4, 1)

    def forward(self, pictures: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(n, 3, h, w) about -1..1 -> shifts of the edges in window sizes (n, 4, rows, columns), and the
        probabilities of "no face" and "face" (n, 2, rows, columns)."""
        features = self.trunk(pictures)
        return self.shift(features), self.face(features).softmax(1)


class Refiner(nn.Module):
    """Judges crops of one size; the second and the third network differ in their sizes only."""

    def __init__(self, trunk: nn.Sequential, features: int, width: int):
        super().__init__()
        self.trunk = trunk
        self.dense = nn.Sequential(nn.Linear(features, width), nn.PReLU(width))
        self.face = nn.Linear(width, 2)
        self.shift = nn.Linear(width, 4)

    def forward(self, crops: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(n, 3, side, side) about -1..1 -> shifts of the edges in box sizes (n, 4), and the probabilities of
        "no face" and "face" (n, 2)."""
        features = self.trunk(crops)
        # The weights come from a framework that counts columns before rows.
        flat = self.dense(features.permute(0, 3, 2, 1).flatten(1))
        return self.shift(flat), self.face(flat).softmax(1)


def refiner() -> Refiner:
    """The second network, for crops of 24 x 24 pixels."""
    trunk = (*_convolution(3, 28, 3), _pool(3), *_convolution(28, 48, 3), _pool(3), *_convolution(48, 64, 2))
    return Refiner(nn.Sequential(*trunk), 576, 128)


def confirmer() -> Refiner:
    """The third network, for crops of 48 x 48 pixels."""
    first = (*_convolution(3, 32, 3), _pool(3), *_convolution(32, 64, 3), _pool(3))
    second = (*_convolution(64, 64, 3), _pool(2), *_convolution(64, 128, 2))
    return Refiner(nn.Sequential(*first, *second), 1152, 256)


def _convolution(channels: int, width: int, side: int) -> tuple[nn.Module, nn.Module]:
    return nn.Conv2d(channels, width, side), nn.PReLU(width)


def _pool(side: int) -> nn.Module:
    return nn.MaxPool2d(side, 2, ceil_mode=True)
