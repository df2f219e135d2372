"""Batches as large as the memory allows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch

A = TypeVar("A")
B = TypeVar("B")


def in_batches(answer: Callable[[Sequence[A]], Sequence[B]], questions: Sequence[A], size: int) -> list[B]:
    """Answers to all questions in order, asked for `size` at a time.

    When a GPU's memory does not suffice, the batch is halved, and stays halved for the rest; a single question that
    does not fit raises `torch.OutOfMemoryError`.
    """
    answers: list[B] = []
    while len(answers) < len(questions):
        batch = questions[len(answers) : len(answers) + size]
        found: Sequence[B] | None = None
        try:
            found = answer(batch)
        except torch.OutOfMemoryError:
            if len(batch) == 1:
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


def torch_device(name: str) -> torch.device:
    """`cpu`, `cuda`, or `auto`: cuda where there is one."""
    return torch.device(("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name)
