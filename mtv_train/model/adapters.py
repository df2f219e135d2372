"""Low-rank adapters (LoRA, Hu et al. 2021) on the attention and injection layers of an MTV, by peft."""

from __future__ import annotations

from typing import Any

import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora import LoraLayer
from torch import nn

from mtv_train.model.parts import part_of

NAME = "default"
INJECTION, ATTENTION = ("cross_attention", "style"), ("attention",)
"""Parts of the model (`mtv_train.model.parts`) whose linear layers are adapted: always, and where the backbone is."""


def add_adapters(model: nn.Module, rank: int, alpha: float, backbone: bool) -> None:
    """Put an adapter on every linear layer of the injections and, with `backbone`, of its attentions, and let nothing
    else be trained.

    A layer's output becomes W x + alpha / rank B A x. A (rank, in) is drawn, B (out, rank) is zero, so that at first
    the model is what it was. Both are float32, whatever the layer is, and lie where it lies.
    """
    parts = (*INJECTION, *(ATTENTION if backbone else ()))
    names = [name for name, layer in model.named_modules() if isinstance(layer, nn.Linear) and _part(name) in parts]
    inject_adapter_in_model(LoraConfig(r=rank, lora_alpha=alpha, target_modules=names), model, NAME)
    for layer in adapted(model).values():
        for matrix in (layer.lora_A, layer.lora_B):
            matrix[NAME].to(torch.float32)
        if not layer.lora_A[NAME].weight.is_meta:
            layer.reset_lora_parameters(NAME, init_lora_weights=True)  # those drawn before had the layer's precision


def merge_adapters(model: nn.Module) -> None:
    """W + alpha / rank B A in place of every adapted layer's weight, and the layer in place of what is around it."""
    for name, layer in adapted(model).items():
        layer.merge(safe_merge=True, adapter_names=[NAME])
        model.set_submodule(name, layer.get_base_layer())


def adapted(model: nn.Module) -> dict[str, Any]:
    """The layers that have an adapter, by name."""
    return {name: layer for name, layer in model.named_modules() if isinstance(layer, LoraLayer)}


def _part(name: str) -> str:
    """The part of a module; "" where it holds several."""
    try:
        return part_of(f"{name}.weight")
    except KeyError:
        return ""
