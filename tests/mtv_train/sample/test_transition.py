"""Scenes: windows are blended as they should be, texts follow time, and keys and values come from the neighbour in the
chosen layers and steps and nowhere else."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
import torch
from torch import Tensor

from demix.config import ConfigError, validate
from mtv_train.model.audio import AudioWindows
from mtv_train.sample.guidance import Guidance
from mtv_train.sample.pipeline import MTVPipeline
from mtv_train.sample.shape import Shape
from mtv_train.sample.track import Track
from mtv_train.sample.transition import (
    KeyValueSharing,
    Scenes,
    SceneSampler,
    TransitionSettings,
    blend_weights,
    mixed_text,
)
from tests.mtv_train.model import tiny
from tests.mtv_train.sample.making import RATE, tone

WINDOW = Shape(25, 32, 32)
SOUND = {"speech": Track(tone(2.0).T, RATE)}


def sampled(pipeline: MTVPipeline, texts: dict[float, str], guidance: float = 1.0, **options: Any) -> Tensor:
    settings = TransitionSettings(**{key: value for key, value in options.items() if key != "together"})
    plan = settings.plan(WINDOW, 33)
    made = SceneSampler(
        pipeline,
        plan,
        settings,
        Guidance(guidance),
        torch.Generator().manual_seed(0),
        together=options.get("together", True),
    )
    return made(Scenes(texts), SOUND, {}, 2, lambda _latents: None)


def test_weights_add_up_to_one_everywhere() -> None:
    for frames in (49, 60, 200):
        plan = TransitionSettings().plan(Shape(49, 480, 720), frames)
        assert plan.overlap == 9
        total = torch.zeros(plan.latent_frames)
        weights = blend_weights(plan)
        for window in range(plan.windows):
            total[plan.latents(window)] += weights[window]
        torch.testing.assert_close(total, torch.ones_like(total))
    assert (weights > 0).all()


def test_texts_follow_time() -> None:
    scenes = Scenes({0: "a", 2: "b", 3: "c"})
    assert scenes.in_order == ["a", "b", "c"]
    assert scenes.shares(Fraction(0), Fraction(2)) == [1, 0, 0]
    assert scenes.shares(Fraction(1), Fraction(3)) == [0.5, 0.5, 0]
    assert scenes.shares(Fraction(1), Fraction(5)) == [0.25, 0.25, 0.5]
    assert scenes.shares(Fraction(9), Fraction(11)) == [0, 0, 1]
    texts = torch.stack([torch.full((1, 2, 3), float(value)) for value in (0, 4, 8)])
    assert mixed_text(texts, [0.5, 0.5, 0]).unique().tolist() == [2]
    with pytest.raises(ConfigError, match="the first scene must begin at 0"):
        Scenes({1: "a"})


def test_equal_windows_are_one(loaded: MTVPipeline) -> None:
    """With one text throughout and nothing shared, blending is all there is; a single window is the pipeline's own."""
    settings = TransitionSettings(share=False)
    plan = settings.plan(WINDOW, 25)
    assert plan.windows == 1
    made = SceneSampler(loaded, plan, settings, Guidance(1.5), torch.Generator().manual_seed(0))
    alone = made(Scenes({0: "A street."}), SOUND, {}, 3, lambda _latents: None)
    plain = loaded(
        "A street.",
        SOUND,
        num_frames=25,
        height=32,
        width=32,
        num_inference_steps=3,
        guidance_scale=1.5,
        generator=torch.Generator().manual_seed(0),
        output_type="latent",
    ).frames
    assert torch.equal(alone, loaded.shown(plain)[0])


def test_what_is_shared_and_what_is_not(loaded: MTVPipeline) -> None:
    scenes = {0.0: "A street.", 0.8: "A room."}
    shared = sampled(loaded, scenes, layers=(0, 1), steps=(0, 1))
    assert shared.shape == (33, 32, 32, 3)
    assert torch.equal(shared, sampled(loaded, scenes, layers=(0, 1), steps=(0, 1)))
    apart = sampled(loaded, scenes, share=False)
    assert not torch.equal(shared, apart)
    # No layer, or no step: nothing is shared.
    assert torch.equal(sampled(loaded, scenes, layers=(0.5, 0.5), steps=(0, 1)), apart)
    assert torch.equal(sampled(loaded, scenes, layers=(0, 1), steps=(0.5, 0.5)), apart)
    assert not torch.equal(sampled(loaded, {0.0: "A street."}, share=False), apart)


def test_branches_share_with_their_own_kind(loaded: MTVPipeline) -> None:
    """Asked one by one or as one batch, guidance's branches are the same."""
    scenes, settings = {0.0: "A street.", 0.8: "A room."}, {"layers": (0, 1), "steps": (0, 1)}
    together = sampled(loaded, scenes, 2.0, **settings)
    one_by_one = sampled(loaded, scenes, 2.0, **settings, together=False)
    assert (together.int() - one_by_one.int()).abs().max() <= 2


def test_keys_and_values_come_from_the_call_before() -> None:
    """Exactly: the second call's attention in the chosen layers reads the first call's keys and values."""
    model = tiny.model()
    first, second = (tiny.inputs(1, seed=seed) for seed in (0, 1))
    given: dict[str, list[Tensor]] = {"0": [], "2": []}
    for layer in given:
        key: Any = model.transformer_blocks[int(layer)].attn1.to_k
        key.register_forward_hook(lambda _m, _i, output, layer=layer: given[layer].append(output))

    def ask(inputs: Any) -> Tensor:
        latents, text, timestep, audio = inputs
        assert isinstance(audio, AudioWindows)
        result: Tensor = model(latents, text, timestep, audio)
        return result

    with torch.no_grad():
        alone = ask(second)
        sharing = KeyValueSharing(model, (2 / 3, 1), calls=1)
        with sharing.on():
            unchanged, changed = ask(first), ask(second)
        after = ask(second)
        assert torch.equal(unchanged, ask(first))
    assert torch.equal(alone, after)
    assert not torch.allclose(alone, changed)
    assert torch.equal(given["0"][0], given["0"][2])  # the first layer is not among those that share


@pytest.mark.parametrize("wrong", [{"layers": [0.9, 0.1]}, {"steps": [0.5, 1.5]}])
def test_ranges_are_shares(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="must be two shares"):
        validate(TransitionSettings, wrong)
