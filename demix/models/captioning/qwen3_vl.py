"""Qwen3-VL in this process, through the `transformers` library (Bai et al. 2025)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from demix import weights
from demix.lazy_module import lazy_module
from demix.models.batches import torch_device
from demix.models.captioning import Description, Scene
from demix.models.captioning.conversation import Said, answered
from demix.models.captioning.settings import Qwen3VlSettings
from demix.models.transformers_folder import load_strictly
from demix.stage import Resources

if TYPE_CHECKING:
    import torch
else:
    torch = lazy_module("torch")

TICKS = 1000
"""Frames are dated in milliseconds: the library wants whole numbers at a rate."""


BEGIN, END = "<|vision_start|>", "<|vision_end|>"


class Qwen3Vl:
    """A `Captioner`. The frames are given as one video with the time of each, in the release's own template."""

    name: ClassVar[str] = "qwen3_vl"
    revision: ClassVar[str] = "1"
    licence: ClassVar[str] = "Apache-2.0 (code: transformers; weights: Qwen/Qwen3-VL-Instruct)"
    resources: ClassVar[Resources] = Resources(gpus=1.0, pool="captioning")

    @classmethod
    def weights(cls, settings: Qwen3VlSettings) -> tuple[str, ...]:
        return (settings.weights,)

    def __init__(self, settings: Qwen3VlSettings, device: str = "auto", threads: int = 1):
        from transformers import AutoProcessor, Qwen3VLForConditionalGeneration

        from demix.models.captioning.generation import Writer

        torch.set_num_threads(threads)
        self.settings = settings
        self.device = torch_device(device)
        folder = weights.folder(settings.weights)
        dtype: torch.dtype = getattr(torch, settings.dtype)
        self.processor = AutoProcessor.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        self.network = load_strictly(Qwen3VLForConditionalGeneration, folder, dtype=dtype).to(self.device)
        self.writer = Writer(self.network, self.processor.tokenizer, settings)

    def describe(self, scenes: list[Scene]) -> list[Description]:
        """See `Captioner`. Raises `WrongForm` if an answer cannot be read, which cannot happen while `guided`."""
        return [self._describe(scene) for scene in scenes]

    def _describe(self, scene: Scene) -> Description:
        def ask(turns: Sequence[Said]) -> str:
            return self.writer.write(self.prompt(scene, turns), scene.persons)

        return answered(scene, ask, self.settings.repairs)

    def prompt(self, scene: Scene, turns: Sequence[Said]) -> dict[str, torch.Tensor]:
        """What the network is given: token ids, patches of the frames, and where which go."""
        from transformers.video_utils import VideoMetadata

        first, *others = turns
        content: list[dict[str, Any]] = [{"type": "video"}, {"type": "text", "text": first.text}]
        messages = [{"role": first.role, "content": content}]
        messages += [{"role": each.role, "content": [{"type": "text", "text": each.text}]} for each in others]
        text = self.processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        # As in Qwen's own release of the code, and in vLLM, only each pair of frames stands between marks; version 5 of
        # the library leaves the template's marks around them all.
        text = text.replace(f"{BEGIN}{self.processor.video_token}{END}", self.processor.video_token)
        ticks = [round(time * TICKS) for time in scene.times]
        seen = VideoMetadata(total_num_frames=round(scene.seconds * TICKS), fps=TICKS, frames_indices=ticks)
        given = self.processor(
            text=[text],
            videos=[np.ascontiguousarray(scene.frames.transpose(0, 3, 1, 2))],
            video_metadata=[seen],
            do_sample_frames=False,
            cap_pixels_per_frame=True,
            return_tensors="pt",
        )
        wanted = ("input_ids", "attention_mask", "pixel_values_videos", "video_grid_thw", "mm_token_type_ids")
        return {name: given[name].to(self.device) for name in wanted}
