"""Text-C: whether the video shows what its text says, to VideoCLIP-XL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Protocol, Self

import cv2
import numpy as np
import torch

from mtv_train.evaluate.metric import Arrays, Column, Unscorable
from mtv_train.evaluate.networks.videoclip_xl import VideoCLIPXL
from mtv_train.evaluate.settings import EvaluateSettings
from mtv_train.evaluate.suite import Suite
from mtv_train.evaluate.video import Clip

CONTEXT, END = 248, 49_407
"""Tokens that are read of a text, and the id of the one that ends it."""
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Tokenizer(Protocol):
    """CLIP's tokenizer, of `transformers` for instance: start and end token added, nothing cut."""

    def __call__(self, text: str) -> dict[str, list[int]]: ...


class TextConsistency:
    """Cosine of the embedding of a text and that of eight frames, in per cent."""

    name: ClassVar[str] = "text_c"
    revision: ClassVar[str] = "1"
    columns: ClassVar[tuple[Column, ...]] = (Column("text_c", "Text-C (%)", "higher", needs_text=True),)

    def __init__(self, network: VideoCLIPXL, tokenizer: Tokenizer, device: torch.device):
        self.network, self.tokenizer, self.device = network, tokenizer, device
        tower = network.viclip_model.vision_encoder
        self.frames = tower.temporal_positional_embedding.shape[1]
        self.side = round((len(tower.positional_embedding) - 1) ** 0.5) * tower.conv1.kernel_size[1]

    @classmethod
    def build(cls, settings: EvaluateSettings, suite: Suite, device: torch.device) -> Self:
        return cls(*suite.videoclip_xl(), device)

    @classmethod
    def depends_on(cls, settings: EvaluateSettings) -> dict[str, Any]:
        return {}

    def measure(self, clip: Clip) -> Arrays:
        if clip.text is None or not clip.text.strip():
            raise Unscorable(clip.no_text or "no text")
        chosen = frame_indices(len(clip.pictures), self.frames)
        pixels = preprocess(clip.pictures[chosen], self.side).to(self.device)
        ids = tokens(self.tokenizer, clip.text).to(self.device)
        return {
            "video": self.network.embed_video(pixels[None])[0].float().cpu().numpy(),
            "text": self.network.embed_text(ids[None])[0].float().cpu().numpy(),
        }

    @staticmethod
    def score(measured: Arrays) -> dict[str, float]:
        return {"text_c": 100 * cosine(measured["video"], measured["text"])}


def frame_indices(count: int, wanted: int = 8) -> np.ndarray:
    """The first `wanted` of every (count // wanted)-th frame, as the authors choose them: the end of a long video is
    not seen. Raises `Unscorable` where there are too few (the published code fails)."""
    if count < wanted:
        raise Unscorable(f"has {count} frames, VideoCLIP-XL looks at {wanted}")
    return np.arange(wanted) * (count // wanted)


def preprocess(pictures: np.ndarray, side: int = 224) -> torch.Tensor:
    """uint8 RGB (frames, height, width, 3) as (frames, 3, side, side), normalised as for ImageNet.

    Squeezed to a square whatever the shape, bilinearly, in whole grey levels: the authors' way.
    """
    small = np.stack([cv2.resize(picture, (side, side)) for picture in pictures])
    scaled = (small / 255.0 - MEAN) / DEVIATION
    return torch.from_numpy(scaled).permute(0, 3, 1, 2).float()


def tokens(tokenizer: Tokenizer, text: str, context: int = CONTEXT) -> torch.Tensor:
    """Ids int64 (context,), zeros behind the end; of a longer text the end is cut off and marked."""
    ids: Sequence[int] = tokenizer(text)["input_ids"]
    if len(ids) > context:
        ids = [*ids[: context - 1], END]
    row = torch.zeros(context, dtype=torch.int64)
    row[: len(ids)] = torch.tensor(ids)
    return row


def cosine(one: np.ndarray, other: np.ndarray) -> float:
    """Of two vectors; 0 if one of them is all zeros."""
    one, other = one.astype(np.float64), other.astype(np.float64)
    length = np.linalg.norm(one) * np.linalg.norm(other)
    return float(one @ other / length) if length else 0.0
