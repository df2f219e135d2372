"""RT-DETRv2: a detection transformer without anchors or suppression, Apache-2.0 (Lv et al. 2024)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from demix import weights
from demix.lazy_module import lazy_module
from demix.models.batches import in_batches, torch_device
from demix.models.persons.settings import RtDetrSettings
from demix.models.transformers_folder import load_strictly
from demix.records import Box
from demix.stage import Resources
from demix.weights import WeightsBroken

if TYPE_CHECKING:
    import torch
else:
    torch = lazy_module("torch")

PERSON = "person"


class RtDetrPersons:
    """A `PersonDetector`: whole bodies, from behind and cut off by the frame too."""

    name: ClassVar[str] = "rtdetr"
    revision: ClassVar[str] = "1"
    licence: ClassVar[str] = "Apache-2.0 (code: transformers; weights: PekingU/rtdetr_v2)"
    resources: ClassVar[Resources] = Resources(gpus=0.25, pool="persons")

    @classmethod
    def weights(cls, settings: RtDetrSettings) -> tuple[str, ...]:
        return (settings.weights,)

    def __init__(self, settings: RtDetrSettings, device: str = "auto", threads: int = 1, smallest: int = 32):
        from transformers import RTDetrImageProcessor, RTDetrV2ForObjectDetection

        torch.set_num_threads(threads)
        self.settings = settings
        self.smallest = smallest
        self.device = torch_device(device)
        folder = weights.folder(settings.weights)
        self.processor = RTDetrImageProcessor.from_pretrained(folder, local_files_only=True)
        self.network = load_strictly(RTDetrV2ForObjectDetection, folder, dtype=torch.float32).to(self.device)
        labels = {number for number, label in self.network.config.id2label.items() if label == PERSON}
        if not labels:
            raise WeightsBroken(f"{folder}: the net knows no class {PERSON!r}; fetch the weights again")
        self.labels = labels

    def detect(self, frames: np.ndarray) -> list[list[Box]]:
        """Persons on `frames`, uint8 RGB (frames, height, width, 3), the surest first; boxes clipped to the frame."""
        return in_batches(self._detect_batch, list(frames), self.settings.batch)

    def _detect_batch(self, frames: Sequence[np.ndarray]) -> list[list[Box]]:
        pictures = [torch.from_numpy(frame).permute(2, 0, 1) for frame in frames]
        given = self.processor(images=pictures, return_tensors="pt")
        with torch.inference_mode():
            answer = self.network(pixel_values=given["pixel_values"].to(self.device))
        sizes = [frame.shape[:2] for frame in frames]
        found = self.processor.post_process_object_detection(
            answer, threshold=self.settings.least_score, target_sizes=sizes
        )
        return [self._boxes(each, *size) for each, size in zip(found, sizes, strict=True)]

    def _boxes(self, found: dict[str, torch.Tensor], height: int, width: int) -> list[Box]:
        mine = torch.tensor([int(label) in self.labels for label in found["labels"]], dtype=torch.bool)
        boxes, scores = found["boxes"].cpu()[mine].double(), found["scores"].cpu()[mine].double()
        return boxes_of(boxes, scores, height, width, self.smallest)


def boxes_of(boxes: torch.Tensor, scores: torch.Tensor, height: int, width: int, smallest: float) -> list[Box]:
    """Boxes (n, 4) with scores (n,) as records, the surest first, clipped to the frame; those whose longer side is
    below `smallest` pixels are left out."""
    order = scores.argsort(descending=True, stable=True)
    clipped = torch.minimum(boxes[order].clamp(min=0), torch.tensor([width, height, width, height], dtype=boxes.dtype))
    return [
        Box(x0=x0, y0=y0, x1=x1, y1=y1, score=score)
        for (x0, y0, x1, y1), score in zip(clipped.tolist(), scores[order].tolist(), strict=True)
        if max(x1 - x0, y1 - y0) >= smallest and x1 > x0 and y1 > y0
    ]
