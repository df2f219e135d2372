"""Which picture stands where: decoded latents show what they hold at their own time, however many there are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from mtv_train.sample.guidance import Guidance
from mtv_train.sample.long_video import LongSampler, LongSettings, Plan
from mtv_train.sample.pictures import decode, frames_of
from mtv_train.sample.pipeline import MTVPipeline
from mtv_train.sample.shape import Shape

SCALE = 0.7


def scenes(numbers: Sequence[int]) -> Tensor:
    """Latent frames (1, frames, 16, 6, 8), one for each number; equal numbers are equal frames."""
    made = [torch.randn(16, 6, 8, generator=torch.Generator().manual_seed(number)) for number in numbers]
    return torch.stack(made)[None] * SCALE


def first_change(video: np.ndarray | Tensor) -> int:
    """The frame at which a video that shows one thing and then another changes. The VAE's pictures glide on for some
    frames afterwards, and tremble a little in the pair of latent frames before."""
    values = torch.as_tensor(np.asarray(video)).float()
    changes = (values[1:] - values[:-1]).abs().mean((1, 2, 3))
    return int((changes > changes.max() / 2).nonzero()[0]) + 1


@pytest.mark.parametrize("count", range(1, 9))
def test_a_change_of_scene_is_decoded_where_it_is(loaded: MTVPipeline, count: int) -> None:
    for cut in range(1, count):
        video = decode(loaded.vae, scenes([0] * cut + [1] * (count - cut)), SCALE)[0]
        assert len(video) == 1 + 4 * (count - 1)
        assert first_change(video) == frames_of(cut)[0], (count, cut)
    assert decode(loaded.vae, scenes([0] * count), SCALE).shape[1] == frames_of(count - 1)[1] + 1


def test_tiles_are_decoded_where_they_are(loaded: MTVPipeline) -> None:
    loaded.vae.enable_tiling(32, 32, tile_overlap_factor_height=0.25, tile_overlap_factor_width=0.25)
    try:
        assert first_change(decode(loaded.vae, scenes([0, 0, 1, 1]), SCALE)[0]) == 5
    finally:
        loaded.vae.disable_tiling()


@pytest.mark.parametrize("frames", [5, 9, 13, 21])
def test_the_pipeline_shows_latents_at_their_time(
    loaded: MTVPipeline, frames: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`num_frames` of even and odd numbers of latent frames; the last latent frame holds something else."""
    latents = scenes([0] * (frames // 4) + [1])
    monkeypatch.setattr(loaded, "denoised", lambda *_, **__: latents)
    shown: Any = loaded("", num_frames=frames, num_inference_steps=2, output_type="np").frames
    assert shown.shape[1] == frames
    assert first_change(shown[0]) == frames - 4


@pytest.mark.parametrize("handover", ["latents", "pictures"])
@pytest.mark.parametrize("frames", [21, 37, 53])
def test_long_videos_show_latents_at_their_time(
    loaded: MTVPipeline, frames: int, handover: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows of 21 frames (six latent frames) that overlap by two: the whole has 6, 10 and 14. The third latent frame
    from the end holds something else than those before it."""
    plan = Plan(Shape(21, 48, 64), frames, 2)
    whole = scenes([0] * (plan.latent_frames - 3) + [1] * 3)
    windows = iter([whole[:, plan.latents(window)] for window in range(plan.windows)])
    monkeypatch.setattr(loaded, "denoised", lambda *_, **__: next(windows))
    sampler = LongSampler(loaded, plan, LongSettings(handover=handover), Guidance(1), torch.Generator().manual_seed(0))
    video = sampler("", {}, {}, 1, lambda _: None)
    assert len(video) == frames
    assert first_change(video) == frames_of(plan.latent_frames - 3)[0]


def test_a_keyframe_is_seen_at_its_frame(loaded: MTVPipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a video of an even number of latent frames, everything but the keyframe being the same."""
    shape = loaded.shape(13, 48, 64)
    clean = loaded.clean({9: Image.new("RGB", (64, 48), "white")}, shape)
    video = loaded.shown(clean.paste(scenes([0] * 4)))[0]
    assert first_change(video) == 9
