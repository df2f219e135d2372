"""The networks of a recipe: the transformer that is trained and the frozen encoders around it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch
from diffusers import AutoencoderKLCogVideoX, CogVideoXTransformer3DModel
from safetensors import SafetensorError
from transformers import (
    AutoTokenizer,
    ByT5Tokenizer,
    PreTrainedTokenizerBase,
    T5Config,
    T5EncoderModel,
    Wav2Vec2Config,
    Wav2Vec2Model,
)

from demix.config import ConfigError
from mtv_train.config import ModelSettings
from mtv_train.model.transformer import MTVTransformer3DModel
from mtv_train.model.wav2vec import AudioEncoder
from mtv_train.train import initial

T = TypeVar("T")


def make_transformer(
    settings: ModelSettings,
    seed: int,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
    begun: bool = False,
) -> MTVTransformer3DModel:
    """The transformer at the start of training, marked for what is trained. The same on every rank.

    What is drawn is drawn in `dtype`, on `device` where all of it is; what is read is as in its files, on the CPU
    (`parallelize` moves and casts it, unit by unit). `begun`: all values will come from a checkpoint, so that
    `model.init` is not read again. Raises `ConfigError` if the weights are not there or of another shape than the
    settings.
    """
    with _seeded(seed, "transformer", dtype):
        if settings.init:
            made = initial.empty_transformer(settings) if begun else initial.transformer_of(settings)
        elif settings.weights == "random":
            with torch.device(device):
                made = MTVTransformer3DModel(settings.backbone.config, settings.mtv.model_dump())
        else:
            backbone = _backbone(settings)
            _same_shape(settings, backbone.config)
            made = MTVTransformer3DModel.from_backbone(backbone, settings.mtv, control=dtype)
        return initial.mark_trained(made, settings)


def _backbone(settings: ModelSettings) -> CogVideoXTransformer3DModel:
    """As in its files, so that float32 masters hold what those hold."""
    folder = Path(settings.source) / "transformer"
    if folder.is_dir() and any(folder.glob("*.safetensors")):
        return initial.mapped(CogVideoXTransformer3DModel, folder)
    load = CogVideoXTransformer3DModel.from_pretrained
    return _loaded(load, settings, settings.source, "transformer", torch_dtype=torch.float32)


def make_vae(settings: ModelSettings, seed: int, dtype: torch.dtype = torch.float32) -> AutoencoderKLCogVideoX:
    """The video's autoencoder, frozen."""
    if settings.weights == "random":
        channels = settings.encoders.vae_channels
        with _seeded(seed, "vae", dtype):
            vae = AutoencoderKLCogVideoX(
                block_out_channels=channels,
                layers_per_block=settings.encoders.vae_layers,
                norm_num_groups=min(32, channels[0] // 2),
                down_block_types=("CogVideoXDownBlock3D",) * 4,
                up_block_types=("CogVideoXUpBlock3D",) * 4,
                scaling_factor=settings.latent_scale,
            )
    else:
        vae = _loaded(AutoencoderKLCogVideoX.from_pretrained, settings, settings.source, "vae", torch_dtype=dtype)
        if abs(vae.config.scaling_factor - settings.latent_scale) > 1e-6:
            raise ConfigError(
                f"{settings.source}: its VAE scales latents by {vae.config.scaling_factor}, "
                f"model.latent_scale says {settings.latent_scale}"
            )
    return vae.eval().requires_grad_(False)


def make_text_encoder(
    settings: ModelSettings, seed: int, dtype: torch.dtype = torch.float32
) -> tuple[PreTrainedTokenizerBase, T5EncoderModel]:
    """The tokenizer and T5, frozen. A random T5 reads bytes, which needs no vocabulary file."""
    if settings.weights == "random":
        dim, heads = settings.backbone.text_embed_dim, settings.encoders.text_heads
        config = T5Config(
            vocab_size=384,
            d_model=dim,
            d_kv=dim // heads,
            d_ff=dim * 5 // 2,
            num_layers=settings.encoders.text_layers,
            num_heads=heads,
            feed_forward_proj="gated-gelu",
        )
        with _seeded(seed, "text", dtype):
            encoder = T5EncoderModel(config)
        return ByT5Tokenizer(), encoder.eval().requires_grad_(False)
    tokenizer = _loaded(AutoTokenizer.from_pretrained, settings, settings.source, "tokenizer", trust_remote_code=False)
    encoder = _loaded(T5EncoderModel.from_pretrained, settings, settings.source, "text_encoder", torch_dtype=dtype)
    return tokenizer, encoder.eval().requires_grad_(False)


def make_audio_encoder(settings: ModelSettings, seed: int) -> AudioEncoder:
    """wav2vec2, frozen, float32."""
    if settings.weights == "random":
        width, channels = settings.mtv.feature_dim, settings.encoders.audio_channels
        config = Wav2Vec2Config(
            hidden_size=width,
            num_hidden_layers=settings.mtv.feature_layers,
            num_attention_heads=settings.encoders.audio_heads,
            intermediate_size=4 * width,
            conv_dim=(channels,) * 7,
            num_conv_pos_embeddings=16 if width < 256 else 128,
            num_conv_pos_embedding_groups=16 if width >= 256 else 4,
        )
        with _seeded(seed, "audio"):
            return AudioEncoder(Wav2Vec2Model(config))
    wav2vec = _loaded(Wav2Vec2Model.from_pretrained, settings, settings.audio_encoder, "", use_safetensors=None)
    return AudioEncoder(wav2vec)


def revisions(settings: ModelSettings, seed: int) -> dict[str, str]:
    """What the frozen encoders are, for the keys of caches: part ("latents", "text", "audio") -> a short name.

    A local folder is named by the hash of its configuration and its weights' sizes and names, a hub's model by its
    name and revision, a random one by its shape and seed.
    """
    if settings.weights == "random":
        made = settings.encoders
        shapes = {
            "latents": [made.vae_channels, made.vae_layers],
            "text": [settings.backbone.text_embed_dim, made.text_layers, made.text_heads],
            "audio": [settings.mtv.feature_dim, settings.mtv.feature_layers, made.audio_heads, made.audio_channels],
        }
        return {part: f"random-{_digest([seed, shape])}" for part, shape in shapes.items()}
    parts = {"latents": (settings.source, "vae"), "text": (settings.source, "text_encoder")}
    named = {part: _revision(source, folder, settings.revision) for part, (source, folder) in parts.items()}
    return {**named, "audio": _revision(settings.audio_encoder, "", "main")}


def _revision(source: str, folder: str, revision: str) -> str:
    path = Path(source) / folder
    if not path.is_dir():
        return f"{source}/{folder}@{revision}"
    facts = [[file.name, file.stat().st_size] for file in sorted(path.iterdir()) if file.is_file()]
    config = (path / "config.json").read_text(encoding="utf-8") if (path / "config.json").exists() else ""
    return _digest([facts, config])


def _digest(facts: object) -> str:
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]


def _loaded(load: Callable[..., T], settings: ModelSettings, source: str, folder: str, **options: Any) -> T:
    local = Path(source).is_dir()
    extra: dict[str, Any] = {} if local else {"revision": settings.revision if source == settings.source else "main"}
    options = {name: value for name, value in options.items() if value is not None}
    try:
        if local:
            return load(Path(source) / folder, **options)
        return load(source, **({"subfolder": folder} if folder else {}), **extra, **options)
    except (OSError, RuntimeError, SafetensorError) as error:  # not there; a program or damaged; damaged
        part = f"{folder} of {source}" if folder else source
        raise ConfigError(
            f"{part} cannot be loaded ({str(error).splitlines()[0]}); fetch it on a machine with internet and give its "
            "folder as model.source (or model.audio_encoder), or set model.weights=random to try things out"
        ) from error


def _same_shape(settings: ModelSettings, config: Any) -> None:
    differs = [
        f"{name} {config[name]} (recipe {value})"
        for name, value in settings.backbone.config.items()
        if config[name] != value
    ]
    if differs:
        raise ConfigError(f"{settings.source}: this backbone is another than the recipe's: {', '.join(differs)}")


@contextmanager
def _seeded(seed: int, name: str, dtype: torch.dtype = torch.float32) -> Iterator[None]:
    """torch's global generator set from (seed, name), and `dtype` the default, inside the block only."""
    before = torch.get_default_dtype()
    with torch.random.fork_rng():
        torch.manual_seed(int.from_bytes(hashlib.sha256(f"{seed}:{name}".encode()).digest()[:7], "little"))
        torch.set_default_dtype(dtype)
        try:
            yield
        finally:
            torch.set_default_dtype(before)
