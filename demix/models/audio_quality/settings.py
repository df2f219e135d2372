"""Settings of the quality scorers, apart from them: a plan can be made without loading torch."""

from __future__ import annotations

from pydantic import Field

from demix.config import ModelSettings


class AudioboxSettings(ModelSettings):
    """Audiobox Aesthetics."""

    batch: int = Field(4, ge=1)
    """Windows of 10 s in the net at once; halved when the memory of a GPU does not suffice."""
