"""Settings of the shot detectors, apart from them: a plan can be made without loading OpenCV."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from demix.config import ModelSettings, Runtime, Settings


class AdaptiveSettings(Settings):
    """Every parameter of PySceneDetect's AdaptiveDetector (hard cuts); defaults are the detector's own, but for one."""

    adaptive_threshold: float = Field(default=3.0, gt=0)
    """A cut's content score must be this many times the mean score of its neighbours."""
    window_frames: int = Field(default=2, ge=1)
    """Neighbours on each side that make that mean."""
    min_content: float = Field(default=15.0, ge=0, le=255)
    """A cut's content score must also reach this: the mean change of hue, saturation and brightness, 0..255."""
    weight_hue: float = 1.0
    """Weight of hue in the content score."""
    weight_saturation: float = 1.0
    """Weight of saturation in the content score."""
    weight_brightness: float = 1.0
    """Weight of brightness in the content score."""
    weight_edges: float = Field(default=0.0, ge=0)
    """Weight of edges in the content score; above 0 costs about 0.3 ms a frame, six times the detector without them."""
    edge_kernel: int | None = None
    """Pixels (odd, 3 or more) by which edges are widened before they are compared; none: from the picture's size."""
    min_scene_seconds: float = Field(default=0.0, ge=0)
    """A cut nearer than this to the one before is not reported. The command's default is 0.6, which would leave the two
    shots after the first of two close cuts in one clip; shots too short to use are dropped by `length` anyway."""

    @model_validator(mode="after")
    def _something_is_weighed(self) -> AdaptiveSettings:
        if not any((self.weight_hue, self.weight_saturation, self.weight_brightness, self.weight_edges)):
            raise ValueError("all weights of the content score are 0: nothing would ever be a cut")
        return self


class GradualSettings(Settings):
    """Fades and dissolves: see `demix.models.shots.gradual`."""

    enabled: bool = True
    """Look for fades and dissolves at all."""
    dissolve_evidence: float = Field(default=0.25, gt=0, lt=1)
    """A dissolve is reported from this score on, 0..1. Lower finds more of those between moving shots, and splits more
    shots at whip pans."""
    spread: float = Field(default=0.34, ge=0, lt=0.64)
    """How much of the picture a dissolve must change: 0.64 is all of it alike, 0.3 about a third (a title over it)."""
    longest_seconds: float = Field(default=3.0, gt=0.3, le=6)
    """Longest span over which two frames are compared. Longer dissolves are found in pieces."""
    blank_contrast: float = Field(default=1.0, ge=0)
    """Frames whose contrast (standard deviation, 0..128) is below this are blank: black, white or any one colour."""
    dip_share: float = Field(default=0.2, ge=0, lt=1)
    """A fade need not become blank: contrast below this share of both sides' is enough."""


class StructureSettings(Settings):
    """A second opinion on hard cuts: see `demix.models.shots.structure` and `demix.models.shots.flashes`."""

    enabled: bool = True
    """Off: exactly the adaptive detector's cuts."""
    same: float = Field(default=0.97, ge=0, le=1)
    """A cut over which the tiny pictures correlate at least this much is none: a refreshed key frame, a lamp."""
    different: float = Field(default=0.7, ge=-1, le=1)
    """Below this correlation a change is a cut of its own, if it also stands out from the changes around it:"""
    ratio: float = Field(default=2.0, ge=1)
    """by this factor over the largest of them,"""
    least_change: float = Field(default=3.0, ge=0)
    """and by this many grey levels on top."""


class TransNetSettings(ModelSettings):
    """TransNetV2: finds hard cuts, fades and dissolves by itself, so the settings of the others do not touch it."""

    threshold: float = Field(default=0.5, gt=0, lt=1)
    """Probability of a transition's middle above which there is one; the authors' value. Lower finds more long
    dissolves, and more that are none."""
    spread: float = Field(default=0.5, gt=0, lt=1)
    """Probability above which a frame beside it belongs to the transition."""
    batch: Annotated[int, Runtime(recorded=4)] = Field(default=4, ge=1)
    """Windows of 100 pictures in the network at once; halved when the memory of a GPU does not suffice."""
