"""The speech of clips with two speakers, once more for each of them: for the model's variant with two voices."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from pydantic import Field

from demix.config import Settings
from demix.media.audio import read_wave, write_flac
from demix.records import Demixing, Diarization, Media, Record, SpeakerTracks, Turn
from demix.stage import Item, Kept, Outcome, Stage

SPEAKERS = 2


class SpeakerTracksSettings(Settings):
    write: bool = False
    """Whether there are such tracks at all; `--speaker-tracks` says yes."""
    fade_seconds: float = Field(0.01, ge=0)
    """Length of the fades before and after a turn, so that it does not begin or end with a click."""


class SpeakerTracksStage(Stage):
    """Adds `SpeakerTracks`: `speech0.flac` and `speech1.flac` of a clip in which two speakers were heard, the one who
    is heard first first; nothing for other clips.

    Each is the speech stem, sample by sample, during the turns of its speaker, and silence elsewhere. Where both speak
    at once they cannot be told apart, and both tracks hold both.
    """

    name = "speaker_tracks"
    needs = (Demixing, Diarization)
    adds = SpeakerTracks
    settings: SpeakerTracksSettings

    def __init__(self, settings: SpeakerTracksSettings):
        super().__init__(settings)

    def media(self, record: Record) -> tuple[str, ...]:
        assert isinstance(record, SpeakerTracks)
        return tuple(track.key for track in record.tracks)

    def run(self, items: Sequence[Item]) -> list[Outcome]:
        return [Kept(self._tracks(item)) for item in items]

    def _tracks(self, item: Item) -> SpeakerTracks:
        diarization = item[Diarization]
        if diarization.speakers != SPEAKERS:
            return SpeakerTracks()
        speech, sample_rate = read_wave(self.context.store.local(item[Demixing].speech.key))
        made = []
        for speaker in range(SPEAKERS):
            turns = [turn for turn in diarization.turns if turn.speaker == speaker]
            gain = gate(turns, speech.shape[1], sample_rate, self.settings.fade_seconds)
            made.append(self._write(item, f"speech{speaker}.flac", speech * gain, sample_rate))
        return SpeakerTracks(speech0=made[0], speech1=made[1])

    def _write(self, item: Item, name: str, wave: np.ndarray, sample_rate: int) -> Media:
        key = self.context.key(item, name)
        with self.context.store.write(key) as path:
            write_flac(path, wave, sample_rate)
            return Media(key=key, bytes=path.stat().st_size)


def gate(turns: Iterable[Turn], samples: int, sample_rate: int, fade_seconds: float) -> np.ndarray:
    """float32 (samples,): 1 during the turns, rising to it and falling from it in a straight line outside, 0 elsewhere.
    Where the fades of two turns meet, the higher one counts."""
    gain = np.zeros(samples, np.float32)
    fade = round(fade_seconds * sample_rate)
    # What rises from 0 to 1, both left out: 1 and 0 are the turn's and the silence's.
    rise = np.arange(1, fade + 1, dtype=np.float32) / np.float32(fade + 1)
    for turn in turns:
        start, end = (round(edge * sample_rate) for edge in (turn.start_seconds, turn.end_seconds))
        shape = np.concatenate([rise, np.ones(max(end - start, 0), np.float32), rise[::-1]])
        first, last = max(start - fade, 0), min(end + fade, samples)
        if first < last:
            gain[first:last] = np.maximum(gain[first:last], shape[first - (start - fade) :][: last - first])
    return gain
