"""Raw samples to what the model takes, by frozen models, one sample at a time and rounded to bf16.

The same functions serve the training step and the precomputation, so that a batch holds the same numbers either way:
each sample is encoded alone (its numbers cannot depend on its neighbours), and the result is rounded to bf16 in both.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from mtv_train.data.batch import AudioFeatures, Batch, ClipWaves, Latents


class VideoEncoder:
    """A VAE (`AutoencoderKLCogVideoX`)."""

    def encode(self, video: Tensor) -> Latents:
        """uint8 (frames, 3, height, width) to the posterior of one sample, bf16 (1, latent frames, channels, h, w)."""
        raise NotImplementedError


class TextEncoder:
    """A T5 encoder with its tokenizer."""

    def encode(self, text: str) -> Tensor:
        """bf16 (1, tokens, dim), padded to the full length: CogVideoX attends to the pads, so they are kept."""
        raise NotImplementedError


class SoundEncoder:
    """wav2vec2 (`mtv_train.model.wav2vec.AudioEncoder`)."""

    def encode(self, waves: ClipWaves) -> AudioFeatures:
        """The features of one window."""
        raise NotImplementedError


@dataclass(frozen=True)
class Encoders:
    """All three; those that a run reads from its cache may be None."""

    video: VideoEncoder | None
    text: TextEncoder | None
    sound: SoundEncoder | None

    def __call__(self, batch: Batch) -> Batch:
        """The batch with `latents`, `text` and `audio` in place of what is still raw."""
        raise NotImplementedError


def sample_latents(batch: Batch, scale: float) -> Tensor:
    """A draw from every sample's posterior, float32 (batch, latent frames, channels, height, width), times `scale`.

    The noise of sample k comes from `generator(batch.seed, k, "vae")`: mean + exp(logvar / 2) * noise, in float32.
    """
    raise NotImplementedError
