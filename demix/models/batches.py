"""Batches as large as the memory allows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch

A = TypeVar("A")
B = TypeVar("B")

_OUT_OF_MEMORY = ("out of memory", "STATUS_ALLOC_FAILED", "can't allocate memory")
"""In what torch says where it has no error of its own: CUDA itself, cuBLAS and cuDNN; and a processor's memory."""


def in_batches(answer: Callable[[Sequence[A]], Sequence[B]], questions: Sequence[A], size: int) -> list[B]:
    """Answers to all questions in order, asked for `size` at a time.

    When a GPU's memory does not suffice (or a processor's, where a limit refuses it), the batch is halved, and stays
    halved for the rest; a single question that does not fit raises torch's error.
    """
    answers: list[B] = []
    while len(answers) < len(questions):
        batch = questions[len(answers) : len(answers) + size]
        found: Sequence[B] | None = None
        try:
            found = answer(batch)
        except RuntimeError as error:
            if len(batch) == 1 or not _out_of_memory(error):
                raise
        if found is None:
            # Only here: the error, while it is handled, holds the frames and with them the tensors of the attempt.
            size = max(len(batch) // 2, 1)
            torch.cuda.empty_cache()
            continue
        if len(found) != len(batch):
            raise ValueError(f"{len(found)} answers to {len(batch)} questions")
        answers.extend(found)
    return answers


def _out_of_memory(error: RuntimeError) -> bool:
    return isinstance(error, torch.OutOfMemoryError) or any(words in str(error) for words in _OUT_OF_MEMORY)


def torch_device(name: str) -> torch.device:
    """`cpu`, `cuda`, or `auto`: cuda where there is one."""
    return torch.device(("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name)
