"""Blocks can be compiled whole and checkpointed from outside, with the same numbers and gradients."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from mtv_train.model.transformer import MTVTransformer3DModel
from tests.mtv_train.model import tiny


def _gradients(model: MTVTransformer3DModel) -> dict[str, Tensor]:
    given = tiny.inputs()
    clean = torch.zeros(2, 13, dtype=torch.bool)
    clean[0, 0] = True
    model.zero_grad()
    (model(*given, clean) - given.latents).square().mean().backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def _compare(model: MTVTransformer3DModel, expected: dict[str, Tensor]) -> None:
    given = _gradients(model)
    assert given.keys() == expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(given[name], gradient, atol=1e-6, rtol=1e-4, msg=lambda m, n=name: f"{n}: {m}")


@pytest.mark.parametrize("kind", ["2b", "5b"])
def test_checkpointing_changes_nothing(kind: str) -> None:
    model = tiny.model(kind).trainable()
    expected = _gradients(model)
    for block in model.transformer_blocks:
        forward = block.forward
        block.forward = lambda *given, forward=forward: checkpoint(forward, *given, use_reentrant=False)
    _compare(model, expected)


@pytest.mark.parametrize(
    ("backend", "blocks"), [("eager", slice(1, 2)), pytest.param("inductor", slice(None), marks=pytest.mark.slow)]
)
def test_each_block_compiles_whole(backend: str, blocks: slice) -> None:
    model = tiny.model("5b").trainable()
    expected = _gradients(model)
    torch._dynamo.reset()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for block in model.transformer_blocks[blocks]:
            block.compile(fullgraph=True, backend=backend, dynamic=False)
        _compare(model, expected)


def test_bfloat16() -> None:
    """In half precision throughout, near the float32 result: no step falls back, none overflows."""
    model, given = tiny.model(), tiny.inputs()
    with torch.no_grad():
        expected = model(*given)
        half = model.to(torch.bfloat16)(given.latents.bfloat16(), given.text.bfloat16(), given.timestep, given.audio)
    assert half.dtype == torch.bfloat16
    assert (half.float() - expected).norm() / expected.norm() < 0.05
