"""Activation checkpointing: what of a block's forward pass is computed again in its backward pass."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import nn
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import CheckpointImpl, checkpoint_wrapper
from torch.utils.checkpoint import CheckpointPolicy, create_selective_checkpoint_contexts

from mtv_train.config import Activation

_ATTENTION = frozenset(
    {
        torch.ops.aten._scaled_dot_product_flash_attention.default,
        torch.ops.aten._scaled_dot_product_efficient_attention.default,
        torch.ops.aten._scaled_dot_product_cudnn_attention.default,
        torch.ops.aten._scaled_dot_product_flash_attention_for_cpu.default,
    }
)
"""The dearest operations for their output's size: with 17,776 tokens, half of a block's FLOPs make 109 MB."""
_PRODUCTS = frozenset({torch.ops.aten.mm.default, torch.ops.aten.addmm.default})


def checkpoint_blocks(blocks: nn.ModuleList, mode: Activation) -> None:
    """Wrap each block in place. `selective` keeps the attentions' outputs, `projections` what their layers project
    besides; `full` keeps only the block's input."""
    if mode == "none":
        return
    keep = {"selective": _keep_attention, "projections": _keep_projections}.get(mode)
    extra: dict[str, Any] = {} if keep is None else {"context_fn": partial(create_selective_checkpoint_contexts, keep)}
    for position, block in enumerate(blocks):
        blocks[position] = checkpoint_wrapper(
            block, checkpoint_impl=CheckpointImpl.NO_REENTRANT, preserve_rng_state=False, **extra
        )


def _keep_attention(_context: Any, operation: Any, *_args: Any, **_kwargs: Any) -> CheckpointPolicy:
    return CheckpointPolicy.MUST_SAVE if operation in _ATTENTION else CheckpointPolicy.PREFER_RECOMPUTE


def _keep_projections(context: Any, operation: Any, *args: Any, **kwargs: Any) -> CheckpointPolicy:
    if operation in _PRODUCTS:
        first, second = args[-2:]
        # The attentions' layers are as wide as what goes in; the feed-forward's hidden one, four times as wide, is
        # dear to keep.
        if second.shape[0] == second.shape[1] and second.shape[0] == first.shape[1]:
            return CheckpointPolicy.MUST_SAVE
    return _keep_attention(context, operation, *args, **kwargs)
