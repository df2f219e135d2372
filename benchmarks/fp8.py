"""A frozen linear layer in 8 bits of floating point: what it would cost, not what it would learn."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

FORMAT = torch.float8_e4m3fn
LARGEST = torch.finfo(FORMAT).max


def cast_rows(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """(rows, columns) as fp8, and the scales (rows, 1), float32, that give it back."""
    scale = (matrix.abs().amax(1, keepdim=True).float() / LARGEST).clamp(min=1e-12)
    return (matrix.float() / scale).clamp(-LARGEST, LARGEST).to(FORMAT), scale


def cast_whole(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """The same with one scale, a scalar."""
    scale = (matrix.abs().amax().float() / LARGEST).clamp(min=1e-12)
    return (matrix.float() / scale).clamp(-LARGEST, LARGEST).to(FORMAT), scale


def product(rows: Tensor, row_scale: Tensor, weight: Tensor, weight_scale: Tensor, kind: torch.dtype) -> Tensor:
    """rows (M, K) times weight (N, K), transposed, in `kind`. Scales: (M, 1) and (N, 1), or scalars."""
    scale_b = weight_scale.t() if weight_scale.ndim else weight_scale
    return torch._scaled_mm(rows, weight.t(), scale_a=row_scale, scale_b=scale_b, out_dtype=kind)


class _Frozen(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, given: Tensor, layer: FrozenLinear) -> Tensor:
        context.layer = layer
        return layer.times(given, layer.weight8, layer.scale)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Any:
        layer = context.layer
        return layer.times(gradient, layer.turned8, layer.turned_scale), None


class FrozenLinear(nn.Module):
    """y = W x + b with W in fp8, scaled row by row; backwards only what came in gets a gradient, in fp8 too."""

    weight8: Tensor
    scale: Tensor
    turned8: Tensor
    turned_scale: Tensor

    def __init__(self, layer: nn.Linear):
        super().__init__()
        weight = layer.weight.detach()
        for name, matrix in (("weight8", weight), ("turned8", weight.t().contiguous())):
            cast, scale = cast_rows(matrix)
            self.register_buffer(name, cast)
            self.register_buffer("scale" if name == "weight8" else "turned_scale", scale)
        self.bias = layer.bias

    def forward(self, given: Tensor) -> Tensor:
        made: Tensor = _Frozen.apply(given, self)
        return made if self.bias is None else made + self.bias

    @staticmethod
    def times(given: Tensor, weight8: Tensor, scale: Tensor) -> Tensor:
        """`given` (..., K) by rows of fp8, times the weight."""
        rows = given.flatten(0, -2).bfloat16()
        cast, row_scale = cast_rows(rows)
        return product(cast, row_scale, weight8, scale, torch.bfloat16).unflatten(0, given.shape[:-1]).to(given.dtype)
