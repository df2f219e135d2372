"""S3FD as a face detector: the boxes that TalkNet, LR-ASD and Light-ASD were tuned to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from demix import weights
from demix.lazy_module import lazy_module
from demix.models.batches import in_batches, torch_device
from demix.models.persons.rtdetr import boxes_of
from demix.models.persons.settings import S3fdSettings
from demix.records import Box
from demix.stage import Resources
from demix.weights import WeightsBroken

if TYPE_CHECKING:
    import torch
else:
    torch = lazy_module("torch")

cv2: Any = lazy_module("cv2")
ops: Any = lazy_module("torchvision.ops")

MEAN = (123.0, 117.0, 104.0)
"""Of red, green, blue, taken off the frame."""
MOST = 750
"""Boxes a frame."""


class S3fdFaces:
    """A `FaceDetector`. Slow on a processor: VGG-16 at the frame's full size."""

    name: ClassVar[str] = "s3fd"
    revision: ClassVar[str] = "1"
    licence: ClassVar[str] = "Apache-2.0 (this project's net); weights: none stated, do not pass on"
    resources: ClassVar[Resources] = Resources(gpus=0.25, pool="persons")

    @classmethod
    def weights(cls, settings: S3fdSettings) -> tuple[str, ...]:
        return ("s3fd",)

    def __init__(self, settings: S3fdSettings, device: str = "auto", threads: int = 1, smallest: int = 32):
        from demix.models.faces.s3fd_network import S3fd

        torch.set_num_threads(threads)
        self.settings = settings
        self.smallest = smallest
        self.device = torch_device(device)
        path = weights.locate("s3fd")["model"]
        self.network = S3fd()
        try:
            self.network.load_state_dict(weights.load_state(path), strict=True)
        except RuntimeError as error:
            raise WeightsBroken(f"{path}: not the weights of S3FD: {error}") from error
        self.network.eval().to(self.device)

    def detect(self, frames: np.ndarray) -> list[list[Box]]:
        """Faces on `frames`, uint8 RGB (frames, height, width, 3), the surest first; boxes are clipped to the frame."""
        return in_batches(self._detect_batch, list(frames), self.settings.batch)

    def _detect_batch(self, frames: Sequence[np.ndarray]) -> list[list[Box]]:
        height, width = frames[0].shape[:2]
        scale = self.settings.scale
        if scale != 1:
            frames = [cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR) for frame in frames]
        seen = torch.from_numpy(np.stack(frames)).to(self.device).permute(0, 3, 1, 2).float()
        with torch.inference_mode():
            boxes, scores = self.network(seen - torch.tensor(MEAN, device=self.device)[:, None, None])
        return [self._boxes(*each, height, width) for each in zip(boxes.cpu(), scores.cpu(), strict=True)]

    def _boxes(self, boxes: torch.Tensor, scores: torch.Tensor, height: int, width: int) -> list[Box]:
        likely = scores >= self.settings.least_score
        boxes, scores = boxes[likely], scores[likely]
        keep = ops.nms(boxes, scores, self.settings.overlap)[:MOST]
        return boxes_of(boxes[keep].double() / self.settings.scale, scores[keep].double(), height, width, self.smallest)
