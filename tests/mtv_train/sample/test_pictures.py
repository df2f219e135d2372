"""Which picture stands where: decoded latents show what they hold at their own time, however many there are. And
pictures of all kinds are seen as they are meant."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from demix.config import ConfigError
from mtv_train.sample.guidance import Guidance
from mtv_train.sample.long_video import LongSampler, LongSettings, Plan
from mtv_train.sample.pictures import decode, frames_of, rgb
from mtv_train.sample.pipeline import MTVPipeline
from mtv_train.sample.shape import Shape
from tests.mtv_train.sample.making import sample

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


FAULTS = Path(os.environ.get("DEMIX_SHARED", Path(__file__).parents[3] / "shared")) / "faults" / "trainer"
GREY = np.linspace(0, 1, 64 * 48).reshape(48, 64)


def saved(path: Path, picture: Image.Image, **options: Any) -> Image.Image:
    """As it comes back from a file."""
    picture.save(path, **options)
    return Image.open(path)


def kinds(folder: Path) -> dict[str, tuple[Image.Image, str]]:
    """The same grey ramp in all kinds of pictures, and what is said of it."""
    grey = Image.fromarray((GREY * 255).round().astype(np.uint8))
    deep = Image.fromarray((GREY * 65535).round().astype(np.uint16))
    scaled = "scaled to 8 bits"
    return {
        "L": (saved(folder / "l.png", grey), ""),
        "RGB": (saved(folder / "rgb.png", grey.convert("RGB")), ""),
        "CMYK": (saved(folder / "cmyk.tif", grey.convert("RGB").convert("CMYK")), ""),
        "P": (saved(folder / "p.png", grey.convert("P")), ""),
        "RGBA, opaque": (saved(folder / "rgba.png", grey.convert("RGBA")), ""),
        "LA, opaque": (saved(folder / "la.png", grey.convert("LA")), ""),
        "I;16": (saved(folder / "deep.png", deep), scaled),
        "I;16, tif": (saved(folder / "deep.tif", deep), scaled),
        "I": (Image.fromarray((GREY * 65535).round().astype(np.int32)), scaled),
        "F": (saved(folder / "float.tif", Image.fromarray(GREY.astype(np.float32))), scaled),
    }


def test_every_kind_of_picture_is_seen_as_it_is_meant(tmp_path: Path) -> None:
    for kind, (picture, said) in kinds(tmp_path).items():
        shown, remark = rgb(picture)
        assert shown.mode == "RGB", kind
        assert np.abs(np.asarray(shown).astype(float) - GREY[..., None] * 255).max() <= 1.01, kind
        assert remark.endswith(said), kind
        assert bool(remark) == bool(said), kind


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_what_is_transparent_is_laid_over_white(tmp_path: Path, mode: str) -> None:
    """Left half red (or grey) and there; right half the same, but not there."""
    values = np.zeros((48, 64, 4), np.uint8)
    values[..., 0], values[:, :32, 3] = 255, 255
    picture = Image.fromarray(values).convert(mode) if mode != "P" else Image.fromarray(values).quantize(4)
    shown, remark = rgb(saved(tmp_path / "a.png", picture))
    assert "laid over white" in remark
    assert np.asarray(shown)[:, 32:].min() == 255
    assert np.asarray(shown)[:, :32, 1].max() < 100


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (np.full((4, 4), 255.0, np.float32), "its floats run from 255 to 255, not 0 to 1"),
        (np.full((4, 4), np.nan, np.float32), "its floats run from nan"),
        (np.full((4, 4), -5, np.int32), "its deep grey values run from -5 to -5, not 0 to 65535"),
    ],
)
def test_values_of_no_known_range_are_refused(values: np.ndarray, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        rgb(Image.fromarray(values))


@pytest.mark.skipif(not FAULTS.is_dir(), reason="the files are handed over with the issue, and are not here")
def test_pictures_that_came_out_wrong(model: Path, tmp_path: Path) -> None:
    """A sidecar says what was done; hidden red is not seen."""
    pictures = ("--keyframe", f"0={FAULTS / 'rgba_hidden_red.png'}", "--keyframe", f"8={FAULTS / 'float.tif'}")
    assert sample(model, "--prompt", "x", *pictures, "--steps", "1", "-o", tmp_path / "o.mp4") == 0
    remarks = json.loads((tmp_path / "o.json").read_text())["remarks"]
    assert any("rgba_hidden_red.png is transparent; it was laid over white" in remark for remark in remarks)
    assert any("float.tif has floats; 0 to 1 were scaled to 8 bits" in remark for remark in remarks)
    red = np.asarray(rgb(Image.open(FAULTS / "rgba_hidden_red.png"))[0]).reshape(-1, 3).astype(int)
    assert (red[:, 0] - red[:, 1]).max() < 30
    assert np.asarray(rgb(Image.open(FAULTS / "float.tif"))[0]).max() > 100
