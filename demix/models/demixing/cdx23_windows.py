"""How MVSEP-CDX23 goes over a clip: demucs' segments with a triangular weight, and its random shifts."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING

from demix.lazy_module import lazy_module
from demix.models.demixing.windows import Network, OverlapAdd, answers

if TYPE_CHECKING:
    import torch
    import torch.nn.functional as F
else:
    torch = lazy_module("torch")
    F = lazy_module("torch.nn.functional")


def shifted_mean(
    separate: Callable[[torch.Tensor, int, int], torch.Tensor],
    wave: torch.Tensor,
    shifts: int,
    longest: int,
    draw: random.Random,
) -> torch.Tensor:
    """Mean of `shifts` runs over `wave` (channels, samples), each moved by up to `longest` samples.

    `separate(padded, start, samples)` answers for a stretch of a wave and may look at what lies around it.
    """
    if not shifts:
        return separate(wave, 0, wave.shape[-1])
    samples = wave.shape[-1]
    padded = F.pad(wave, (longest, longest))
    total: torch.Tensor | None = None
    for _ in range(shifts):
        offset = draw.randint(0, longest)
        moved = separate(padded, offset, samples + longest - offset)[..., longest - offset :]
        total = moved if total is None else total + moved
    assert total is not None
    return total / shifts


def segmented(
    network: Network,
    wave: torch.Tensor,
    start: int,
    samples: int,
    *,
    segment: int,
    overlap: float,
    size_for: Callable[[int], int],
    stems: int,
    batch: int,
    device: torch.device | None = None,
) -> torch.Tensor:
    """(stems, channels, samples) for the stretch of `wave` (channels, all) from `start` on.

    Segments of `segment` samples begin every `(1 - overlap) * segment`; the last ones are shorter. Each is fed in the
    middle of `size_for(its length)` samples, with what lies beside it in `wave`, zeros beyond its ends.
    """
    stride = max(int((1 - overlap) * segment), 1)
    rising = torch.arange(1, segment // 2 + 1)
    triangle = torch.cat([rising, torch.arange(segment - segment // 2, 0, -1)]).float()
    triangle /= triangle.max()
    spans = [(offset, min(segment, samples - offset)) for offset in range(0, samples, stride)]
    inputs = [_centred(wave, start + offset, length, size_for(length)) for offset, length in spans]
    sums = OverlapAdd(stems, wave.shape[0], samples)
    for (offset, length), answer in zip(spans, answers(network, inputs, batch, device), strict=True):
        before = (answer.shape[-1] - length) // 2
        sums.add(offset, answer[..., before : before + length], triangle[:length])
    return sums.mean()


def _centred(wave: torch.Tensor, start: int, length: int, size: int) -> torch.Tensor:
    """`size` samples around a stretch, zeros beyond the wave's ends."""
    begin = start - (size - length) // 2
    end = begin + size
    inner = wave[..., max(begin, 0) : min(end, wave.shape[-1])]
    return F.pad(inner, (max(-begin, 0), max(end - wave.shape[-1], 0)))
