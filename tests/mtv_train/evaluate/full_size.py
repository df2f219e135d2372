"""The released networks at their size, with random numbers: what they cost, and whether a GPU sees what a CPU does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import torch

from mtv_train.evaluate.networks.i3d import I3D
from mtv_train.evaluate.networks.imagebind import ImageBind
from mtv_train.evaluate.networks.syncnet import SyncNet
from mtv_train.evaluate.networks.tiny import Tiny, letters
from mtv_train.evaluate.networks.videoclip_xl import VideoCLIPXL


class FullSize(Tiny):
    """`Tiny` at full size."""

    name: ClassVar[str] = "full-size"
    note: ClassVar[str] = "measured with random networks of the released sizes: these numbers mean nothing"

    def i3d(self) -> Callable[[torch.Tensor], torch.Tensor]:
        return self.ready(I3D)

    def clip(self) -> Any:
        from transformers import CLIPConfig, CLIPModel

        return self.ready(lambda: CLIPModel(CLIPConfig()))  # ViT-B/32

    def videoclip_xl(self) -> tuple[VideoCLIPXL, Any]:
        return self.ready(VideoCLIPXL), letters

    def imagebind(self) -> ImageBind:
        return self.ready(ImageBind)

    def syncnet(self) -> SyncNet:
        return self.ready(SyncNet)
