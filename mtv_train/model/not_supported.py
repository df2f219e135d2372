"""What diffusers' models can do and this one cannot: said in one sentence, instead of an AttributeError or silence."""

from __future__ import annotations

from typing import Any, NoReturn


class NotSupported:
    """Methods of diffusers' models that would do nothing here, or something else than they say."""

    def enable_cache(self, *_given: Any, **_options: Any) -> NoReturn:
        """Raises `NotImplementedError`."""
        raise NotImplementedError(
            "MTVTransformer3DModel has no caches between steps (enable_cache): diffusers' hooks expect blocks that "
            "take hidden states and text alone"
        )

    def set_attention_backend(self, backend: str) -> NoReturn:
        """Raises `NotImplementedError`."""
        raise NotImplementedError(
            f"MTVTransformer3DModel does not dispatch attention (set_attention_backend {backend!r}): it always asks "
            "torch's scaled_dot_product_attention; choose its kernel with torch.nn.attention.sdpa_kernel"
        )

    def add_adapter(self, *_given: Any, **_options: Any) -> NoReturn:
        """Raises `NotImplementedError`."""
        raise NotImplementedError(
            "MTVTransformer3DModel takes no adapters of diffusers (add_adapter): train LoRA with --set "
            "model.lora.rank=N, which `mtv_train export` merges into the weights"
        )
