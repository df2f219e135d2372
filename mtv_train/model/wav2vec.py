"""wav2vec2 features at the video's frame rate."""

from __future__ import annotations

import os

import torch
from torch import Tensor, nn
from transformers import Wav2Vec2Model


class AudioEncoder(nn.Module):
    """Frozen wav2vec2, all hidden layers. Its convolutional features (50 a second) are interpolated to the video's
    rate before the encoder, which so runs at the video's rate (the release does the same)."""

    def __init__(self, wav2vec: Wav2Vec2Model):
        super().__init__()
        self.wav2vec = wav2vec.eval().requires_grad_(False)

    @classmethod
    def from_pretrained(cls, folder: str | os.PathLike[str]) -> AudioEncoder:
        """From a folder of `facebook/wav2vec2-base-960h` in transformers' layout (safetensors)."""
        raise NotImplementedError

    def features(
        self,
        wave: Tensor,
        frames: int,
        fps: float,
        *,
        start: float = 0.0,
        normalise: bool = True,
        official_alignment: bool = False,
    ) -> Tensor:
        """Hidden states 1..L at each video frame, (batch, frames, layers, channels), of `wave` (batch, samples).

        `wave` mono float at 16 kHz. Frame i is at `start` + i / `fps` seconds of the wave. `normalise` brings each
        wave to zero mean and unit variance, as the encoder was trained. `official_alignment` spreads the features
        evenly from first to last frame as the release does, instead of by their true time stamps; `start` and `fps`
        then play no part.
        """
        raise NotImplementedError

    @staticmethod
    def windows(features: Tensor, radius: int = 2, first: int = 0, frames: int | None = None) -> Tensor:
        """Each frame with its neighbours, (batch, frames, 2 * radius + 1, layers, channels).

        Of `features` (batch, given frames, layers, channels), the windows around frames `first` ... `first` +
        `frames` - 1; neighbours beyond the given frames repeat the end ones.
        """
        given = features.shape[1]
        frames = given - first if frames is None else frames
        centres = torch.arange(first, first + frames, device=features.device)
        offsets = torch.arange(-radius, radius + 1, device=features.device)
        return features[:, (centres[:, None] + offsets).clamp(0, given - 1)]
