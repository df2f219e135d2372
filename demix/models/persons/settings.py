"""Settings of the person and face detectors, apart from them: a plan can be made without loading torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from demix.config import ModelSettings, Runtime


class RtDetrSettings(ModelSettings):
    """RT-DETRv2, persons among the 80 classes of COCO."""

    weights: Literal["rtdetr_v2_r18", "rtdetr_v2_r50"] = "rtdetr_v2_r50"
    """Which of the released nets: r18 takes half the time and finds a little less."""
    least_score: float = Field(0.3, ge=0, le=1)
    """Boxes below are not reported at all; what counts as a person is the stage's setting."""
    batch: Annotated[int, Runtime(recorded=8)] = Field(8, ge=1)
    """Frames in the net at once; halved when the memory of a GPU does not suffice."""


class YoloSettings(ModelSettings):
    """Ultralytics YOLO (AGPL-3.0 or a commercial licence, code and weights), persons among the 80 classes of COCO."""

    weights: Literal["yolo11n", "yolo11m", "yolo11x"] = "yolo11m"
    """Which of the released nets, from small to large."""
    least_score: float = Field(0.25, ge=0, le=1)
    """Boxes below are not reported at all."""
    overlap: float = Field(0.7, gt=0, le=1)
    """Of two boxes that overlap by more (intersection over union), the less sure one goes."""
    side: int = Field(640, ge=64, multiple_of=32)
    """Longer side in pixels at which the net sees a frame."""
    batch: Annotated[int, Runtime(recorded=8)] = Field(8, ge=1)
    """Frames in the net at once; halved when the memory of a GPU does not suffice."""


class YunetSettings(ModelSettings):
    """YuNet, OpenCV's face detector."""

    least_score: float = Field(0.6, ge=0, le=1)
    """Boxes below are not reported at all; a face track also needs one box of the stage's `sure_score`."""
    overlap: float = Field(0.3, gt=0, le=1)
    """Of two boxes that overlap by more (intersection over union), the less sure one goes."""


class S3fdSettings(ModelSettings):
    """S3FD, the face detector of TalkNet's, LR-ASD's and Light-ASD's own demos."""

    least_score: float = Field(0.5, ge=0.05, le=1)
    """Boxes below are not reported at all. The demos keep those from 0.9 on."""
    scale: float = Field(1.0, gt=0, le=1)
    """Frames are scaled by this before the net sees them; the demos take 0.25 of full-size film."""
    overlap: float = Field(0.3, gt=0, le=1)
    """Of two boxes that overlap by more (intersection over union), the less sure one goes; the demos' value is 0.1."""
    batch: Annotated[int, Runtime(recorded=2)] = Field(2, ge=1)
    """Frames in the net at once; halved when the memory of a GPU does not suffice."""
