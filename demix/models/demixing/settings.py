"""Settings of the learned demixers, apart from them: a plan can be made without loading torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from demix.config import ModelSettings, Runtime


class Cdx23Settings(ModelSettings):
    """MVSEP-CDX23 (three stems), as the release runs it."""

    checkpoints: Literal[1, 3] = 3
    """How many of the three released checkpoints are averaged. 3 is the release's high quality and the paper's choice;
    1 takes a third of the time and loses about half a dB."""
    shifts: int = Field(default=1, ge=0)
    """Runs over the clip, each moved by up to half a second drawn from the clip's id, and averaged; 0: one, unmoved."""
    overlap: float = Field(default=0.8, ge=0, lt=1)
    """Share of a segment that the next one covers again. 0.8, the release's, computes everything five times."""
    batch: Annotated[int, Runtime(recorded=4)] = Field(default=4, ge=1)
    """Segments in the network at once; halved when the memory of a GPU does not suffice."""


class BanditPlusSettings(ModelSettings):
    """BandIt Plus (three stems)."""

    chunk_samples: int = Field(default=264_600, ge=4096)
    """Samples of a chunk at 44.1 kHz; the release's 6 s."""
    overlaps: int = Field(default=4, ge=2)
    """How many chunks cover a sample; the release's 4."""
    batch: Annotated[int, Runtime(recorded=4)] = Field(default=4, ge=1)
    """Chunks, both channels of each, in the network at once; halved when the memory of a GPU does not suffice."""


class SpleeterSettings(ModelSettings):
    """Spleeter 2stems as our own PyTorch network, reading the released TensorFlow checkpoint."""

    batch: Annotated[int, Runtime(recorded=2)] = Field(default=2, ge=1)
    """Segments of 512 frames (11.9 s) in the network at once; halved when the memory of a GPU does not suffice."""


class SpleeterPackageSettings(ModelSettings):
    """Spleeter 2stems by the `spleeter` package, in an environment of its own (`make spleeter-env`)."""

    python: str = ".spleeter/bin/python"
    """The interpreter of that environment; it needs Python 3.8 to 3.11, TensorFlow 2.12 and numpy 1."""
    start_seconds: Annotated[float, Runtime(recorded=180.0)] = Field(default=180.0, gt=0)
    """How long it may take to import TensorFlow and read the checkpoint."""
    clip_seconds: Annotated[float, Runtime(recorded=300.0)] = Field(default=300.0, gt=0)
    """How long one clip may take."""
