"""What LLaVA-Video is shown and told, as its release shows and tells it. Pure functions.

Source: LLaVA-VL/LLaVA-NeXT, `playground/demo/video_demo.py`, `llava/utils.py`, `llava/model/llava_arch.py` and
`llava/model/multimodal_encoder/siglip_encoder.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from demix.lazy_module import lazy_module
from demix.models.captioning.conversation import Said

if TYPE_CHECKING:
    import torch
    from torch.nn import functional
else:
    torch = lazy_module("torch")
    functional = lazy_module("torch.nn.functional")

VIDEO = "<image>"
"""Stands in the text of the first turn where the video's tokens go."""
SYSTEM = "You are a helpful assistant."

Pooling = Literal["average", "max", "bilinear"]


def frame_indices(frames: int, fps: float, most: int = 64, per_second: float = 1.0, forced: bool = True) -> list[int]:
    """Numbers of the frames that are sampled of a clip of `frames` at `fps` frames a second.

    `forced` (the release's way of answering): `most` of them from the first to the last, evenly but rounded down, so
    those of a shorter clip are repeated. Else `per_second`, or `most` as above if these are more.
    """
    stride = max(round(fps / per_second), 1)
    regular = list(range(0, frames, stride))
    if forced or len(regular) > most:
        return np.linspace(0, frames - 1, most, dtype=int).tolist()
    return regular


def pixels(frames: np.ndarray, side: int = 384) -> torch.Tensor:
    """uint8 RGB (frames, height, width, 3) as SigLIP wants it: float32 (frames, 3, side, side) in -1..1, squeezed to a
    square (bicubic, PIL)."""
    squares = np.stack([_square(frame, side) for frame in frames])
    return torch.from_numpy(squares).permute(0, 3, 1, 2).float() / 127.5 - 1


def _square(frame: np.ndarray, side: int) -> np.ndarray:
    """uint8 RGB (height, width, 3) resized to (side, side, 3), the longer side first.

    Pillow rounds between its two passes, so their order shows in the pixels. Up to version 12 it takes the width first,
    from 13 on what costs less. Two calls give the latter's answer with both.
    """
    from PIL import Image

    height, width, _ = frame.shape
    between = (width, side) if height > width else (side, height)
    image = Image.fromarray(frame).resize(between, Image.Resampling.BICUBIC)
    return np.asarray(image.resize((side, side), Image.Resampling.BICUBIC))


def pooled(features: torch.Tensor, pooling: Pooling, stride: int = 2) -> torch.Tensor:
    """Features (frames, side * side, width) of a square grid, `stride` times coarser: the sides are rounded up where
    `bilinear`, else down. Returns (frames, height, width of the grid, width)."""
    side = round(features.shape[1] ** 0.5)
    grid = features.unflatten(1, (side, side)).permute(0, 3, 1, 2)
    if pooling == "average":
        coarse = functional.avg_pool2d(grid, stride)
    elif pooling == "max":
        coarse = functional.max_pool2d(grid, stride)
    else:
        coarse = functional.interpolate(grid, size=[-(-side // stride)] * 2, mode="bilinear")
    return coarse.permute(0, 2, 3, 1)


def token_rows(grid: torch.Tensor, newline: torch.Tensor) -> torch.Tensor:
    """Features (frames, height, width of the grid, width) row by row with `newline` (width,) after each row:
    (frames * height * (width of the grid + 1), width)."""
    ends = newline.to(grid).expand(*grid.shape[:2], 1, grid.shape[-1])
    return torch.cat([grid, ends], dim=2).flatten(0, 2)


def prompt(turns: Sequence[Said]) -> str:
    """The conversation `qwen_1_5`, up to where the model begins to answer; the video stands before the first text."""
    first, *others = turns
    texts = [("system", SYSTEM), (first.role, f"{VIDEO}\n{first.text}"), *((each.role, each.text) for each in others)]
    told = "".join(f"<|im_start|>{role}\n{text}<|im_end|>\n" for role, text in texts)
    return f"{told}<|im_start|>assistant\n"
