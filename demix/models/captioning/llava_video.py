"""LLaVA-Video-7B-Qwen2, the paper's captioner, in this process (Zhang et al. 2024)."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from demix import weights
from demix.lazy_module import lazy_module
from demix.models.batches import in_batches, torch_device
from demix.models.captioning import Description, Scene
from demix.models.captioning import llava_inputs as inputs
from demix.models.captioning.conversation import Said, answered
from demix.models.captioning.settings import LlavaVideoSettings
from demix.models.transformers_folder import load_strictly
from demix.stage import Resources

if TYPE_CHECKING:
    import torch
else:
    torch = lazy_module("torch")

WEIGHTS = "llava_video_7b"


class LlavaVideo:
    """A `Captioner`. It is shown the frames that the release's own demo would choose, in the release's conversation."""

    name: ClassVar[str] = "llava_video"
    revision: ClassVar[str] = "1"
    licence: ClassVar[str] = "Apache-2.0 (weights: lmms-lab/LLaVA-Video-7B-Qwen2, tagged Apache-2.0)"
    resources: ClassVar[Resources] = Resources(gpus=1.0, pool="captioning")

    @classmethod
    def weights(cls, settings: LlavaVideoSettings) -> tuple[str, ...]:
        return (WEIGHTS,)

    def __init__(self, settings: LlavaVideoSettings, device: str = "auto", threads: int = 1):
        from transformers import AutoTokenizer

        from demix.models.captioning.generation import Writer
        from demix.models.captioning.llava_network import LlavaVideoConfig, LlavaVideoNetwork

        torch.set_num_threads(threads)
        self.settings = settings
        self.device = torch_device(device)
        self.dtype: torch.dtype = getattr(torch, settings.dtype)
        folder = weights.folder(WEIGHTS)
        config = LlavaVideoConfig.read(folder)
        self.side = config.vision_config["image_size"]
        self.network = load_strictly(LlavaVideoNetwork, folder, config=config, dtype=self.dtype).to(self.device)
        self.tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        self.writer = Writer(self.network, self.tokenizer, settings)

    @staticmethod
    def frame_indices(frames: int, fps: Fraction, settings: LlavaVideoSettings) -> list[int]:
        return inputs.frame_indices(frames, float(fps), settings.frames)

    def describe(self, scenes: list[Scene]) -> list[Description]:
        """See `Captioner`. Raises `WrongForm` if an answer cannot be read, which cannot happen while `guided`."""
        return [self._describe(scene) for scene in scenes]

    def _describe(self, scene: Scene) -> Description:
        with torch.inference_mode():
            grids = torch.stack(in_batches(self._see, list(scene.frames), self.settings.batch))

        def ask(turns: Sequence[Said]) -> str:
            before, after = (self._ids(text) for text in inputs.prompt(turns).split(inputs.VIDEO, 1))
            with torch.inference_mode():
                embedded = self.network.embed(before, grids, after)
            mask = torch.ones(embedded.shape[:2], dtype=torch.long, device=self.device)
            return self.writer.write({"inputs_embeds": embedded, "attention_mask": mask}, scene.persons)

        return answered(scene, ask, self.settings.repairs)

    def _see(self, frames: Sequence[np.ndarray]) -> Sequence[torch.Tensor]:
        pictures = inputs.pixels(np.stack(frames), self.side).to(self.device, self.dtype)
        return list(self.network.see(pictures))

    def _ids(self, text: str) -> list[int]:
        return list(self.tokenizer.encode(text, add_special_tokens=False))
