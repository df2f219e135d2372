"""Batches as large as the memory allows: what does not fit is halved, nothing is lost, doubled or reordered."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from demix.models.batches import in_batches


class Card:
    """A model on a GPU that holds `room` questions at once."""

    def __init__(self, room: int, error: RuntimeError | None = None):
        self.room = room
        self.error = error or torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
        self.asked: list[int] = []

    def __call__(self, batch: Sequence[int]) -> list[int]:
        self.asked.append(len(batch))
        if len(batch) > self.room:
            raise self.error
        return [2 * question for question in batch]


@given(st.lists(st.integers(), max_size=40), st.integers(1, 16), st.integers(1, 16))
def test_every_question_is_answered_in_order_whatever_fits(questions: list[int], size: int, room: int) -> None:
    card = Card(room)
    assert in_batches(card, questions, size) == [2 * question for question in questions]


@pytest.mark.parametrize(
    "words",
    [
        "CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported at some other API call",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
    ],
)
def test_memory_that_runs_out_outside_torchs_allocator_halves_too(words: str) -> None:
    assert in_batches(Card(2, RuntimeError(words)), range(5), 4) == [0, 2, 4, 6, 8]


def test_other_errors_are_not_taken_for_a_lack_of_memory() -> None:
    card = Card(2, RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    with pytest.raises(RuntimeError, match="shapes"):
        in_batches(card, range(5), 4)
    assert card.asked == [4]


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


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux bounds a process's address space")
def test_a_network_for_which_memory_really_runs_out() -> None:
    """In a process of its own, with room for three questions at most beyond what it takes before. The third attempt at
    two succeeds only where the first, at eight, and the second, at four, have left nothing behind."""
    done = subprocess.run([sys.executable, "-c", _STARVED], capture_output=True, text=True, check=False)
    assert done.stdout == "[8, 4, 2, 2, 2, 2] True\n", done.stderr


_STARVED = """
import resource

import torch

from demix.models.batches import in_batches

torch.set_num_threads(1)
network = torch.nn.Sequential(torch.nn.Conv1d(1, 16, 1), torch.nn.ReLU(), torch.nn.Conv1d(16, 1, 1)).eval()
wave = 1 << 20  # samples of a question: 64 MiB in each of two hidden layers
asked = []


@torch.inference_mode()
def answer(batch):
    asked.append(len(batch))
    return list(network(torch.stack(batch)))


questions = [torch.randn(1, wave) for _ in range(8)]
alone = [answer([question])[0] for question in questions]
asked.clear()
taken = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
limit = taken + 3 * 2 * 16 * 4 * wave
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
together = in_batches(answer, questions, 8)
print(asked, all(torch.allclose(one, two, atol=1e-6) for one, two in zip(alone, together, strict=True)))
"""


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_real_cards_memory_runs_out_and_all_are_answered() -> None:
    """Each question takes a third of it."""
    third = torch.cuda.get_device_properties(0).total_memory // 3
    asked = []

    def answer(batch: Sequence[int]) -> list[int]:
        asked.append(len(batch))
        held: list[torch.Tensor] = []  # a variable: what fails keeps it as long as its error is kept
        for _ in batch:
            held.append(torch.empty(third, dtype=torch.uint8, device="cuda"))
        return [2 * question for question in batch]

    assert in_batches(answer, range(6), 4) == [2 * question for question in range(6)]
    assert asked == [4, 2, 2, 2]
