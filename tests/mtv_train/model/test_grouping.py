"""Sound is grouped into latent intervals exactly as the video VAE groups frames: one, then four by four, causally."""

from __future__ import annotations

import pytest
import torch
from diffusers import AutoencoderKLCogVideoX
from torch import nn

from mtv_train.model.projector import AudioProjector
from tests.mtv_train.model import tiny


def _vae() -> AutoencoderKLCogVideoX:
    """A small VAE without its group norms, whose statistics run over time: its convolutions are what places frames."""
    torch.manual_seed(0)
    vae = AutoencoderKLCogVideoX(
        down_block_types=("CogVideoXDownBlock3D",) * 4,
        up_block_types=("CogVideoXUpBlock3D",) * 4,
        block_out_channels=(4, 4, 4, 4),
        layers_per_block=1,
        latent_channels=2,
        norm_num_groups=1,
    ).eval()
    for module in list(vae.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.GroupNorm):
                setattr(module, name, nn.Identity())
    return vae


@pytest.mark.parametrize("temporal_conv", ["per_token", "dense"])
@torch.no_grad()
def test_same_count_as_the_vae(temporal_conv: str) -> None:
    vae, projector = _vae(), AudioProjector(tiny.settings(temporal_conv=temporal_conv))
    for frames in (1, 5, 9, 49):
        latents = vae.encode(torch.zeros(1, 3, frames, 16, 16)).latent_dist.mode().shape[2]
        assert projector(torch.zeros(1, frames, 5, 3, 8)).shape == (1, latents, 4, 12)


@pytest.mark.parametrize("temporal_conv", ["per_token", "dense"])
@torch.no_grad()
def test_same_frames_as_the_vae(temporal_conv: str) -> None:
    """The interval that a frame of sound belongs to is the first latent frame that the same frame of video moves."""
    vae, projector = _vae(), AudioProjector(tiny.settings(temporal_conv=temporal_conv))
    torch.manual_seed(1)
    video, sound = torch.randn(1, 3, 17, 16, 16), torch.randn(1, 17, 5, 3, 8)
    still, silent = vae.encode(video).latent_dist.mode(), projector(sound)
    for frame in range(17):
        moved, heard = video.clone(), sound.clone()
        moved[:, :, frame] += 1
        heard[:, frame] += 1
        latents = (vae.encode(moved).latent_dist.mode() != still).flatten(3).any(3).any(1)[0]
        intervals = (projector(heard) != silent).flatten(2).any(2)[0]
        assert intervals.nonzero().flatten().tolist() == [int(latents.nonzero()[0])]


@pytest.mark.parametrize("frames", [2, 48, 50, 51])
def test_other_counts_are_refused(frames: int) -> None:
    with pytest.raises(ValueError, match=r"1 \+ 4n"):
        AudioProjector(tiny.settings())(torch.zeros(1, frames, 5, 3, 8))
