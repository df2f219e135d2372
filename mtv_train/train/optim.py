"""The optimizer, its learning rate over the steps, and the norm of the gradients."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from mtv_train.config import OptimSettings


def make_optimizer(model: nn.Module, settings: OptimSettings) -> torch.optim.AdamW:
    """AdamW over what is trained."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return torch.optim.AdamW(
        trained,
        lr=settings.lr,
        betas=settings.betas,
        eps=settings.eps,
        weight_decay=settings.weight_decay,
        fused=trained[0].device.type == "cuda",
    )


def learning_rate(settings: OptimSettings, step: int, since_reset: int, total: int) -> float:
    """The rate of step `step` (from 0) of `total`; `since_reset` steps lie between it and the optimizer's start."""
    rise = min(1.0, (since_reset + 1) / settings.warmup_steps) if settings.warmup_steps else 1.0
    if settings.schedule == "constant":
        return settings.lr * rise
    done = min(1.0, step / max(1, total - 1))
    fall = 0.5 * (1 + math.cos(math.pi * done)) if settings.schedule == "cosine" else 1 - done
    return settings.lr * rise * (settings.final_share + (1 - settings.final_share) * fall)


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """For all parameters."""
    for group in optimizer.param_groups:
        group["lr"] = rate


@torch.no_grad()
def clip_gradients(parameters: Iterable[Tensor], bound: float) -> Tensor:
    """Scale the gradients so that their norm over all ranks is at most `bound` (0: leave them); the norm before that.

    float32 scalar. Squares are summed in float64 and rounded once, so that the norm, and with it every parameter, does
    not depend on how the gradients are cut into shards.
    """
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    total = _sum_of_squares(gradients).sqrt().float()
    if bound:
        scale = (bound / (total + 1e-6)).clamp(max=1.0)
        torch._foreach_mul_([_local(gradient) for gradient in gradients], scale)
    return total


def _sum_of_squares(gradients: list[Tensor]) -> Tensor:
    norms = [torch.linalg.vector_norm(_local(gradient), dtype=torch.float64) for gradient in gradients]
    total = torch.stack(norms).square().sum()
    sharded = next((gradient for gradient in gradients if isinstance(gradient, DTensor)), None)
    if sharded is not None:
        # Copies (HSDP's replicas) hold the same shards, so the sum runs over the shards' dimension, the last.
        dist.all_reduce(total, group=sharded.device_mesh.get_group(sharded.device_mesh.ndim - 1))
    return total


def _local(tensor: Tensor) -> Tensor:
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def drop_state(optimizer: torch.optim.Optimizer) -> None:
    """Forget the moments: a fresh start with the same parameters."""
    optimizer.state.clear()


def trained_parameters(model: nn.Module) -> list[nn.Parameter]:
    return [parameter for parameter in model.parameters() if parameter.requires_grad]
