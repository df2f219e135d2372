"""Texts that are longer than the text encoder takes: what is not read is known, by word, with T5's own tokenizer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import AutoTokenizer, ByT5Tokenizer, T5Config, T5EncoderModel, T5TokenizerFast

from mtv_train.data.encoders import TextEncoder

WORDS = [f"word{number}" for number in range(40)]


def t5_tokenizer(folder: Path) -> Any:
    """As a CogVideoX folder holds it: a sentence piece vocabulary, T5's specials, an end mark behind every text."""
    specials = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    letters = [(letter, -8.0) for letter in "▁abcdefghijklmnopqrstuvwxyz0123456789."]
    made = Tokenizer(models.Unigram([*specials, *((f"▁{word}", -4.0) for word in WORDS), *letters], unk_id=2))
    made.normalizer = normalizers.NFKC()
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    made.decoder = decoders.Metaspace()
    made.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    tokenizer = T5TokenizerFast(tokenizer_object=made, eos_token="</s>", unk_token="<unk>", pad_token="<pad>")
    tokenizer.save_pretrained(folder)
    return AutoTokenizer.from_pretrained(folder, trust_remote_code=False)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> TextEncoder:
    model = T5EncoderModel(T5Config(vocab_size=128, d_model=16, d_kv=8, d_ff=32, num_layers=1, num_heads=2)).eval()
    return TextEncoder(t5_tokenizer(tmp_path_factory.mktemp("tokenizer")), model, tokens=8)


def test_the_words_that_are_not_read_are_named(encoder: TextEncoder) -> None:
    told: list[tuple[str, str]] = []
    encoder.on_cut = lambda text, words: told.append((text, words))
    fits, longer = " ".join(WORDS[:7]), " ".join(WORDS[:10])  # seven words and the end mark
    assert encoder.unread(fits) == encoder.unread("") == ""
    assert encoder.unread(longer) == "word7 word8 word9"
    assert torch.equal(encoder.encode(fits), encoder.encode(longer))  # what is named is what is not read, and all of it
    assert told == [(longer, "word7 word8 word9")]
    encoder.on_cut = None


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from(WORDS), max_size=20))
def test_read_and_unread_are_the_whole(encoder: TextEncoder, words: list[str]) -> None:
    assert encoder.unread(" ".join(words)).split() == words[7:]


def test_a_tokenizer_of_bytes() -> None:
    encoder = TextEncoder(ByT5Tokenizer(), torch.nn.Linear(1, 1), tokens=5)
    assert encoder.unread("abcd") == ""
    assert encoder.unread("abcdefg") == "efg"
