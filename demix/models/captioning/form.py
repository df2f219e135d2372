"""Lets a model in this process write nothing but the JSON object that is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from transformers import LogitsProcessor

from demix.models.captioning.question import fields


@dataclass(frozen=True)
class Blank:
    """A string that the model fills in; its closing quote belongs to it."""

    tokens: int
    """At most so many, the quote not counted."""


class Vocabulary:
    """Which of a tokenizer's tokens may stand inside a JSON string; `size` is the width of the model's logits."""

    def __init__(self, tokenizer: Any, size: int):
        self.tokenizer = tokenizer
        self.quote = self.ids('"')[0]
        added = set(tokenizer.get_added_vocab().values())
        texts = tokenizer.batch_decode([[number] for number in range(len(tokenizer))])
        inside = [
            number not in added and bool(text) and text.isprintable() and not set(text) & {'"', "\\"}
            for number, text in enumerate(texts)
        ]
        self.inside = _mask(inside, size)
        self.says_something = self.inside & _mask([any(map(str.isalnum, text)) for text in texts], size)

    def ids(self, text: str) -> list[int]:
        return list(self.tokenizer.encode(text, add_special_tokens=False))


class Form(LogitsProcessor):
    """Steers the generation of one answer: what is printed in the form is given, the blanks are the model's. No blank
    stays empty, none outgrows its size, so any model's answer can be parsed. Made anew for every answer.

    Source of the idea: guided decoding (Willard and Louf 2023), for a form as plain as this without an automaton.
    """

    def __init__(self, vocabulary: Vocabulary, persons: int, person_tokens: int, scene_tokens: int, end: int):
        self.vocabulary = vocabulary
        self.parts: list[int | Blank] = []
        for printed, kind in fields(persons):
            self.parts += vocabulary.ids(printed)
            self.parts.append(Blank(person_tokens if kind == "person" else scene_tokens))
        self.parts += [*vocabulary.ids("}"), end]
        self.place = 0
        self.written = 0

    @property
    def longest(self) -> int:
        """Tokens that the whole answer takes at most."""
        return sum(part.tokens + 1 if isinstance(part, Blank) else 1 for part in self.parts)

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """`scores` (1, vocabulary) of the next token, with minus infinity for every token that may not follow."""
        allowed = self._allowed(int(input_ids[0, -1]) if input_ids.shape[1] else -1).to(scores.device)
        return torch.where(allowed, scores, torch.full_like(scores, -torch.inf))

    def _allowed(self, last: int) -> torch.Tensor:
        part = self.parts[self.place]
        if isinstance(part, Blank) and self.written and last == self.vocabulary.quote:
            self._next()
            part = self.parts[self.place]
        if not isinstance(part, Blank):
            self._next()
            return self._only(part)
        self.written += 1
        if self.written == 1:
            return self.vocabulary.says_something
        if self.written > part.tokens:
            return self._only(self.vocabulary.quote)
        return self.vocabulary.inside | self._only(self.vocabulary.quote)

    def _next(self) -> None:
        self.place += 1
        self.written = 0

    def _only(self, token: int) -> torch.Tensor:
        mask = torch.zeros_like(self.vocabulary.inside)
        mask[token] = True
        return mask


def _mask(flags: list[bool], size: int) -> torch.Tensor:
    """Flags as bool (size,); tokens that the logits know and the tokenizer does not are false."""
    mask = torch.zeros(size, dtype=torch.bool)
    mask[: len(flags)] = torch.tensor(flags)[:size]
    return mask
