"""Diarization listens to the speech track, skips silence, and keeps turns inside the clip."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from demix.media.audio import mono, read_wave, resample
from demix.records import Demixing, Diarization, Turn
from demix.stage import Item
from demix.stages.diarization import DiarizationSettings, DiarizationStage, speech_spans, within
from tests.stages.voices_clips import SAMPLE_RATE, context, make_item

turns = st.lists(
    st.builds(
        lambda start, length, speaker: Turn(start_seconds=start, end_seconds=start + length, speaker=speaker),
        st.floats(-1, 12),
        st.floats(0, 5),
        st.integers(0, 4),
    ),
    max_size=12,
)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> DiarizationStage:
    stage = DiarizationStage(DiarizationSettings())
    stage.open(context(tmp_path_factory.mktemp("diarization")))
    return stage


def heard(stage: DiarizationStage, item: Item) -> Diarization:
    (outcome,) = stage.run([item])
    assert isinstance(outcome.record, Diarization)  # type: ignore[union-attr]
    return outcome.record  # type: ignore[union-attr]


def black(seconds: float) -> np.ndarray:
    return np.zeros((round(24 * seconds), 32, 32, 3), np.uint8)


def test_a_reader_is_one_speaker_with_the_length_of_the_speech(stage: DiarizationStage, shared_media: Path) -> None:
    wave, sample_rate = read_wave(shared_media / "audio" / "stems" / "speech" / "spk2_snt1.wav")
    speech = np.concatenate([np.zeros(SAMPLE_RATE, np.float32), resample(mono(wave), sample_rate, SAMPLE_RATE)])
    record = heard(stage, make_item(stage.context, "reader", black(5), speech=speech))
    assert record.speakers == 1
    assert record.turns[0].start_seconds == pytest.approx(1.0, abs=0.25)
    assert record.speech_seconds == pytest.approx(wave.shape[1] / sample_rate, abs=0.4)
    assert (record.model, record.revision) == ("lite", "1")


def test_a_silent_speech_track_is_not_even_read(stage: DiarizationStage) -> None:
    item = make_item(stage.context, "mute", black(3))
    silent = item[Demixing].model_copy(update={"levels_db": {"speech": -120.0}})
    stage.context.store.remove(silent.speech.key)
    record = heard(stage, Item(item.clip, {**item.records, "demixing": silent}))
    assert (record.turns, record.speakers, record.speech_seconds) == ((), 0, 0)


def test_noise_on_the_speech_track_is_no_speaker(stage: DiarizationStage) -> None:
    noise = np.random.default_rng(0).normal(0, 0.05, 3 * SAMPLE_RATE).astype(np.float32)
    assert heard(stage, make_item(stage.context, "noise", black(3), speech=noise)).speakers == 0


@given(turns=turns, seconds=st.floats(0.5, 10))
def test_turns_end_up_inside_the_clip_sorted_and_numbered_by_appearance(turns: list[Turn], seconds: float) -> None:
    kept = within(turns, seconds)
    assert all(0 <= turn.start_seconds < turn.end_seconds <= seconds for turn in kept)
    assert [turn.start_seconds for turn in kept] == sorted(turn.start_seconds for turn in kept)
    appearance = list(dict.fromkeys(turn.speaker for turn in kept))
    assert appearance == list(range(len(appearance)))


@given(turns=turns, random=st.randoms(use_true_random=False))
def test_spans_of_speech_are_apart_and_do_not_depend_on_the_order_of_turns(turns: list[Turn], random: object) -> None:
    spans = speech_spans(turns)
    assert all(before[1] < after[0] for before, after in pairwise(spans))
    shuffled = list(turns)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert speech_spans(shuffled) == spans
    for turn in turns:
        assert any(start <= turn.start_seconds and turn.end_seconds <= end for start, end in spans)
