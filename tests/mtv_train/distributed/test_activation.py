"""Guards: activation checkpointing computes again what its mode says and no more, and changes no gradient."""

from __future__ import annotations

from collections import Counter
from typing import Any, get_args

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from mtv_train.config import Activation
from mtv_train.distributed.activation import checkpoint_blocks
from mtv_train.distributed.names import parameter_name
from tests.mtv_train.model import tiny

BLOCKS = 3


class _Counted(TorchDispatchMode):
    """Counts operations by name, `aten.addmm.default` for one."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: Counter[str] = Counter()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.seen[str(function)] += 1
        return function(*args, **(kwargs or {}))


def _backward(mode: Activation) -> tuple[Counter[str], dict[str, Tensor]]:
    """What the backward pass computes, and its gradients."""
    model, given = tiny.model("5b").trainable(), tiny.inputs()
    assert len(model.transformer_blocks) == BLOCKS
    checkpoint_blocks(model.transformer_blocks, mode)
    loss = (model(*given) - given.latents).square().mean()
    with _Counted() as counted:
        loss.backward()
    gradients = {parameter_name(name): p.grad for name, p in model.named_parameters() if p.grad is not None}
    return counted.seen, gradients


def test_each_mode_computes_less_again_than_the_next() -> None:
    seen = {mode: _backward(mode) for mode in get_args(Activation)}
    attention = "aten._scaled_dot_product_flash_attention_for_cpu.default"
    again = {mode: (counted["aten.addmm.default"], counted[attention]) for mode, (counted, _) in seen.items()}
    attentions = 1 + len(tiny.model("5b").settings.interval_tracks)
    assert again["none"] == (0, 0)
    assert again["full"][1] == BLOCKS * attentions
    assert again["selective"] == (again["full"][0], 0)
    # A self-attention has four projections and a cross-attention two that are as wide as what goes in.
    assert again["projections"] == (again["full"][0] - BLOCKS * (4 + 2 * (attentions - 1)), 0)
    for _, gradients in seen.values():
        assert all(torch.equal(gradients[name], gradient) for name, gradient in seen["none"][1].items())
