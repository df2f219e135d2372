"""What the pipeline promises: the same seed gives the same video, a batch is its samples, guidance 1 is none, given
frames stay, silence is silence, and what diffusers does with pipelines works or is refused."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from diffusers import CogVideoXDDIMScheduler, DDIMScheduler, DiffusionPipeline
from PIL import Image
from torch import Tensor

from demix.config import ConfigError
from mtv_train.model.wav2vec import AudioEncoder
from mtv_train.sample.guidance import Guidance
from mtv_train.sample.pictures import encode, frames_of, latent_frame, still
from mtv_train.sample.pipeline import MTVPipeline
from mtv_train.sample.track import Track
from tests.mtv_train.model import tiny
from tests.mtv_train.sample.making import RATE, tone, write_picture

STEPS = 3
SPEECH = {"speech": Track(tone(0.375).T, RATE)}
OTHER = {"speech": Track(tone(0.375, 660).T, RATE), "music": Track(tone(0.375, 100).T, RATE)}


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def latents(pipeline: MTVPipeline, prompt: Any = "A street.", sound: Any = SPEECH, **options: Any) -> Tensor:
    asked = {"num_inference_steps": STEPS, "output_type": "latent", "generator": seeded(), **options}
    frames: Tensor = pipeline(prompt, sound, **asked).frames
    return frames


@pytest.fixture
def batches(loaded: MTVPipeline) -> Any:
    """The batch sizes that the transformer is called with."""
    sizes: list[int] = []
    hook = loaded.transformer.register_forward_pre_hook(lambda _module, given: sizes.append(len(given[0])))
    yield sizes
    hook.remove()


def test_the_same_seed_gives_the_same_video(loaded: MTVPipeline) -> None:
    first = loaded("A street.", SPEECH, num_inference_steps=STEPS, generator=seeded(), output_type="np").frames
    again = loaded("A street.", SPEECH, num_inference_steps=STEPS, generator=seeded(), output_type="np").frames
    other = loaded("A street.", SPEECH, num_inference_steps=STEPS, generator=seeded(1), output_type="np").frames
    assert first.shape == (1, 9, 48, 64, 3)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_batch_of_two_equals_two_of_one(loaded: MTVPipeline) -> None:
    both = latents(loaded, ["A street.", "A room."], [SPEECH, OTHER], generator=[seeded(1), seeded(2)])
    one = latents(loaded, "A street.", SPEECH, generator=seeded(1))
    two = latents(loaded, "A room.", OTHER, generator=seeded(2))
    torch.testing.assert_close(both, torch.cat([one, two]), atol=2e-4, rtol=1e-4)
    assert not torch.allclose(one, two, atol=0.1)


def test_guidance_of_one_is_no_guidance(loaded: MTVPipeline, batches: list[int]) -> None:
    none = latents(loaded, guidance_scale=1)
    assert batches == [1] * STEPS
    told = loaded.told(loaded.read("A street."), loaded.listen(SPEECH, loaded.shape(), [0])[0])
    loaded.scheduler.set_timesteps(STEPS)
    generator = seeded()
    noise = loaded.noise(loaded.shape(), 1, generator)
    with torch.no_grad():
        before, back = None, None
        for time in loaded.scheduler.timesteps.tolist():
            v = loaded.transformer(noise, told.text, torch.tensor([time]), told.audio)
            noise, before = loaded.scheduler.step(v, before, time, back, noise, generator=generator)
            back = time
    torch.testing.assert_close(none, noise)
    assert not torch.allclose(none, latents(loaded), atol=0.01)


def test_guidance_of_text_and_of_sound(loaded: MTVPipeline, batches: list[int]) -> None:
    joint = latents(loaded, guidance_scale=3.5)
    torch.testing.assert_close(latents(loaded, guidance_scale=3.5, audio_guidance_scale=3.5), joint)
    assert batches == [2] * 2 * STEPS
    apart = latents(loaded, guidance_scale=2, audio_guidance_scale=5)
    assert batches[2 * STEPS :] == [3] * STEPS
    assert not torch.allclose(apart, joint, atol=0.01)
    torch.testing.assert_close(
        latents(loaded, guidance_scale=2, audio_guidance_scale=5, batched_guidance=False), apart, atol=2e-4, rtol=1e-4
    )


@pytest.mark.parametrize(("scale", "audio"), [(3.5, None), (1, None), (2, 5), (1, 4), (4, 1), (0, 0)])
def test_weights_of_guidance_add_up(loaded: MTVPipeline, scale: float, audio: float | None) -> None:
    told = loaded.told(loaded.read("A street."), loaded.listen(SPEECH, loaded.shape(), [0])[0])
    branches = Guidance(scale, audio).branches(told)
    assert sum(weight for weight, _ in branches) == pytest.approx(1)
    assert all(weight for weight, _ in branches)


def test_keyframes_come_out_as_they_went_in(loaded: MTVPipeline, tmp_path: Path) -> None:
    pictures = {frame: Image.open(write_picture(tmp_path / f"{frame}.png", frame)) for frame in (0, 7)}
    given = latents(loaded, keyframes=pictures)
    free = latents(loaded)
    for frame, picture in pictures.items():
        place = latent_frame(frame)
        wanted = encode(loaded.vae, still(picture, place, 48, 64), loaded.vae.config.scaling_factor)[:, -1]
        assert torch.equal(given[:, place], wanted)
        assert not torch.equal(free[:, place], wanted)
    assert not torch.allclose(given[:, 1], free[:, 1], atol=0.01)  # the frame between is made for them


def test_latent_frames_of_video_frames() -> None:
    for latent in range(13):
        first, last = frames_of(latent)
        assert {latent_frame(frame) for frame in range(first, last + 1)} == {latent}
    assert frames_of(12)[1] == 48


def test_silence_in_one_track_changes_nothing_in_the_others(loaded: MTVPipeline) -> None:
    shape = loaded.shape()
    full, less = (loaded.listen(sound, shape, [0])[0] for sound in (OTHER, {"speech": OTHER["speech"]}))
    assert torch.equal(full.speech, less.speech)
    assert torch.equal(full.effects, less.effects)
    assert not torch.equal(full.music, less.music)


def test_a_missing_track_is_silence_and_not_dropped(loaded: MTVPipeline) -> None:
    silence = {"music": Track(np.zeros((1, 6000), np.float32), RATE), **SPEECH}
    heard, absent = (loaded.listen(sound, loaded.shape(), [0])[0] for sound in (silence, SPEECH))
    assert torch.equal(heard.music, absent.music)
    assert absent.music.abs().max() > 0


@pytest.mark.parametrize("seconds", [0.3, 1.0, 2.3])
def test_the_release_is_heard_as_it_hears(loaded: MTVPipeline, seconds: float) -> None:
    """In its own preparation, whose numbers `model/test_wav2vec` holds: the whole sound, and each window of it."""
    release = MTVPipeline(**loaded.components, prompt_style="release", official_alignment=True)
    track = Track(tone(seconds).T, RATE)
    shape = loaded.shape(9)
    [first, later] = release.listen({"speech": track}, shape, [0, 4])
    whole = AudioEncoder(loaded.audio_encoder).release_features(torch.from_numpy(track.wave), 24, sampling=True)
    assert whole.shape[1] == (49 if seconds < 2 else 97)
    expected = AudioEncoder.windows(whole.bfloat16(), 2)
    assert torch.equal(first.speech, expected[:, :9].float())
    assert torch.equal(later.speech, expected[:, 4:13].float())
    assert not torch.equal(first.speech, loaded.listen({"speech": track}, shape, [0])[0].speech)


def test_no_prompt_is_no_text(loaded: MTVPipeline) -> None:
    assert not loaded.read("").any()
    assert loaded.read("A street.").any()


def test_the_whole_folder_there_and_back(loaded: MTVPipeline, tmp_path: Path) -> None:
    loaded.save_pretrained(tmp_path / "whole")
    expected = latents(loaded)
    for kind in (MTVPipeline, DiffusionPipeline):
        again = kind.from_pretrained(tmp_path / "whole")
        assert type(again) is MTVPipeline
        for name in ("fps", "prompt_style", "official_alignment"):
            assert again.config[name] == loaded.config[name]
        again.set_progress_bar_config(disable=True)
        assert torch.equal(latents(again), expected)
    assert diffusers.MTVPipeline is MTVPipeline


FRESH = """
import sys
from diffusers import DiffusionPipeline
options = {"custom_pipeline": "mtv_pipeline", "trust_remote_code": True}
print(type(DiffusionPipeline.from_pretrained(sys.argv[1], **options)).__name__)
"""


def test_a_process_that_knows_nothing_of_us_loads_the_folder(loaded: MTVPipeline, tmp_path: Path) -> None:
    loaded.save_pretrained(tmp_path / "whole")
    environment = os.environ | {"HF_MODULES_CACHE": str(tmp_path / "modules")}
    command = [sys.executable, "-c", FRESH, str(tmp_path / "whole")]
    said = subprocess.run(command, capture_output=True, text=True, env=environment, check=True).stdout
    assert said.strip().endswith("MTVPipeline")
    (tmp_path / "whole" / "mtv_pipeline.py").unlink()  # a folder that was saved before there was such a file
    assert type(MTVPipeline.from_pretrained(tmp_path / "whole")) is MTVPipeline


def test_the_transformer_can_be_checkpointed() -> None:
    model, inputs = tiny.model(), tiny.inputs(1)
    gradients = []
    for checkpointed in (False, True):
        if checkpointed:
            model.enable_gradient_checkpointing()
        model.zero_grad()
        model(*inputs).square().mean().backward()
        gradients.append({name: value.grad for name, value in model.named_parameters() if value.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    assert gradients[0]
    for name, value in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], value)


def test_what_the_transformer_cannot_do_is_said(loaded: MTVPipeline) -> None:
    with pytest.raises(NotImplementedError, match="no caches between steps"):
        loaded.transformer.enable_cache(None)
    with pytest.raises(NotImplementedError, match="does not dispatch attention"):
        loaded.transformer.set_attention_backend("flash")
    with pytest.raises(NotImplementedError, match=r"model\.lora\.rank"):
        loaded.transformer.add_adapter(None)


@pytest.mark.parametrize("kind", [CogVideoXDDIMScheduler, DDIMScheduler])
def test_schedulers_can_be_exchanged(loaded: MTVPipeline, kind: Any) -> None:
    own = loaded.scheduler
    try:
        loaded.scheduler = kind.from_config(own.config, clip_sample=False)
        assert torch.isfinite(latents(loaded)).all()
    finally:
        loaded.scheduler = own


def test_callbacks_see_every_step_and_can_change_it(loaded: MTVPipeline) -> None:
    seen = []

    def see(pipeline: Any, step: int, time: Tensor, given: dict[str, Tensor]) -> dict[str, Tensor]:
        seen.append((step, int(time)))
        return {"latents": torch.zeros_like(given["latents"])} if step == STEPS - 1 else given

    assert not latents(loaded, callback_on_step_end=see).any()
    assert seen == list(enumerate(loaded.scheduler.timesteps.tolist()))
    with pytest.raises(ValueError, match="callbacks are given"):
        latents(loaded, callback_on_step_end=see, callback_on_step_end_tensor_inputs=["text"])


def test_tiles_and_slices(loaded: MTVPipeline) -> None:
    done = torch.cat([latents(loaded, num_frames=5)] * 2)
    plain = loaded.shown(done)
    loaded.vae.enable_slicing()
    try:
        assert (loaded.shown(done).int() - plain.int()).abs().max() <= 1
        loaded.vae.enable_tiling(32, 32, tile_overlap_factor_height=0.25, tile_overlap_factor_width=0.25)
        assert loaded.shown(done).shape == plain.shape
    finally:
        loaded.vae.disable_slicing()
        loaded.vae.disable_tiling()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="offloading is from a GPU; there is none here")
def test_offloading_changes_nothing(model: Path) -> None:
    from mtv_train.sample.model_folder import load_pipeline

    here, away = load_pipeline(model).to("cuda"), load_pipeline(model)
    away.enable_model_cpu_offload()
    picture = {0: Image.new("RGB", (64, 48), "red")}
    torch.testing.assert_close(latents(away, keyframes=picture), latents(here, keyframes=picture))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_frames": 8}, "8 frames: the VAE groups four, so there must be 1 \\+ 4n, for instance 9"),
        ({"height": 50}, "50 x 64 pixels: both sides must be multiples of 16"),
        ({"keyframes": {9: Image.new("RGB", (8, 8))}}, "keyframe 9: the video has frames 0 to 8"),
        (
            {"keyframes": dict.fromkeys((5, 8), Image.new("RGB", (8, 8)))},
            "keyframes 5 and 8 lie in one latent frame \\(frames 5 to 8\\)",
        ),
        ({"sound": {"noise": SPEECH["speech"]}}, "the model hears speech, effects, music; it knows no noise"),
        ({"prompt": ["a", "b"], "sound": [SPEECH]}, "2 prompts and 1 sounds"),
        ({"prompt": ["a", "b"], "generator": [seeded()]}, "1 generators for 2 videos"),
    ],
)
def test_what_cannot_be_is_refused(loaded: MTVPipeline, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        latents(loaded, **options)


def test_learned_positions_have_one_size(loaded: MTVPipeline) -> None:
    backbone = {**loaded.transformer.backbone, "use_learned_positional_embeddings": True}
    from mtv_train.sample.shape import Shape

    assert Shape.of(backbone, 9, 48, 64).latent_frames == 3
    with pytest.raises(ConfigError, match="learned positions for 9 frames of 48 x 64"):
        Shape.of(backbone, 13, None, None)
