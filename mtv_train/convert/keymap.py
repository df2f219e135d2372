"""Which of the authors' tensors is which of ours, as data: one rule a tensor of theirs.

Their names are SAT's. A tensor of theirs is cut along its first dimension into equal pieces, and each of ours is some
of these pieces joined: q, k, v of fused projections, the chunks of adaptive norms.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

PREFIX = "model.diffusion_model."
"""Of every key of the denoiser; a training checkpoint also holds the VAE and the text encoder under other names."""


@dataclass(frozen=True)
class Rule:
    """One tensor of theirs."""

    theirs: str
    """Name without `PREFIX`."""
    pieces: int
    """Equal pieces it is cut into."""
    ours: Mapping[str, tuple[int, ...]]
    """Our name -> the pieces that make it up, in order. Empty: we have no such tensor."""
    note: str = ""
    """Why there is none."""


def same(theirs: str, ours: str) -> Rule:
    """A tensor that is only called differently."""
    return Rule(theirs, 1, {ours: (0,)})


def layer(theirs: str, *ours: str) -> Iterator[Rule]:
    """Weight and bias of a layer; several of ours are equal parts of theirs, in that order."""
    for kind in ("weight", "bias"):
        yield Rule(f"{theirs}.{kind}", len(ours), {f"{name}.{kind}": (index,) for index, name in enumerate(ours)})


def rules(layers: int, interaction_blocks: int, speech_tracks: int) -> list[Rule]:
    """Every tensor of a release checkpoint of that size."""
    found = [*_ends(speech_tracks)]
    for kind in ("speech", "effects", "music"):
        found += _projector(kind)
    for index in range(interaction_blocks):
        found += _interaction(f"transformer.audio_combine.dual_blocks.{index}", f"audio.interaction.{index}")
    for index in range(layers):
        found += _block(index, speech_tracks)
    return found


def _ends(speech_tracks: int) -> Iterator[Rule]:
    yield same("mixins.pos_embed.pos_embedding", "patch_embed.pos_embedding")
    for name in ("freqs_sin", "freqs_cos"):
        yield Rule(f"mixins.pos_embed.{name}", 1, {}, "computed when needed")
    yield Rule("transformer.position_embeddings.weight", 1, {}, "never used by the network")
    yield from layer("mixins.patch_embed.proj", "patch_embed.proj")
    yield from layer("mixins.patch_embed.text_proj", "patch_embed.text_proj")
    yield from layer("time_embed.0", "time_embedding.linear_1")
    yield from layer("time_embed.2", "time_embedding.linear_2")
    yield from layer("transformer.final_layernorm", "norm_final")
    yield from layer("mixins.final_layer.norm_final", "norm_out.norm")
    yield from layer("mixins.final_layer.adaLN_modulation.1", "norm_out.linear")
    yield from layer("mixins.final_layer.linear", "proj_out")
    if speech_tracks == 2:
        yield same("transformer.audio_vocal_embedding", "audio.speakers.speech")
        yield same("transformer.audio_vocal_embedding_1", "audio.speakers.speech2")


def _projector(kind: str) -> Iterator[Rule]:
    suffix = {"speech": "", "effects": "_effect", "music": "_music"}[kind]
    theirs, ours = f"transformer.audio_proj{suffix}", f"audio.projectors.{kind}"
    for index in (1, 2, 3):
        yield from layer(f"{theirs}.proj{index}", f"{ours}.linear_{index}")
    yield from layer(f"{theirs}.conv1", f"{ours}.conv")
    yield from layer(f"{theirs}.norm", f"{ours}.norm")


def _interaction(theirs: str, ours: str) -> Iterator[Rule]:
    yield from layer(f"{theirs}.vocal_layernorm", f"{ours}.norm1.speech")
    yield from layer(f"{theirs}.accm_layernorm", f"{ours}.norm1.effects")
    yield from layer(f"{theirs}.post_attention_layernorm", f"{ours}.norm2")
    yield from layer(f"{theirs}.adaLN_modulations.1", f"{ours}.adaln")
    yield from layer(f"{theirs}.attention.query_key_value", *(f"{ours}.attention.to_{part}" for part in "qkv"))
    yield from layer(f"{theirs}.attention.dense", f"{ours}.attention.to_out")
    yield from layer(f"{theirs}.mlp.dense_h_to_4h", f"{ours}.ff.net.0.proj")
    yield from layer(f"{theirs}.mlp.dense_4h_to_h", f"{ours}.ff.net.2")


def _block(index: int, speech_tracks: int) -> Iterator[Rule]:
    theirs, ours, adaln = f"transformer.layers.{index}", f"transformer_blocks.{index}", "mixins.adaln_layer"
    for kind in ("weight", "bias"):
        # Six of the video then six of the text there; three and three before attention, then before the FFN, here.
        picks = {f"{ours}.norm1.linear.{kind}": (0, 1, 2, 6, 7, 8), f"{ours}.norm2.linear.{kind}": (3, 4, 5, 9, 10, 11)}
        yield Rule(f"{adaln}.adaLN_modulations.{index}.1.{kind}", 12, picks)
    yield from layer(f"{adaln}.query_layernorm_list.{index}", f"{ours}.attn1.norm_q")
    yield from layer(f"{adaln}.key_layernorm_list.{index}", f"{ours}.attn1.norm_k")
    yield from layer(f"{theirs}.input_layernorm", f"{ours}.norm1.norm")
    yield from layer(f"{theirs}.attention.query_key_value", *(f"{ours}.attn1.to_{part}" for part in "qkv"))
    yield from layer(f"{theirs}.attention.dense", f"{ours}.attn1.to_out.0")
    yield from layer(f"{theirs}.post_attention_layernorm", f"{ours}.norm2.norm")
    yield from layer(f"{theirs}.mlp.dense_h_to_4h", f"{ours}.ff.net.0.proj")
    yield from layer(f"{theirs}.mlp.dense_4h_to_h", f"{ours}.ff.net.2")
    suffixes = {"speech": "", "speech2": "_second", "effects": "_effect"}
    if speech_tracks == 1:
        del suffixes["speech2"]
    for track, suffix in suffixes.items():
        cross = f"{ours}.injection.attention.{track}"
        yield from layer(f"{theirs}.audio_input_layernorm{suffix}", f"{cross}.norm")
        yield from layer(f"{theirs}.audio_attn{suffix}.query", f"{cross}.to_q")
        yield from layer(f"{theirs}.audio_attn{suffix}.key_value", f"{cross}.to_k", f"{cross}.to_v")
        yield from layer(f"{theirs}.audio_attn{suffix}.dense", f"{cross}.to_out")
    yield from layer(f"{theirs}.audio_music_adaLn", f"{ours}.injection.style")
