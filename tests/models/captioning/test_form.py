"""Guided writing: whatever a model would like to say, what it writes can be parsed; and it may say it where it can."""

from __future__ import annotations

import json

import pytest
import torch

from demix.models.captioning.form import Form, Vocabulary
from tests.models.captioning.released import tokenizer


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    words = tokenizer()
    return Vocabulary(words, len(words) + 5)


def written(form: Form, vocabulary: Vocabulary, wish: torch.Tensor) -> str:
    """What comes out for a model whose logits are the rows of `wish`, in turn; before it there was no text at all."""
    ids = torch.zeros((1, 0), dtype=torch.long)
    for step in range(form.longest):
        scores = form(ids, wish[step % len(wish)][None])
        ids = torch.cat([ids, scores.argmax(1, keepdim=True)], 1)
        if int(ids[0, -1]) == END:
            return str(vocabulary.tokenizer.decode(ids[0, :-1]))
    raise AssertionError("the form has no end")


END = tokenizer().convert_tokens_to_ids("<|im_end|>")


@pytest.mark.parametrize("persons", [0, 1, 3])
@pytest.mark.parametrize("seed", range(5))
def test_any_model_writes_what_was_asked_for(persons: int, seed: int, vocabulary: Vocabulary) -> None:
    wish = torch.randn(400, len(vocabulary.inside), generator=torch.Generator().manual_seed(seed))
    tree = json.loads(written(Form(vocabulary, persons, 9, 17, END), vocabulary, wish))
    assert list(tree) == ["persons", "scene"]
    assert len(tree["persons"]) == persons
    for text, most in [*((person, 9) for person in tree["persons"]), (tree["scene"], 17)]:
        assert 1 <= len(text) <= most
        assert text[0].isalnum()


def test_a_model_ends_a_string_when_it_likes(vocabulary: Vocabulary) -> None:
    size = len(vocabulary.inside)
    wish = torch.zeros(2, size)
    wish[0, vocabulary.ids("a")[0]] = wish[1, vocabulary.quote] = 1.0
    turned = wish if len(vocabulary.ids('{"persons": [], "scene": "')) % 2 == 0 else wish.flip(0)
    assert written(Form(vocabulary, 0, 9, 17, END), vocabulary, turned) == '{"persons": [], "scene": "a"}'


def test_no_string_holds_what_would_break_it(vocabulary: Vocabulary) -> None:
    for bad in ('"', "\\", "\n", "\x00"):
        assert not vocabulary.inside[vocabulary.ids(bad)[0]]
    assert not vocabulary.inside[END]
    assert not vocabulary.inside[len(vocabulary.tokenizer) :].any()
    assert vocabulary.inside[vocabulary.ids(" ")[0]]
    assert not vocabulary.says_something[vocabulary.ids(" ")[0]]
