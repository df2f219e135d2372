"""What must hold of the model whatever its weights: it starts as its backbone, hears the right interval, treats each
sample by itself, keeps clean frames apart from the denoising step, and can be saved."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from mtv_train.model.audio import AudioWindows
from mtv_train.model.rope import rotary_angles
from mtv_train.model.transformer import MTVTransformer3DModel
from tests.mtv_train.model import tiny

ABLATIONS: dict[str, dict[str, Any]] = {
    "paper": {},
    "two speakers": {"speech_tracks": 2},
    "without SE": {"extraction": "joint"},
    "without SI": {"injection": "shared"},
}


def _clean(batch: int, *frames: int) -> Tensor:
    mask = torch.zeros(batch, 13, dtype=torch.bool)
    mask[:, list(frames)] = True
    return mask


@pytest.mark.parametrize("kind", tiny.KINDS)
@pytest.mark.parametrize("ablation", ABLATIONS)
@torch.no_grad()
def test_starts_as_its_backbone(kind: str, ablation: str) -> None:
    """Bitwise, for every released kind of backbone, whatever is heard."""
    backbone, changes = tiny.backbone(kind), ABLATIONS[ablation]
    model = MTVTransformer3DModel.from_backbone(copy.deepcopy(backbone), tiny.settings(**changes))
    given = tiny.inputs(speech_tracks=changes.get("speech_tracks", 1))
    latents = given.latents
    if kind == "5b-I2V":
        latents = torch.cat([latents, torch.zeros_like(latents)], 2)
    rope = rotary_angles(model.backbone, 13, 6, 8, torch.device("cpu"))
    expected = backbone(latents, given.text, given.timestep, image_rotary_emb=rope, return_dict=False)[0]
    assert torch.equal(model(*given), expected)
    assert torch.equal(model(*given, _clean(2)), expected), "no frame is clean"
    assert (rope is None) == (kind == "2b")


@pytest.mark.parametrize("kind", tiny.KINDS)
@torch.no_grad()
def test_takes_released_folders(tmp_path: Path, kind: str) -> None:
    """A pipeline's folder and a transformer's, unchanged."""
    backbone = tiny.backbone(kind)
    backbone.save_pretrained(tmp_path / "transformer")
    given = tiny.inputs()
    expected = MTVTransformer3DModel.from_backbone(backbone, tiny.settings())(*given)
    for folder in (tmp_path, tmp_path / "transformer"):
        assert torch.equal(MTVTransformer3DModel.from_backbone(folder, tiny.settings())(*given), expected)
    half = MTVTransformer3DModel.from_backbone(tmp_path, tiny.settings(), torch_dtype=torch.bfloat16)
    assert {parameter.dtype for parameter in half.parameters()} == {torch.bfloat16}


def test_other_generations_are_refused() -> None:
    with pytest.raises(ValueError, match=r"CogVideoX 1\.5"):
        MTVTransformer3DModel({**tiny.BACKBONE, **tiny.KINDS["5b"], "patch_size_t": 2})


@pytest.mark.parametrize("ablation", ABLATIONS)
def test_gradients_reach_every_trained_part_by_step_two_and_no_frozen_one(ablation: str) -> None:
    changes = ABLATIONS[ablation]
    model = MTVTransformer3DModel.from_backbone(tiny.backbone(), tiny.settings(**changes)).trainable("attention")
    optimizer = torch.optim.SGD((p for p in model.parameters() if p.requires_grad), lr=0.05)
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    for step in range(3):
        optimizer.zero_grad()
        given = tiny.inputs(speech_tracks=changes.get("speech_tracks", 1), seed=step)
        (model(*given) - given.latents).square().mean().backward()
        if step == 1:
            for name, parameter in model.named_parameters():
                assert (parameter.grad is not None) == parameter.requires_grad, name
                # A softmax does not see what is added to all keys, so the interval keys' bias has none to get.
                if parameter.grad is not None and not re.search(r"interaction.*to_k\.bias$", name):
                    assert parameter.grad.norm() > 0, f"{name}: gradient is zero"
        optimizer.step()
    for name, parameter in model.named_parameters():
        assert parameter.requires_grad or torch.equal(parameter, before[name]), f"{name} is frozen and has moved"


def _heard(model: MTVTransformer3DModel, audio: AudioWindows) -> list[Tensor]:
    """What the first block's injection makes of one picture under a sound, frame by frame."""
    torch.manual_seed(3)
    control = model.audio(audio, torch.randn(1, 24))
    block: Any = model.transformer_blocks[0]
    rope = rotary_angles(model.backbone, 13, 6, 8, torch.device("cpu"))
    video = block.injection(torch.randn(1, 13, 12, 32), control, block.attn1.norm_q, block.attn1.norm_k, rope)
    return list(video[0])


@pytest.mark.parametrize("track", ["speech", "speech2", "effects", "music"])
@pytest.mark.parametrize("interval", [0, 1, 12])
@torch.no_grad()
def test_each_track_is_heard_where_it_sounds(track: str, interval: int) -> None:
    """Speech and effects in their own interval only; music in all of them."""
    model = tiny.model(speech_tracks=2)
    audio = tiny.inputs(1, speech_tracks=2).audio
    changed = dict(audio.named())
    frames = slice(0, 1) if interval == 0 else slice(4 * interval - 3, 4 * interval + 1)
    changed[track] = changed[track].clone()
    changed[track][:, frames] += 1
    pairs = zip(_heard(model, audio), _heard(model, AudioWindows(**changed)), strict=True)
    touched = [index for index, (one, other) in enumerate(pairs) if not torch.equal(one, other)]
    assert touched == (list(range(13)) if track == "music" else [interval])


@pytest.mark.parametrize("ablation", ABLATIONS)
@torch.no_grad()
def test_batch_of_two_is_two_of_one(ablation: str) -> None:
    """With different timesteps, sounds and clean frames: each sample by itself."""
    changes = ABLATIONS[ablation]
    model = tiny.model(**changes)
    given = tiny.inputs(speech_tracks=changes.get("speech_tracks", 1))
    clean = torch.stack([_clean(1, 0, 5)[0], _clean(1, 12)[0]])
    both = model(*given, clean)
    for index in range(2):
        one = model(*given.row(index), clean[index : index + 1])
        torch.testing.assert_close(both[index : index + 1], one, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_official_takes_the_first_samples_step_for_all() -> None:
    """The named switch does what the release does, and only where samples differ."""
    right, official = tiny.model(), tiny.model(official=True)
    official.load_state_dict(right.state_dict())
    given = tiny.inputs()
    torch.testing.assert_close(official(*given)[0], right(*given)[0], atol=1e-6, rtol=1e-6)
    assert (official(*given)[1] - right(*given)[1]).abs().max() > 1e-4
    same = given._replace(timestep=given.timestep[:1].expand(2))
    torch.testing.assert_close(official(*same), right(*same), atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("official", [False, True])
@torch.no_grad()
def test_clean_frames_are_untouched_by_the_step(official: bool) -> None:
    """Where frames cannot look at each other, what leaves at a clean frame is the same at every timestep, bit by bit.

    Frames meet in self-attention alone, which is silenced here; the tracks are injected as in W/o SI, where nothing
    of the sound depends on the step. In the release the final modulation is the sample's for all frames.
    """
    model = tiny.model(injection="shared", official=official)
    for block in model.transformer_blocks:
        for parameter in block.attn1.to_out.parameters():
            parameter.zero_()
    given, clean = tiny.inputs(1), _clean(1, 0, 4, 12)
    early, late = (model(*given._replace(timestep=torch.tensor([t])), clean)[0] for t in (20, 900))
    same = [torch.equal(one, other) for one, other in zip(early, late, strict=True)]
    assert same == [False] * 13 if official else same == clean[0].tolist()
    at_zero = model(*given._replace(timestep=torch.tensor([0])))[0, 4]
    assert official or torch.equal(late[4], at_zero), "modulated as at step 0"


@torch.no_grad()
def test_dropped_tracks_are_zeros_and_nothing_else() -> None:
    audio = tiny.inputs(2, speech_tracks=2).audio
    mask = torch.tensor([[True, False, False, True], [False] * 4])
    dropped = audio.dropped(mask)
    for index, (name, track) in enumerate(dropped.named()):
        for row in range(2):
            expected = torch.zeros_like(track[row]) if mask[row, index] else getattr(audio, name)[row]
            assert torch.equal(track[row], expected)
    everything = audio.dropped(torch.ones(2, 4, dtype=torch.bool))
    assert all(
        torch.equal(one, other)
        for (_, one), (_, other) in zip(everything.named(), audio.unconditional().named(), strict=True)
    )


@pytest.mark.parametrize("ablation", ABLATIONS)
@torch.no_grad()
def test_save_and_load(tmp_path: Path, ablation: str) -> None:
    changes = ABLATIONS[ablation]
    for kind in tiny.KINDS:
        model = tiny.model(kind, **changes)
        model.save_pretrained(tmp_path / kind)
        again = MTVTransformer3DModel.from_pretrained(tmp_path / kind)
        given = tiny.inputs(speech_tracks=changes.get("speech_tracks", 1))
        assert torch.equal(model(*given), again(*given))
        assert again.settings == model.settings
        assert again.backbone == model.backbone


def test_bad_inputs() -> None:
    model, given = tiny.model(), tiny.inputs()
    with pytest.raises(ValueError, match="the model hears"):
        model(*given._replace(audio=tiny.inputs(speech_tracks=2).audio))
    with pytest.raises(ValueError, match="13 latent frames want 49 frames of sound, but 17"):
        model(*given._replace(audio=tiny.inputs(frames=5).audio))
    with pytest.raises(ValueError, match=r"1 \+ 4n"):
        model(*given._replace(audio=given.audio.map(lambda track: track[:, :48])))
    with pytest.raises(ValueError, match="latents have 3 channels"):
        model(*given._replace(latents=given.latents[:, :, :3]))
    with pytest.raises(ValueError, match="tracks must share one shape"):
        AudioWindows(given.audio.speech, given.audio.effects[:1], given.audio.music)
