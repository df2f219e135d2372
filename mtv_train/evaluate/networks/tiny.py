"""The same networks, small and with random weights: to see the whole path run anywhere. Their numbers mean nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn

from demix.models.faces import FaceDetector
from demix.records import Box
from mtv_train.evaluate.networks.i3d import I3D
from mtv_train.evaluate.networks.imagebind import ImageBind, Shape, Shapes
from mtv_train.evaluate.networks.syncnet import SyncNet
from mtv_train.evaluate.networks.videoclip_xl import TextShape, VideoCLIPXL, VideoShape
from mtv_train.evaluate.settings import EvaluateSettings


class Tiny:
    """Random networks, the same on every machine and in every run; nothing is downloaded."""

    name: ClassVar[str] = "tiny"
    note: ClassVar[str] = "measured with random networks: these numbers mean nothing"

    def __init__(self, settings: EvaluateSettings, device: torch.device):
        self.settings, self.device = settings, device

    def weights(self, metric: str) -> tuple[str, ...]:
        return ()

    def revision(self, metric: str) -> str:
        return "tiny"

    def i3d(self) -> Callable[[torch.Tensor], torch.Tensor]:
        return self.ready(lambda: I3D(shrink=8))

    def clip(self) -> Any:
        from transformers import CLIPConfig, CLIPModel

        small = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
        config = CLIPConfig(
            text_config={**small, "vocab_size": 100, "projection_dim": 16},
            vision_config={**small, "image_size": 32, "patch_size": 8, "projection_dim": 16},
            projection_dim=16,
        )
        return self.ready(lambda: CLIPModel(config))

    def videoclip_xl(self) -> tuple[VideoCLIPXL, Any]:
        text = TextShape(width=32, heads=2, layers=1)
        video = VideoShape(side=28, width=32, heads=2, layers=1)
        return self.ready(lambda: VideoCLIPXL(text, video, embedding=16)), letters

    def imagebind(self) -> ImageBind:
        shapes = Shapes(vision=Shape(32, 1, 2), text=Shape(32, 1, 2), audio=Shape(32, 1, 2), embedding=16)
        return self.ready(lambda: ImageBind(shapes))

    def syncnet(self) -> SyncNet:
        return self.ready(lambda: SyncNet(embedding=64, shrink=16))

    def faces(self) -> FaceDetector:
        return MiddleFace()

    def ready(self, build: Callable[[], Any]) -> Any:
        """A network with the same random numbers at every call, for inference on the device."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            network: nn.Module = build()
        return network.eval().requires_grad_(False).to(self.device)


class MiddleFace:
    """Says that there is a face in the middle of every picture."""

    name: ClassVar[str] = "middle"
    revision: ClassVar[str] = "1"
    licence: ClassVar[str] = "Apache-2.0"

    def detect(self, frames: np.ndarray) -> list[list[Box]]:
        height, width = frames.shape[1:3]
        side = min(height, width) / 2
        x, y = (width - side) / 2, (height - side) / 2
        return [[Box(x0=x, y0=y, x1=x + side, y1=y + side, score=1.0)] for _ in frames]


def letters(text: str) -> dict[str, list[int]]:
    """A token a letter, between CLIP's start and end token."""
    return {"input_ids": [49_406, *(1 + ord(letter) % 49_000 for letter in text), 49_407]}
