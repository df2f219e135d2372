"""Audio-C: whether sound and pictures are of the same thing, to ImageBind."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any, ClassVar, Self

import numpy as np
import torch
import torchaudio
from torch.nn import functional as F

from mtv_train.evaluate.metric import Arrays, Column, Unscorable
from mtv_train.evaluate.networks.imagebind import ImageBind
from mtv_train.evaluate.settings import EvaluateSettings
from mtv_train.evaluate.suite import Suite
from mtv_train.evaluate.text import cosine
from mtv_train.evaluate.video import SILENT, Clip

SAMPLE_RATE = 16_000
CLIP_SECONDS = 2
VIDEO_CLIPS, SOUND_CLIPS = 5, 3
SIDE = 224
MEL_BINS, MEL_FRAMES, MEL_MEAN, MEL_DEVIATION = 128, 204, -4.268, 9.138
MEAN, DEVIATION = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


class AudioConsistency:
    """Cosine of the embeddings of a video's sound and of its pictures, in per cent."""

    name: ClassVar[str] = "audio_c"
    revision: ClassVar[str] = "1"
    columns: ClassVar[tuple[Column, ...]] = (Column("audio_c", "Audio-C (%)", "higher"),)

    def __init__(self, network: ImageBind, device: torch.device, batch: int, published: bool = False):
        """`published`: with the reference's slip (`sound_clips`)."""
        self.network, self.device, self.batch, self.published = network, device, batch, published

    @classmethod
    def build(cls, settings: EvaluateSettings, suite: Suite, device: torch.device) -> Self:
        return cls(suite.imagebind(), device, settings.batch, settings.audio_c.arithmetic == "published")

    @classmethod
    def depends_on(cls, settings: EvaluateSettings) -> dict[str, Any]:
        # Nothing at the default, so that what was measured before there was a setting is found.
        return {} if settings.audio_c.arithmetic == "repaired" else settings.audio_c.model_dump()

    def measure(self, clip: Clip) -> Arrays:
        if clip.wave is None:
            raise Unscorable(SILENT)
        if clip.wave.shape[1] * SAMPLE_RATE < 400 * clip.sample_rate:
            raise Unscorable("has less than one window (25 ms) of sound")
        mels = sound_clips(torch.from_numpy(clip.wave), clip.sample_rate, self.published).to(self.device)
        views = video_clips(clip.pictures, float(clip.fps))
        # The mean over views is taken here, so that a batch may hold any number of them.
        seen = [self.network.embed_video(part[:, None].to(self.device)) for part in views.split(self.batch)]
        return {
            "video": torch.cat(seen).mean(0).float().cpu().numpy(),
            "sound": self.network.embed_sound(mels[None])[0].float().cpu().numpy(),
        }

    @staticmethod
    def score(measured: Arrays) -> dict[str, float]:
        return {"audio_c": 100 * cosine(measured["video"], measured["sound"])}


def windows(seconds: float, clips: int) -> list[tuple[Fraction, Fraction]]:
    """`clips` windows of two seconds, evenly from the first to the last that fits; of a shorter file, all the same."""
    step = Fraction(max(seconds - CLIP_SECONDS, 0)) / max(clips - 1, 1)
    return [(step * index, step * index + CLIP_SECONDS) for index in range(clips)]


def sound_clips(wave: torch.Tensor, sample_rate: int, mean_in_place: bool = False) -> torch.Tensor:
    """Normalised log-mel spectrograms (3, 1, 128, 204) of `wave` (channels, samples).

    The filter bank hears the first channel; the mean that is taken off each window is over all channels. Frames that
    are missing at the end are zeros before normalisation. `mean_in_place` repeats a slip of the reference, which takes
    the mean off the file itself, so that overlapping windows are shifted more than once.
    """
    if sample_rate != SAMPLE_RATE:
        wave = torchaudio.functional.resample(wave, sample_rate, SAMPLE_RATE)
    wave = wave.clone()
    mels = []
    for start, end in windows(wave.shape[1] / SAMPLE_RATE, SOUND_CLIPS):
        window = wave[:, int(start * SAMPLE_RATE) : int(end * SAMPLE_RATE)]
        window = window.sub_(window.mean()) if mean_in_place else window - window.mean()
        mels.append(_mel(window))
    return (torch.stack(mels)[:, None] - MEL_MEAN) / MEL_DEVIATION


def _mel(window: torch.Tensor) -> torch.Tensor:
    """(128, 204)"""
    bank = torchaudio.compliance.kaldi.fbank(
        window,
        htk_compat=True,
        sample_frequency=SAMPLE_RATE,
        use_energy=False,
        window_type="hanning",
        num_mel_bins=MEL_BINS,
        dither=0.0,
    )
    return F.pad(bank.T, (0, max(MEL_FRAMES - len(bank), 0)))[:, :MEL_FRAMES]


def frame_indices(count: int, fps: float) -> list[tuple[int, int]]:
    """First and last frame of each of five windows of a video of `count` frames."""
    found = []
    for start, end in windows(count / fps, VIDEO_CLIPS):
        first, last = math.ceil(fps * start), min(math.ceil(fps * end), count) - 1
        found.append((first, last))
    return found


def video_clips(pictures: np.ndarray, fps: float) -> torch.Tensor:
    """Fifteen views (15, 3, 2, 224, 224) of uint8 RGB `pictures` (frames, height, width, 3): for each window its first
    and last frame, cropped at both ends and in the middle of the longer side."""
    mean, deviation = (torch.tensor(values).view(3, 1, 1) for values in (MEAN, DEVIATION))
    views = []
    for pair in frame_indices(len(pictures), fps):
        frames = torch.from_numpy(pictures[list(pair)]).permute(0, 3, 1, 2).float() / 255
        frames = (_short_side(frames) - mean) / deviation
        views += [crop.transpose(0, 1) for crop in _three_crops(frames)]
    return torch.stack(views)


def _short_side(frames: torch.Tensor) -> torch.Tensor:
    height, width = frames.shape[2:]
    size = (SIDE, math.floor(width / height * SIDE)) if width >= height else (math.floor(height / width * SIDE), SIDE)
    return F.interpolate(frames, size, mode="bilinear", align_corners=False)


def _three_crops(frames: torch.Tensor) -> list[torch.Tensor]:
    height, width = frames.shape[2:]
    spare = max(height, width) - SIDE
    crops = []
    for start in (0, math.ceil(spare / 2), spare):
        top, left = (start, 0) if height > width else (0, start)
        crops.append(frames[:, :, top : top + SIDE, left : left + SIDE])
    return crops
