"""Activation checkpointing: what of a block's forward pass is computed again in its backward pass."""

from __future__ import annotations

from functools import partial
from typing import Any, Literal

import torch
from torch import nn
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import CheckpointImpl, checkpoint_wrapper
from torch.utils.checkpoint import CheckpointPolicy, create_selective_checkpoint_contexts

_ATTENTION = frozenset(
    {
        torch.ops.aten._scaled_dot_product_flash_attention.default,
        torch.ops.aten._scaled_dot_product_efficient_attention.default,
        torch.ops.aten._scaled_dot_product_cudnn_attention.default,
        torch.ops.aten._scaled_dot_product_flash_attention_for_cpu.default,
    }
)
"""The dearest operations for their output's size: with 17,776 tokens, half of a block's FLOPs make 109 MB."""


def checkpoint_blocks(blocks: nn.ModuleList, mode: Literal["none", "selective", "full"]) -> None:
    """Wrap each block in place. `selective` keeps the attentions' outputs; `full` keeps only the block's input."""
    if mode == "none":
        return
    context = partial(create_selective_checkpoint_contexts, _keep_attention) if mode == "selective" else None
    extra: dict[str, Any] = {} if context is None else {"context_fn": context}
    for position, block in enumerate(blocks):
        blocks[position] = checkpoint_wrapper(
            block, checkpoint_impl=CheckpointImpl.NO_REENTRANT, preserve_rng_state=False, **extra
        )


def _keep_attention(_context: Any, operation: Any, *_args: Any, **_kwargs: Any) -> CheckpointPolicy:
    return CheckpointPolicy.MUST_SAVE if operation in _ATTENTION else CheckpointPolicy.PREFER_RECOMPUTE
