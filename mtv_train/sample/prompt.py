"""Texts for sampling: the paper's template built from parts, and a word where a text does not follow it."""

from __future__ import annotations

from collections.abc import Sequence

from demix.stages.caption_template import render
from mtv_train.data.prompt import parse

EXAMPLE = "One person conversation. Persons: Person1: a woman in red. Person1 is speaking. Scene Description: A street."


def build_prompt(scene: str, persons: Sequence[str] = (), speaking: Sequence[int] = ()) -> str:
    """The template (paper section 4.3) from parts: `speaking` are the numbers, from 1 on, of who speaks. Raises
    `ValueError` for a number that nobody has."""
    return render(persons, [number - 1 for number in speaking], scene)


def remarks(text: str, has_speech: bool) -> list[str]:
    """What is to be said about a text. None is refused: the model reads whatever there is."""
    if not text:
        return ["there is no prompt; the model is told nothing of the scene, as in a tenth of its training"]
    parsed = parse(text)
    if parsed.persons and not parsed.speaking:
        return ["the prompt describes persons but says of none that 'PersonN is speaking.', as the template does"]
    if has_speech and not parsed.speaking:
        return [f"there is speech, but the prompt does not follow the template of speakers: {EXAMPLE!r}"]
    if not has_speech and parsed.speaking:
        return ["the prompt says that somebody speaks, but there is no speech"]
    return []
