"""Sums of gradients whose value does not hang on the number of ranks."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch.distributed.fsdp._fully_shard._fsdp_api import ReduceScatter
from torch.distributed.fsdp._fully_shard._fsdp_collectives import DefaultAllocMixin


class TreeReduceScatter(DefaultAllocMixin, ReduceScatter):
    """Reduce-scatter that adds in pairs, neighbours first: ((0 + 1) + (2 + 3)) + ...

    A backend adds in an order of its own, which changes with the number of ranks and so changes the last bits. Here
    2 ranks with two micro-batches each, and 4 ranks with one, give the same bits. It moves the same bytes as a
    reduce-scatter (all-to-all, then local sums) and holds all ranks' chunks of one block at once.
    """

    def __call__(
        self,
        output_tensor: torch.Tensor,
        input_tensor: torch.Tensor,
        group: dist.ProcessGroup,
        op: dist.ReduceOp | dist.ReduceOp.RedOpType,
        async_op: bool = False,
    ) -> None:
        if op != dist.ReduceOp.SUM:
            raise ValueError(f"a tree only sums; asked for {op}")
        chunks = torch.empty_like(input_tensor)
        dist.all_to_all_single(chunks, input_tensor, group=group)
        output_tensor.copy_(pairwise_sum(list(chunks.view(dist.get_world_size(group), -1))))


def pairwise_sum(parts: list[torch.Tensor]) -> torch.Tensor:
    """The sum of tensors of one shape, in the order of a binary tree."""
    while len(parts) > 1:
        pairs = [left + right for left, right in zip(parts[::2], parts[1::2], strict=False)]
        parts = pairs + parts[len(parts) // 2 * 2 :]
    return parts[0]
