"""The authors' checkpoints (`mp_rank_00_model_states.pt`: single, multi, accm) and our model, both ways, strict."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from mtv_train.convert.keymap import PREFIX, Rule, rules
from mtv_train.model.config import MTVSettings
from mtv_train.model.rope import rotary_angles
from mtv_train.model.transformer import MTVTransformer3DModel

UNUSED_ROWS = 64
"""Rows of SAT's position embedding table, which is in the file but not in the network's arithmetic."""
INTERVAL_HEAD_DIM = 16
"""Channels of an attention head in the interaction blocks of the release."""


class ConversionError(ValueError):
    """A checkpoint that is not what it should be; the message names the keys."""


@dataclass(frozen=True)
class Converted:
    """What became of one tensor."""

    theirs: str
    shape: tuple[int, ...]
    ours: str
    """Our names, or why there is none."""


@dataclass(frozen=True)
class ConversionReport:
    """Every key of a conversion."""

    rows: tuple[Converted, ...]

    def text(self) -> str:
        """As a table, one key a line, with a count at the end."""
        width = max(len(row.theirs) for row in self.rows)
        lines = [f"{row.theirs:{width}}  {row.shape!s:24}  {row.ours}" for row in self.rows]
        return "\n".join([*lines, f"{len(self.rows)} keys"]) + "\n"


def from_sat(
    state: Mapping[str, Tensor],
    *,
    sample: tuple[int, int, int] = (49, 60, 90),
    feature_layers: int = 12,
    audio_window: int = 2,
    official: bool = False,
) -> tuple[MTVTransformer3DModel, ConversionReport]:
    """The model of a SAT state (full key names), every size read off the tensors' shapes but those given.

    `sample`: video frames and the latents' height and width that the position embedding was made for; `feature_layers`
    and `audio_window` of the audio features; `official` as in `MTVSettings`. The tensors are taken over, not copied
    where they can be. Raises `ConversionError` naming every key that is missing, left over or of a wrong shape.
    """
    theirs = {_without_prefix(name): tensor for name, tensor in state.items()}
    backbone, settings = _sizes(theirs, sample, feature_layers, audio_window, official)
    with torch.device("meta"):
        model = MTVTransformer3DModel(backbone, settings.model_dump())
    table = rules(backbone["num_layers"], settings.interval_blocks, settings.speech_tracks)
    _check_names(theirs, table)

    ours: dict[str, Tensor] = {}
    for rule in table:
        pieces = _pieces(theirs[rule.theirs], rule)
        ours |= {name: _joined([pieces[index] for index in picks]) for name, picks in rule.ours.items()}
    expected = model.state_dict()
    wrong = [
        f"{name}: {tuple(ours[name].shape)} should be {tuple(tensor.shape)}"
        for name, tensor in expected.items()
        if name in ours and ours[name].shape != tensor.shape
    ]
    if wrong:
        raise ConversionError("tensors of the wrong shape:\n  " + "\n  ".join(wrong))
    model.load_state_dict(ours, strict=True, assign=True)
    return model.eval(), _report(table, theirs)


def to_sat(model: MTVTransformer3DModel) -> tuple[dict[str, Tensor], ConversionReport]:
    """The model's state under the release's keys, tables that are computed or unused included.

    Raises `ConversionError` for a model that the release's code cannot hold: an ablation, the small temporal
    convolution, a backbone without learned position embedding.
    """
    settings, backbone = model.settings, model.backbone
    if not settings.has_style or settings.temporal_conv != "dense":
        raise ConversionError(
            "the release has separate extraction and injection and the dense temporal convolution; this model has "
            f"extraction={settings.extraction}, injection={settings.injection}, temporal_conv={settings.temporal_conv}"
        )
    if not backbone["use_learned_positional_embeddings"]:
        raise ConversionError("the release's backbone is of the I2V kind, with a learned position embedding")
    ours = model.state_dict()
    table = rules(backbone["num_layers"], settings.interval_blocks, settings.speech_tracks)
    extra = _unmapped(model)
    theirs = {rule.theirs: _assembled(ours, rule) if rule.ours else extra[rule.theirs] for rule in table}
    if left := set(ours) - {name for rule in table for name in rule.ours}:
        raise ConversionError("no place in the release's checkpoint for:\n  " + "\n  ".join(sorted(left)))
    return {PREFIX + name: tensor for name, tensor in theirs.items()}, _report(table, theirs)


def _without_prefix(name: str) -> str:
    if not name.startswith(PREFIX):
        raise ConversionError(f"{name}: not a key of the denoiser; they all start with {PREFIX}")
    return name.removeprefix(PREFIX)


def _sizes(
    theirs: Mapping[str, Tensor], sample: tuple[int, int, int], feature_layers: int, audio_window: int, official: bool
) -> tuple[dict[str, Any], MTVSettings]:
    """The backbone's configuration and our settings that fit the tensors."""

    def shape(name: str) -> tuple[int, ...]:
        if name not in theirs:
            raise ConversionError(f"{PREFIX}{name} is missing: this is no MTV checkpoint of the release")
        return tuple(theirs[name].shape)

    def count(pattern: str) -> int:
        return len({match[1] for name in theirs if (match := re.match(pattern, name))})

    width, in_channels, patch, _ = shape("mixins.patch_embed.proj.weight")
    head_dim = shape("mixins.adaln_layer.query_layernorm_list.0.weight")[0]
    frames, height, latent_width = sample
    positions = shape("mixins.pos_embed.pos_embedding")[1]
    text = positions - ((frames - 1) // 4 + 1) * (height // patch) * (latent_width // patch)
    if text <= 0:
        raise ConversionError(f"a position embedding of {positions} places is too small for {sample}; give `sample`")
    backbone = {
        "num_attention_heads": width // head_dim,
        "attention_head_dim": head_dim,
        "in_channels": in_channels,
        "out_channels": shape("mixins.final_layer.linear.weight")[0] // patch**2,
        "time_embed_dim": shape("time_embed.0.weight")[0],
        "text_embed_dim": shape("mixins.patch_embed.text_proj.weight")[1],
        "num_layers": count(r"transformer\.layers\.(\d+)\."),
        "sample_frames": frames,
        "sample_height": height,
        "sample_width": latent_width,
        "patch_size": patch,
        "max_text_seq_length": text,
        "use_rotary_positional_embeddings": True,
        "use_learned_positional_embeddings": True,
    }
    audio_dim = shape("transformer.audio_proj.norm.weight")[0]
    projector_dim, window = shape("transformer.audio_proj.proj1.weight")
    speakers: Literal[1, 2] = 2 if "transformer.audio_vocal_embedding" in theirs else 1
    settings = MTVSettings.release(speakers).model_copy(
        update={
            "official": official,
            "feature_layers": feature_layers,
            "feature_dim": window // ((2 * audio_window + 1) * feature_layers),
            "audio_window": audio_window,
            "projector_dim": projector_dim,
            "audio_tokens": shape("transformer.audio_proj.proj3.weight")[0] // audio_dim,
            "audio_dim": audio_dim,
            "interval_blocks": count(r"transformer\.audio_combine\.dual_blocks\.(\d+)\."),
            "interval_heads": audio_dim // INTERVAL_HEAD_DIM,
        }
    )
    return backbone, settings


def _check_names(theirs: Mapping[str, Tensor], table: list[Rule]) -> None:
    wanted = {rule.theirs for rule in table}
    problems = [f"missing: {PREFIX}{name}" for name in sorted(wanted - theirs.keys())]
    problems += [f"unknown: {PREFIX}{name}" for name in sorted(theirs.keys() - wanted)]
    if problems:
        raise ConversionError(f"{len(problems)} keys do not fit:\n  " + "\n  ".join(problems))


def _pieces(tensor: Tensor, rule: Rule) -> tuple[Tensor, ...]:
    if rule.pieces == 1:
        return (tensor,)
    if tensor.shape[0] % rule.pieces:
        raise ConversionError(f"{PREFIX}{rule.theirs}: {tuple(tensor.shape)} cannot be cut into {rule.pieces} parts")
    return tensor.chunk(rule.pieces, dim=0)


def _joined(pieces: list[Tensor]) -> Tensor:
    return torch.cat(pieces) if len(pieces) > 1 else pieces[0]


def _assembled(ours: Mapping[str, Tensor], rule: Rule) -> Tensor:
    pieces: dict[int, Tensor] = {}
    for name, picks in rule.ours.items():
        pieces |= dict(zip(picks, ours[name].chunk(len(picks), dim=0), strict=True))
    return _joined([pieces[index] for index in range(rule.pieces)])


def _unmapped(model: MTVTransformer3DModel) -> dict[str, Tensor]:
    """The tensors of the release that are not ours: rotary tables, and SAT's unused position embedding as zeros."""
    backbone, like = model.backbone, model.proj_out.weight
    frames = (backbone["sample_frames"] - 1) // backbone["temporal_compression_ratio"] + 1
    rope = rotary_angles(backbone, frames, backbone["sample_height"], backbone["sample_width"], like.device)
    if rope is None:
        raise ConversionError("the release's backbone has rotary embeddings; this one has none")
    return {
        "mixins.pos_embed.freqs_cos": rope[0].to(like.dtype),
        "mixins.pos_embed.freqs_sin": rope[1].to(like.dtype),
        "transformer.position_embeddings.weight": like.new_zeros(UNUSED_ROWS, like.shape[1]),
    }


def _report(table: list[Rule], theirs: Mapping[str, Tensor]) -> ConversionReport:
    return ConversionReport(
        tuple(
            Converted(PREFIX + rule.theirs, tuple(theirs[rule.theirs].shape), ", ".join(rule.ours) or f"({rule.note})")
            for rule in table
        )
    )
