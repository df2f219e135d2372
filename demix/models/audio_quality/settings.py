"""Settings of the quality scorers, apart from them: a plan can be made without loading torch."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from demix.config import ModelSettings, Runtime


class AudioboxSettings(ModelSettings):
    """Audiobox Aesthetics."""

    batch: Annotated[int, Runtime(recorded=4)] = Field(4, ge=1)
    """Windows of 10 s in the net at once; halved when the memory of a GPU does not suffice."""
