"""Spleeter's U-Net (Hennequin et al., JOSS 2020) in PyTorch, and how it reads the released TensorFlow variables.

`b` batch, `c` channels, `t` 512 frames, `f` 1024 bins. TensorFlow's SAME padding is not symmetric: the extra sample is
at the end, so it is written out here.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from demix.weights.registry import WeightsBroken

FILTERS = (16, 32, 64, 128, 256, 512)
FRAMES, BINS = 512, 1024
EPSILON = 1e-3
"""Of the batch normalisation: Keras' default, not torch's."""
INSTRUMENTS = ("vocals", "accompaniment")


class UNet(nn.Module):
    """(b, 2, t, f) magnitudes of the mix in, those of one instrument out: the mix times a mask of 0..1."""

    def __init__(self) -> None:
        super().__init__()
        inputs = (2, *FILTERS[:-1])
        self.down = nn.ModuleList(nn.Conv2d(a, b, 5, stride=2) for a, b in zip(inputs, FILTERS, strict=True))
        self.down_norm = nn.ModuleList(nn.BatchNorm2d(size, eps=EPSILON) for size in FILTERS)
        outputs = (*reversed(FILTERS[:-1]), 1)
        inputs = (FILTERS[-1], *(2 * size for size in reversed(FILTERS[:-1])))
        self.up = nn.ModuleList(nn.ConvTranspose2d(a, b, 5, stride=2) for a, b in zip(inputs, outputs, strict=True))
        self.up_norm = nn.ModuleList(nn.BatchNorm2d(size, eps=EPSILON) for size in outputs)
        self.mask = nn.Conv2d(1, 2, 4, dilation=2)

    def forward(self, magnitude: torch.Tensor) -> torch.Tensor:
        x = magnitude
        raw: list[torch.Tensor] = []
        for convolution, norm in zip(self.down, self.down_norm, strict=True):
            raw.append(convolution(F.pad(x, (1, 2, 1, 2))))
            # What a level hands across is not normalised; the last level's normalisation is used nowhere.
            x = F.leaky_relu(norm(raw[-1]), 0.2)
        x = raw.pop()
        for level, (convolution, norm) in enumerate(zip(self.up, self.up_norm, strict=True)):
            x = x if level == 0 else torch.cat([raw.pop(), x], dim=1)
            x = norm(F.relu(convolution(x)[..., 1:-2, 1:-2]))
        return torch.sigmoid(self.mask(F.pad(x, (3, 3, 3, 3)))) * magnitude


def unets(variables: Mapping[str, np.ndarray]) -> nn.ModuleDict:
    """The networks of both instruments from the released variables; every one must be used, and fit.

    Raises `WeightsBroken`, naming the variables that are missing, left over or of another shape.
    """
    networks = nn.ModuleDict({name: UNet() for name in INSTRUMENTS})
    wanted = {key: name for number, name in enumerate(INSTRUMENTS) for key, name in _names(number, name).items()}
    state = networks.state_dict()
    missing = sorted(set(wanted) - set(variables))
    unknown = sorted(set(variables) - set(wanted) - {"global_step"})
    if missing or unknown:
        raise WeightsBroken(f"not Spleeter 2stems: missing {missing[:3] or 'none'}, unknown {unknown[:3] or 'none'}")
    for variable, key in wanted.items():
        array = variables[variable]
        # Both kinds of kernel: height, width, two kinds of channels; torch has those first, in the other order.
        tensor = torch.from_numpy(array.transpose(3, 2, 0, 1).copy() if array.ndim == 4 else array.copy())
        if tensor.shape != state[key].shape:
            raise WeightsBroken(f"not Spleeter 2stems: {variable} has the shape {array.shape}")
        state[key] = tensor
    networks.load_state_dict(state)
    return networks.eval()


def _names(number: int, instrument: str) -> dict[str, str]:
    """TensorFlow's name of a variable -> torch's, of the instrument whose layers come `number`-th in the graph."""
    depth = len(FILTERS)
    layers: dict[str, str] = {}
    for level in range(depth):
        layers[_numbered("conv2d", (depth + 1) * number + level)] = f"{instrument}.down.{level}"
        layers[_numbered("conv2d_transpose", depth * number + level)] = f"{instrument}.up.{level}"
        layers[_numbered("batch_normalization", 2 * depth * number + level)] = f"{instrument}.down_norm.{level}"
        layers[_numbered("batch_normalization", 2 * depth * number + depth + level)] = f"{instrument}.up_norm.{level}"
    layers[_numbered("conv2d", (depth + 1) * number + depth)] = f"{instrument}.mask"
    plain = {"kernel": "weight", "bias": "bias"}
    norm = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}
    return {
        f"{layer}/{variable}": f"{key}.{parameter}"
        for layer, key in layers.items()
        for variable, parameter in (norm if "batch" in layer else plain).items()
    }


def _numbered(layer: str, number: int) -> str:
    """As Keras numbers layers of one kind: the first without a number."""
    return f"{layer}_{number}" if number else layer
