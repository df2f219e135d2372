"""MTCNN: a cascade of three small nets that proposes, refines and confirms face boxes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from demix.lazy_module import lazy_module
from demix.records import Box

if TYPE_CHECKING:
    import torch
else:
    torch = lazy_module("torch")

cv2: Any = lazy_module("cv2")
ops: Any = lazy_module("torchvision.ops")

BATCH = 8
"""Frames in the nets at once; more only costs memory."""


class MtcnnFaces:
    """Zhang et al. 2016, "Joint Face Detection and Alignment using Multi-task Cascaded Convolutional Networks".

    The weights are those of `facenet-pytorch`. The cascade around the nets is ours: its resizing by OpenCV and its
    channels-last convolutions take about half of the CPU time of that package's own loop for the same boxes.

    Frontal and half-turned faces are found in nearly every frame, profiles now and then, backs of heads rarely.
    Statues, dolls and posters are faces to it.
    """

    name: ClassVar[str] = "mtcnn"
    revision: ClassVar[str] = "1"
    licence: ClassVar[str] = "MIT (weights of facenet-pytorch, carried along)"

    thresholds: ClassVar[tuple[float, float, float]] = (0.7, 0.7, 0.9)
    """Least score after each net; the last is the face's own score (from .97 on, hardly a face is false)."""
    shrink: ClassVar[float] = 0.709
    """Step of the picture pyramid: half the area each time."""

    def __init__(self, threads: int = 1, smallest: int = 32):
        """`smallest`: side in pixels of the smallest face to look for; cost grows with its inverse square."""
        from demix.models.faces import mtcnn_network

        torch.set_num_threads(threads)
        self.smallest = smallest
        self.proposer, self.refiner, self.confirmer = mtcnn_network.load()
        self.proposer.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack it

    def detect(self, frames: np.ndarray) -> list[list[Box]]:
        """Faces on `frames`, uint8 RGB (frames, height, width, 3), the surest first; boxes are clipped to the frame."""
        found: list[list[Box]] = []
        with torch.inference_mode():
            for start in range(0, len(frames), BATCH):
                found += self._detect_batch(frames[start : start + BATCH])
        return found

    def _detect_batch(self, frames: np.ndarray) -> list[list[Box]]:
        boxes, scores, owner = self._propose(frames)
        keep = ops.batched_nms(boxes, scores, owner, 0.7)
        boxes, owner = boxes[keep], owner[keep]
        for net, side, threshold in ((self.refiner, 24, self.thresholds[1]), (self.confirmer, 48, self.thresholds[2])):
            boxes = _squares(boxes)
            boxes, scores, owner = _judge(net, frames, boxes, owner, side, threshold)
            keep = ops.batched_nms(boxes, scores, owner, 0.7)
            boxes, scores, owner = boxes[keep], scores[keep], owner[keep]
        return [_records(boxes[owner == index], scores[owner == index], frames) for index in range(len(frames))]

    def _propose(self, frames: np.ndarray) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Candidates of the first net on a pyramid: boxes (n, 4), scores (n,), frame numbers (n,)."""
        height, width = frames.shape[1:3]
        found: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []
        scale = 12 / self.smallest  # the net sees 12 x 12 pixels
        while min(height, width) * scale >= 12:
            size = (round(width * scale), round(height * scale))
            small = np.stack([cv2.resize(frame, size, interpolation=cv2.INTER_AREA) for frame in frames])
            shifts, chances = self.proposer(_tensor(small))
            owner, row, column = torch.nonzero(chances[:, 1] >= self.thresholds[0], as_tuple=True)
            score = chances[owner, 1, row, column]
            # The net's stride is 2; the two axes have scales of their own because sizes are whole pixels.
            corner = torch.stack([column, row, column + 6, row + 6], 1) * 2.0
            cells = corner / torch.tensor([size[0] / width, size[1] / height] * 2)
            keep = ops.batched_nms(cells, score, owner, 0.5)
            boxes = _shifted(cells, shifts[owner, :, row, column])
            found.append((boxes[keep], score[keep], owner[keep]))
            scale *= self.shrink
        if not found:
            return torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dtype=torch.long)
        boxes, scores, owners = (torch.cat(part) for part in zip(*found, strict=True))
        return boxes, scores, owners


def _judge(
    net: torch.nn.Module,
    frames: np.ndarray,
    boxes: torch.Tensor,
    owner: torch.Tensor,
    side: int,
    threshold: float,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The boxes that `net` accepts at `side` x `side` pixels, shifted as it says; their scores and frame numbers."""
    height, width = frames.shape[1:3]
    limits = np.array([width, height, width, height])
    corners = np.clip(np.rint(boxes.numpy()).astype(int), 0, limits)
    whole = ((corners[:, 2:] - corners[:, :2]) >= 2).all(1)
    boxes, owner, corners = boxes[whole], owner[whole], corners[whole]
    if not len(boxes):
        return boxes, torch.zeros(0), owner
    crops = [
        cv2.resize(frames[frame, y0:y1, x0:x1], (side, side), interpolation=cv2.INTER_AREA)
        for frame, (x0, y0, x1, y1) in zip(owner.tolist(), corners.tolist(), strict=True)
    ]
    shifts, chances = net(_tensor(np.stack(crops)))
    score = chances[:, 1]
    accepted = score > threshold
    return _shifted(boxes, shifts)[accepted], score[accepted], owner[accepted]


def _tensor(pictures: np.ndarray) -> torch.Tensor:
    """uint8 (n, h, w, 3) as the nets want it: (n, 3, h, w) about -1..1, channels last in memory."""
    return ((torch.from_numpy(pictures).float() - 127.5) / 128).permute(0, 3, 1, 2)


def _shifted(boxes: torch.Tensor, shifts: torch.Tensor) -> torch.Tensor:
    """Boxes with every edge moved by the given share of their size."""
    size = boxes[:, 2:] - boxes[:, :2]
    return boxes + shifts * torch.cat([size, size], 1)


def _squares(boxes: torch.Tensor) -> torch.Tensor:
    """Squares about the same centres, as large as the longer side."""
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    half = (boxes[:, 2:] - boxes[:, :2]).amax(1, keepdim=True) / 2
    return torch.cat([centre - half, centre + half], 1)


def _records(boxes: torch.Tensor, scores: torch.Tensor, frames: np.ndarray) -> list[Box]:
    height, width = frames.shape[1:3]
    keep = ops.nms(boxes, scores, 0.4)  # the surest first
    limits = torch.tensor([width, height, width, height])
    clipped = torch.minimum(boxes[keep].clamp(min=0), limits)
    return [
        Box(x0=x0, y0=y0, x1=x1, y1=y1, score=score)
        for (x0, y0, x1, y1), score in zip(clipped.double().tolist(), scores[keep].double().tolist(), strict=True)
    ]
