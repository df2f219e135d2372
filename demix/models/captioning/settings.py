"""Settings of the captioners, apart from them: a plan can be made without loading them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from demix.config import ModelSettings, Runtime


class ServerSettings(ModelSettings):
    """A vision-language model behind an OpenAI-compatible address (vLLM, SGLang). Where the server wants a key, it is
    read from the environment variable DEMIX_CAPTION_KEY."""

    address: Annotated[str, Runtime(recorded="http://127.0.0.1:8000/v1")] = "http://127.0.0.1:8000/v1"
    """Where the server is, up to and with `/v1`."""
    served_model: str = "Qwen/Qwen3-VL-8B-Instruct"
    """The model's name as the server knows it; the paper's is lmms-lab/LLaVA-Video-7B-Qwen2."""
    concurrency: Annotated[int, Runtime(recorded=8)] = Field(8, ge=1)
    """Questions under way at once, from one worker."""
    retries: Annotated[int, Runtime(recorded=4)] = Field(4, ge=0)
    """Times that a busy or failing server is asked again, as late as it says (Retry-After) or ever later."""
    repairs: Annotated[int, Runtime(recorded=2)] = Field(2, ge=0)
    """Times that the model is asked again after an answer of the wrong form."""
    timeout_seconds: Annotated[float, Runtime(recorded=180.0)] = Field(180.0, gt=0)
    """For one answer."""
    max_tokens: int = Field(1024, ge=64)
    """Longest answer."""


class LocalSettings(ModelSettings):
    """A vision-language model in the worker's own process."""

    dtype: Literal["bfloat16", "float32"] = "bfloat16"
    """Numbers that the net is loaded and run in; the releases are in bfloat16."""
    guided: bool = True
    """The model can only fill in the strings of the answer. Without, it writes freely, and is asked again after an
    answer of the wrong form."""
    person_tokens: int = Field(96, ge=1)
    """Longest description of a person, where `guided`."""
    scene_tokens: int = Field(320, ge=1)
    """Longest description of the scene, where `guided`."""
    max_tokens: int = Field(1024, ge=64)
    """Longest answer, where not `guided`."""
    repairs: Annotated[int, Runtime(recorded=2)] = Field(2, ge=0)
    """Times that the model is asked again after an answer of the wrong form."""


class LlavaVideoSettings(LocalSettings):
    """LLaVA-Video-7B-Qwen2, the paper's captioner."""

    frames: int = Field(64, ge=1)
    """Frames that it is shown, from the first to the last of the clip; a shorter clip's are repeated."""
    batch: Annotated[int, Runtime(recorded=16)] = Field(16, ge=1)
    """Frames that the vision tower looks at at once; halved when the memory of a GPU does not suffice."""


class Qwen3VlSettings(LocalSettings):
    """Qwen3-VL, of the size whose weights are named."""

    weights: Literal["qwen3_vl_4b", "qwen3_vl_8b"] = "qwen3_vl_8b"
    """Which of the released nets."""
