"""Which part of the model a parameter belongs to, which parts are trained, and how large they are."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal

from torch import nn

Trainable = Literal["attention", "none", "all"]
"""What is trained: the ControlNet and, of the backbone, its attention layers (the paper), nothing (its ablation W/o
TB), or everything."""

PARTS = (
    ("adapters", r".*\.lora_[AB]\."),
    ("projectors", r"audio\.projectors\."),
    ("speakers", r"audio\.speakers\."),
    ("interaction", r"audio\.interaction\."),
    ("cross_attention", r"transformer_blocks\.\d+\.injection\.attention\."),
    ("style", r"transformer_blocks\.\d+\.injection\.style\."),
    ("attention", r"transformer_blocks\.\d+\.attn1\.to_"),
    ("attention_norm", r"transformer_blocks\.\d+\.attn1\.norm_"),
    ("feed_forward_norm", r"transformer_blocks\.\d+\.norm2\.norm\."),
    ("modulation", r"transformer_blocks\.\d+\.norm[12]\.|norm_out\.linear\."),
    ("feed_forward", r"transformer_blocks\.\d+\.ff\."),
    ("ends", r"patch_embed\.|time_embedding\.|norm_final\.|norm_out\.norm\.|proj_out\."),
)
"""(part, pattern at the start of its parameters' names); the first that fits."""
CONTROL_NET = ("projectors", "speakers", "interaction", "cross_attention", "style")
"""The parts that MTV adds to its backbone."""
_PATTERNS = tuple((part, re.compile(pattern)) for part, pattern in PARTS)


def part_of(parameter: str) -> str:
    """The part that the parameter of that name belongs to. Raises `KeyError` for a name that is none of MTV's."""
    for part, pattern in _PATTERNS:
        if pattern.match(parameter):
            return part
    raise KeyError(f"{parameter} belongs to no part of the model")


def trained_parts(mode: Trainable, official: bool = False) -> frozenset[str]:
    """Parts that `mode` trains. `official`: by the release's rule, which trains what has "attention" in its name and
    so takes in the norm that it calls post_attention_layernorm."""
    if mode == "all":
        return frozenset(part for part, _ in PARTS if part != "adapters")
    attention = ("attention", "feed_forward_norm") if official else ("attention",)
    return frozenset((*CONTROL_NET, *(attention if mode == "attention" else ())))


def parameter_counts(model: nn.Module, only: Iterable[str] | None = None) -> dict[str, int]:
    """Parameters by part, in the order of `PARTS`, of all parts or `only` some; parts that are empty are left out."""
    wanted = set(only) if only is not None else None
    counts = {part: 0 for part, _ in PARTS}
    for name, parameter in model.named_parameters():
        part = part_of(name)
        if wanted is None or part in wanted:
            counts[part] += parameter.numel()
    return {part: count for part, count in counts.items() if count}
