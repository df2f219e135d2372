"""The captioners that run in the worker's own process as backends, with random weights of the released sizes.

No network is built for them: the names and shapes of its tensors suffice to write the files (15 and 18 GB). Their
language models can be cut to some of their layers, which are all alike.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks.backend import CLIP_SECONDS, Backend
from demix import weights
from demix.models import choose, model_class
from demix.weights import Cache

LLAVA_7B: dict[str, Any] = {
    "hidden_size": 3584,
    "intermediate_size": 18944,
    "num_hidden_layers": 28,
    "num_attention_heads": 28,
    "num_key_value_heads": 4,
    "vocab_size": 152064,
    "max_position_embeddings": 32768,
    "mm_hidden_size": 1152,
    "vision_config": None,
}
"""What the release's `config.json` says otherwise than the tiny one of the tests."""
QWEN3_VL_8B: dict[str, Any] = {
    "text_config": {
        "vocab_size": 151936,
        "hidden_size": 4096,
        "intermediate_size": 12288,
        "num_hidden_layers": 36,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "max_position_embeddings": 262144,
        "rope_parameters": {"rope_type": "default", "rope_theta": 5e6, "mrope_section": [24, 20, 20]},
    },
    "vision_config": {
        "depth": 27,
        "hidden_size": 1152,
        "intermediate_size": 4304,
        "num_heads": 16,
        "out_hidden_size": 4096,
        "patch_size": 16,
        "num_position_embeddings": 2304,
        "deepstack_visual_indexes": [8, 16, 24],
    },
    "tie_word_embeddings": False,
}
LAYERS = {
    "llava_video": LLAVA_7B["num_hidden_layers"],
    "qwen3_vl": QWEN3_VL_8B["text_config"]["num_hidden_layers"],
}
"""Of the language models."""
FPS = 24.0
WINDOW_STEP = 17
"""Places in the noise from one row of a random matrix to the next."""


def captioner(name: str, layers: int | None = None, dtype: str = "bfloat16") -> Backend:
    """With all layers of its language model, or the first ones alone."""
    from demix.stages.captioning import CaptionSettings, spaced

    settings = CaptionSettings.model_validate({"model": name, name: {"dtype": dtype}})
    put = partial(PUT[name], layers=layers or LAYERS[name])

    def ask(model: Any, seconds: float) -> None:
        from demix.models.captioning import Scene

        count = round(FPS * seconds)
        own = getattr(model_class("captioning", name), "frame_indices", None)
        wanted = min(round(seconds * settings.frames_per_second), settings.max_frames)
        chosen = own(count, FPS, model.settings) if own else spaced(count, wanted)
        times = tuple(index / FPS for index in chosen)
        pictures = np.random.default_rng(0).integers(0, 256, (len(chosen), 216, 384, 3), dtype=np.uint8)
        model.describe([Scene("clip", pictures, times, seconds, ((),) * len(chosen), 1, 1, frozenset({"speech"}))])

    return Backend(lambda device: choose("captioning", name, settings).make(device, threads=1), ask, CLIP_SECONDS, put)


def put_llava_video(_: Path, layers: int) -> None:
    from demix.models.captioning.llava_network import LlavaVideoConfig, LlavaVideoNetwork
    from tests.models.captioning.released import LLAVA, put_shards, tokenizer

    folder = _cache_folder("llava_video_7b")
    (folder / "config.json").write_text(json.dumps(LLAVA | LLAVA_7B | {"num_hidden_layers": layers}), encoding="utf-8")
    with torch.device("meta"):
        network = LlavaVideoNetwork(LlavaVideoConfig.read(folder))
    put_shards(random_state(network), folder, 4)
    tokenizer().save_pretrained(folder)
    _complete("llava_video_7b", folder)


def put_qwen3_vl(_: Path, layers: int) -> None:
    from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration

    from tests.models.captioning.released import put_processor, put_shards, tokenizer, vision_tokens

    folder = _cache_folder("qwen3_vl_8b")
    words = tokenizer()
    text = QWEN3_VL_8B["text_config"] | {"num_hidden_layers": layers}
    config = Qwen3VLConfig(**QWEN3_VL_8B | {"text_config": text}, **vision_tokens(words))
    with torch.device("meta"):
        network = Qwen3VLForConditionalGeneration(config)
    config.save_pretrained(folder)
    put_shards(random_state(network), folder, 4)
    words.save_pretrained(folder)
    put_processor(folder, longest=25_165_824)
    _complete("qwen3_vl_8b", folder)


def random_state(network: nn.Module) -> dict[str, torch.Tensor]:
    """A state dict in bfloat16 for a network without numbers (on `meta`): windows of one stretch of noise, which hold
    no memory of their own."""
    shapes = {name: tensor.shape for name, tensor in network.state_dict().items()}
    longest = max(shape[0] * WINDOW_STEP + shape.numel() // shape[0] for shape in shapes.values())
    noise = (0.02 * torch.randn(longest, generator=torch.Generator().manual_seed(0))).to(torch.bfloat16)
    state = {}
    for name, shape in shapes.items():
        if len(shape) == 1:
            state[name] = 1 + noise[: shape[0]]
        else:
            columns = shape.numel() // shape[0]
            state[name] = noise.unfold(0, columns, WINDOW_STEP)[: shape[0]].unflatten(1, shape[1:])
    return state


def _cache_folder(name: str) -> Path:
    """Of a set of weights that is written where it is read: another copy and its hash would take minutes."""
    folder = Cache().folder(weights.find(name))
    folder.mkdir(parents=True)
    return folder


def _complete(name: str, folder: Path) -> None:
    """Leaves files of the release empty that the library's tokenizer of today no longer writes."""
    for file in weights.find(name).files:
        if not (folder / file.path).exists():
            (folder / file.path).write_text("{}", encoding="utf-8")


PUT: dict[str, Callable[..., None]] = {"llava_video": put_llava_video, "qwen3_vl": put_qwen3_vl}
"""Writes the random weights of a captioner whose language model has `layers`."""
CAPTIONERS = {name: captioner(name) for name in PUT}
