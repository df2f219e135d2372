"""FSDP2: how MTV is cut into shards, and in which precision it computes and sums."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor

from mtv_train.config import ParallelSettings
from mtv_train.distributed.activation import checkpoint_blocks
from mtv_train.distributed.reduction import TreeReduceScatter

# The prediction is a view, and nothing changes it in place.
warnings.filterwarnings("ignore", message="FSDP2-wrapped module .* returned a view tensor")

PRECISIONS = {"bfloat16": torch.bfloat16, "float32": torch.float32}


def parallelize(model: nn.Module, mesh: DeviceMesh, settings: ParallelSettings) -> nn.Module:
    """Checkpoint, compile and shard `model` in place, and return it.

    `model` has `transformer_blocks`, and `audio` with the projectors and the interaction blocks; what is trained is
    marked already. A unit each: every block with its injection, every projector, the interaction blocks together, and
    the root with what is left. Trained parameters stay float32 in their shards and are gathered in
    `settings.precision`; frozen ones are kept in it.
    """
    precision = PRECISIONS[settings.precision]
    blocks = model.transformer_blocks
    assert isinstance(blocks, nn.ModuleList)
    checkpoint_blocks(blocks, settings.activation)
    if settings.compile:
        for block in blocks:
            block.compile()
    policy = MixedPrecisionPolicy(
        param_dtype=precision, reduce_dtype=torch.float32, output_dtype=torch.float32, cast_forward_inputs=True
    )
    options: dict[str, Any] = {"mesh": mesh, "reshard_after_forward": settings.reshard_after_forward}
    # Inputs are cast once, at the root: what travels between blocks has its precision already (rotary angles float32).
    inner = MixedPrecisionPolicy(param_dtype=precision, reduce_dtype=torch.float32, cast_forward_inputs=False)
    for unit in [*audio_units(model), *blocks]:
        # One after the other, since sharding lets go of the whole: at no time is more than one unit cast and unsharded.
        _cast(unit, precision)
        fully_shard(unit, mp_policy=inner, **options)
    _cast(model, precision)
    # The root is needed again at once in the backward pass, so it stays gathered.
    fully_shard(model, mp_policy=policy, mesh=mesh, reshard_after_forward=False)
    for unit in units(model):
        # The loss is divided by the global batch, so gradients are summed over ranks and not averaged.
        unit.set_force_sum_reduction_for_comms(True)
        unit.set_gradient_divide_factor(1.0)
        if settings.reduction == "tree":
            unit.set_custom_reduce_scatter(TreeReduceScatter())
    return model


def _cast(unit: nn.Module, precision: torch.dtype) -> None:
    """Give what is not sharded yet the precision that it is kept in."""
    for parameter in unit.parameters():
        if not isinstance(parameter, DTensor):
            parameter.data = parameter.data.to(torch.float32 if parameter.requires_grad else precision)


def audio_units(model: nn.Module) -> list[nn.Module]:
    """The parts of the audio side that are sharded by themselves: each projector, and the interaction blocks."""
    audio = getattr(model, "audio", None)
    if audio is None:
        return []
    projectors = getattr(audio, "projectors", {})
    parts = list(projectors.values()) if isinstance(projectors, nn.ModuleDict) else list(projectors)
    return [*parts, *_called(getattr(audio, "interaction", None))]


def _called(module: nn.Module | None) -> list[nn.Module]:
    """The modules of a stack that are called: FSDP gathers a unit's parameters when it is called, and a list is not."""
    if module is None:
        return []
    return list(module) if isinstance(module, nn.ModuleList) else [module]


def units(model: nn.Module) -> list[FSDPModule]:
    """Every sharded unit, the root among them."""
    return [module for module in model.modules() if isinstance(module, FSDPModule)]


def sync_gradients(model: nn.Module, now: bool, last: bool) -> None:
    """Before a micro-batch: whether its backward pass sums gradients over ranks, and whether it is the step's last."""
    if isinstance(model, FSDPModule):
        model.set_requires_gradient_sync(now)
        model.set_is_last_backward(last)
