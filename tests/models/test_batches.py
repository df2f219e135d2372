"""Batches as large as the memory allows: what does not fit is halved, nothing is lost, doubled or reordered."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from demix.models.batches import in_batches


class Card:
    """A model on a GPU that holds `room` questions at once."""

    def __init__(self, room: int):
        self.room = room
        self.asked: list[int] = []

    def __call__(self, batch: Sequence[int]) -> list[int]:
        self.asked.append(len(batch))
        if len(batch) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
        return [2 * question for question in batch]


@given(st.lists(st.integers(), max_size=40), st.integers(1, 16), st.integers(1, 16))
def test_every_question_is_answered_in_order_whatever_fits(questions: list[int], size: int, room: int) -> None:
    card = Card(room)
    assert in_batches(card, questions, size) == [2 * question for question in questions]


def test_a_batch_that_was_halved_stays_halved() -> None:
    card = Card(room=3)
    in_batches(card, range(20), 8)
    assert card.asked == [8, 4, *[2] * 10]


def test_the_memory_that_the_failed_attempt_held_is_given_back_before_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    """Emptying the cache while the error still holds the attempt's tensors would free nothing."""
    handled: list[object] = []
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: handled.append(sys.exc_info()[0]))
    in_batches(Card(room=2), range(4), 4)
    assert handled == [None]


def test_a_question_that_does_not_fit_alone_is_an_error() -> None:
    with pytest.raises(torch.OutOfMemoryError):
        in_batches(Card(room=0), [1, 2], 2)


def test_a_model_that_answers_too_little_is_found_out() -> None:
    with pytest.raises(ValueError, match="1 answers to 2 questions"):
        in_batches(lambda batch: batch[:1], [1, 2], 2)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_real_cards_memory_runs_out_and_all_are_answered() -> None:
    """Each question takes a third of it."""
    third = torch.cuda.get_device_properties(0).total_memory // 3
    asked = []

    def answer(batch: Sequence[int]) -> list[int]:
        asked.append(len(batch))
        held = [torch.empty(third, dtype=torch.uint8, device="cuda") for _ in batch]
        return [2 * question for question, _ in zip(batch, held, strict=True)]

    assert in_batches(answer, range(6), 4) == [2 * question for question in range(6)]
    assert asked == [4, 2, 2, 2]
