"""Speech that nobody on the screen can have spoken (paper, section 3, voice-over filtering)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import numpy as np
from pydantic import Field

from demix.config import Settings
from demix.records import ActiveSpeaker, ClipMedia, Diarization, Kind, Persons, VoiceOver
from demix.stage import Dropped, Item, Kept, Outcome, Stage
from demix.stages.active_speaker import voices_heard

Verdict = Literal["on_screen", "no_speech", "voice_over", "undecidable"]


class VoiceOverSettings(Settings):
    rule: Literal["literal", "strict"] = "literal"
    """`literal` is the paper's: while speech is heard, a visible person or an active speaker is enough (the second is
    always also the first). `strict` requires an active speaker."""
    min_covered_share: float = Field(0.3, gt=0, le=1)
    """Share of the speech during which the rule must hold. Well below 1, because faces that turn away are lost for a
    while, and words often begin before the speaker is in the picture."""
    min_speech_seconds: float = Field(0.5, ge=0)
    """Less speech in the whole clip counts as none."""
    undecidable: Literal["keep", "drop"] = "keep"
    """What happens where the strict rule cannot be judged. The literal rule is always decided."""
    kinds: tuple[Kind, ...] = ("cinematic", "web")
    """Sources that the rule applies to. The paper applies it to cinematic videos; a talking head is one by selection,
    so others are measured and always kept."""


@dataclass(frozen=True)
class Coverage:
    """Shares, 0..1, of the speech time."""

    person: float
    """A person or a tracked face is visible; whoever speaks by the face is among them."""
    speaker: float
    """A face speaks."""
    possible: float
    """A face speaks, or somebody is visible whose mouth cannot be judged."""


class VoiceOverFilter(Stage):
    """Adds `VoiceOver` and drops what the rule forbids.

    Verdicts: `no_speech` (too little of it); `on_screen` (the rule holds); `voice_over` (it does not);
    `undecidable`, under the strict rule only: too little of the speech has an active speaker, but together with
    persons whose mouths cannot be judged (from behind, too small, in strong motion) there might be enough.
    """

    name = "voice_over"
    needs = (ClipMedia, Persons, Diarization, ActiveSpeaker)
    adds = VoiceOver
    reasons = ("voice_over", "undecidable")
    judges = True
    settings: VoiceOverSettings

    def __init__(self, settings: VoiceOverSettings):
        super().__init__(settings)

    def run(self, items: Sequence[Item]) -> list[Outcome]:
        return [self._judge(item) for item in items]

    def _judge(self, item: Item) -> Outcome:
        media, diarization = item[ClipMedia], item[Diarization]
        voices = voices_heard(diarization.turns, media.frames, Fraction(media.fps))
        coverage = covered(voices > 0, item[Persons], item[ActiveSpeaker])
        record = VoiceOver(
            verdict=self._verdict(diarization.speech_seconds, coverage),
            speech_seconds=diarization.speech_seconds,
            person_covered_share=round(coverage.person, 4),
            speaker_covered_share=round(coverage.speaker, 4),
        )
        drops = record.verdict == "voice_over" or (
            record.verdict == "undecidable" and self.settings.undecidable == "drop"
        )
        if drops and item.clip.kind in self.settings.kinds:
            return Dropped(record.verdict, record.model_dump(exclude={"verdict"}))
        return Kept(record)

    def _verdict(self, speech_seconds: float, coverage: Coverage) -> Verdict:
        if speech_seconds < self.settings.min_speech_seconds:
            return "no_speech"
        enough = self.settings.min_covered_share
        if (coverage.person if self.settings.rule == "literal" else coverage.speaker) >= enough:
            return "on_screen"
        if self.settings.rule == "strict" and coverage.possible >= enough:
            return "undecidable"
        return "voice_over"


def covered(speech: np.ndarray, persons: Persons, active: ActiveSpeaker) -> Coverage:
    """How much of the `speech`, boolean (frames,), has somebody to go with it; all 0 where there is no speech.

    A person is visible on the frames nearest to a sampled frame with a person, and wherever a face is tracked. A
    person without a tracked face nearby, or with an undecidable one, is one whose mouth cannot be judged.
    """
    nearest = np.abs(np.arange(len(speech))[:, None] - np.array(persons.frames)).argmin(1)
    boxes = np.array([len(boxes) > 0 for boxes in persons.boxes])[nearest]
    tracked, speaking, hidden = (np.zeros(len(speech), bool) for _ in range(3))
    for activity in active.tracks:
        frames = np.array(persons.tracks[activity.track].frames)
        tracked[frames] = True
        hidden[frames] |= not activity.decidable
        speaking[frames] |= activity.decidable & (np.array(activity.scores) > 0)
    person = boxes | tracked
    hidden |= boxes & ~tracked
    total = max(int(speech.sum()), 1)
    shares = ((kind & speech).sum() / total for kind in (person, speaking, speaking | hidden))
    return Coverage(*(float(share) for share in shares))
