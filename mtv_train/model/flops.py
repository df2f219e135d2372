"""Floating-point operations of the model, counted by formula: two for every multiply-add of a matrix product."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from mtv_train.model.config import MTVSettings
from mtv_train.model.interaction import kind_of
from mtv_train.model.parts import Trainable, trained_parts
from mtv_train.model.projector import GROUPINGS


@dataclass(frozen=True)
class FlopCount:
    """FLOPs of one sample."""

    forward: int
    backward: int
    parts: Mapping[str, int]
    """Forward FLOPs by part of the model (`mtv_train.model.parts`); attention's products are with its projections."""


class _Product(NamedTuple):
    """A matrix product of the forward pass."""

    part: str
    flops: int
    moves: bool
    """Whether the backward pass needs the gradient of what goes in."""
    weighed: bool = True
    """Whether it is with a weight (whose gradient is needed where the part is trained), not of activations, where
    what comes in on both sides has a gradient or neither has."""


def count_flops(
    backbone: Mapping[str, Any],
    settings: MTVSettings,
    *,
    frames: int = 13,
    height: int = 60,
    width: int = 90,
    trainable: Trainable = "attention",
    adapters: int = 0,
) -> FlopCount:
    """FLOPs of one sample's forward and backward pass, without clean frames.

    `backbone`: the CogVideoX config; `frames`, `height`, `width`: of the latents. The backward pass counts the
    gradients with respect to activations that something trained lies behind and, of weights, those that `trainable`
    trains; what activation checkpointing computes again is not in it (add `forward`). `adapters`: the rank of adapters
    that are trained instead, on the injections and, with "attention", the backbone's attentions; 0: none.
    """
    size = _Sizes(backbone, settings, frames, height, width)
    everything = trainable == "all"
    attends = trainable != "none"
    products = [
        *_ends(size, everything),
        *_control(size, settings, everything, not adapters),
        *(
            p
            for i in range(backbone["num_layers"])
            for p in _block(size, settings, everything, attends, i > 0, adapters)
        ),
    ]
    trained = trained_parts(trainable, settings.official) if not adapters else frozenset({"adapters"})
    parts: dict[str, int] = {}
    backward = 0
    for product in products:
        parts[product.part] = parts.get(product.part, 0) + product.flops
        times = 2 * product.moves if not product.weighed else product.moves + (product.part in trained)
        backward += product.flops * times
    return FlopCount(sum(parts.values()), backward, parts)


class _Sizes:
    """The counts that the formulas need."""

    def __init__(self, backbone: Mapping[str, Any], settings: MTVSettings, frames: int, height: int, width: int):
        self.patch_values = backbone["patch_size"] ** 2
        self.frames = frames
        self.video = frames * height * width // self.patch_values
        self.text = backbone["max_text_seq_length"]
        self.dim = backbone["num_attention_heads"] * backbone["attention_head_dim"]
        self.time = backbone["time_embed_dim"]
        self.text_dim = backbone["text_embed_dim"]
        self.channels_in = backbone["in_channels"] * self.patch_values
        self.channels_out = backbone["out_channels"] * self.patch_values
        self.sound_frames = 4 * (frames - 1) + 1
        self.window = settings.window_frames * settings.feature_layers * settings.feature_dim

    @property
    def joint(self) -> int:
        """Tokens of text and video."""
        return self.text + self.video


def _linear(rows: int, wide_in: int, wide_out: int) -> int:
    return 2 * rows * wide_in * wide_out


def _attend(queries: int, keys: int, dim: int) -> int:
    """Scores and their use."""
    return 2 * _linear(queries, dim, keys)


def _adapted(
    part: str, layers: int, rows: int, wide_in: int, wide_out: int, moves: bool, rank: int
) -> Iterator[_Product]:
    """Some layers alike, each with an adapter of that rank, or 0 for none."""
    yield _Product(part, layers * _linear(rows, wide_in, wide_out), moves)
    if rank:
        yield _Product("adapters", layers * _linear(rows, wide_in, rank), moves)
        yield _Product("adapters", layers * _linear(rows, rank, wide_out), True)


def _ends(size: _Sizes, everything: bool) -> Iterator[_Product]:
    yield _Product("ends", _linear(size.video, size.channels_in, size.dim), False)
    yield _Product("ends", _linear(size.text, size.text_dim, size.dim), False)
    yield _Product("ends", _linear(1, size.dim, size.time), False)
    yield _Product("ends", _linear(1, size.time, size.time), everything)
    yield _Product("modulation", _linear(1, size.time, 2 * size.dim), everything)
    yield _Product("ends", _linear(size.video, size.dim, size.channels_out), True)


def _control(size: _Sizes, settings: MTVSettings, everything: bool, moves: bool) -> Iterator[_Product]:
    """`moves`: whether something here is trained."""
    frames, tokens, dim, inner = size.sound_frames, settings.audio_tokens, settings.audio_dim, settings.projector_dim
    for _ in settings.tracks:
        yield _Product("projectors", _linear(frames, size.window, inner), False)
        yield _Product("projectors", _linear(frames, inner, inner), moves)
        yield _Product("projectors", _linear(frames, inner, tokens * dim), moves)
        per_token = settings.temporal_conv == "per_token"
        channels, rows = (dim, tokens) if per_token else (tokens * dim, 1)
        pairs = sum((frames - 1) // 2**halving for halving in range(1, GROUPINGS + 1))
        yield _Product("projectors", _linear(pairs * rows, 2 * channels, channels), moves)
    kinds = len({kind_of(track) for track in settings.interval_tracks})
    for _ in range(settings.interval_blocks if settings.has_interaction else 0):
        heard = len(settings.interval_tracks) * tokens
        rows = size.frames * heard
        yield _Product("interaction", _linear(1, size.time, 6 * kinds * dim), everything)
        yield _Product("interaction", 4 * _linear(rows, dim, dim) + 2 * _linear(rows, dim, 4 * dim), moves)
        yield _Product("interaction", size.frames * _attend(heard, heard, dim), moves, weighed=False)


def _block(
    size: _Sizes, settings: MTVSettings, everything: bool, attends: bool, later: bool, adapters: int
) -> Iterator[_Product]:
    """One block. In the first one nothing trained lies behind what comes in, unless everything is trained; with
    adapters, nothing trained lies behind the sound."""
    dim, moves, heard_moves = size.dim, everything or later, not adapters
    own = adapters if attends else 0
    yield _Product("modulation", 2 * _linear(1, size.time, 6 * dim), everything)
    yield from _adapted("attention", 3, size.joint, dim, dim, moves, own)
    yield _Product("attention", _attend(size.joint, size.joint, dim), attends or moves, weighed=False)
    yield from _adapted("attention", 1, size.joint, dim, dim, attends or moves, own)
    shared = settings.injection == "shared"
    for _ in settings.interval_tracks[:1] if shared else settings.interval_tracks:
        heard = settings.audio_tokens * (len(settings.interval_tracks) if shared else 1)
        asks = not adapters or attends or moves  # behind it is its own norm, which adapters leave as it is
        yield from _adapted("cross_attention", 1, size.video, dim, dim, asks, adapters)
        rows = size.frames * heard
        yield from _adapted("cross_attention", 2, rows, settings.audio_dim, dim, heard_moves, adapters)
        yield _Product("cross_attention", _attend(size.video, heard, dim), True, weighed=False)
        yield from _adapted("cross_attention", 1, size.video, dim, dim, True, adapters)
    if settings.has_style:
        yield from _adapted("style", 1, 1, settings.audio_dim, 2 * dim, heard_moves, adapters)
    yield _Product("feed_forward", 2 * _linear(size.joint, dim, 4 * dim), True)
