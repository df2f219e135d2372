"""Overlapping windows over a wave, and the weighted mean of what a network answers to them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, TypeAlias

from demix.lazy_module import lazy_module
from demix.models.batches import in_batches

if TYPE_CHECKING:
    import torch
else:
    torch = lazy_module("torch")

Network: TypeAlias = "Callable[[torch.Tensor], torch.Tensor]"
"""(batch, channels, samples) in, (batch, stems, channels, the same samples) out."""


class OverlapAdd:
    """Sums of weighted answers and of their weights, float32, on the CPU."""

    def __init__(self, stems: int, channels: int, samples: int):
        self.total = torch.zeros(stems, channels, samples)
        self.weight = torch.zeros(samples)

    def add(self, start: int, answer: torch.Tensor, weight: torch.Tensor) -> None:
        """`answer` (stems, channels, n) counts `weight` (n,) from sample `start` on."""
        end = start + answer.shape[-1]
        self.total[..., start:end] += weight * answer.cpu()
        self.weight[start:end] += weight

    def mean(self) -> torch.Tensor:
        """(stems, channels, samples); 0 where nothing counted."""
        return self.total / torch.where(self.weight > 0, self.weight, 1)


def answers(
    network: Network, inputs: Sequence[torch.Tensor], batch: int, device: torch.device | None = None
) -> list[torch.Tensor]:
    """The network's answer to each of `inputs` (channels, samples), in order; those of equal length go together."""
    found: list[torch.Tensor] = []
    for _, equal in groupby(inputs, key=lambda one: one.shape[-1]):
        found += in_batches(lambda some: list(network(torch.stack(tuple(some)).to(device)).cpu()), list(equal), batch)
    return found
