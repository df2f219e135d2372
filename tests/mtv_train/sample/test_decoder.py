"""A video that is decoded as it is made is bit for bit what the VAE makes of the whole, whatever comes at a time."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mtv_train.sample.decoder import GROUP, Decoder, to_bytes, to_floats
from mtv_train.sample.pipeline import MTVPipeline
from mtv_train.train.components import make_vae
from tests.mtv_train.sample.making import settings as tiny_settings

VAE: Any = make_vae(tiny_settings().model, 0, torch.float32)
SCALE = 0.7
LATENTS = torch.randn(2, 9, 16, 4, 6, generator=torch.Generator().manual_seed(0))


def raw(pictures: Tensor) -> Tensor:
    """As they leave the VAE."""
    return pictures


def whole(latents: Tensor) -> Tensor:
    """What the VAE itself makes of them, all at once; an even number ends with the last one again."""
    count = latents.shape[1]
    odd = latents if count % 2 else torch.cat([latents, latents[:, -1:]], 1)
    with torch.no_grad():
        made: Tensor = VAE.decode((odd / SCALE).transpose(1, 2)).sample
    return made[:, :, : 1 + GROUP * (count - 1)]


def streamed(latents: Tensor, cuts: list[int]) -> Tensor:
    decoder = Decoder(VAE, SCALE, finish=raw)
    ends = [0, *cuts, latents.shape[1]]
    pieces = [latents[:, start:end] for start, end in pairwise(ends)]
    return torch.cat(
        [made for place, piece in enumerate(pieces) for made in decoder.feed(piece, last=place == len(cuts))], 2
    )


@pytest.fixture(params=["whole", "tiled", "sliced", "tiled and sliced"])
def kind(request: pytest.FixtureRequest) -> Any:
    if "tiled" in request.param:
        VAE.enable_tiling(16, 24, tile_overlap_factor_height=0.25, tile_overlap_factor_width=0.25)
    if "sliced" in request.param:
        VAE.enable_slicing()
    yield request.param
    VAE.disable_tiling()
    VAE.disable_slicing()


def test_every_number_of_latent_frames_is_decoded_as_a_whole(kind: str) -> None:
    for count in range(1, 6):
        latents = LATENTS[: 2 if "sliced" in kind else 1, :count]
        wanted = whole(latents)
        assert wanted.shape[2] == 1 + GROUP * (count - 1)
        for cuts in ([], list(range(1, count))):
            assert torch.equal(streamed(latents, cuts), wanted), (kind, count, cuts)


@settings(max_examples=10, deadline=None)
@given(st.integers(1, 9), st.data())
def test_whatever_comes_at_a_time(count: int, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, count), max_size=4)))
    assert torch.equal(streamed(LATENTS[:1, :count], cuts), whole(LATENTS[:1, :count]))


def test_two_videos_at_a_time_do_not_mix() -> None:
    """A preview is decoded while a long video is."""
    one, other = LATENTS[:1], LATENTS[1:]
    decoder = Decoder(VAE, SCALE, finish=raw)
    first = list(decoder.feed(one[:, :5]))
    assert torch.equal(streamed(other, [4]), whole(other))
    assert torch.equal(torch.cat([*first, *decoder.feed(one[:, 5:], last=True)], 2), whole(one))
    assert not VAE.decoder._forward_hooks
    assert not VAE.decoder._forward_pre_hooks


def test_floats_are_no_rounded_bytes(loaded: MTVPipeline) -> None:
    pictures = torch.linspace(-1.2, 1.2, 2 * 3 * 5 * 4 * 6).reshape(2, 3, 5, 4, 6)
    floats, values = to_floats(pictures), to_bytes(pictures)
    assert floats.shape == values.shape == (2, 5, 4, 6, 3)
    assert (float(floats.min()), float(floats.max())) == (0, 1)
    assert torch.equal((floats * 255).round().to(torch.uint8), values)
    latents = LATENTS[:, :3] * 0.1
    shown = loaded.shown(latents, "pt")
    assert shown.shape[:3] == (2, 9, 3)
    assert torch.equal(torch.from_numpy(loaded.shown(latents, "np")).permute(0, 1, 4, 2, 3), shown)
    assert len(torch.unique(shown)) > 1000  # of 8 bits there are 256
    with pytest.raises(ValueError, match="there are uint8, pil, np, pt, latent"):
        loaded.shown(latents, "tensor")
