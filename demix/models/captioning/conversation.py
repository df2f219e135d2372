"""Asking a language model until its answer has the right form, whoever carries question and answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from demix.models.captioning import Description, Scene
from demix.models.captioning.question import WrongForm, parsed, question


@dataclass(frozen=True)
class Said:
    """One turn of a conversation. The frames belong to the first."""

    role: Literal["user", "assistant"]
    text: str


def answered(scene: Scene, ask: Callable[[Sequence[Said]], str], repairs: int) -> Description:
    """The description that `ask`, given all turns so far, answers with.

    After an answer of the wrong form the model is told what was wrong and asked again, at most `repairs` times; then
    `WrongForm` is raised with the last answer.
    """
    turns = [Said("user", question(scene))]
    while True:
        answer = ask(turns)
        try:
            return parsed(answer, scene)
        except WrongForm as problem:
            if len(turns) // 2 == repairs:
                raise WrongForm(f"{problem}; it said {answer[:200]!r}") from problem
            again = f"That is not what was asked for: {problem}. Answer again, with the JSON object alone."
            turns += [Said("assistant", answer), Said("user", again)]
