"""Captions follow the paper's template to the letter, whatever a captioner says."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from demix.stages.caption_template import clean, render

words = st.text(st.characters(codec="utf-8"), max_size=60)
named = words.filter(clean)


def test_one_person() -> None:
    text = render(["a woman in red"], [0], "A street at night.")
    assert text == (
        "One person conversation. Persons: Person1: a woman in red. Person1 is speaking. "
        "Scene Description: A street at night."
    )


def test_two_persons_of_whom_the_second_speaks() -> None:
    text = render(["a man on the left", "a woman on the right"], [1], "They sit at a table")
    assert text == (
        "Two person conversation. Persons: Person1: a man on the left. Person2: a woman on the right. "
        "Person2 is speaking. Scene Description: They sit at a table."
    )


def test_all_who_speak_are_named_in_order_and_once() -> None:
    text = render(["a", "b", "c"], [2, 0, 2], "d")
    assert text == (
        "Three person conversation. Persons: Person1: a. Person2: b. Person3: c. "
        "Person1 is speaking. Person3 is speaking. Scene Description: d."
    )


def test_only_the_description_when_nobody_speaks() -> None:
    assert render(["a man"], [], "A room.\n") == "A room."
    assert render([], [], "") == ""


@pytest.mark.parametrize(("persons", "word"), [(1, "One"), (2, "Two"), (10, "Ten"), (11, "11")])
def test_the_count_is_a_word_up_to_ten(persons: int, word: str) -> None:
    assert render(["x"] * persons, [0], "y").startswith(f"{word} person conversation. Persons: ")


def test_somebody_who_is_not_there_cannot_speak() -> None:
    with pytest.raises(ValueError, match="cannot speak"):
        render(["a man"], [1], "A room.")


@pytest.mark.parametrize(
    ("said", "cleaned"),
    [
        ("  A  dog\n barks.. ", "A dog barks"),
        ("Tab\tand\x00 bell\x07;", "Tab and bell"),
        ("Who is there?", "Who is there?"),
        ("line\u2028separator\u00a0and nbsp .", "line separator and nbsp"),
        (" ... ", ""),
    ],
)
def test_descriptions_are_cleaned(said: str, cleaned: str) -> None:
    assert clean(said) == cleaned


@given(persons=st.lists(named, min_size=1, max_size=12), scene=words, data=st.data())
def test_a_caption_is_one_line_with_every_part_in_its_place(
    persons: list[str], scene: str, data: st.DataObject
) -> None:
    speaking = data.draw(st.lists(st.integers(0, len(persons) - 1), min_size=1, max_size=4))
    text = render(persons, speaking, scene)
    assert text.isprintable()
    assert "  " not in text
    assert text == text.strip()
    entries = "".join(rf" Person{i + 1}: {re.escape(clean(p))}[.!?…]?" for i, p in enumerate(persons))
    active = "".join(rf" Person{index + 1} is speaking\." for index in sorted(set(speaking)))
    pattern = rf"\w+ person conversation\. Persons:{entries}{active} Scene Description:( {re.escape(clean(scene))}\.?)?"
    assert re.fullmatch(pattern, text)


@given(words)
def test_cleaning_twice_changes_nothing(text: str) -> None:
    assert clean(clean(text)) == clean(text)
