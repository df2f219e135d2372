"""The paper's text template (section 4.3): how a description becomes a caption. Pure functions."""

from __future__ import annotations

import re
from collections.abc import Sequence

COUNTS = ("No", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine", "Ten")


def render(persons: Sequence[str], speaking: Sequence[int], scene: str) -> str:
    """One line of text, for instance

        One person conversation. Persons: Person1: a woman in red. Person1 is speaking. Scene Description: A street.

    `persons` are the appearances of the participants, as many as there are speakers; `speaking` the 0-based indices of
    those seen to speak. When nobody is, the caption is the scene alone. The count is worded as the authors word it
    ("Two person conversation"). Raises `ValueError` if `speaking` names somebody who is not there.
    """
    sentence = _sentence(scene)
    if not speaking:
        return sentence
    if not all(0 <= index < len(persons) for index in speaking):
        raise ValueError(f"of {len(persons)} persons, {list(speaking)} cannot speak")
    count = COUNTS[len(persons)] if len(persons) < len(COUNTS) else str(len(persons))
    entries = [f"Person{index + 1}: {_sentence(person)}" for index, person in enumerate(persons)]
    active = [f"Person{index + 1} is speaking." for index in sorted(set(speaking))]
    return " ".join(
        (f"{count} person conversation.", "Persons:", *entries, *active, f"Scene Description: {sentence}".rstrip())
    )


def clean(text: str) -> str:
    """A description on one line: single spaces, no control characters, no full stops or commas at its end."""
    printable = "".join(character if character.isprintable() else " " for character in text)
    return re.sub(r"[\s.,;:]+$", "", " ".join(printable.split()))


def _sentence(text: str) -> str:
    """`text`, cleaned, with exactly one mark at its end; nothing for an empty text."""
    text = clean(text)
    return text if not text or text[-1] in "!?…" else f"{text}."
