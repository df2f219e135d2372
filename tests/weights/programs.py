"""Weight files that are programs: whoever runs one leaves a file where it said."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn


class _Marks(nn.Module):
    """Writes the file whose name it holds, when it is loaded and when it is called."""

    def __init__(self, mark: str):
        super().__init__()
        self.mark = mark
        self.held = torch.zeros(1)

    @torch.jit.export
    def __getstate__(self) -> tuple[str, bool]:
        return self.mark, self.training

    @torch.jit.export
    def __setstate__(self, state: tuple[str, bool]) -> None:
        self.mark = state[0]
        self.training = state[1]
        self.held = torch.from_file(self.mark, True, 16).fill_(65.0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


def write_program(path: Path, mark: Path) -> Path:
    """A TorchScript archive at `path` that writes `mark` as soon as `torch.jit.load` reads it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.jit.save(torch.jit.script(_Marks(str(mark))), str(path))
    return path


def write_harmless(path: Path) -> Path:
    """A TorchScript archive that only computes."""

    class Doubles(nn.Module):
        def forward(self, x: torch.Tensor, rescale: bool, resize: bool, return_features: bool) -> torch.Tensor:
            return nn.functional.relu(x) * 2 if return_features else x

    torch.jit.save(torch.jit.script(Doubles()), str(path))
    return path
