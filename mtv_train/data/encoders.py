"""Raw samples to what the model takes, by frozen models, one sample at a time and rounded to bf16.

The same functions serve the training step and the precomputation, so that a batch holds the same numbers either way:
each sample is encoded alone (kernels may add in another order for other batch sizes), and the result is rounded to
bf16 in both. On another kind of device the last bit may differ before rounding, as it does between any two runs there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from mtv_train.data.batch import AudioFeatures, Batch, ClipWaves, Latents, join_audio, join_latents
from mtv_train.data.cached import rounded
from mtv_train.data.randomness import generator
from mtv_train.data.settings import WindowSettings
from mtv_train.model.wav2vec import AudioEncoder

T = TypeVar("T")


class VideoEncoder:
    """A VAE (`AutoencoderKLCogVideoX`), where and in the precision it is."""

    def __init__(self, vae: nn.Module):
        self.vae: Any = vae

    @torch.no_grad()
    def encode(self, video: Tensor) -> Latents:
        """uint8 (frames, 3, height, width) to the posterior of one sample, bf16 (1, latent frames, channels, h, w)."""
        device, dtype = _home(self.vae)
        pixels = video.to(device).to(dtype) / 127.5 - 1
        posterior = self.vae.encode(pixels.movedim(0, 1)[None]).latent_dist  # (1, channels, frames, h, w)
        return Latents(rounded(posterior.mean.movedim(1, 2)), rounded(posterior.logvar.movedim(1, 2)))


class TextEncoder:
    """A T5 encoder with its tokenizer (of `transformers`)."""

    def __init__(self, tokenizer: Any, model: nn.Module, tokens: int = 226):
        self.tokenizer, self.model, self.tokens = tokenizer, model, tokens
        self.on_cut: Callable[[str, str], None] | None = None
        """Is told of each text that is longer, and of its words that are not read."""

    def unread(self, text: str) -> str:
        """The end of a text of more tokens than are read; nothing of a shorter one."""
        ids = self.tokenizer(text, add_special_tokens=False, verbose=False).input_ids
        over = ids[self.tokens - self.tokenizer.num_special_tokens_to_add() :]
        return str(self.tokenizer.decode(over, skip_special_tokens=True)).strip() if over else ""

    @torch.no_grad()
    def encode(self, text: str) -> Tensor:
        """bf16 (1, tokens, dim), padded to the full length: CogVideoX attends to the pads, so they are kept."""
        device, _ = _home(self.model)
        if self.on_cut is not None and (words := self.unread(text)):
            self.on_cut(text, words)
        ids = self.tokenizer(
            text, padding="max_length", max_length=self.tokens, truncation=True, return_tensors="pt"
        ).input_ids
        # No attention mask, as in CogVideoX: the pads' embeddings are those of a text that goes on with pads.
        return rounded(self.model(ids.to(device))[0])


@dataclass(frozen=True)
class Heard:
    """A clip's sound, encoded: track to bf16 (1, frames, layers, channels)."""

    tracks: Mapping[str, Tensor]

    def window(self, first: int, frames: int, radius: int) -> AudioFeatures:
        """What is heard in `frames` frames from `first` on, and `radius` more on each side; beyond a track's ends its
        first or last frame is repeated."""
        places = torch.arange(first - radius, first + frames + radius)
        return AudioFeatures(
            {name: all_[:, places.clamp(0, all_.shape[1] - 1).to(all_.device)] for name, all_ in self.tracks.items()},
            radius,
        )


class SoundEncoder:
    """wav2vec2, at the rate of the window's frames."""

    def __init__(
        self,
        encoder: AudioEncoder,
        window: WindowSettings,
        *,
        official_alignment: bool = False,
        sampling: bool = False,
    ):
        """`official_alignment`: as the release hears (`AudioEncoder.release_features`), whose sampler (`sampling`)
        prepares a sound in another way than its training."""
        self.encoder, self.window = encoder, window
        self.official_alignment, self.sampling = official_alignment, sampling

    def encode(self, waves: ClipWaves) -> AudioFeatures:
        """The features of one window, from all that its samples hold."""
        return self.encode_windows(waves, [waves.first])[0]

    def encode_windows(self, waves: ClipWaves, firsts: Iterable[int]) -> list[AudioFeatures]:
        """The features of several windows of one clip, which is encoded once."""
        heard = self.hear(waves)
        return [heard.window(first, self.window.frames, self.window.audio_radius) for first in firsts]

    @torch.no_grad()
    def hear(self, waves: ClipWaves) -> Heard:
        """A whole clip, encoded once; its windows are cut when they are asked for."""
        return Heard({track: self._features(wave, waves.frames) for track, wave in waves.waves.items()})

    def _features(self, wave: Tensor, frames: int) -> Tensor:
        device, dtype = _home(self.encoder)
        given, fps = wave[None].to(device).to(dtype), float(self.window.rate)
        if self.official_alignment:
            return rounded(self.encoder.release_features(given, fps, sampling=self.sampling, at_least=frames))
        return rounded(self.encoder.features(given, frames, fps))


@dataclass(frozen=True)
class Encoders:
    """All three; those whose results a run reads from its cache may be None."""

    video: VideoEncoder | None
    text: TextEncoder | None
    sound: SoundEncoder | None

    def __call__(self, batch: Batch) -> Batch:
        """The batch with `latents`, `text` and `audio` in place of what is still raw.

        Raises ValueError where an encoder is needed that is not there.
        """
        latents, text, audio = batch.latents, batch.text, batch.audio
        if latents is None:
            video, encoder = _there(batch.video, "video"), _there(self.video, "the VAE")
            latents = join_latents([encoder.encode(one) for one in video])
        if text is None:
            writer = _there(self.text, "the text encoder")
            text = torch.cat([writer.encode(caption) for caption in batch.captions])
        if audio is None:
            waves, listener = _there(batch.waves, "waves"), _there(self.sound, "the audio encoder")
            audio = join_audio([listener.encode(one) for one in waves])
        return replace(batch, video=None, waves=None, latents=latents, text=text, audio=audio)


def sample_latents(batch: Batch, scale: float) -> Tensor:
    """A draw from every sample's posterior, float32 (batch, latent frames, channels, height, width), times `scale`.

    The noise of sample k comes from `generator(batch.seed, k, "vae")`: mean + exp(logvar / 2) * noise, in float32.
    """
    latents = _there(batch.latents, "latents")
    shape = latents.mean.shape[1:]
    noise = torch.stack([torch.randn(shape, generator=generator(batch.seed, k, "vae")) for k in batch.ks])
    mean, logvar = latents.mean.float(), latents.logvar.float()
    return (mean + torch.exp(0.5 * logvar) * noise.to(mean.device)) * scale


def _there(part: T | None, name: str) -> T:
    if part is None:
        raise ValueError(f"the batch cannot be encoded: {name} is not there")
    return part


def _home(model: nn.Module) -> tuple[torch.device, torch.dtype]:
    parameter = next(model.parameters())
    return parameter.device, parameter.dtype
