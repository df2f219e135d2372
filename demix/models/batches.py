"""Batches as large as the memory allows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from demix.lazy_module import lazy_module

if TYPE_CHECKING:
    import torch
else:
    torch = lazy_module("torch")


A = TypeVar("A")
B = TypeVar("B")

_OUT_OF_MEMORY = ("out of memory", "STATUS_ALLOC_FAILED", "can't allocate memory")
"""In what torch says where it has no error of its own: CUDA itself, cuBLAS and cuDNN; and a processor's memory."""


def in_batches(answer: Callable[[Sequence[A]], Sequence[B]], questions: Sequence[A], size: int) -> list[B]:
    """Answers to all questions in order, asked for `size` at a time, or for as many as `fitting` finds to fit."""

    def some(start: int, count: int) -> Sequence[B]:
        return answer(questions[start : start + count])

    answers: list[B] = []
    while left := len(questions) - len(answers):
        found, size = fitting(partial(some, len(answers)), min(size, left))
        if len(found) != size:
            raise ValueError(f"{len(found)} answers to {size} questions")
        answers.extend(found)
    return answers


def fitting(answer: Callable[[int], B], size: int) -> tuple[B, int]:
    """The answer for a batch of `size`, and the size that it was given for.

    When a GPU's memory does not suffice (or a processor's, where a limit refuses it), the batch is halved; one of 1
    that does not fit raises its error.
    """
    while True:
        try:
            return answer(size), size
        except (RuntimeError, MemoryError) as error:
            if size == 1 or not _out_of_memory(error):
                raise
        # Only here: the error, while it is handled, holds the frames and with them the tensors of the attempt.
        size //= 2
        torch.cuda.empty_cache()


def _out_of_memory(error: RuntimeError | MemoryError) -> bool:
    known = isinstance(error, torch.OutOfMemoryError | MemoryError)
    return known or any(words in str(error) for words in _OUT_OF_MEMORY)


def torch_device(name: str) -> torch.device:
    """`cpu`, `cuda`, or `auto`: cuda where there is one."""
    return torch.device(("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name)
