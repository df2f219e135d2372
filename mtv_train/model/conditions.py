"""What a video is denoised from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mtv_train.model.audio import AudioWindows


@dataclass(frozen=True)
class Conditions:
    """`text` (batch, tokens, dim) and the sound, on the model's device. Zeros in either mean "not told"."""

    text: Tensor
    audio: AudioWindows

    def without_text(self) -> Conditions:
        """The sound alone."""
        return Conditions(torch.zeros_like(self.text), self.audio)

    def without_anything(self) -> Conditions:
        """Nothing told: the unconditional branch of guidance."""
        return Conditions(torch.zeros_like(self.text), self.audio.unconditional())

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Conditions:
        """On another device, in another precision."""
        return Conditions(self.text.to(device=device, dtype=dtype), self.audio.to(device, dtype))

    @staticmethod
    def cat(parts: Sequence[Conditions]) -> Conditions:
        """One batch of several."""
        return Conditions(torch.cat([part.text for part in parts]), AudioWindows.cat([part.audio for part in parts]))
