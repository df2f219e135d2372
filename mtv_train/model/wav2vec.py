"""wav2vec2 features at the video's frame rate."""

from __future__ import annotations

import math
import os

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import Wav2Vec2Model

SAMPLE_RATE = 16000
"""Hz, of every waveform here."""
STRIDE, FIELD = 320, 400
"""Samples from one convolutional feature to the next, and that one feature sees (20 and 25 ms)."""
RELEASE_CLIP = 49
"""Frames of a clip in the release."""
VARIANCE_FLOOR = 1e-7
"""Added to a waveform's variance before dividing by its root, as in wav2vec2's own feature extractor."""


class AudioEncoder(nn.Module):
    """Frozen wav2vec2, all hidden layers. Its convolutional features (50 a second) are interpolated to the video's
    rate before the encoder, which so runs at the video's rate (the release does the same)."""

    def __init__(self, wav2vec: Wav2Vec2Model):
        super().__init__()
        if wav2vec.config.do_stable_layer_norm or wav2vec.config.add_adapter:
            raise ValueError("only wav2vec2 of the base kind (norm after each layer, no adapter) is known here")
        self.wav2vec = wav2vec.eval().requires_grad_(False)

    @classmethod
    def from_pretrained(cls, folder: str | os.PathLike[str]) -> AudioEncoder:
        """From a folder of `facebook/wav2vec2-base-960h` in transformers' layout (safetensors, config.json)."""
        return cls(Wav2Vec2Model.from_pretrained(folder, use_safetensors=True))

    @property
    def layers(self) -> int:
        """Hidden layers, 12 in the base model."""
        return int(self.wav2vec.config.num_hidden_layers)

    @property
    def dim(self) -> int:
        """Channels of a hidden layer, 768 in the base model."""
        return int(self.wav2vec.config.hidden_size)

    def train(self, mode: bool = True) -> AudioEncoder:
        """Stays in evaluation mode: it is frozen, and its dropout and layer drop must not act."""
        return super().train(False)

    @torch.no_grad()
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

        `wave` mono float at 16 kHz, at least 400 samples. Frame i is at `start` + i / `fps` seconds of the wave;
        beyond the wave's ends its first or last feature stands. `normalise` brings each wave to zero mean and unit
        variance, as the encoder was trained. `official_alignment` spreads the features evenly from first to last
        frame as the release does, instead of by their true time stamps; `start` and `fps` then play no part. What the
        release makes of a track before that is in `release_features`.
        """
        if wave.ndim != 2 or wave.shape[1] < FIELD:
            raise ValueError(f"wave is {tuple(wave.shape)}, expected (batch, at least {FIELD} samples)")
        if normalise:
            wave = normalised(wave)
        heard = self.wav2vec.feature_extractor(wave.to(self.wav2vec.dtype))  # (batch, channels, 50 a second)
        if official_alignment:
            heard = F.interpolate(heard, size=frames, mode="linear", align_corners=True)
        else:
            heard = sampled(heard, feature_positions(frames, fps, start))
        return torch.stack(self._encoded(heard.transpose(1, 2)), 2)

    @torch.no_grad()
    def release_features(self, wave: Tensor, fps: float, *, sampling: bool = False, at_least: int = 1) -> Tensor:
        """What the release hears of a whole track, (batch, frames, layers, channels), prepared as it does: normalised,
        of a length that is rounded up to frames (see `official_lengths`), its features spread evenly over them.

        `wave` mono float at 16 kHz. `sampling`: padded to 1 + 48 n frames, as its sampler does, and to `at_least` so
        many.
        """
        samples, frames = official_lengths(wave.shape[1], fps, RELEASE_CLIP if sampling else None, at_least)
        padded = F.pad(normalised(wave), (0, max(samples, FIELD) - wave.shape[1]))
        return self.features(padded, frames, fps, normalise=False, official_alignment=True)

    def _encoded(self, heard: Tensor) -> list[Tensor]:
        """Output of each encoder layer on `heard` (batch, time, convolution channels)."""
        hidden, _ = self.wav2vec.feature_projection(heard)
        encoder = self.wav2vec.encoder
        hidden = encoder.layer_norm(hidden + encoder.pos_conv_embed(hidden))
        states = []
        for layer in encoder.layers:
            hidden = layer(hidden)
            states.append(hidden)
        return states

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


def normalised(wave: Tensor) -> Tensor:
    """Each wave (batch, samples) at zero mean and unit variance; silence stays silence."""
    mean = wave.mean(1, keepdim=True)
    return (wave - mean) / (wave.var(1, keepdim=True, correction=0) + VARIANCE_FLOOR).sqrt()


def feature_positions(frames: int, fps: float, start: float = 0.0) -> Tensor:
    """Where each frame lies among the convolutional features, float64 (frames,): feature j sees the 400 samples from
    sample 320 j on, so its time is that of their middle."""
    samples = (start + torch.arange(frames, dtype=torch.float64) / fps) * SAMPLE_RATE
    # The rounding keeps a frame that falls on a feature on it.
    return ((samples - (FIELD - 1) / 2) / STRIDE).round(decimals=9)


def sampled(features: Tensor, positions: Tensor) -> Tensor:
    """`features` (batch, channels, time) at fractional `positions` (frames,), linearly, held beyond the ends."""
    positions = positions.clamp(0, features.shape[2] - 1)
    below = positions.floor().long()
    share = (positions - below).to(device=features.device, dtype=features.dtype)
    below = below.to(features.device)
    above = (below + 1).clamp(max=features.shape[2] - 1)
    return torch.lerp(features[:, :, below], features[:, :, above], share)


def official_lengths(samples: int, fps: float, clip_frames: int | None = None, at_least: int = 1) -> tuple[int, int]:
    """(samples that are encoded, frames) for a track of `samples` in the release.

    Frames are rounded up; for long videos of clips of `clip_frames` (49) the normalised wave is padded with zeros, by
    whole samples a frame, to 1 + 48 n frames. `at_least`: the release's own videos never need more than that; a video
    that is longer than its sound does.
    """
    frames = math.ceil(samples / SAMPLE_RATE * fps)
    if clip_frames is None:
        return samples, frames
    step = clip_frames - 1
    wanted = 1 + math.ceil((max(frames, at_least) - 1) / step) * step
    missing = wanted - frames
    return samples + int(missing * (SAMPLE_RATE // fps)), wanted
