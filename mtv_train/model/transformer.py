"""MTV: CogVideoX's transformer with the multi-stream temporal ControlNet."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers import CogVideoXTransformer3DModel
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn

from mtv_train.model.audio import AudioWindows
from mtv_train.model.block import Context, MTVBlock
from mtv_train.model.config import MTVSettings
from mtv_train.model.control import AudioControl
from mtv_train.model.injection import Injection
from mtv_train.model.modulation import Steps, modulate_out
from mtv_train.model.not_supported import NotSupported
from mtv_train.model.parts import Trainable, part_of, trained_parts
from mtv_train.model.rope import rotary_angles

BACKBONE_ENDS = (
    "patch_embed",
    "embedding_dropout",
    "time_proj",
    "time_embedding",
    "norm_final",
    "norm_out",
    "proj_out",
)
BLOCK_PARTS = ("norm1", "attn1", "norm2", "ff")
"""The backbone's modules that MTV owns, outside and inside a block."""


class MTVTransformer3DModel(NotSupported, ModelMixin, ConfigMixin):
    """Denoiser of video latents under text and three (or four) sound tracks (paper section 4).

    Owns the modules of a diffusers `CogVideoXTransformer3DModel`, under the same names, and of its own `audio`
    (`audio.projectors`, `audio.interaction`) and in each of `transformer_blocks` an `injection`. Each block can be
    checkpointed, compiled or sharded by itself, from outside.
    """

    _no_split_modules = ["MTVBlock", "CogVideoXPatchEmbed", "AudioProjector"]  # noqa: RUF012
    _repeated_blocks = ["MTVBlock"]  # noqa: RUF012
    _supports_gradient_checkpointing = True

    @register_to_config
    def __init__(self, backbone: Mapping[str, Any] | None = None, settings: Mapping[str, Any] | None = None) -> None:
        """`backbone`: the configuration of a `CogVideoXTransformer3DModel` (what is absent is diffusers' default);
        `settings`: fields of `MTVSettings`. All parameters are drawn anew."""
        super().__init__()
        known = {key: value for key, value in (backbone or {}).items() if not key.startswith("_")}
        ends: Any = CogVideoXTransformer3DModel(**{**known, "num_layers": 0})
        self.backbone: dict[str, Any] = {**ends.config, **known}
        self.settings = MTVSettings.model_validate(dict(settings or {}))
        _refuse_other_kinds(self.backbone)
        for name in BACKBONE_ENDS:
            setattr(self, name, getattr(ends, name))
        heads, head_dim = self.backbone["num_attention_heads"], self.backbone["attention_head_dim"]
        same = ("time_embed_dim", "dropout", "activation_fn", "attention_bias", "norm_elementwise_affine", "norm_eps")
        self.transformer_blocks = nn.ModuleList(
            MTVBlock(
                self.settings,
                dim=heads * head_dim,
                num_attention_heads=heads,
                attention_head_dim=head_dim,
                **{name: self.backbone[name] for name in same},
            )
            for _ in range(self.backbone.get("num_layers", 30))
        )
        self.audio = AudioControl(self.settings, self.backbone["time_embed_dim"])
        self.gradient_checkpointing = False
        self.initialise_control()

    @classmethod
    def from_backbone(
        cls,
        backbone: CogVideoXTransformer3DModel | str | os.PathLike[str],
        settings: MTVSettings | None = None,
        control: torch.dtype | None = None,
        **load: Any,
    ) -> MTVTransformer3DModel:
        """MTV around a trained CogVideoX whose modules it takes over; its output at first equals the backbone's.

        `backbone`: the model, or a folder of `THUDM/CogVideoX-5b`, `-2b` or `-5b-I2V` (the pipeline's or its
        `transformer/`); `control`: the precision of what is added (default: the backbone's); `load` (`torch_dtype`,
        ...) goes to diffusers' `from_pretrained`.
        """
        source: Any = backbone
        if not isinstance(backbone, CogVideoXTransformer3DModel):
            inner = Path(backbone) / "transformer"
            source = CogVideoXTransformer3DModel.from_pretrained(inner if inner.is_dir() else backbone, **load)
        with torch.device("meta"):
            model = cls(dict(source.config), (settings or MTVSettings()).model_dump())
        for name in BACKBONE_ENDS:
            setattr(model, name, getattr(source, name))
        for ours, theirs in zip(model.transformer_blocks, source.transformer_blocks, strict=True):
            for name in BLOCK_PARTS:
                setattr(ours, name, getattr(theirs, name))
        for module in model._control_modules():
            module.to_empty(device=source.device).to(control or source.dtype)
        model.initialise_control()
        return model

    def forward(
        self,
        latents: Tensor,
        text: Tensor,
        timestep: Tensor,
        audio: AudioWindows,
        clean_frames: Tensor | None = None,
    ) -> Tensor:
        """The prediction (v or noise), (batch, latent frames, channels, height, width).

        `latents` (batch, latent frames, 16, height, width), noisy except where clean; an I2V backbone's remaining
        input channels are zeros unless given too. `text` (batch, 226, 4096). `timestep` int64 (batch,) in 0..999.
        `audio` of 1 + 4 (latent frames - 1) video frames. `clean_frames` boolean (batch, latent frames): frames that
        were kept clean (at timestep 0) and are modulated from timestep 0.
        """
        latents = self._with_all_channels(latents)
        frames, _, height, width = latents.shape[1:]
        steps = Steps(self._embedded(timestep, latents.dtype))
        if clean_frames is not None:
            zero = self._embedded(torch.zeros_like(timestep), latents.dtype)
            steps = Steps(steps.current, zero, clean_frames)
        control = self.audio(audio.to(dtype=latents.dtype), steps.current)
        if control.tokens[0].shape[1] != frames:
            raise ValueError(
                f"{frames} latent frames want {4 * (frames - 1) + 1} frames of sound, but {audio.frames} were given"
            )
        rope = rotary_angles(self.backbone, frames, height, width, latents.device)

        hidden = self.embedding_dropout(self.patch_embed(text, latents))
        text, video = hidden[:, : text.shape[1]], hidden[:, text.shape[1] :].unflatten(1, (frames, -1))
        context = Context(steps, control, rope)
        for block in self.transformer_blocks:
            if self.gradient_checkpointing and torch.is_grad_enabled():
                video, text = self._gradient_checkpointing_func(block, video, text, context)
            else:
                video, text = block(video, text, context)

        last = Steps(steps.current) if self.settings.official else steps
        return self._pictures(self.proj_out(modulate_out(self.norm_out, self.norm_final(video), last)), height, width)

    def trainable(self, mode: Trainable = "attention") -> MTVTransformer3DModel:
        """Mark what is trained and return self: the ControlNet and, of the backbone, its attention layers (the
        paper), nothing (W/o TB), or all of it."""
        parts = trained_parts(mode, self.settings.official)
        for name, parameter in self.named_parameters():
            parameter.requires_grad_(part_of(name) in parts)
        return self

    def initialise_control(self) -> None:
        """Draw the ControlNet's parameters anew, from torch's generator. The style layers start at zero, and so, by
        `zero_init`, do the outputs of the cross-attentions: MTV then is its backbone."""
        for module in self._control_modules():
            for leaf in module.modules():
                if isinstance(leaf, nn.Linear | nn.Conv1d | nn.LayerNorm):
                    leaf.reset_parameters()
        for injection in self._injections():
            zeroed = [attention.to_out for attention in injection.attentions()] if self.settings.zero_init else []
            for layer in (*zeroed, *([injection.style] if injection.style is not None else [])):
                nn.init.zeros_(layer.weight)
                nn.init.zeros_(layer.bias)
        for vector in self.audio.speakers.values():
            nn.init.zeros_(vector)

    def _control_modules(self) -> list[nn.Module]:
        return [self.audio, *self._injections()]

    def _injections(self) -> list[Injection]:
        return [block.injection for block in self.transformer_blocks if isinstance(block, MTVBlock)]

    def _embedded(self, timestep: Tensor, dtype: torch.dtype) -> Tensor:
        """(batch, time dim); the sinusoids are float32 whatever the model is."""
        return self.time_embedding(self.time_proj(timestep).to(dtype))

    def _with_all_channels(self, latents: Tensor) -> Tensor:
        """`latents` as wide as the backbone's input: an I2V backbone gets zeros where its picture would be."""
        given, wanted, predicted = latents.shape[2], self.backbone["in_channels"], self.backbone["out_channels"]
        if given == wanted:
            return latents
        if given != predicted:
            raise ValueError(
                f"latents have {given} channels; the model takes {predicted}, or {wanted} with a picture's"
            )
        batch, frames, _, height, width = latents.shape
        return torch.cat([latents, latents.new_zeros(batch, frames, wanted - given, height, width)], dim=2)

    def _pictures(self, patches: Tensor, height: int, width: int) -> Tensor:
        """(batch, frames, patches, channels * patch * patch) to (batch, frames, channels, height, width)."""
        size = self.backbone["patch_size"]
        patches = patches.unflatten(3, (-1, size, size)).unflatten(2, (height // size, width // size))
        return patches.permute(0, 1, 4, 2, 5, 3, 6).flatten(5, 6).flatten(3, 4)


def _refuse_other_kinds(backbone: Mapping[str, Any]) -> None:
    if backbone["patch_size_t"] is not None or backbone["ofs_embed_dim"] is not None:
        raise ValueError(
            "this is a CogVideoX 1.5 (it groups latent frames in its patches), whose intervals are not MTV's; "
            "use CogVideoX-5b, -2b or -5b-I2V"
        )
