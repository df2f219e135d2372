"""An estimate of the memory that a recipe takes on each GPU, part by part."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from mtv_train.config import TrainSettings
from mtv_train.distributed.names import parameter_name
from mtv_train.model.transformer import MTVTransformer3DModel
from mtv_train.train.initial import mark_trained

_WORKING_BYTES = 34
"""A transformer block keeps about 34 bytes a token and channel in half precision while it is computed and
differentiated (Korthikanti et al. 2022); ours keeps its injections' besides."""


@dataclass(frozen=True)
class Sizes:
    """Parameters: all, of them trained, of the largest unit that is gathered at once, of them trained."""

    total: int
    trained: int
    largest_unit: int
    largest_trained: int


def sizes(settings: TrainSettings) -> Sizes:
    """Counted on the model itself, made without memory."""
    with torch.device("meta"):
        model = MTVTransformer3DModel(settings.model.backbone.config, settings.model.mtv.model_dump())
    mark_trained(model, settings.model)
    units: dict[str, list[int]] = {}
    for name, parameter in model.named_parameters():
        unit = units.setdefault(_unit_of(parameter_name(name)), [0, 0])
        unit[0] += parameter.numel()
        unit[1] += parameter.numel() * parameter.requires_grad
    largest = max(units.values())
    return Sizes(sum(unit[0] for unit in units.values()), sum(unit[1] for unit in units.values()), *largest)


def _unit_of(name: str) -> str:
    parts = name.split(".")
    if parts[0] == "transformer_blocks" or parts[:2] in (["audio", "projectors"], ["audio", "interaction"]):
        return ".".join(parts[: 2 if parts[0] == "transformer_blocks" else 3])
    return "root"


def memory(settings: TrainSettings, gpus: int, counted: Sizes) -> Mapping[str, float]:
    """GiB on each of `gpus`, by what it is for, and their "total"."""
    shards = gpus // settings.parallel.replicate if gpus % settings.parallel.replicate == 0 else gpus
    half = 2 if settings.parallel.precision == "bfloat16" else 4
    frozen = counted.total - counted.trained
    # Two units are gathered at a time (one is fetched ahead), and one unit's gradients are summed in float32.
    gathered = 2 * counted.largest_unit * half + counted.largest_trained * (half + 4)
    accumulated = 4 * counted.trained if settings.parallel.defer_reduce and shards > 1 else 0
    parts = {
        "frozen parameters": frozen * half / shards,
        "trained parameters (float32)": counted.trained * 4 / shards,
        "gradients (float32)": counted.trained * 4 / shards + accumulated,
        "AdamW's moments (float32)": counted.trained * 8 / shards,
        "moving average (float32)": counted.trained * 4 / shards if settings.optim.ema else 0.0,
        "gathered units": float(gathered),
        "activations": float(activations(settings, half)),
        "frozen encoders": float(_encoders(settings)),
    }
    parts = {name: size / 2**30 for name, size in parts.items()}
    return {**parts, "total": sum(parts.values())}


def activations(settings: TrainSettings, half: int) -> int:
    """Bytes of activations of a micro-batch."""
    frames, _, height, width = settings.latent_shape
    backbone, parallel = settings.model.backbone, settings.parallel
    tokens = frames * (height // backbone.patch_size) * (width // backbone.patch_size) + backbone.max_text_seq_length
    one = tokens * backbone.width * half * parallel.micro_batch
    attentions = 1 + len(settings.model.mtv.interval_tracks)
    # A block's input; the attentions' outputs; the projections that go in: a self-attention's three and a
    # cross-attention's one. What comes out is only summed, and kept by code that is not compiled alone.
    kept = {
        "none": _WORKING_BYTES / 2,
        "projections": 1.0 + attentions + 3 + (attentions - 1) + (0 if parallel.compile else attentions),
        "selective": 1.0 + attentions,
        "full": 1.0,
    }[parallel.activation]
    return int(one * (kept * backbone.num_layers + _WORKING_BYTES / 2))


def _encoders(settings: TrainSettings) -> int:
    """Bytes of the encoders that run in the step: T5-XXL's encoder 4.76 B parameters, the VAE 0.22 B and what it keeps
    of a 480 x 720 window (measured by others: about 5 GB), wav2vec2-base 0.09 B."""
    if settings.model.weights == "random" and settings.model.backbone.width < 1024:
        return 0
    parts = {"text": 4_760_000_000 * 2, "latents": 220_000_000 * 2 + 5 * 10**9, "audio": 95_000_000 * 4}
    return sum(size for part, size in parts.items() if part not in settings.data.cached)
