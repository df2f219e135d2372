"""Settings of the captioners, apart from them: a plan can be made without loading them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from demix.config import ModelSettings, Runtime, Settings


class LaunchSettings(Settings):
    """A caption server that the build starts itself (`caption.server.start`), in an environment of its own: one for
    each worker, which listens on the loopback address of the worker's node."""

    environment: str = ".vllm"
    """Folder of that environment, at the same path on every node; `make vllm-env` makes it. A relative one is looked
    for in the working folder and beside the package."""
    model: str = ""
    """Folder of the model, or its name on the hub; empty: as `served_model`."""
    gpus: float = Field(1.0, gt=0)
    """GPUs for one server: a share of one, which is also its share of the memory, or several whole ones."""
    port: int = Field(0, ge=0, le=65535)
    """Where it listens; 0: a port that is free. Another one only where no node has several servers."""
    arguments: str = ""
    """More arguments for it, as in a shell."""
    start_seconds: float = Field(1800.0, gt=0)
    """How long it may take to read the model and answer."""
    restarts: int = Field(10, ge=0)
    """Times in a row, with no question answered in between, that a server which ended is started again. A clip at which
    it ends each time is given up before."""


class ServerSettings(ModelSettings):
    """A vision-language model behind an OpenAI-compatible address (vLLM, SGLang). Where a server that is not started by
    the build wants a key, it is read from the environment variable DEMIX_CAPTION_KEY."""

    start: Annotated[Literal["none", "vllm", "sglang"], Runtime()] = "none"
    """`vllm`, `sglang`: workers start a server each, watch it, and stop it at the end. `none`: one runs already."""
    launch: Annotated[LaunchSettings, Runtime()] = LaunchSettings()
    address: Annotated[str, Runtime(recorded="http://127.0.0.1:8000/v1")] = "http://127.0.0.1:8000/v1"
    """Where the server is, up to and with `/v1`; not read where workers start servers."""
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

    @model_validator(mode="after")
    def _whole_gpus(self) -> ServerSettings:
        if self.launch.gpus > 1 and not self.launch.gpus.is_integer():
            raise ValueError("launch.gpus: a share of one GPU, or a whole number of them")
        return self


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
