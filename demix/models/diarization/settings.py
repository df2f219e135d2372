"""Settings of the diarizers, apart from them: a plan can be made without loading torch."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from demix.config import ModelSettings, Runtime


class ScribeSettings(ModelSettings):
    """ElevenLabs Scribe, a paid service. The key is read from the environment variable ELEVENLABS_API_KEY."""

    service_model: str = "scribe_v2"
    """The service's own name of the model that answers."""
    max_hours: Annotated[float | None, Runtime(recorded=None)] = Field(None, gt=0)
    """Hours of audio that may be sent for this work store, all told; it has to be given. What was answered once is
    kept in the work store and costs nothing again."""
    max_speakers: int | None = Field(None, ge=1, le=32)
    """Never more speakers than this; null: the service decides."""
    pause_seconds: float = Field(0.8, ge=0)
    """Words of one speaker that are no farther apart belong to one turn."""
    retries: Annotated[int, Runtime(recorded=4)] = Field(4, ge=0)
    """Times that a busy or failing service is asked again, as late as it says (Retry-After) or ever later."""
    timeout_seconds: Annotated[float, Runtime(recorded=240.0)] = Field(240.0, gt=0)
    """For one answer."""
    address: Annotated[str, Runtime(recorded="https://api.elevenlabs.io")] = "https://api.elevenlabs.io"
    """Where the service is: another one for a proxy."""


class PyannoteSettings(ModelSettings):
    """pyannote.audio, pipeline community-1."""

    folder: str | None = None
    """A folder with the pipeline (config.yaml and what it names), instead of the weights that `demix weights` knows."""
    min_speakers: int | None = Field(None, ge=1)
    """Never fewer speakers, where somebody speaks."""
    max_speakers: int | None = Field(None, ge=1)
    """Never more speakers."""
    exclusive: bool = True
    """One speaker at a time, the dominant one: nearer to what captions and mouths can be matched with."""
