"""The released networks at their size, with random numbers: what they cost, and whether a GPU sees what a CPU does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import nn

from demix.models.faces import FaceDetector
from mtv_train.evaluate.networks.i3d import I3D
from mtv_train.evaluate.networks.imagebind import ImageBind
from mtv_train.evaluate.networks.syncnet import SyncNet
from mtv_train.evaluate.networks.tiny import MiddleFace, Tiny, letters
from mtv_train.evaluate.networks.videoclip_xl import VideoCLIPXL


class FullSize(Tiny):
    """Made anew at each request, the same numbers in every process."""

    name: ClassVar[str] = "full-size"
    note: ClassVar[str] = "measured with random networks of the released sizes: these numbers mean nothing"

    def i3d(self) -> Callable[[torch.Tensor], torch.Tensor]:
        return self._ready(I3D)

    def clip(self) -> Any:
        from transformers import CLIPConfig, CLIPModel

        return self._ready(lambda: CLIPModel(CLIPConfig()))  # ViT-B/32

    def videoclip_xl(self) -> tuple[VideoCLIPXL, Any]:
        return self._ready(VideoCLIPXL), letters

    def imagebind(self) -> ImageBind:
        return self._ready(ImageBind)

    def syncnet(self) -> SyncNet:
        return self._ready(SyncNet)

    def faces(self) -> FaceDetector:
        return MiddleFace()

    def _ready(self, build: Callable[[], Any]) -> Any:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            network: nn.Module = build()
        return network.eval().requires_grad_(False).to(self.device)
