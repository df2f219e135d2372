"""Weights of the captioners (role `captioning`)."""

from __future__ import annotations

from demix.weights.registry import Weights, hub_files

_LLAVA = "lmms-lab/LLaVA-Video-7B-Qwen2"
_TOKENIZER = {"merges": "merges.txt", "tokenizer_config": "tokenizer_config.json", "vocab": "vocab.json"}


def _shards(count: int) -> dict[str, str]:
    files = {f"model{n}": f"model-{n:05d}-of-{count:05d}.safetensors" for n in range(1, count + 1)}
    return {**files, "index": "model.safetensors.index.json", "config": "config.json"}


def _qwen3_vl(name: str, repository: str, size: str, shards: int) -> Weights:
    files = {
        **_shards(shards),
        **_TOKENIZER,
        "tokenizer": "tokenizer.json",
        "template": "chat_template.json",
        "picture": "preprocessor_config.json",
        "video": "video_preprocessor_config.json",
    }
    return Weights(
        name=name,
        role="captioning",
        about=f"Qwen3-VL-{size}-Instruct, a vision-language model",
        home=f"https://huggingface.co/{repository}",
        licence="Apache-2.0",
        files=hub_files(repository, "main", files),
    )


ENTRIES: tuple[Weights, ...] = (
    Weights(
        name="llava_video_7b",
        role="captioning",
        about="LLaVA-Video-7B-Qwen2, the paper's captioner: SigLIP so400m and Qwen2-7B",
        home=f"https://huggingface.co/{_LLAVA}",
        licence="Apache-2.0",
        files=hub_files(
            _LLAVA,
            "main",
            {
                **_shards(4),
                **_TOKENIZER,
                "tokenizer": "tokenizer.json",
                "special_tokens": "special_tokens_map.json",
                "added_tokens": "added_tokens.json",
            },
        ),
    ),
    _qwen3_vl("qwen3_vl_4b", "Qwen/Qwen3-VL-4B-Instruct", "4B", 2),
    _qwen3_vl("qwen3_vl_8b", "Qwen/Qwen3-VL-8B-Instruct", "8B", 4),
)
