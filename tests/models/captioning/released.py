"""Tiny vision-language models of random weights in the exact layout of the releases: files, names, tokenizer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from torch import nn
from transformers import PreTrainedTokenizerFast, Qwen3VLConfig, Qwen3VLForConditionalGeneration

from demix import weights
from demix.models.captioning.llava_network import LlavaVideoConfig, LlavaVideoNetwork
from demix.weights.fetch import adopt
from demix.weights.receipt import RANDOM

SPECIAL = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
    "<|video_pad|>",
)
LLAVA: dict[str, Any] = {
    "architectures": ["LlavaQwenForCausalLM"],
    "model_type": "llava",
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 272,
    "rope_theta": 1000000.0,
    "tie_word_embeddings": False,
    "use_sliding_window": False,
    "mm_hidden_size": 24,
    "mm_newline_position": "grid",
    "mm_projector_type": "mlp2x_gelu",
    "mm_spatial_pool_mode": "bilinear",
    "mm_vision_tower": "google/siglip-so400m-patch14-384",
    "torch_dtype": "bfloat16",
    "vision_config": {
        "hidden_size": 24,
        "intermediate_size": 40,
        "num_hidden_layers": 3,
        "num_attention_heads": 2,
        "image_size": 42,
        "patch_size": 14,
    },
}
"""The release's `config.json` with small numbers and a tower of its own."""
QWEN3_VL: dict[str, Any] = {
    "text_config": {
        "vocab_size": 272,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "rope_parameters": {"rope_type": "default", "rope_theta": 5e6, "mrope_section": [2, 1, 1]},
    },
    "vision_config": {
        "depth": 3,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_heads": 2,
        "out_hidden_size": 32,
        "patch_size": 16,
        "num_position_embeddings": 64,
        "deepstack_visual_indexes": [0, 1, 2],
    },
    "tie_word_embeddings": False,
}
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{% for part in message.content %}"
    "{% if part.type == 'video' %}<|vision_start|><|video_pad|><|vision_end|>{% else %}{{ part.text }}{% endif %}"
    "{% endfor %}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""What the release's template comes to for a conversation about a video."""


def tokenizer() -> PreTrainedTokenizerFast:
    """Bytes as tokens, and the special ones that Qwen knows."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    made = Tokenizer(models.BPE(vocab={letter: number for number, letter in enumerate(letters)}, merges=[]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(tokenizer_object=made, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    fast.add_special_tokens({"additional_special_tokens": list(SPECIAL)})
    return fast


def randomised(network: nn.Module, seed: int = 0) -> nn.Module:
    """Weights that make a difference everywhere."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.copy_(1 + 0.1 * noise if parameter.dim() == 1 else noise / max(parameter[0].numel(), 1) ** 0.5)
    return network.eval()


def llava_network(folder: Path) -> LlavaVideoNetwork:
    """The network of `LLAVA`; its configuration is written to and read from `folder`."""
    (folder / "config.json").write_text(json.dumps(LLAVA), encoding="utf-8")
    network = LlavaVideoNetwork(LlavaVideoConfig.read(folder))
    randomised(network)
    return network


def put_llava_video(folder: Path) -> None:
    """All files of the release `llava_video_7b`, tiny."""
    folder.mkdir(parents=True, exist_ok=True)
    put_shards(llava_network(folder).state_dict(), folder, 4)
    tokenizer().save_pretrained(folder)
    put("llava_video_7b", folder)


def put_qwen3_vl(folder: Path, name: str = "qwen3_vl_8b") -> None:
    """All files of the release, tiny."""
    folder.mkdir(parents=True, exist_ok=True)
    words = tokenizer()
    network = Qwen3VLForConditionalGeneration(Qwen3VLConfig(**QWEN3_VL, **vision_tokens(words)))
    randomised(network)
    network.config.save_pretrained(folder)
    put_shards(network.state_dict(), folder, 2 if name == "qwen3_vl_4b" else 4)
    words.save_pretrained(folder)
    put_processor(folder, longest=65536)
    put(name, folder)


def vision_tokens(words: PreTrainedTokenizerFast) -> dict[str, Any]:
    """The numbers of the tokens around pictures, as Qwen3-VL's configuration names them."""
    return {
        "image_token_id": words.convert_tokens_to_ids("<|image_pad|>"),
        "video_token_id": words.convert_tokens_to_ids("<|video_pad|>"),
        "vision_start_token_id": words.convert_tokens_to_ids("<|vision_start|>"),
        "vision_end_token_id": words.convert_tokens_to_ids("<|vision_end|>"),
    }


def put_processor(folder: Path, longest: int) -> None:
    """Qwen3-VL's files that say how pictures become patches; `longest`: pixels that a picture or video may have."""
    sizes = {
        "patch_size": 16,
        "temporal_patch_size": 2,
        "merge_size": 2,
        "image_mean": [0.5] * 3,
        "image_std": [0.5] * 3,
    }
    size = {"shortest_edge": 4096, "longest_edge": longest}
    picture = {
        **sizes,
        "size": size,
        "processor_class": "Qwen3VLProcessor",
        "image_processor_type": "Qwen2VLImageProcessorFast",
    }
    video = {
        **sizes,
        "size": size,
        "processor_class": "Qwen3VLProcessor",
        "video_processor_type": "Qwen3VLVideoProcessor",
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(picture), encoding="utf-8")
    (folder / "video_preprocessor_config.json").write_text(json.dumps(video), encoding="utf-8")
    (folder / "chat_template.json").write_text(json.dumps({"chat_template": TEMPLATE}), encoding="utf-8")


def put_shards(state: dict[str, torch.Tensor], folder: Path, count: int) -> None:
    """A state dict in bfloat16 over `count` files, with the index that says which is where."""
    names = sorted(state)
    table: dict[str, str] = {}
    for number in range(count):
        file = f"model-{number + 1:05d}-of-{count:05d}.safetensors"
        part = {name: state[name].to(torch.bfloat16).contiguous() for name in names[number::count]}
        save_file(part, folder / file, metadata={"format": "pt"})
        table |= dict.fromkeys(part, file)
    index = {"metadata": {"total_size": 0}, "weight_map": table}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")


def put(name: str, folder: Path) -> None:
    """A folder as the set `name` of the cache, marked as generated. A file of the release that the library's tokenizer
    of today no longer writes is left empty."""
    entry = weights.find(name)
    for file in entry.files:
        path = folder / file.path
        if not path.exists():
            path.write_text("{}", encoding="utf-8")
        adopt(entry, file, path, RANDOM)
