"""Settings of the captioners, apart from them: a plan can be made without loading them."""

from __future__ import annotations

from pydantic import Field

from demix.config import ModelSettings


class ServerSettings(ModelSettings):
    """A vision-language model behind an OpenAI-compatible address (vLLM, SGLang). Where the server wants a key, it is
    read from the environment variable DEMIX_CAPTION_KEY."""

    address: str = "http://127.0.0.1:8000/v1"
    """Where the server is, up to and with `/v1`."""
    served_model: str = "Qwen/Qwen3-VL-8B-Instruct"
    """The model's name as the server knows it; the paper's is lmms-lab/LLaVA-Video-7B-Qwen2."""
    concurrency: int = Field(8, ge=1)
    """Questions under way at once, from one worker."""
    retries: int = Field(4, ge=0)
    """Times that a busy or failing server is asked again, as late as it says (Retry-After) or ever later."""
    repairs: int = Field(2, ge=0)
    """Times that the model is asked again after an answer of the wrong form."""
    timeout_seconds: float = Field(180.0, gt=0)
    """For one answer."""
    max_tokens: int = Field(1024, ge=64)
    """Longest answer."""
