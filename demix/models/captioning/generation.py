"""Greedy writing by a model in this process, the same for every net of the `transformers` library."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from transformers import GenerationConfig, LogitsProcessorList

from demix.models.captioning.form import Form, Vocabulary
from demix.models.captioning.settings import LocalSettings

END = "<|im_end|>"
"""Ends a turn in the conversations of the Qwen family."""


class Writer:
    """A network with its tokenizer, ready to answer one question after another."""

    def __init__(self, network: Any, tokenizer: Any, settings: LocalSettings):
        self.network, self.tokenizer, self.settings = network, tokenizer, settings
        self.end = tokenizer.convert_tokens_to_ids(END)
        self.vocabulary = Vocabulary(tokenizer, network.get_output_embeddings().weight.shape[0])
        # In place of the release's, which samples: the same clip gets the same caption.
        network.generation_config = GenerationConfig(
            do_sample=False, eos_token_id=[self.end], pad_token_id=self.end, use_cache=True
        )

    def write(self, prompt: Mapping[str, torch.Tensor], persons: int) -> str:
        """The answer to a prompt, given as `generate` takes it (`input_ids` or `inputs_embeds` and what goes along)."""
        given = prompt["input_ids"].shape[1] if "input_ids" in prompt else 0
        sizes = self.settings.person_tokens, self.settings.scene_tokens
        form = Form(self.vocabulary, persons, *sizes, self.end) if self.settings.guided else None
        with torch.inference_mode():
            written = self.network.generate(
                **prompt,
                max_new_tokens=self.settings.max_tokens if form is None else form.longest,
                logits_processor=LogitsProcessorList([] if form is None else [form]),
            )
        return str(self.tokenizer.decode(written[0, given:], skip_special_tokens=True))
