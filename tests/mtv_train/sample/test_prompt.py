"""The helper writes the paper's template, and texts that do not follow it are told about."""

from __future__ import annotations

import pytest

from mtv_train.data.prompt import parse
from mtv_train.sample.prompt import EXAMPLE, build_prompt, remarks


def test_parts_become_the_template() -> None:
    text = build_prompt("A street", ["a woman in red"], [1])
    assert text == EXAMPLE
    assert parse(text).persons == ("a woman in red.",)
    both = build_prompt("A street", ["a woman", "a man"], [1, 2])
    assert both.startswith("Two person conversation. Persons: Person1: a woman. Person2: a man. Person1 is speaking.")
    assert build_prompt("A street") == "A street."
    with pytest.raises(ValueError, match="cannot speak"):
        build_prompt("A street", ["a woman"], [2])


@pytest.mark.parametrize(
    ("text", "speech", "said"),
    [
        (EXAMPLE, True, None),
        ("A street.", False, None),
        ("No conversation. Scene Description: A street.", False, None),
        ("A street.", True, "does not follow the template of speakers"),
        (EXAMPLE, False, "says that somebody speaks, but there is no speech"),
        (
            "One person conversation. Persons: Person1: a woman. Scene Description: A street.",
            True,
            "says of none that 'PersonN is speaking.'",
        ),
        ("", True, "there is no prompt"),
    ],
)
def test_what_is_said_of_a_text(text: str, speech: bool, said: str | None) -> None:
    found = remarks(text, speech)
    assert (not found) if said is None else said in found[0]
