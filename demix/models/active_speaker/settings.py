"""Settings of the active-speaker nets, apart from them: a plan can be made without loading torch."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from demix.config import ModelSettings, Runtime


class NetworkSettings(ModelSettings):
    """Of one of the nets that look at mouths and hear speech (LR-ASD, Light-ASD, TalkNet)."""

    durations: tuple[int, ...] = Field((2,), min_length=1)
    """Seconds of the chunks that a track is cut into. Several: the scores are averaged, as in the references' demos
    (1 to 6), at as many times the cost; on talking heads the decisions were the same."""
    threshold: float = 0.25
    """The net's own score (a logit) that counts as 0. Its training says 0. On talking heads and a silent face under
    another's voice, chunks of 2 s: LR-ASD gave the speaking .15 to 4.5 and the silent less than 0; Light-ASD gave them
    1.8 to 6.3 and up to 1.6, so that its threshold is 1.7."""
    batch: Annotated[int, Runtime(recorded=8)] = Field(8, ge=1)
    """Chunks in the net at once; halved when the memory of a GPU does not suffice."""


def averaged() -> NetworkSettings:
    """As the references' demos decide: six chunk lengths, threshold 0."""
    return NetworkSettings(durations=(1, 2, 3, 4, 5, 6), threshold=0.0)
