"""Clean frames and dropped conditions are drawn with the release's shares, from the given generator alone."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from demix.config import ConfigError, validate
from mtv_train.diffusion.conditioning import CleanFrameSettings, DropSettings, draw_clean_frames, draw_drops

DRAWS = 20000
KINDS = [name for name in CleanFrameSettings.model_fields if not name.startswith("official")]


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_shares_of_the_release(shared_vectors: Path) -> None:
    simulated = _facts(shared_vectors)["simulated"]
    generator, settings = _generator(0), CleanFrameSettings(official_quarter_random=True)
    masks = torch.stack([draw_clean_frames(generator, 13, settings) for _ in range(DRAWS)])
    none = float((~masks).all(1).float().mean())
    assert none == pytest.approx(simulated["share_all_true"], abs=0.012)
    only_first = float((masks[:, 0] & ~masks[:, 1:].any(1)).float().mean())
    assert only_first == pytest.approx(simulated["share_only_first"], abs=0.012)
    torch.testing.assert_close(
        masks.float().mean(0), torch.tensor(simulated["share_of_each_latent_frame_conditioned"]), atol=0.012, rtol=0
    )


def _facts(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "mtv_facts.json").read_text())["frame_mask"]


def test_shares_are_those_of_the_facts(shared_vectors: Path) -> None:
    theirs = {"image_head": "head", "image_tail": "tail", "image_head_tail": "head_tail", "intepolate": "interpolate"}
    shares = {theirs.get(name, name): share for name, share in _facts(shared_vectors)["probabilities"].items()}
    assert CleanFrameSettings().model_dump(exclude={"official_quarter_random"}) == shares


@given(st.integers(1, 40), st.sampled_from(KINDS), st.integers(0, 2**40), st.booleans())
def test_every_kind_leaves_something_to_do(frames: int, kind: str, seed: int, official: bool) -> None:
    settings = CleanFrameSettings(**{name: float(name == kind) for name in KINDS}, official_quarter_random=official)
    clean = draw_clean_frames(_generator(seed), frames, settings)
    assert clean.shape == (frames,)
    assert clean.dtype == torch.bool
    assert not clean.all()
    assert torch.equal(clean, draw_clean_frames(_generator(seed), frames, settings)), "other randomness is used"


def test_what_each_kind_marks() -> None:
    seen: dict[str, Counter[str]] = {}
    for kind in KINDS:
        settings = CleanFrameSettings(**{name: float(name == kind) for name in KINDS})
        generator = _generator(1)
        draws = (draw_clean_frames(generator, 13, settings).int().tolist() for _ in range(300))
        seen[kind] = Counter("".join(map(str, draw)) for draw in draws)
    assert set(seen["head"]) == {"1" + "0" * 12}
    assert set(seen["tail"]) == {"0" * 12 + "1"}
    assert set(seen["head_tail"]) == {"1" + "0" * 11 + "1"}
    assert set(seen["interpolate"]) == {"1010101010101", "0101010101010"}
    assert set(seen["quarter_head"]) == {"1" * n + "0" * (13 - n) for n in (1, 2, 3)}
    assert set(seen["quarter_tail"]) == {"0" * (13 - n) + "1" * n for n in (1, 2, 3)}
    assert set(seen["quarter_head_tail"]) == {"1" * n + "0" * (13 - 2 * n) + "1" * n for n in (1, 2, 3)}
    runs = {"0" * i + "1" * n + "0" * (13 - i - n) for n in (1, 2, 3) for i in range(14 - n)}
    assert set(seen["quarter_random"]) == runs, "a run anywhere, no other pattern, every one of them"
    assert len(seen["random"]) > 100


def test_official_run_mostly_misses() -> None:
    shares = {name: float(name == "quarter_random") for name in KINDS}
    generator = _generator(2)
    settings = CleanFrameSettings(**shares, official_quarter_random=True)
    hit = sum(bool(draw_clean_frames(generator, 13, settings).any()) for _ in range(2000))
    assert 0.01 < hit / 2000 < 0.05


@pytest.mark.parametrize("shares", [{"head": 1.0}, {"tail": -0.1}])
def test_shares_must_be_shares(shares: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="sum to at most 1"):
        validate(CleanFrameSettings, shares)


def test_drops() -> None:
    generator = _generator(3)
    drops = [draw_drops(generator, DropSettings(text=0.1, audio=0.05)) for _ in range(DRAWS)]
    assert sum(d.text for d in drops) / DRAWS == pytest.approx(0.1, abs=0.01)
    assert all(d.speech == d.effects == d.music == d.speech2 for d in drops), "tracks go together"
    assert sum(d.speech for d in drops) / DRAWS == pytest.approx(0.05, abs=0.007)


def test_drops_per_track() -> None:
    generator = _generator(4)
    drops = [draw_drops(generator, DropSettings(text=0, audio=0, per_track=0.2)) for _ in range(DRAWS)]
    for track in ("speech", "speech2", "effects", "music"):
        assert sum(getattr(d, track) for d in drops) / DRAWS == pytest.approx(0.2, abs=0.012)
    together = sum(d.speech and d.music for d in drops) / DRAWS
    assert together == pytest.approx(0.04, abs=0.006), "each by itself"


def test_other_settings_do_not_move_later_draws() -> None:
    """A generator that serves more after this gives the same, whatever was dropped."""
    states = []
    for settings in (DropSettings(text=0, audio=0), DropSettings(text=1, audio=1, per_track=1)):
        generator = _generator(5)
        draw_drops(generator, settings)
        states.append(generator.get_state())
    assert torch.equal(*states)
