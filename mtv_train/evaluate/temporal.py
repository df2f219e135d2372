"""Temp-C: how alike neighbouring frames are to CLIP. A still picture scores 100."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch.nn import functional as F
from transformers import CLIPImageProcessorPil

from mtv_train.evaluate.metric import Arrays, Column, Unscorable
from mtv_train.evaluate.settings import EvaluateSettings
from mtv_train.evaluate.suite import Suite
from mtv_train.evaluate.video import Clip


class TemporalConsistency:
    """Mean cosine of the CLIP embeddings of consecutive frames, in per cent. The paper does not name the CLIP."""

    name: ClassVar[str] = "temp_c"
    revision: ClassVar[str] = "1"
    columns: ClassVar[tuple[Column, ...]] = (Column("temp_c", "Temp-C (%)", "higher"),)

    def __init__(self, network: Any, device: torch.device, batch: int):
        """`network`: a `transformers.CLIPModel`."""
        self.network, self.device, self.batch = network, device, batch
        self.prepare = image_processor(network.config.vision_config.image_size)

    @classmethod
    def build(cls, settings: EvaluateSettings, suite: Suite, device: torch.device) -> Self:
        return cls(suite.clip(), device, settings.batch)

    @classmethod
    def depends_on(cls, settings: EvaluateSettings) -> dict[str, Any]:
        return {"clip": settings.clip}

    def measure(self, clip: Clip) -> Arrays:
        if len(clip.pictures) < 2:
            raise Unscorable("a single frame has no neighbour")
        found = []
        for start in range(0, len(clip.pictures), self.batch):
            pixels = self.prepare(list(clip.pictures[start : start + self.batch]), return_tensors="pt")["pixel_values"]
            found.append(embed(self.network, pixels.to(self.device)).cpu())
        return {"embeddings": torch.cat(found).numpy()}

    @staticmethod
    def score(measured: Arrays) -> dict[str, float]:
        return {"temp_c": 100 * float(cosines(measured["embeddings"]).mean())}


def image_processor(side: int = 224) -> CLIPImageProcessorPil:
    """CLIP's own preprocessing: the short side to `side` (bicubic), the middle, CLIP's mean and deviation."""
    return CLIPImageProcessorPil(size={"shortest_edge": side}, crop_size={"height": side, "width": side})


def embed(network: Any, pixels: torch.Tensor) -> torch.Tensor:
    """Projected image embeddings (frames, dim), not normalised, of `pixels` (frames, 3, side, side)."""
    return torch.as_tensor(network.get_image_features(pixel_values=pixels).pooler_output)


def cosines(embeddings: np.ndarray) -> np.ndarray:
    """Of every frame with the next, (frames - 1,), for `embeddings` (frames, dim)."""
    unit = F.normalize(torch.from_numpy(np.asarray(embeddings)).double(), dim=-1)
    return (unit[:-1] * unit[1:]).sum(-1).numpy()
