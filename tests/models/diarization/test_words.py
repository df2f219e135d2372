"""Words into turns: nobody's words lost, speakers numbered as they appear."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from demix.models.diarization.words import Word, turns_of

WORDS = st.builds(
    lambda start, length, speaker: Word(start / 100, (start + length) / 100, speaker),
    st.integers(0, 1000),
    st.integers(1, 100),
    st.sampled_from(["speaker_3", "speaker_1", "speaker_0"]),
)


@given(words=st.lists(WORDS, max_size=12))
def test_every_word_lies_in_a_turn_of_its_speaker(words: list[Word]) -> None:
    turns = turns_of(words, 0.5)
    order = list(dict.fromkeys(w.speaker for w in sorted(words, key=lambda w: (w.start, w.end))))
    for word in words:
        number = order.index(word.speaker)
        assert any(
            turn.speaker == number and turn.start_seconds <= word.start and word.end <= turn.end_seconds
            for turn in turns
        )
    assert [turn.start_seconds for turn in turns] == sorted(turn.start_seconds for turn in turns)
    assert sorted({turn.speaker for turn in turns}) == list(range(len(order)))


def test_a_word_without_a_speaker_is_its_predecessors() -> None:
    words = [Word(0, 1, "b"), Word(1, 2, None), Word(2, 3, "a")]
    assert [(turn.end_seconds, turn.speaker) for turn in turns_of(words, 0.1)] == [(2, 0), (3, 1)]


def test_a_pause_ends_a_turn() -> None:
    words = [Word(0, 1, "a"), Word(1.5, 2, "a"), Word(3, 4, "a")]
    assert [(turn.start_seconds, turn.end_seconds) for turn in turns_of(words, 0.5)] == [(0, 2), (3, 4)]
